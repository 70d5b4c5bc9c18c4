/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sockets share that are plain but for their options: tables of these, the classic filter, calls that set them. Inline, since
 * resources do not use each other. */
#pragma once
#include "collect/socket.h"
#include "model/model.h"
#include "resource/file_scope.h"
#include "socket_option.pb-c.h"
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/time.h>

enum option_type { INT, BUFFER, TIME };
struct socket_option {
	const char *name;
	int level, number;
	enum option_type type;
};
/* A row; those that every family has beside socket_options.def; SO_LOCK_FILTER goes behind the filter and all others: it is a table's
 * last row. */
#define SOCKET_OPTION(name, number) { #name, SOL_SOCKET, number, INT },
#define OPTION(level, number, type)                                                                                            \
	{                                                                                                                      \
#number, level, number, type                                                                                   \
	}
#define COMMON_OPTIONS                                                                                                         \
	OPTION(SOL_SOCKET, SO_SNDBUF, BUFFER), OPTION(SOL_SOCKET, SO_RCVBUF, BUFFER), OPTION(SOL_SOCKET, SO_RCVTIMEO, TIME),   \
		OPTION(SOL_SOCKET, SO_SNDTIMEO, TIME), OPTION(SOL_SOCKET, SO_RCVLOWAT, INT),                                   \
		OPTION(SOL_SOCKET, SO_TIMESTAMP, INT), OPTION(SOL_SOCKET, SO_TIMESTAMPNS, INT)
#define LAST_OPTION OPTION(SOL_SOCKET, SO_LOCK_FILTER, INT)

/* SOCK_* of the names that sockets without connections have in images; 0 for none. */
static inline int plain_type_number(const char *name)
{
	return !name ? 0 : !strcmp(name, "raw") ? SOCK_RAW : !strcmp(name, "datagram") ? SOCK_DGRAM : 0;
}
static inline int collect_plain_type(int fd, char **ret)
{
	int type, r = socket_int(fd, SO_TYPE, &type);
	if (r < 0)
		return r;
	return message_set_string(ret, type == SOCK_RAW     ? "raw"
				       : type == SOCK_DGRAM ? "datagram"
							    : "other")
		       ? 0
		       : fail_memory();
}

/* As socket_option(). */
static inline int read_option(int fd, const struct socket_option *o, s64 *ret)
{
	union {
		int i;
		struct timeval t;
	} v = { .t = { 0 } };
	socklen_t len = o->type == TIME ? sizeof v.t : sizeof v.i;
	int r = socket_option(fd, o->level, o->number, &v, &len);
	*ret = o->type == TIME ? v.t.tv_sec * 1000000 + v.t.tv_usec : v.i;
	return r;
}

static inline int add_option(size_t *n, Ckpt__SocketOption ***options, const struct socket_option *o, s64 value)
{
	Ckpt__SocketOption *option = MESSAGE_NEW(Ckpt__SocketOption, ckpt__socket_option);
	if (!option || !MESSAGE_APPEND(n, options, option)) {
		free(option);
		return fail_memory();
	}
	SET(option, value, value);
	return message_set_string(&option->name, o->name) ? 0 : fail_memory();
}

/* Appends the options of a socket that differ from those of a new one (fresh; negative: there is none): what the host gives to all is
 * no choice of the program. */
static inline int collect_options(int fd, int fresh, const struct socket_option *table, size_t rows, size_t *n,
				  Ckpt__SocketOption ***options)
{
	for (size_t i = 0; i < rows; i++) {
		s64 now, begin = 0;
		int r = read_option(fd, &table[i], &now),
		    told = r > 0 && fresh >= 0 ? read_option(fresh, &table[i], &begin) : 0;
		if (told < 0)
			return told;
		if (r > 0 && !(told && begin == now))
			r = add_option(n, options, &table[i], now);
		if (r < 0)
			return r;
	}
	return 0;
}

static inline const struct socket_option *find_option(const struct socket_option *table, size_t rows, const char *name)
{
	for (size_t i = 0; name && i < rows; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

/* Are all of them in the table, with values? */
static inline bool options_sound(const struct socket_option *table, size_t rows, size_t n, Ckpt__SocketOption **options)
{
	bool sound = true;
	for (size_t i = 0; i < n; i++)
		sound &= find_option(table, rows, options[i]->name) && options[i]->has_value;
	return sound;
}

static inline bool filter_sound(const ProtobufCBinaryData *filter)
{
	return filter->len % sizeof(struct sock_filter) == 0 && filter->len <= BPF_MAXINSNS * sizeof(struct sock_filter);
}

static inline struct plan_step *plan_set(struct plan *plan, struct place at, struct arg fd, int level, int number,
					 const void *value, size_t len)
{
	return plan_call(plan, at, SYS_setsockopt, fd, ARG(level), ARG(number), ARG_OF_DATA(plan_data(plan, value, len, 8)),
			 ARG(len));
}

static inline void plan_option(struct plan *plan, struct place at, struct arg fd, const struct socket_option *o, s64 value)
{
	struct timeval time = { value / 1000000, value % 1000000 };
	int number = o->number, half = (int)MIN(MAX(value / 2, 1), INT32_MAX / 2), plain = (int)value;
	int force = number == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
	if (o->type == TIME)
		plan_set(plan, at, fd, o->level, number, &time, sizeof time);
	else
		plan_set(plan, at, fd, o->level, number, o->type == BUFFER ? &half : &plain, sizeof plain);
	if (o->type == BUFFER &&
	    half > 212992) /* the common net.core.?mem_max; for more a right, which no user namespace gives */
		step_any(plan_set(plan, at, fd, o->level, force, &half, sizeof half));
}

static inline void plan_options(struct plan *plan, struct place at, struct arg fd, const struct socket_option *table,
				size_t rows, size_t n, Ckpt__SocketOption **options)
{
	for (size_t i = 0; i < n; i++)
		plan_option(plan, at, fd, find_option(table, rows, options[i]->name), options[i]->value);
}

static inline void plan_filter(struct plan *plan, struct place at, struct arg fd, const ProtobufCBinaryData *filter)
{
	struct sock_fprog program = { .len = (unsigned short)(filter->len / sizeof(struct sock_filter)) };
	if (!filter->len)
		return;
	u32 data = plan_data(plan, &program, sizeof program, 8);
	plan_pointer(plan, data + offsetof(struct sock_fprog, filter), plan_data(plan, filter->data, filter->len, 8));
	plan_call(plan, at, SYS_setsockopt, fd, ARG(SOL_SOCKET), ARG(SO_ATTACH_FILTER), ARG_OF_DATA(data), ARG(sizeof program));
}
