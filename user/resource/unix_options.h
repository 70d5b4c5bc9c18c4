/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all parts of unix.c know: types and options. */
#pragma once
#include "collect/collect.h"
#include "resource/unix_name.h"

#define MAX_DESCRIPTORS 253 /* of one message: unix(7) */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
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
