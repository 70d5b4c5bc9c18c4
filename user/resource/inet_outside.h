/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections whose other end lies outside of the tree: locked, read and made again as they were; sockets whose connection is
 * over. A part of inet.c. */
#pragma once
#include "netlock/lock.h"
#include "resource/inet_packet.h"
#include "resource/inet_tcp.h"
#include <poll.h>
#include <time.h>

#define TCP_HEADER 20

#define OVER_CLOSED "closed" /* it reads the end, as after a close of the other end */
#define OVER_RESET "reset"   /* the next call tells ECONNRESET */

static inline bool is_over(const Ckpt__Inet *m, const char *how) { return m->over && !strcmp(m->over, how); }

/* --- collect --- */

/* Inode of an end of the connection that lives on this host, its own or the other one: 0: nobody has it (any more, or has not
 * accepted it yet), -ENOENT: it is not here. */
static inline s64 inode_of_end(const Ckpt__Inet *m, bool other)
{
	union address mine, theirs;
	const char *local = plain_address(m->local), *remote = plain_address(m->remote);
	int family = strchr(local, ':') ? AF_INET6 : AF_INET;
	if (!address_make(&mine, family, local, m->local_port, m->local_scope) ||
	    !address_make(&theirs, family, remote, m->remote_port, m->remote_scope))
		return -EINVAL;
	return other ? netlink_tcp_inode(&theirs, &mine) : netlink_tcp_inode(&mine, &theirs);
}

/* Has the other end, on this host, been closed? What the kernel still has of it belongs to nobody. */
static inline bool is_widow(const Ckpt__Inet *m)
{
	const char *local = plain_address(m->local), *remote = plain_address(m->remote);
	if (strcmp(local, remote) && strncmp(remote, "127.", 4))
		return false;
	s64 inode = inode_of_end(m, true);
	return inode == 0 || (inode == -ENOENT && inode_of_end(m, false) > 0); /* else it does not answer at all */
}

static inline u64 listener_key(u32 port) { return map_mix(0x6c697374656eull, port); }

/* Has nobody accepted it yet at a socket of the tree? A kernel without inet_diag does not know its own end either. */
static inline bool waits_inside(const struct collector *c, const Ckpt__Inet *m)
{
	if (!collector_recall(c, listener_key(m->remote_port)))
		return false;
	s64 inode = inode_of_end(m, true);
	return inode == 0 || (inode < 0 && inode_of_end(m, false) <= 0);
}

static inline void forget_address(Ckpt__Inet *m)
{
	free(m->local);
	m->local = NULL;
	m->has_local_port = m->has_local_scope = false;
	m->local_port = m->local_scope = 0;
}

/* Who wants to connect to the same address waits too, when a socket of the tree listens there: what it would not accept any more would
 * be reset. */
static inline int lock_listener(struct collector *c, const struct kind *kind, struct netlock *lock, const struct flow *flow)
{
	u32 id = collector_recall(c, listener_key(ntohs(flow->local_port)));
	Ckpt__Inet *listener = id ? graph_data(collector_graph(c), kind, id) : NULL;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	struct flow wants = { .local_port = flow->local_port, .family = flow->family };
	u64 key = map_mix(listener_key(ntohs(flow->local_port)), flow->family);
	memcpy(wants.local, flow->local, sizeof wants.local);
	for (size_t i = 0; i < sizeof wants.local; i++)
		key = map_mix(key, wants.local[i]);
	if (!listener || collector_recall(c, key))
		return 0;
	int r = netlock_add(lock, &wants);
	_cleanup_close_ int fd = connections_open(collector_connections(c), id);
	if (fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
		SET(listener, waiting, info.tcpi_unacked); /* nobody has come since */
		connections_mark_outside(collector_connections(c), id, fd);
	}
	return r == 0 && collector_remember(c, key, 1) < 0 ? fail_memory() : r;
}

/* What came before the end, and was not read. */
static inline int collect_left(int fd, Ckpt__Inet *m)
{
	if (!is_over(m, OVER_CLOSED) || !m->unread)
		return 0;
	m->has_left = true;
	return peek_queue(fd, &m->left, m->unread);
}

/* Its connection is given up: what is left is a socket that has had one. */
static inline int give_up(Ckpt__Inet *m, const char *how)
{
	if (m->tcp)
		ckpt__inet_tcp__free_unpacked(m->tcp, NULL);
	forget_address(m);
	free(m->remote);
	m->tcp = NULL;
	m->remote = NULL;
	m->has_remote_port = m->has_remote_scope = false;
	m->has_shutdown = m->has_outside = false;
	m->outside = m->urgent = m->ended = m->error = false;
	return message_set_string(&m->over, how) ? 0 : fail_memory();
}

/* Both ends have said that they send no more: what is still on its way has come, and the connection is over, as it would be without
 * anything that the program does. */
static inline int end_pair(Ckpt__Inet *a, Ckpt__Inet *b)
{
	Ckpt__Inet *const ends[] = { a, b };
	bool over = (a->shutdown & 2) && (b->shutdown & 2) && !a->repair && !b->repair;
	int r = 0;
	for (size_t i = 0; over && r == 0 && i < ARRAY_SIZE(ends); i++) {
		Ckpt__Inet *m = ends[i];
		m->left = m->tcp->incoming;
		m->has_left = m->left.len > 0;
		m->tcp->incoming = (ProtobufCBinaryData){ 0 };
		m->has_peer = false;
		m->peer = 0;
		r = give_up(m, OVER_CLOSED);
	}
	return r;
}

/* What it has sent and the other end has not confirmed, and what it was yet to send. A FIN counts as a byte. */
static inline int keep_outgoing(int fd, const Ckpt__Inet *m, Ckpt__InetTcp *t)
{
	int unsent = 0;
	bool fin = STATE_IN(m->state, SENT_END_STATES);
	t->unconfirmed = t->outgoing;
	t->has_unconfirmed = t->has_outgoing;
	t->outgoing = (ProtobufCBinaryData){ 0 };
	t->has_outgoing = false;
	if (ioctl(fd, SIOCOUTQNSD, &unsent) < 0)
		return fail(INET_PEEK, neg_errno(), "SIOCOUTQNSD");
	SET(t, unsent, MIN((u32)unsent - (fin && unsent ? 1 : 0), (u32)t->unconfirmed.len));
	if (m->state == FIN_WAIT2) /* confirmed, FIN and all: it is sent again */
		t->sent_sequence--;
	if (STATE_IN(m->state, READ_END_STATES))
		SET(t, ended, true);
	return 0;
}

/* Nothing comes or goes any more: the moment that the image shows. */
static inline int read_outside(struct collector *c, const struct end *end)
{
	bool may = !end->m->repair;
	int r = may ? read_received(end) : 0;
	if (r == 0 && may)
		r = read_in_repair(collector_connections(c), end);
	if (r == 0 && may)
		r = keep_outgoing(end->fd, end->m, end->m->tcp);
	return r;
}

/* --- judge --- */

static inline int judge_outside_dump(const Ckpt__Inet *m)
{
	char a[ENDPOINT_ROOM], b[ENDPOINT_ROOM];
	endpoint(a, m->local, m->local_port);
	endpoint(b, m->remote, m->remote_port);
	if (!m->outside)
		return fail(INET_EXTERNAL, 0, "from %s to %s", a, b);
	if (m->repair)
		return fail(INET_REPAIR, -m->repair, "TCP_REPAIR of the connection from %s to %s", a, b);
	return judge_room(with_heads(m->tcp->unconfirmed.len), a);
}

static inline int judge_outside_restore(const struct object *o, const Ckpt__Inet *m)
{
	const Ckpt__InetTcp *t = m->tcp;
	union address a;
	char text[ENDPOINT_ROOM];
	if (!local_address(m, &a) || !remote_address(m, &a) || m->peer || m->peer_closed || t->received != t->incoming.len ||
	    t->unsent > t->unconfirmed.len || t->send_scale > 14 || t->receive_scale > 14)
		return fail(IMAGE_INCONSISTENT, 0, "connection %u", o->id);
	endpoint(text, m->remote, m->remote_port);
	if (judge_room(with_heads(t->unconfirmed.len), text) < 0)
		return -EINVAL;
	return inode_of_end(m, false) < 0 ? 0 : fail(INET_TAKEN, 0, "%s:%u, connected to %s", m->local, m->local_port, text);
}

/* --- plan --- */

#define FIN_ACK 0x11

static inline void put16(u8 *to, u32 value) { to[0] = (u8)(value >> 8), to[1] = (u8)value; }
static inline void put32(u8 *to, u32 value) { put16(to, value >> 16), put16(to + 2, value); }

/* RFC 9293: 20 bytes, no options. It must not change the window that the other end has told. */
static inline void make_end(u8 *packet, const struct ends *e, const Ckpt__Inet *m)
{
	const Ckpt__InetTcp *t = m->tcp;
	u8 *h = packet + packet_header(e);
	packet_make(packet, e, IPPROTO_TCP, TCP_HEADER);
	memset(h, 0, TCP_HEADER);
	put16(h, m->remote_port);
	put16(h + 2, m->local_port);
	put32(h + 4, next_sequence(t));
	put32(h + 8, t->sent_sequence);
	h[12] = TCP_HEADER / 4 << 4;
	h[13] = FIN_ACK;
	put16(h + 14, MIN(send_window(t) >> (t->scaled ? t->send_scale : 0), 65535u));
	put16(h + 16, packet_sum(e, IPPROTO_TCP, h, TCP_HEADER));
}

/* The other end has said that it sends no more, and will not say it again: it is said for it, on this host, and waited for. */
static inline void plan_end_of_other(struct plan *plan, struct arg fd, const Ckpt__Inet *m)
{
	const struct timespec patience = { .tv_sec = 10 };
	struct place at = AT(PLAN_WORLD, STAGE_SETTLE);
	struct ends e = ends_make(plain_address(m->remote), plain_address(m->local));
	size_t len = packet_header(&e) + TCP_HEADER;
	u32 data = plan_data(plan, NULL, len, 8);
	if (plan_bytes(plan, data))
		make_end(plan_bytes(plan, data), &e, m);
	plan_packet(plan, at, &e, data, len, m->local_scope, NETLOCK_MARK);
	struct pollfd wait = { .fd = (int)fd.value, .events = POLLRDHUP };
	step_expect(plan_call(plan, at, SYS_ppoll, ARG_OF_DATA(plan_data(plan, &wait, sizeof wait, 8)), ARG(1),
			      ARG_OF_DATA(plan_data(plan, &patience, sizeof patience, 8)), ARG(0), ARG(0)),
		    1);
}

/* What was under way when the image was made counts as sent: what the other end has not got is sent again. */
static inline void plan_outside(struct plan *plan, struct arg fd, const Ckpt__Inet *m)
{
	union address remote = { 0 };
	const Ckpt__InetTcp *t = m->tcp;
	size_t sent = t->unconfirmed.len - t->unsent;
	remote_address(m, &remote);
	plan_room(plan, fd, t->unconfirmed.len, t->incoming.len);
	plan_sequence(plan, fd, TCP_RECV_QUEUE, t->read_sequence);
	plan_sequence(plan, fd, TCP_SEND_QUEUE, t->sent_sequence);
	plan_tcp(plan, STAGE_CREATE, fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	step_expect(plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_connect, fd, arg_address(plan, &remote),
			      ARG(address_size(&remote))),
		    0);
	plan_agreed(plan, fd, t);
	plan_tcp(plan, STAGE_LINK, fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	plan_sends(plan, STAGE_LINK, fd, t->incoming.data, t->incoming.len, REPAIRED_PIECE);
	plan_tcp(plan, STAGE_LINK, fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	plan_sends(plan, STAGE_LINK, fd, t->unconfirmed.data, sent, REPAIRED_PIECE);
	plan_tcp(plan, STAGE_LINK, fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	plan_window(plan, fd, t, t);
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR, -1);
	plan_sends(plan, STAGE_SETTLE, fd, t->unconfirmed.data + sent, t->unsent, SENT_PIECE);
	if (t->ended)
		plan_end_of_other(plan, fd, m);
	u32 how = m->shutdown & (t->ended ? 2 : 3);
	if (how)
		plan_call(plan, AT(PLAN_WORLD, STAGE_SETTLE), SYS_shutdown, fd, ARG(how - 1));
}

/* Its queue is filled as that of a connection with nobody, which a port of this host denies as soon as it is to end. */
static inline void plan_left(struct plan *plan, struct arg fd, const Ckpt__Inet *m, const union address *nobody)
{
	const struct timespec patience = { .tv_sec = 10 };
	const struct pollfd wait = { .fd = (int)fd.value };
	const u32 begin = 1u << 28, next = begin + (u32)m->left.len, room = 65535;
	const struct tcp_repair_window window = { next, room, room, room, next };
	const Ckpt__InetOption *buffer = option_of(m, "SO_RCVBUF");
	struct place at = AT(PLAN_WORLD, STAGE_SETTLE);
	u32 error = plan_data(plan, NULL, sizeof(int), 8), len = plan_data(plan, &(u32){ sizeof(int) }, sizeof(u32), 8);
	plan_room_of(plan, at, fd, SO_RCVBUF, (int)(m->left.len * 4 + (1 << 18)));
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR, 1);
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_QUEUE_SEQ, (int)begin);
	plan_call(plan, at, SYS_connect, fd, arg_address(plan, nobody), ARG(address_size(nobody)));
	plan_sends(plan, STAGE_SETTLE, fd, m->left.data, m->left.len, REPAIRED_PIECE);
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	plan_option(plan, at, fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window);
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR, -1);
	plan_call(plan, at, SYS_shutdown, fd, ARG(SHUT_WR));
	step_expect(plan_call(plan, at, SYS_ppoll, ARG_OF_DATA(plan_data(plan, &wait, sizeof wait, 8)), ARG(1),
			      ARG_OF_DATA(plan_data(plan, &patience, sizeof patience, 8)), ARG(0), ARG(0)),
		    1);
	plan_call(plan, at, SYS_getsockopt, fd, ARG(SOL_SOCKET), ARG(SO_ERROR), ARG_OF_DATA(error), ARG_OF_DATA(len));
	plan_buffer(plan, at, fd, SO_RCVBUF, buffer ? buffer->value : 131072);
	step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_BUF_LOCK, (option_of(m, "SO_SNDBUF") ? 1 : 0) | (buffer ? 2 : 0)));
}

/* A socket that has had a connection: shut down both ways it reads the end (inet_shutdown() does that before it tells ENOTCONN);
 * connected and disconnected it tells ECONNRESET (tcp_disconnect()). */
static inline void plan_over(struct plan *plan, struct arg fd, const Ckpt__Inet *m)
{
	struct place at = AT(PLAN_WORLD, STAGE_SETTLE);
	union address any = { 0 }, nobody = { 0 };
	address_make(&nobody, family_number(m), is_v6(m) ? "::1" : "127.0.0.1", 1, 0);
	if (m->left.len) {
		plan_left(plan, fd, m, &nobody);
		return;
	}
	if (is_over(m, OVER_CLOSED)) {
		step_expect(plan_call(plan, at, SYS_shutdown, fd, ARG(SHUT_RDWR)), -ENOTCONN);
		return;
	}
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR, 1);
	plan_call(plan, at, SYS_connect, fd, arg_address(plan, &nobody), ARG(address_size(&nobody)));
	plan_tcp(plan, STAGE_SETTLE, fd, TCP_REPAIR, -1);
	plan_call(plan, at, SYS_connect, fd, arg_address(plan, &any), ARG(sizeof any));
}
