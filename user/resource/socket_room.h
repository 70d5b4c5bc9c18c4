/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in sockets: how much may, in one that ckpt makes, whose buffer holds it until somebody reads it; and whether all of it can
 * be seen. */
#pragma once
#include "base/base.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include <sys/socket.h>
#include <unistd.h>

#define COMMON_ROOM (2 * 212992u) /* of the common net.core.wmem_max: the kernel doubles what it is asked for */

/* The largest buffer that a socket gets here: beyond net.core.wmem_max it takes a right that no user namespace gives. */
static inline u64 socket_largest(void)
{
	int most = INT32_MAX / 2, room = 0;
	socklen_t len = sizeof room;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most) < 0 &&
		       setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof most) < 0))
		return 0;
	return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0 ? 0 : (u64)room;
}

/* bytes: what waits at one end and was sent by one socket. Reported. */
static inline int judge_room(u64 bytes, const char *where)
{
	u64 largest = bytes > COMMON_ROOM ? socket_largest() : bytes;
	return bytes <= largest ? 0
				: fail(SOCKET_ROOM, 0, "%llu bytes at %s, where there is room for %llu",
				       (unsigned long long)bytes, where, (unsigned long long)largest);
}

/* Have all messages been seen? One without data that was looked at before is passed over (net/core/datagram.c), and is nothing else than
 * the end where the other end sends no more. Where eBPF tells. */
static inline int judge_seen(struct collector *c, size_t seen)
{
	const struct record_file *file = collector_kernel_file(c);
	if (!file || file->waiting == WAITING_UNKNOWN || file->waiting <= seen)
		return 0;
	return fail(SOCKET_EMPTY, 0, "%zu of %u were seen", seen, file->waiting);
}
