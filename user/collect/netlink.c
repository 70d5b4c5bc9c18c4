// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns questions to the kernel by netlink(7), of which nearly all are for sock_diag(7). */
#include "collect/netlink.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#define REPLY_ROOM 32768 /* what the kernel fills at once, at most */

/* A socket that this has been asked of. */
static int ask(int protocol, const void *request, size_t len)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0 || send(fd, request, len, 0) < 0)
		return neg_errno();
	return take_fd(&fd);
}

/* What a message of the kernel says: 0, or its error. An acknowledgement says 0 too. */
static int reply_error(const struct nlmsghdr *h)
{
	return h->nlmsg_type == NLMSG_ERROR ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
}

int netlink_ask(int protocol, const void *request, size_t len, void *reply, size_t room)
{
	_cleanup_close_ int fd = ask(protocol, request, len);
	ssize_t n = fd < 0 ? fd : recv(fd, reply, room, 0);
	if (n < 0)
		return fd < 0 ? fd : neg_errno();
	return NLMSG_OK((const struct nlmsghdr *)reply, (size_t)n) ? reply_error(reply) : -EBADMSG;
}

/* What is done with each message that answers a question for all: 0, or what ends it. */
typedef int (*reply_fn)(const struct nlmsghdr *, void *context);

static int each_of(const char *reply, size_t n, reply_fn each, void *context, bool *ret_done)
{
	const struct nlmsghdr *h = (const void *)reply;
	for (size_t left = n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		*ret_done = h->nlmsg_type == NLMSG_DONE;
		if (*ret_done)
			return 0;
		int r = h->nlmsg_type == NLMSG_ERROR ? (reply_error(h) ?: -EBADMSG) : each(h, context);
		if (r)
			return r;
	}
	return 0;
}

/* Of sock_diag(7): what has ended it, 0 when it was done with all, or negative errno. */
static int ask_all(const void *request, size_t len, reply_fn each, void *context)
{
	_cleanup_close_ int fd = ask(NETLINK_SOCK_DIAG, request, len);
	_cleanup_free_ char *reply = fd < 0 ? NULL : malloc(REPLY_ROOM);
	int r = fd < 0 ? fd : reply ? 0 : -ENOMEM;
	for (bool done = false; r == 0 && !done;) {
		ssize_t n = recv(fd, reply, REPLY_ROOM, 0);
		r = n < 0 ? neg_errno() : each_of(reply, (size_t)n, each, context, &done);
	}
	return r;
}

/* --- unix sockets --- */

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

static void unix_reply(const struct nlmsghdr *h, struct unix_diag *ret)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	*ret = (struct unix_diag){ .type = m->udiag_type, .state = m->udiag_state };
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		unix_attribute(a, ret);
}

struct unix_request {
	struct nlmsghdr h;
	struct unix_diag_req r;
};

/* flags: NLM_F_DUMP for all, inode 0 then. */
static struct unix_request unix_request(u64 inode, u32 show, int flags)
{
	return (struct unix_request){
		.h = { .nlmsg_len = sizeof(struct unix_request),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = (u16)(NLM_F_REQUEST | flags) },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = UINT32_MAX,
		       .udiag_ino = (u32)inode,
		       .udiag_show = show,
		       .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
}

#define SHOW_ALL (UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN | UDIAG_SHOW_VFS)

int netlink_unix_diag(u64 inode, struct unix_diag *ret)
{
	const struct unix_request request = unix_request(inode, SHOW_ALL, 0);
	_Alignas(struct nlmsghdr) char reply[4096];
	int r = netlink_ask(NETLINK_SOCK_DIAG, &request, sizeof request, reply, sizeof reply);
	if (r == 0)
		unix_reply((const void *)reply, ret);
	return r;
}

#define FEW 32

static int add_reply(const struct nlmsghdr *h, void *context)
{
	static const char padding[NLMSG_ALIGNTO];
	struct unix_table *t = context;
	size_t at = t->raw.len;
	text_add(&t->raw, h, h->nlmsg_len);
	text_add(&t->raw, padding, NLMSG_ALIGN(h->nlmsg_len) - h->nlmsg_len);
	bool added = !text_failed(&t->raw) &&
		     map_set(&t->at, ((const struct unix_diag_msg *)NLMSG_DATA(h))->udiag_ino, (u32)at + 1) >= 0;
	return added ? 0 : -ENOMEM;
}

static int read_all(struct unix_table *t)
{
	const struct unix_request request = unix_request(0, SHOW_ALL, NLM_F_DUMP);
	return ask_all(&request, sizeof request, add_reply, t);
}

int netlink_unix_ask(struct unix_table *t, u64 inode, struct unix_diag *ret)
{
	if (t->asked++ == FEW && read_all(t) < 0)
		netlink_unix_free(t); /* one by one, then */
	u32 at = map_get(&t->at, inode);
	if (!at)
		return netlink_unix_diag(inode, ret);
	unix_reply((const void *)(t->raw.data + at - 1), ret);
	return 0;
}

void netlink_unix_free(struct unix_table *t)
{
	map_free(&t->at);
	text_free(&t->raw);
}

struct unix_address {
	const void *name;
	size_t len; /* 0: a file's */
	u64 device, inode;
};

static int is_bound(const struct nlmsghdr *h, void *context)
{
	const struct unix_address *a = context;
	struct unix_diag d;
	unix_reply(h, &d);
	if (!a->len)
		return d.inode && d.inode == (u32)a->inode && d.device == (major(a->device) << 20 | minor(a->device));
	char shown[sizeof d.name] = "";
	size_t len = MIN(a->len, sizeof shown - 1);
	for (size_t i = 0; i < len; i++)
		shown[i] = ((const char *)a->name)[i] ?: '@';
	return !d.inode && d.name_len == len && !memcmp(shown, d.name, len);
}

int netlink_unix_bound(const void *name, size_t len, u64 device, u64 inode)
{
	const struct unix_request request = unix_request(0, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS, NLM_F_DUMP);
	struct unix_address address = { name, len, device, inode };
	return ask_all(&request, sizeof request, is_bound, &address);
}

/* --- TCP and UDP --- */

enum { TCP_STATE_SYN_SENT = 2, TCP_STATE_LISTEN = 10 }; /* include/net/tcp_states.h */

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

/* Asks about the socket with these ends; reply as of netlink_ask(). */
static int inet_ask(u16 type, u16 flags, u8 protocol, const void *local, const void *remote, void *reply, size_t room)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} request = {
		.h = { .nlmsg_len = sizeof request, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags },
		.r = { .sdiag_family = (u8)((const struct sockaddr *)local)->sa_family,
		       .sdiag_protocol = protocol,
		       .idiag_ext = 1u << (INET_DIAG_INFO - 1), /* with it comes INET_DIAG_MD5SIG */
		       .idiag_states = UINT32_MAX,
		       .id = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	struct inet_diag_sockid *id = &request.r.id;
	id->idiag_if = diag_end(local, &id->idiag_sport, id->idiag_src);
	diag_end(remote, &id->idiag_dport, id->idiag_dst);
	return netlink_ask(NETLINK_SOCK_DIAG, &request, sizeof request, reply, room);
}

static u16 port_of(const void *address) { return ((const struct sockaddr_in *)address)->sin_port; } /* as in sockaddr_in6 */

s64 netlink_tcp_inode(const void *local, const void *remote)
{
	_Alignas(struct nlmsghdr) char reply[4096];
	int r = inet_ask(SOCK_DIAG_BY_FAMILY, 0, IPPROTO_TCP, local, remote, reply, sizeof reply);
	const struct inet_diag_msg *m = NLMSG_DATA((const void *)reply);
	if (r < 0)
		return r;
	return m->id.idiag_dport == port_of(remote) ? (s64)m->idiag_inode : -ENOENT; /* not one that listens there */
}

/* All TCP sockets of a family in a state; port: in network order, 0: any. As ask_all(). */
static int ask_tcp(u8 family, int state, __be16 port, reply_fn each, void *context)
{
	const struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} request = {
		.h = { .nlmsg_len = sizeof request,
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = family,
		       .sdiag_protocol = IPPROTO_TCP,
		       .idiag_states = 1u << state,
		       .id = { .idiag_sport = port } },
	};
	return ask_all(&request, sizeof request, each, context);
}

struct connecting {
	u64 inode;
	struct sockaddr_in6 *ret; /* sockaddr_in of IPv4 */
};

/* 1: it is this socket. */
static int is_connecting(const struct nlmsghdr *h, void *context)
{
	const struct connecting *c = context;
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct sockaddr_in *four = (void *)c->ret;
	if (m->idiag_inode != (u32)c->inode)
		return 0;
	c->ret->sin6_family = m->idiag_family;
	c->ret->sin6_port = m->id.idiag_dport;
	if (m->idiag_family == AF_INET6)
		memcpy(&c->ret->sin6_addr, m->id.idiag_dst, sizeof c->ret->sin6_addr);
	else
		memcpy(&four->sin_addr, m->id.idiag_dst, sizeof four->sin_addr);
	if (m->idiag_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&c->ret->sin6_addr))
		c->ret->sin6_scope_id = m->id.idiag_if;
	return 1;
}

int netlink_tcp_connecting(const void *local, u64 inode, void *ret_remote)
{
	struct connecting c = { inode, ret_remote };
	int r = ask_tcp((u8)((const struct sockaddr *)local)->sa_family, TCP_STATE_SYN_SENT, port_of(local), is_connecting, &c);
	return r > 0 ? 0 : r ?: -ENOENT;
}

/* INET_DIAG_*; NULL: the answer has none such. */
static const struct rtattr *inet_attribute(const struct nlmsghdr *h, int type)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == type)
			return a;
	return NULL;
}

int netlink_tcp_signs(const void *local, const void *remote, u32 *ret_received)
{
	_Alignas(struct nlmsghdr) char reply[16384];
	int r = inet_ask(SOCK_DIAG_BY_FAMILY, 0, IPPROTO_TCP, local, remote, reply, sizeof reply);
	const struct inet_diag_msg *m = NLMSG_DATA((const void *)reply);
	*ret_received = r < 0 ? 0 : m->idiag_rqueue;
	return r < 0 ? r : inet_attribute((const void *)reply, INET_DIAG_MD5SIG) != NULL;
}

int netlink_udp_shutdown(int protocol, const void *local, const void *remote, u64 inode)
{
	_Alignas(struct nlmsghdr) char reply[4096];
	int r = inet_ask(SOCK_DIAG_BY_FAMILY, 0, (u8)protocol, remote, local, reply,
			 sizeof reply); /* udp_dump_one(): swapped */
	const struct inet_diag_msg *m = NLMSG_DATA((const void *)reply);
	if (r < 0)
		return r;
	const struct rtattr *how = inet_attribute((const void *)reply, INET_DIAG_SHUTDOWN);
	return how && m->idiag_inode == (u32)inode ? *(const u8 *)RTA_DATA(how) : -ENOENT;
}

struct port {
	u32 number;
	const struct map *inodes; /* sockets that are known */
};

/* 1: there is another one at the port. */
static int is_other(const struct nlmsghdr *h, void *context)
{
	const struct port *port = context;
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	return ntohs(m->id.idiag_sport) == port->number && !map_get(port->inodes, m->idiag_inode);
}

int netlink_tcp_others(u32 number, const struct map *inodes)
{
	static const u8 families[] = { AF_INET, AF_INET6 };
	struct port port = { number, inodes };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++)
		r = ask_tcp(families[i], TCP_STATE_LISTEN, 0, is_other, &port);
	return r;
}

int netlink_tcp_destroy(const void *local, const void *remote)
{
	s64 inode = netlink_tcp_inode(local, remote);
	if (inode)
		return inode < 0 ? (int)inode : -EBUSY;
	_Alignas(struct nlmsghdr) char reply[4096];
	return inet_ask(SOCK_DESTROY, NLM_F_ACK, IPPROTO_TCP, local, remote, reply, sizeof reply);
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
		if (a->rta_type == PACKET_DIAG_RX_RING)
			memcpy(&ret->receive, RTA_DATA(a), MIN(sizeof ret->receive, RTA_PAYLOAD(a)));
		if (a->rta_type == PACKET_DIAG_TX_RING)
			memcpy(&ret->send, RTA_DATA(a), MIN(sizeof ret->send, RTA_PAYLOAD(a)));
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

struct packet_question {
	u64 inode;
	struct packet_diag *ret;
};

/* 1: it is this socket. */
static int packet_reply(const struct nlmsghdr *h, void *context)
{
	const struct packet_question *question = context;
	const struct packet_diag_msg *m = NLMSG_DATA(h);
	if (m->pdiag_ino != (u32)question->inode)
		return 0;
	return packet_attributes(h, question->ret) ?: 1;
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
	struct packet_question question = { inode, ret };
	int r = ask_all(&request, sizeof request, packet_reply, &question);
	return r == 0 ? -ENOENT : MIN(r, 0);
}
