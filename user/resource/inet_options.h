/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Socket options of ip(7), ipv6(7), tcp(7) and udp(7), by their table. A part of inet.c. */
#pragma once
#include "collect/collect.h"
#include "collect/socket.h"
#include "resource/inet_address.h"
#include <linux/filter.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/if.h>
#include <sys/time.h>

/* Younger than the headers that ckpt is built with may be. */
enum {
	INET_IP_LOCAL_PORT_RANGE = 51,
	INET_SO_BUF_LOCK = 72,
	INET_SO_TXREHASH = 74,
	INET_SO_RCVMARK = 75,
	INET_SO_RCVPRIORITY = 82,
};
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE INET_IP_LOCAL_PORT_RANGE
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK INET_SO_BUF_LOCK
#endif
#ifndef UDPLITE_SEND_CSCOV /* include/net/udplite.h */
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#endif
#ifndef ICMP_FILTER /* linux/icmp.h and linux/icmpv6.h, which do not go with net/if.h */
#define ICMP_FILTER 1
#define ICMPV6_FILTER 1
#endif
#ifndef IPV6_FLOWINFO /* linux/in6.h leaves its options to netinet/in.h, which lacks these two */
#define IPV6_FLOWINFO 11
#define IPV6_FLOWINFO_SEND 33
#endif
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US 45
#define TCP_DELACK_MAX_US 46
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK INET_SO_RCVMARK
#endif

#ifndef SO_TXREHASH
#define SO_TXREHASH INET_SO_TXREHASH
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY INET_SO_RCVPRIORITY
#endif

enum option_type { INT, BUFFER, LONG, TIME, LINGER, TEXT, BYTES };
#define OPTION_BYTES 256 /* struct icmp6_filter, options of packets */
enum option_when { BIND, ANY, LAST, IDLE };

static const struct inet_option {
	const char *name;
	int level, number;
	enum option_type type;
	enum option_when when;
	s64 initial;
} inet_options[] = {
#define OPTION(level, number, type, initial, when) { #number, level, number, type, when, initial },
#include "resource/inet_options.def"
#undef OPTION
};

struct option_value {
	s64 value;               /* BYTES: their number */
	char text[OPTION_BYTES]; /* or the bytes */
};

/* As socket_option(). */
static inline int read_option(int fd, const struct inet_option *o, struct option_value *ret)
{
	union {
		int i;
		s64 l;
		struct timeval t;
		struct linger linger;
		char text[OPTION_BYTES];
	} v = { .l = 0 };
	socklen_t len = o->type == TEXT                       ? 63
			: o->type == TIME                     ? sizeof v.t
			: o->type == BYTES                    ? OPTION_BYTES
			: o->type == INT || o->type == BUFFER ? sizeof v.i
							      : sizeof v.l;
	*ret = (struct option_value){ 0 };
	int r = socket_option(fd, o->level, o->number, &v, &len);
	if (r <= 0)
		return r;
	switch (o->type) {
	case INT:
	case BUFFER:
		ret->value = v.i;
		break;
	case LONG:
		ret->value = len == sizeof v.i ? v.i : v.l;
		break;
	case TIME:
		ret->value = v.t.tv_sec * 1000000 + v.t.tv_usec;
		break;
	case LINGER:
		ret->value = v.linger.l_onoff ? v.linger.l_linger : -1;
		break;
	case TEXT:
		memcpy(ret->text, v.text, MIN((size_t)len, sizeof ret->text - 1));
		break;
	case BYTES:
		ret->value = len;
		memcpy(ret->text, v.text, MIN((size_t)len, sizeof ret->text));
	}
	return r;
}

/* --- collect --- */

static inline int add_option(Ckpt__Inet *m, const struct inet_option *o, const struct option_value *v)
{
	Ckpt__InetOption *option = MESSAGE_NEW(Ckpt__InetOption, ckpt__inet_option);
	if (!option || !MESSAGE_APPEND(&m->n_option, &m->option, option)) {
		free(option);
		return fail_memory();
	}
	if (o->type != TEXT && o->type != BYTES)
		SET(option, value, v->value);
	option->has_data = o->type == BYTES;
	bool done = message_set_string(&option->name, o->name) &&
		    (o->type != TEXT || message_set_string(&option->text, v->text)) &&
		    (o->type != BYTES || message_set_bytes(&option->data, v->text, (size_t)v->value));
	return done ? 0 : fail_memory();
}

/* Has the program left the size of this buffer to the kernel? locks: SO_BUF_LOCK. Before Linux 5.14 nothing tells (NULL): then that is so
 * of TCP connections, ended ones too, whose buffers grow by themselves, and of what has the size that a new socket has. */
static inline bool is_kernels_buffer(const int *locks, const Ckpt__Inet *m, const struct inet_option *o)
{
	if (!locks)
		return (m->remote || m->over) && is_tcp(m);
	return !(*locks & (o->number == SO_SNDBUF ? 1 : 2));
}

static inline bool is_same_value(const struct option_value *a, const struct option_value *b)
{
	return a->value == b->value && !memcmp(a->text, b->text, sizeof a->text);
}

/* Is it what every socket begins with, or what the kernel alone decides? */
static inline bool is_no_choice(const int *locks, const Ckpt__Inet *m, const struct inet_option *o,
				const struct option_value *now)
{
	if (o->type == TEXT ? !now->text[0] : now->value == o->initial)
		return true;
	if (o->type == BUFFER && is_kernels_buffer(locks, m, o))
		return true;
	return o->number == SO_RCVLOWAT && o->level == SOL_SOCKET && !now->value; /* means 1; multipath TCP alone leaves 0 */
}

static inline bool is_wanted(const Ckpt__Inet *m, const struct inet_option *o)
{
	int level = o->level;
	if ((level == IPPROTO_IPV6 && !is_v6(m)) || (level == IPPROTO_TCP && !is_tcp(m)) ||
	    (level == IPPROTO_UDP && m->protocol != IPPROTO_UDP && m->protocol != IPPROTO_UDPLITE) ||
	    (level == IPPROTO_UDPLITE && m->protocol != IPPROTO_UDPLITE) || (level == SOL_RAW && !is_raw(m)) ||
	    (level == IPPROTO_ICMPV6 && !(is_raw(m) && m->protocol == IPPROTO_ICMPV6)))
		return false;
	if (o->when == ANY)
		return !m->local || is_any_address(m->local);
	return o->when != IDLE || !(m->remote || m->over) || m->protocol != IPPROTO_TCP;
}

static inline int collect_options(int fd, Ckpt__Inet *m, int type)
{
	_cleanup_close_ int fresh = -1;
	int locks;
	socklen_t len = sizeof locks;
	int told = socket_option(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &len), r = MIN(told, 0);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(inet_options); i++) {
		const struct inet_option *o = &inet_options[i];
		struct option_value now, begin;
		r = is_wanted(m, o) ? read_option(fd, o, &now) : 0;
		if (r <= 0 || is_no_choice(told ? &locks : NULL, m, o, &now))
			continue;
		if (fresh < 0) /* what the host gives to a new socket (sysctl) is no choice of the program */
			fresh = socket(family_number(m), type | SOCK_CLOEXEC, (int)m->protocol);
		if (fresh < 0 && !is_raw(m) && !is_multipath(m)) /* which not everybody and not every host can make */
			return fail(SYSCALL, neg_errno(), "socket");
		r = fresh >= 0 && !(o->type == BUFFER && told) ? read_option(fresh, o, &begin) : 0;
		if (r == 0 || (r > 0 && !is_same_value(&begin, &now)))
			r = add_option(m, o, &now);
	}
	return MIN(r, 0);
}

/* --- judge --- */

static inline const struct inet_option *find_option(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(inet_options); i++)
		if (!strcmp(inet_options[i].name, name))
			return &inet_options[i];
	return NULL;
}

static inline const Ckpt__InetOption *option_of(const Ckpt__Inet *m, const char *name)
{
	for (size_t i = 0; i < m->n_option; i++)
		if (!strcmp(m->option[i]->name, name))
			return m->option[i];
	return NULL;
}

static inline int judge_options(const Ckpt__Inet *m)
{
	for (size_t i = 0; i < m->n_option; i++) {
		const struct inet_option *o = find_option(m->option[i]->name);
		bool fits = o && (o->type == TEXT    ? m->option[i]->text && strlen(m->option[i]->text) < 64
				  : o->type == BYTES ? m->option[i]->data.len && m->option[i]->data.len <= OPTION_BYTES
						     : m->option[i]->has_value);
		if (!fits)
			return fail(IMAGE_INCONSISTENT, 0, "a socket option \"%.32s\"", m->option[i]->name ?: "");
	}
	if (m->filter.len % sizeof(struct sock_filter) || m->filter.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return fail(IMAGE_INCONSISTENT, 0, "a filter of %zu bytes", m->filter.len);
	return 0;
}

/* --- plan --- */

static inline struct plan_step *plan_option(struct plan *plan, struct place at, struct arg fd, int level, int number,
					    const void *value, size_t len)
{
	return plan_call(plan, at, SYS_setsockopt, fd, ARG(level), ARG(number), ARG_OF_DATA(plan_data(plan, value, len, 8)),
			 ARG(len));
}

static inline struct plan_step *plan_int(struct plan *plan, struct place at, struct arg fd, int level, int number, int value)
{
	return plan_option(plan, at, fd, level, number, &value, sizeof value);
}

/* More than the common net.core.?mem_max needs a right that no user namespace gives: without it there is that much. */
static inline void plan_room_of(struct plan *plan, struct place at, struct arg fd, int number, int value)
{
	int force = number == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
	plan_int(plan, at, fd, SOL_SOCKET, number, value);
	if (value > 212992)
		step_any(plan_int(plan, at, fd, SOL_SOCKET, force, value));
}

/* The size as it is told. What the program has chosen is compared afterwards. */
static inline void plan_buffer(struct plan *plan, struct place at, struct arg fd, int number, s64 size)
{
	plan_room_of(plan, at, fd, number, (int)MIN(MAX(size / 2, 1), INT32_MAX / 2));
}

static inline void plan_one_option(struct plan *plan, struct place at, struct arg fd, const struct inet_option *o,
				   const Ckpt__InetOption *option)
{
	struct timeval time = { option->value / 1000000, option->value % 1000000 };
	struct linger linger = { option->value >= 0, (int)MAX(option->value, 0) };
	switch (o->type) {
	case INT:
		plan_int(plan, at, fd, o->level, o->number, (int)option->value);
		break;
	case BUFFER:
		plan_buffer(plan, at, fd, o->number, option->value);
		break;
	case LONG:
		plan_option(plan, at, fd, o->level, o->number, &option->value, sizeof option->value);
		break;
	case TIME:
		plan_option(plan, at, fd, o->level, o->number, &time, sizeof time);
		break;
	case LINGER:
		plan_option(plan, at, fd, o->level, o->number, &linger, sizeof linger);
		break;
	case TEXT:
		plan_option(plan, at, fd, o->level, o->number, option->text, strlen(option->text) + 1);
		break;
	case BYTES:
		plan_option(plan, at, fd, o->level, o->number, option->data.data, option->data.len);
	}
}

/* Those that are set before bind(2), or all others. */
static inline void plan_options(struct plan *plan, struct place at, struct arg fd, const Ckpt__Inet *m, bool before_bind)
{
	for (size_t i = 0; i < m->n_option; i++) {
		const struct inet_option *o = find_option(m->option[i]->name);
		bool later = ends_by_reset(m) && o->type == LINGER; /* when the tree is let go */
		if ((o->when <= ANY) == before_bind && !later)
			plan_one_option(plan, at, fd, o, m->option[i]);
	}
}

static inline void plan_filter(struct plan *plan, struct place at, struct arg fd, const Ckpt__Inet *m)
{
	if (!m->filter.len)
		return;
	struct sock_fprog program = { .len = (unsigned short)(m->filter.len / sizeof(struct sock_filter)) };
	u32 data = plan_data(plan, &program, sizeof program, 8);
	plan_pointer(plan, data + offsetof(struct sock_fprog, filter), plan_data(plan, m->filter.data, m->filter.len, 8));
	plan_call(plan, at, SYS_setsockopt, fd, ARG(SOL_SOCKET), ARG(SO_ATTACH_FILTER), ARG_OF_DATA(data), ARG(sizeof program));
}
