/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all parts of unix.c know: types and options. */
#pragma once
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#include "collect/collect.h"
#include "resource/unix_name.h"

#define MAX_DESCRIPTORS 253 /* of one message: unix(7) */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

static const struct kind kind_unix = { .name = "unix", .desc = &ckpt__unix__descriptor };

static const char *const types[] = { [SOCK_STREAM] = "stream", [SOCK_DGRAM] = "datagram", [SOCK_SEQPACKET] = "seqpacket" };

/* SOCK_* of the type's name, 0 for none. */
static inline int type_number(const char *name)
{
	for (size_t i = 1; name && i < ARRAY_SIZE(types); i++)
		if (types[i] && !strcmp(types[i], name))
			return (int)i;
	return 0;
}

/* Socket options that are one int: only what differs from the value of a new socket is set again. */
static const struct option {
	int name;
	bool always;
	int initial;
	size_t has, value;
} options[] = {
#define OPTION(name, field, ...)                                                                                               \
	{                                                                                                                      \
		name, __VA_ARGS__, offsetof(Ckpt__Unix, has_##field), offsetof(Ckpt__Unix, field)                              \
	}
	OPTION(SO_SNDBUF, send_buffer, true, 0),          OPTION(SO_RCVBUF, receive_buffer, true, 0),
	OPTION(SO_PASSCRED, pass_credentials, false, 0),  OPTION(SO_PASSSEC, pass_security, false, 0),
	OPTION(SO_PASSPIDFD, pass_pidfd, false, 0),       OPTION(SO_PASSRIGHTS, pass_rights, false, 1),
	OPTION(SO_RCVLOWAT, receive_low_water, false, 1), OPTION(SO_PEEK_OFF, peek_offset, false, -1),
	OPTION(SO_TIMESTAMP, timestamp, false, 0),        OPTION(SO_TIMESTAMPNS, timestamp_ns, false, 0),
};

/* Those that any socket takes and tells. */
static const struct common_option {
	const char *name;
	int number;
} common_options[] = {
#define SOCKET_OPTION(name, number) { #name, number },
#include "resource/socket_options.def"
#undef SOCKET_OPTION
};

static inline int collect_common_options(int fd, Ckpt__Unix *u)
{
	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++) {
		int value = 0;
		socklen_t len = sizeof value;
		int r = socket_option(fd, SOL_SOCKET, common_options[i].number, &value, &len);
		if (r < 0)
			return r;
		if (r == 0 || !value)
			continue;
		Ckpt__UnixOption *option = MESSAGE_NEW(Ckpt__UnixOption, ckpt__unix_option);
		if (!option || !MESSAGE_APPEND(&u->n_option, &u->option, option)) {
			free(option);
			return fail_memory();
		}
		SET(option, value, value);
		if (!message_set_string(&option->name, common_options[i].name))
			return fail_memory();
	}
	return 0;
}

/* NULL: there is none of this name. */
static inline const struct common_option *find_common_option(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(common_options); i++)
		if (!strcmp(common_options[i].name, name))
			return &common_options[i];
	return NULL;
}

static inline int judge_common_options(const Ckpt__Unix *u)
{
	for (size_t i = 0; i < u->n_option; i++)
		if (!find_common_option(u->option[i]->name) || !u->option[i]->has_value)
			return fail(IMAGE_INCONSISTENT, 0, "a socket option \"%.32s\"", u->option[i]->name ?: "");
	return 0;
}
