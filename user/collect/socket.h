/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What any socket tells of itself by a duplicate of its descriptor. */
#pragma once
#ifndef SO_PASSPIDFD /* Linux 6.5; of any socket until 6.16 */
#define SO_PASSPIDFD 76
#endif
#include "base/base.h"
#include <protobuf-c/protobuf-c.h>
#include <sys/socket.h>

/* AF_*, or negative errno. */
int socket_family(int fd);
/* Is it a socket of ckpt's own network namespace? 1, 0, or negative errno when the kernel does not tell. */
int socket_is_near(int fd);
/* Does this errno say that there is nothing of the kind, and not that something else has failed? */
bool socket_lacks(int error);
/* getsockopt(2): 1; 0 when this socket or kernel has no such option; or what has been reported: of an error that tells something else an
 * image would hold that the option has its first value. */
int socket_option(int fd, int level, int option, void *ret, socklen_t *len);
/* SIOCINQ, SIOCOUTQ: as socket_option(), of a socket that has no such queue. *ret: 0 then. */
int socket_queue(int fd, unsigned long request, int *ret);
/* Gives an option of SOL_SOCKET back the value that the program has given it, and does not give up at the first error. 0, or negative
 * errno. */
int socket_set_back(int fd, int option, int value);
/* An option of SOL_SOCKET that is an int; 0 when the kernel does not tell. 0, or what has been reported. */
int socket_int(int fd, int option, int *ret);

/* What sockets of all families but unix have in their messages. */
struct socket_head {
	u64 inode;
	u32 uid, gid;
	int near;                   /* socket_is_near() */
	ProtobufCBinaryData filter; /* struct sock_filter[], SO_ATTACH_FILTER; empty: none. It goes to the message */
	bool hidden_filter;         /* of eBPF, which cannot be read */
};
/* fd: collector_fd(), link: what it is called when there is none. 0, or what has been reported. */
int socket_head(int fd, const char *link, struct socket_head *ret);
/* Into the fields of these names. */
#define SET_SOCKET_HEAD(m, head)                                                                                               \
	do {                                                                                                                   \
		SET(m, inode, (head)->inode);                                                                                  \
		SET(m, uid, (head)->uid);                                                                                      \
		SET(m, gid, (head)->gid);                                                                                      \
		if ((head)->near >= 0)                                                                                         \
			SET(m, near, (head)->near);                                                                            \
		(m)->filter = (head)->filter;                                                                                  \
		(m)->has_filter = (head)->filter.len > 0;                                                                      \
		if ((head)->hidden_filter)                                                                                     \
			SET(m, hidden_filter, true);                                                                           \
	} while (0)

/* What the refusal of a socket that is not near says behind its name; told: the kernel says that it is not. */
static inline const char *socket_far(bool told) { return told ? "" : " (the kernel does not tell whose it is)"; }
