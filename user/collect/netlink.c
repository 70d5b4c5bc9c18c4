// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns questions to sock_diag(7). */
#include "collect/netlink.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

static void unix_attribute(const struct rtattr *a, struct unix_diag *ret)
{
	const u8 *value = RTA_DATA(a);
	size_t len = RTA_PAYLOAD(a);
	switch (a->rta_type) {
	case UNIX_DIAG_PEER:
		ret->has_peer = true;
		memcpy(&ret->peer, value, MIN(len, sizeof ret->peer));
		break;
	case UNIX_DIAG_SHUTDOWN:
		ret->shutdown = value[0];
		break;
	case UNIX_DIAG_RQLEN:
		memcpy(&ret->pending, value, sizeof(u32));
		memcpy(&ret->backlog, value + sizeof(u32), sizeof(u32));
		break;
	case UNIX_DIAG_VFS:
		memcpy(&ret->inode, value, sizeof(u32));
		memcpy(&ret->device, value + sizeof(u32), sizeof(u32));
		break;
	case UNIX_DIAG_ICONS:
		ret->nwaiting = (u32)MIN(len / sizeof(u32), ARRAY_SIZE(ret->waiting));
		memcpy(ret->waiting, value, ret->nwaiting * sizeof(u32));
		break;
	case UNIX_DIAG_NAME:
		ret->name_len = (u32)len;
		len = MIN(len, sizeof ret->name - 1);
		for (size_t i = 0; i < len; i++)
			ret->name[i] = value[i] ? (char)value[i] : '@';
		break;
	}
}

static int unix_reply(const struct nlmsghdr *h, ssize_t n, struct unix_diag *ret)
{
	if (!NLMSG_OK(h, (size_t)n))
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(h);
		return e->error < 0 ? e->error : -EBADMSG;
	}
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	*ret = (struct unix_diag){ .type = m->udiag_type, .state = m->udiag_state };
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		unix_attribute(a, ret);
	return 0;
}

/* A socket that this has been asked of. */
static int ask(const void *request, size_t len)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0 || send(fd, request, len, 0) < 0)
		return neg_errno();
	return take_fd(&fd);
}

/* A socket that has been asked; flags: NLM_F_DUMP for all, inode 0 then. */
static int unix_ask(u64 inode, u32 show, int flags)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} request = {
		.h = { .nlmsg_len = sizeof request,
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = (u16)(NLM_F_REQUEST | flags) },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = UINT32_MAX,
		       .udiag_ino = (u32)inode,
		       .udiag_show = show,
		       .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
	return ask(&request, sizeof request);
}

#define SHOW_ALL (UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN | UDIAG_SHOW_VFS)
#define REPLY_ROOM 32768 /* what the kernel fills at once, at most */

int netlink_unix_diag(u64 inode, struct unix_diag *ret)
{
	_cleanup_close_ int fd = unix_ask(inode, SHOW_ALL, 0);
	if (fd < 0)
		return fd;
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n = recv(fd, reply, sizeof reply, 0);
	return n < 0 ? neg_errno() : unix_reply((const void *)reply, n, ret);
}

#define FEW 32

/* One answer of the kernel to the question for all; 1: it was the last. */
static int add_replies(struct unix_table *t, const char *reply, size_t n)
{
	const struct nlmsghdr *h = (const void *)reply;
	size_t base = t->raw.len;
	text_add(&t->raw, reply, NLMSG_ALIGN(n));
	if (text_failed(&t->raw))
		return -ENOMEM;
	for (size_t left = n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EBADMSG;
		const struct unix_diag_msg *m = NLMSG_DATA(h);
		if (map_set(&t->at, m->udiag_ino, (u32)(base + (size_t)((const char *)h - reply)) + 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_all(struct unix_table *t)
{
	_cleanup_close_ int fd = unix_ask(0, SHOW_ALL, NLM_F_DUMP);
	_cleanup_free_ char *reply = fd < 0 ? NULL : calloc(1, REPLY_ROOM + NLMSG_ALIGNTO);
	if (!reply)
		return fd < 0 ? fd : -ENOMEM;
	for (;;) {
		ssize_t n = recv(fd, reply, REPLY_ROOM, 0);
		int r = n < 0 ? neg_errno() : add_replies(t, reply, (size_t)n);
		if (r)
			return MIN(r, 0);
	}
}

int netlink_unix_ask(struct unix_table *t, u64 inode, struct unix_diag *ret)
{
	if (t->asked++ == FEW && read_all(t) < 0)
		netlink_unix_free(t); /* one by one, then */
	u32 at = map_get(&t->at, inode);
	if (!at)
		return netlink_unix_diag(inode, ret);
	const struct nlmsghdr *h = (const void *)(t->raw.data + at - 1);
	return unix_reply(h, (ssize_t)(t->raw.len - (at - 1)), ret);
}

void netlink_unix_free(struct unix_table *t)
{
	map_free(&t->at);
	text_free(&t->raw);
}

static bool is_bound(const struct unix_diag *d, const void *name, size_t len, u64 device, u64 inode)
{
	if (!len)
		return d->inode && d->inode == (u32)inode && d->device == (major(device) << 20 | minor(device));
	char shown[sizeof d->name] = "";
	len = MIN(len, sizeof shown - 1);
	for (size_t i = 0; i < len; i++)
		shown[i] = ((const char *)name)[i] ?: '@';
	return !d->inode && d->name_len == len && !memcmp(shown, d->name, len);
}

int netlink_unix_bound(const void *name, size_t len, u64 device, u64 inode)
{
	_cleanup_close_ int fd = unix_ask(0, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS, NLM_F_DUMP);
	if (fd < 0)
		return fd;
	_cleanup_free_ char *reply = malloc(REPLY_ROOM);
	if (!reply)
		return -ENOMEM;
	for (;;) {
		ssize_t n = recv(fd, reply, REPLY_ROOM, 0);
		if (n < 0)
			return neg_errno();
		const struct nlmsghdr *h = (const void *)reply;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			struct unix_diag d;
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			int r = unix_reply(h, (ssize_t)left, &d);
			if (r < 0)
				return r;
			if (is_bound(&d, name, len, device, inode))
				return 1;
		}
	}
}

enum { TCP_STATE_LISTEN = 10 }; /* include/net/tcp_states.h */

/* Port and address in network order, and the interface of a link-local one. */
static u32 diag_end(const void *address, __be16 *ret_port, __be32 ret_address[4])
{
	const struct sockaddr_in6 *six = address;
	const struct sockaddr_in *four = address;
	if (six->sin6_family == AF_INET6) {
		*ret_port = six->sin6_port;
		memcpy(ret_address, &six->sin6_addr, 16);
		return six->sin6_scope_id;
	}
	*ret_port = four->sin_port;
	memcpy(ret_address, &four->sin_addr, 4);
	return 0;
}

/* A socket that has been asked for the TCP socket with these ends. */
static int tcp_ask(u16 type, u16 flags, const void *local, const void *remote)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} request = {
		.h = { .nlmsg_len = sizeof request, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags },
		.r = { .sdiag_family = (u8)((const struct sockaddr *)local)->sa_family,
		       .sdiag_protocol = IPPROTO_TCP,
		       .idiag_states = UINT32_MAX,
		       .id = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	struct inet_diag_sockid *id = &request.r.id;
	id->idiag_if = diag_end(local, &id->idiag_sport, id->idiag_src);
	diag_end(remote, &id->idiag_dport, id->idiag_dst);
	return ask(&request, sizeof request);
}

static u16 port_of(const void *address) { return ((const struct sockaddr_in *)address)->sin_port; } /* as in sockaddr_in6 */

s64 netlink_tcp_inode(const void *local, const void *remote)
{
	_cleanup_close_ int fd = tcp_ask(SOCK_DIAG_BY_FAMILY, 0, local, remote);
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n = fd < 0 ? -1 : recv(fd, reply, sizeof reply, 0);
	const struct nlmsghdr *h = (const void *)reply;
	if (n < 0 || !NLMSG_OK(h, (size_t)n))
		return n < 0 ? neg_errno() : -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EBADMSG;
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	return m->id.idiag_dport == port_of(remote) ? (s64)m->idiag_inode : -ENOENT; /* not one that listens there */
}

/* A socket that has been asked for all TCP sockets of a family that listen. */
static int tcp_ask_listening(int family)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} request = {
		.h = { .nlmsg_len = sizeof request,
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = (u8)family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1u << TCP_STATE_LISTEN },
	};
	return ask(&request, sizeof request);
}

/* One answer of the kernel: 1: there is another one at the port, 0: not here, -ENODATA: it was the last, or negative errno. */
static int find_other(const char *reply, size_t n, u32 port, const struct map *inodes)
{
	const struct nlmsghdr *h = (const void *)reply;
	for (size_t left = n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return -ENODATA;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EBADMSG;
		const struct inet_diag_msg *m = NLMSG_DATA(h);
		if (ntohs(m->id.idiag_sport) == port && !map_get(inodes, m->idiag_inode))
			return 1;
	}
	return 0;
}

int netlink_tcp_others(u32 port, const struct map *inodes)
{
	static const int families[] = { AF_INET, AF_INET6 };
	_cleanup_free_ char *reply = malloc(REPLY_ROOM);
	int r = reply ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
		_cleanup_close_ int fd = tcp_ask_listening(families[i]);
		for (r = MIN(fd, 0); r == 0;) {
			ssize_t n = recv(fd, reply, REPLY_ROOM, 0);
			r = n < 0 ? neg_errno() : find_other(reply, (size_t)n, port, inodes);
		}
		r = r == -ENODATA ? 0 : r;
	}
	return r;
}

int netlink_tcp_destroy(const void *local, const void *remote)
{
	s64 inode = netlink_tcp_inode(local, remote);
	if (inode)
		return inode < 0 ? (int)inode : -EBUSY;
	_cleanup_close_ int fd = tcp_ask(SOCK_DESTROY, NLM_F_ACK, local, remote);
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n = fd < 0 ? -1 : recv(fd, reply, sizeof reply, 0);
	const struct nlmsghdr *h = (const void *)reply;
	if (n < 0 || !NLMSG_OK(h, (size_t)n))
		return n < 0 ? neg_errno() : -EBADMSG;
	return h->nlmsg_type == NLMSG_ERROR ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : -EBADMSG;
}

/* --- packet sockets: the kernel tells of all only --- */

void packet_diag_free(struct packet_diag *d) { vector_free(&d->memberships); }

static int packet_attributes(const struct nlmsghdr *h, struct packet_diag *ret)
{
	const struct packet_diag_msg *m = NLMSG_DATA(h);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		const struct packet_diag_mclist *list = RTA_DATA(a);
		size_t count = a->rta_type == PACKET_DIAG_MCLIST ? RTA_PAYLOAD(a) / sizeof *list : 0;
		if (a->rta_type == PACKET_DIAG_INFO)
			memcpy(&ret->info, RTA_DATA(a), MIN(RTA_PAYLOAD(a), sizeof ret->info));
		ret->ring |= a->rta_type == PACKET_DIAG_RX_RING || a->rta_type == PACKET_DIAG_TX_RING;
		ret->fanout |= a->rta_type == PACKET_DIAG_FANOUT;
		for (size_t i = 0; i < count; i++) {
			struct packet_diag_mclist *place = vector_add(&ret->memberships);
			if (!place)
				return -ENOMEM;
			*place = list[i];
		}
	}
	return 0;
}

/* One answer: 1 when the socket was told, -ENOENT when all have been. */
static int packet_replies(const char *reply, size_t n, u64 inode, struct packet_diag *ret)
{
	const struct nlmsghdr *h = (const void *)reply;
	for (size_t left = n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		const struct packet_diag_msg *m = NLMSG_DATA(h);
		if (h->nlmsg_type == NLMSG_DONE)
			return -ENOENT;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EBADMSG;
		if (m->pdiag_ino != (u32)inode)
			continue;
		int r = packet_attributes(h, ret);
		return r < 0 ? r : 1;
	}
	return 0;
}

int netlink_packet_diag(u64 inode, struct packet_diag *ret)
{
	struct {
		struct nlmsghdr h;
		struct packet_diag_req r;
	} request = {
		.h = { .nlmsg_len = sizeof request,
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_PACKET,
		       .pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG | PACKET_SHOW_FANOUT },
	};
	_cleanup_close_ int fd = ask(&request, sizeof request);
	_cleanup_free_ char *reply = fd < 0 ? NULL : malloc(REPLY_ROOM);
	int r = fd < 0 ? fd : reply ? 0 : -ENOMEM;
	while (r == 0) {
		ssize_t n = recv(fd, reply, REPLY_ROOM, 0);
		r = n < 0 ? neg_errno() : packet_replies(reply, (size_t)n, inode, ret);
	}
	return MIN(r, 0);
}
