/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel tells by netlink(7): sock_diag(7) about one socket. */
#pragma once
#include "base/map.h"
#include "base/text.h"
#include "base/vector.h"
#include <linux/packet_diag.h>
#include <sys/socket.h>

/* Asks the kernel; of its answer the first message goes to reply (aligned as struct nlmsghdr). 0, the error that the kernel has
 * answered, or another negative errno. */
int netlink_ask(int protocol, const void *request, size_t len, void *reply, size_t room);

struct unix_diag {
	u8 type, state;       /* SOCK_*, TCP_* */
	u8 shutdown;          /* 1: receiving, 2: sending */
	bool has_peer;        /* peer 0 with has_peer: it is closed */
	u32 peer;             /* inode */
	u32 pending, backlog; /* of one that listens */
	u32 device, inode;    /* of the file that bind(2) made: the kernel's dev_t; 0: none */
	u32 name_len;
	u32 waiting[64],
		nwaiting; /* inodes of sockets whose connections it has not accepted; 0: belongs to nobody. The first ones */
	char name[112];   /* '@' for abstract names; empty: none */
};

/* Asks about the unix socket of an inode in ckpt's own network namespace: 0, -ENOENT when it is in another one, or another
 * negative errno. */
int netlink_unix_diag(u64 inode, struct unix_diag *ret);
/* Answers for many: a lookup goes over all sockets of the namespace in the kernel, so the first ones are asked for one by one,
 * and with the next one everything is read at once. Zeroed it knows nothing yet. */
struct unix_table {
	u32 asked;
	struct map at;   /* inode -> offset + 1 in raw */
	struct text raw; /* messages of the kernel */
};
int netlink_unix_ask(struct unix_table *, u64 inode, struct unix_diag *ret);
void netlink_unix_free(struct unix_table *);
/* Is a unix socket of ckpt's own network namespace bound to this abstract name (as sun_path, with its 0), or to the file
 * with this st_dev and st_ino (len 0)? 1, 0 or negative errno. */
int netlink_unix_bound(const void *name, size_t len, u64 device, u64 inode);
/* The inode of the TCP socket of ckpt's own network namespace with these ends (sockaddr_in or sockaddr_in6, both alike):
 * 0 when it belongs to nobody any more, -ENOENT when there is none, or another negative errno. */
s64 netlink_tcp_inode(const void *local, const void *remote);
/* Where the socket of an inode wants to be connected to (room for a sockaddr_in6) that nobody has answered yet: 0 or negative errno. */
int netlink_tcp_connecting(const void *local, u64 inode, void *ret_remote);
/* Has it keys of TCP-MD5 (RFC 2385)? remote: zeroed for one that listens. 1; 0, also where cap_net_admin is missing (Linux 4.14 tells who has
 * it); or negative errno. *ret_received: how much a connection has received that was not read, with its end and urgent data (each as a
 * byte). */
int netlink_tcp_signs(const void *local, const void *remote, u32 *ret_received);
/* What shutdown(2) has ended of the connected UDP or UDP-Lite socket of an inode (1: receiving, 2: sending), or negative errno: -ENOENT when
 * the kernel finds another one with these ends. */
int netlink_udp_shutdown(int protocol, const void *local, const void *remote, u64 inode);
/* Do sockets of ckpt's own network namespace listen at a TCP port, at any address, whose inodes are not in the map? 1, 0 or negative
 * errno. */
int netlink_tcp_others(u32 port, const struct map *inodes);
/* Ends such a socket that belongs to nobody any more, but is kept by the kernel until its other end has confirmed its end
 * (orphans: since Linux 6.12, CONFIG_INET_DIAG_DESTROY). 0, -ENOENT, -EBUSY when somebody has it, or another negative errno. */
int netlink_tcp_destroy(const void *local, const void *remote);

struct packet_diag {
	struct packet_diag_info info;
	VECTOR(struct packet_diag_mclist) memberships; /* the newest first */
	struct packet_diag_ring receive, send;         /* of 0 blocks: none */
	bool fanout;                                   /* it is in a group */
};
/* Asks about the packet socket of an inode in ckpt's own network namespace: 0, -ENOENT when there is none, or another negative errno.
 * The answer is freed in any case. */
int netlink_packet_diag(u64 inode, struct packet_diag *ret);
void packet_diag_free(struct packet_diag *);
