/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections with both ends in the tree: their queues, sequence numbers, windows and options, by repair mode. What one
 * end has sent and the other has not received belongs to what the other will read: it is sent again. A part of inet.c. */
#pragma once
#include "base/clock.h"
#include "base/map.h"
#include "collect/netlink.h"
#include "collect/repair.h"
#include "resource/inet_options.h"
#include "resource/socket_room.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>

/* States of include/net/tcp_states.h. */
enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSED, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING };
/* Options of the handshake, RFC 9293, 7323 and 2018. */
enum { TCPOPT_MSS = 2, TCPOPT_WINDOW_SCALE = 3, TCPOPT_SACK_ALLOWED = 4, TCPOPT_TIMESTAMPS = 8 };
#define STATE_IN(state, set) ((state) < 32 && (1u << (state) & (set)))
#define CONNECTED_STATES (1u << ESTABLISHED | 1u << FIN_WAIT1 | 1u << FIN_WAIT2 | 1u << CLOSE_WAIT)
#define OUTSIDE_STATES (CONNECTED_STATES | 1u << LAST_ACK | 1u << CLOSING)
#define ENDING_STATES (1u << LAST_ACK | 1u << CLOSING | 1u << TIME_WAIT)
#define SENT_END_STATES (1u << FIN_WAIT1 | 1u << FIN_WAIT2 | ENDING_STATES)
#define READ_END_STATES (1u << CLOSE_WAIT | ENDING_STATES)

static inline bool is_connection(const Ckpt__Inet *m)
{
	return m->protocol == IPPROTO_TCP && STATE_IN(m->state, CONNECTED_STATES);
}

/* The socket of the tree that listens where a connection leads that nobody has accepted yet. */
static inline const Ckpt__Inet *listener_of(const struct graph *graph, const struct kind *kind, const Ckpt__Inet *m)
{
	for (const struct object *o = NULL;
	     m->tcp && m->remote && !m->peer && !m->peer_closed && !m->outside && (o = graph_next(graph, kind, o));) {
		const Ckpt__Inet *other = o->data;
		if (other->listening && other->local_port == m->remote_port &&
		    (is_any_address(other->local) || same_address(other->local, other->local_port, m->remote, m->remote_port)))
			return other;
	}
	return NULL;
}

/* Is it more than connected? What an end has sent that nobody has accepted yet lies where only accept(2) leads. */
static inline bool has_gone_on(const Ckpt__Inet *m) { return m->shutdown || m->state != ESTABLISHED || m->sent; }

static inline u32 waiting_at(const struct graph *graph, const struct kind *kind, const Ckpt__Inet *listener)
{
	u32 n = 0;
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));)
		n += listener_of(graph, kind, o->data) == listener;
	return n;
}

/* --- collect --- */

static inline int read_tcp_int(int fd, int option, u32 *ret)
{
	socklen_t len = sizeof *ret;
	*ret = 0;
	return getsockopt(fd, IPPROTO_TCP, option, ret, &len);
}

static inline int set_tcp_int(int fd, int option, int value)
{
	return setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value) < 0 ? neg_errno() : 0;
}

/* Looks at len bytes of a queue. */
static inline int peek_queue(int fd, ProtobufCBinaryData *ret, u32 len)
{
	if (!len)
		return 0;
	ret->data = malloc(len);
	if (!ret->data)
		return fail_memory();
	ssize_t n = recv(fd, ret->data, len, MSG_PEEK | MSG_DONTWAIT);
	ret->len = n < 0 ? 0 : (size_t)n;
	return n == (ssize_t)len ? 0 : fail(INET_PEEK, n < 0 ? neg_errno() : -EAGAIN, "%zd of %u bytes were there", n, len);
}

static inline int read_window(int fd, Ckpt__InetTcp *t)
{
	struct tcp_repair_window w;
	socklen_t len = sizeof w;
	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &len) < 0)
		return fail(INET_REPAIR, neg_errno(), "TCP_REPAIR_WINDOW");
	SET(t, send_window, w.snd_wnd);
	SET(t, send_window_sequence, w.snd_wl1);
	SET(t, largest_window, w.max_window);
	SET(t, receive_window, w.rcv_wnd);
	SET(t, receive_window_sequence, w.rcv_wup);
	return 0;
}

/* What was sent and is not confirmed yet, a FIN too. */
static inline int count_unsent(int fd, int *ret)
{
	*ret = 0;
	return ioctl(fd, SIOCOUTQ, ret) < 0 ? fail(INET_PEEK, neg_errno(), "SIOCOUTQ") : 0;
}

/* Where a queue ends; it is the one that is looked at from now on. */
static inline int read_sequence_of(int fd, int queue, u32 *ret)
{
	int r = set_tcp_int(fd, TCP_REPAIR_QUEUE, queue);
	if (r < 0)
		return fail(INET_REPAIR, r, "TCP_REPAIR_QUEUE");
	return read_tcp_int(fd, TCP_QUEUE_SEQ, ret) < 0 ? fail(INET_REPAIR, neg_errno(), "TCP_QUEUE_SEQ") : 0;
}

static inline int read_numbers(int fd, const Ckpt__Inet *m, Ckpt__InetTcp *t)
{
	u32 received, mss, timestamp;
	if (read_tcp_int(fd, TCP_MAXSEG, &mss) < 0 || read_tcp_int(fd, TCP_TIMESTAMP, &timestamp) < 0)
		return fail(INET_REPAIR, neg_errno(), "TCP_MAXSEG, TCP_TIMESTAMP");
	int r = read_sequence_of(fd, TCP_RECV_QUEUE, &received);
	if (r < 0)
		return r;
	SET(t, mss, mss);
	SET(t, timestamp, timestamp);
	SET(t, read_sequence, received - (STATE_IN(m->state, READ_END_STATES) ? 1 : 0) - t->received);
	return 0;
}

/* What only repair mode shows. */
static inline int read_repaired(int fd, const Ckpt__Inet *m, Ckpt__InetTcp *t)
{
	int unsent = 0, r = read_window(fd, t);
	u32 sent = 0;
	if (r == 0)
		r = read_numbers(fd, m, t);
	if (r == 0)
		r = read_sequence_of(fd, TCP_SEND_QUEUE, &sent);
	if (r == 0)
		r = count_unsent(fd, &unsent);
	if (r < 0)
		return r;
	SET(t, sent_sequence, sent - (u32)unsent);
	if (unsent) {
		u32 len = (u32)unsent - (STATE_IN(m->state, SENT_END_STATES) ? 1 : 0);
		r = peek_queue(fd, &t->outgoing, len);
		t->has_outgoing = t->outgoing.len > 0;
	}
	set_tcp_int(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE); /* repair mode forgets it anyhow */
	return r;
}

/* An end of a connection, with a duplicate of it that is there for the moment. */
struct end {
	Ckpt__Inet *m;
	int fd;
};

static inline int read_in_repair(struct connections *all, const struct end *end)
{
	u8 reuse;
	int r = repair_begin(all, end->fd, &reuse);
	if (r < 0)
		return fail(INET_REPAIR, r, "TCP_REPAIR");
	r = read_repaired(end->fd, end->m, end->m->tcp);
	int ended = repair_end(all, end->fd, reuse);
	return r == 0 && ended < 0 ? fail(INET_REPAIR, ended, "TCP_REPAIR") : r;
}

static inline void free_bytes(ProtobufCBinaryData *bytes)
{
	free(bytes->data);
	*bytes = (ProtobufCBinaryData){ 0 };
}

static inline void forget_outgoing(Ckpt__InetTcp *t)
{
	free_bytes(&t->outgoing);
	t->has_outgoing = false;
}

/* Its own queue, which needs no repair mode. */
static inline int read_received(const struct end *end)
{
	Ckpt__InetTcp *t = end->m->tcp;
	int unread = 0;
	free_bytes(&t->incoming);
	if (ioctl(end->fd, SIOCINQ, &unread) < 0)
		return fail(INET_PEEK, neg_errno(), "SIOCINQ");
	SET(end->m, unread, (u32)unread);
	SET(t, received, (u32)unread);
	int r = peek_queue(end->fd, &t->incoming, (u32)unread);
	t->has_incoming = t->incoming.len > 0;
	return r;
}

/* Is something on its way that the other end has not received? What was only not confirmed yet is confirmed first. */
static inline int is_flowing(const struct end *from, const struct end *to)
{
	int unsent;
	set_tcp_int(to->fd, TCP_QUICKACK, 1);
	int r = count_unsent(from->fd, &unsent);
	return r < 0 ? r : unsent > 0;
}

/* What `from` has sent and `to` has not got is moved to where it will be read. */
static inline int move_outgoing(Ckpt__InetTcp *from, Ckpt__InetTcp *to)
{
	u32 have = to->read_sequence + to->received, at = have - from->sent_sequence;
	if (!from->has_outgoing)
		return 0;
	if (at > from->outgoing.len)
		return fail(TASK_RACED, 0, "its connections were moving on");
	size_t more = from->outgoing.len - at;
	u8 *data = realloc(to->incoming.data, to->incoming.len + more + 1);
	if (!data)
		return fail_memory();
	memcpy(data + to->incoming.len, from->outgoing.data + at, more);
	to->incoming = (ProtobufCBinaryData){ to->incoming.len + more, data };
	to->has_incoming = to->incoming.len > 0;
	forget_outgoing(from);
	return 0;
}

/* What changes when packets come. */
struct moment {
	int state, unread, unsent;
};

static inline struct moment moment_of(const struct end *end)
{
	struct moment now = { 0 };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	if (getsockopt(end->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		now.state = info.tcpi_state;
	ioctl(end->fd, SIOCINQ, &now.unread);
	ioctl(end->fd, SIOCOUTQ, &now.unsent);
	return now;
}

static inline bool is_same_moment(struct moment a, struct moment b)
{
	return a.state == b.state && a.unread == b.unread && a.unsent == b.unsent;
}

static inline int read_both_received(const struct end *a, const struct end *b)
{
	int r = read_received(a);
	return r == 0 ? read_received(b) : r;
}

static inline int read_both_in_repair(struct connections *all, const struct end *a, const struct end *b)
{
	forget_outgoing(a->m->tcp);
	forget_outgoing(b->m->tcp);
	int r = read_in_repair(all, a);
	return r == 0 ? read_in_repair(all, b) : r;
}

/* One look at both ends while data flow. *ret_moved: packets came meanwhile, so that what was read belongs to two moments. */
static inline int read_flowing(struct connections *all, const struct end *a, const struct end *b, bool *ret_moved)
{
	struct moment at_a = moment_of(a), at_b = moment_of(b);
	a->m->state = (u32)at_a.state, b->m->state = (u32)at_b.state;
	int r = read_both_received(a, b);
	if (r == 0)
		r = read_both_in_repair(all, a, b);
	*ret_moved = !is_same_moment(at_a, moment_of(a)) || !is_same_moment(at_b, moment_of(b));
	return r;
}

/* Nobody reads, so all comes to rest; but what was dropped for want of room is sent once more. */
#define REST_PATIENCE 1000000000ull
#define REST_PAUSE 1000000

static inline int read_at_rest(struct connections *all, const struct end *a, const struct end *b)
{
	u64 begun = now_ns();
	for (;;) {
		size_t mark = diag_mark();
		bool moved;
		int r = read_flowing(all, a, b, &moved);
		if (!moved)
			return r;
		diag_forget(mark);
		if (now_ns() - begun > REST_PATIENCE)
			return fail(TASK_RACED, 0, "its connections were moving on");
		nanosleep(&(struct timespec){ .tv_nsec = REST_PAUSE }, NULL);
	}
}

/* Both directions of a connection. What is quiet stays so. */
static inline int read_queues(struct connections *all, const struct end *a, const struct end *b)
{
	int there = is_flowing(a, b), back = is_flowing(b, a);
	if (there < 0 || back < 0)
		return -EIO;
	int r = there || back ? read_at_rest(all, a, b) : read_both_received(a, b);
	if (r == 0 && !there && !back)
		return 0;
	if (r == 0)
		r = move_outgoing(a->m->tcp, b->m->tcp);
	return r == 0 ? move_outgoing(b->m->tcp, a->m->tcp) : r;
}

static inline u64 endpoint_key(u64 key, const char *address, u32 port)
{
	for (const char *p = plain_address(address); *p; p++)
		key = map_mix(key, (u8)*p);
	return map_mix(key, port);
}

static inline u64 connection_key(const char *from, u32 from_port, const char *to, u32 to_port)
{
	return endpoint_key(endpoint_key(0x696e6574, from, from_port), to, to_port);
}

/* That the other end has ended is not a state of this one: the packet that says so may come later. */
static inline void forget_end(Ckpt__Inet *m)
{
	m->shutdown &= ~1u;
	m->has_shutdown = m->shutdown != 0;
}

static inline int find_peer(struct collector *c, const struct kind *kind, u32 file, const struct end *end)
{
	Ckpt__Inet *m = end->m;
	u64 own = connection_key(m->local, m->local_port, m->remote, m->remote_port);
	u32 id = collector_recall(c, connection_key(m->remote, m->remote_port, m->local, m->local_port));
	Ckpt__Inet *other = id && id != file ? graph_data(collector_graph(c), kind, id) : NULL;
	if (!other || !other->tcp || !are_ends(m, other))
		return collector_remember(c, own, file) < 0 ? fail_memory() : 0;
	SET(m, peer, id);
	SET(other, peer, file);
	/* what ends because the other has ended is told by the other */
	if (m->shutdown & 2)
		forget_end(other);
	if (other->shutdown & 2)
		forget_end(m);
	if (collector_live(c) || m->repair)
		return 0;
	_cleanup_close_ int fd = connections_open(collector_connections(c), id);
	return fd < 0 ? fail(SYSCALL, fd, "a duplicate of a connection")
		      : read_queues(collector_connections(c), end, &(struct end){ other, fd });
}

static inline int read_rooms(int fd, Ckpt__InetTcp *t)
{
	u32 send, receive;
	socklen_t len = sizeof send;
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockopt SO_SNDBUF, SO_RCVBUF");
	SET(t, send_room, send);
	SET(t, receive_room, receive);
	return 0;
}

static inline int collect_connection(struct collector *c, u32 file, int fd, const struct tcp_info *info, Ckpt__Inet *m)
{
	Ckpt__InetTcp *t = m->tcp = MESSAGE_NEW(Ckpt__InetTcp, ckpt__inet_tcp);
	if (!t)
		return fail_memory();
	SET(t, send_scale, info->tcpi_snd_wscale);
	SET(t, receive_scale, info->tcpi_rcv_wscale);
	SET(t, scaled, (info->tcpi_options & TCPI_OPT_WSCALE) != 0);
	SET(t, sack, (info->tcpi_options & TCPI_OPT_SACK) != 0);
	SET(t, timestamps, (info->tcpi_options & TCPI_OPT_TIMESTAMPS) != 0);
	SET(t, mss, info->tcpi_snd_mss + (t->timestamps ? 12 : 0));
	if (info->tcpi_snd_wnd)
		SET(t, send_window, info->tcpi_snd_wnd);
	int r = read_rooms(fd, t);
	if (r < 0 || collector_live(c))
		return r;
	int allowed = repair_allowed(collector_connections(c));
	r = collector_note_connection(c, file);
	if (r < 0)
		return fail(SYSCALL, r, "a duplicate of a connection");
	if (allowed < 0)
		SET(m, repair, -allowed);
	return read_received(&(struct end){ m, fd });
}

/* --- judge --- */

/* What is sent is in buffers of 64 KiB, each of which takes some room of its own. */
static inline u64 with_heads(size_t bytes) { return bytes + bytes / 48; }

/* What the other end has sent, and waits there since there is no room for it here. */
static inline u64 on_its_way(const Ckpt__Inet *m)
{
	return with_heads(m->tcp->incoming.len - MIN(m->tcp->received, m->tcp->incoming.len));
}

static inline int judge_connection_dump(const struct graph *graph, const struct kind *kind, const Ckpt__Inet *m)
{
	char a[ENDPOINT_ROOM], b[ENDPOINT_ROOM];
	endpoint(a, m->local, m->local_port);
	endpoint(b, m->remote, m->remote_port);
	const Ckpt__Inet *listener = listener_of(graph, kind, m);
	bool paired = m->peer || m->peer_closed;
	if (!paired && (!listener || listener->waiting < waiting_at(graph, kind, listener)))
		return fail(INET_EXTERNAL, 0, "from %s to %s", a, b);
	if (!paired && has_gone_on(m))
		return fail(INET_WAITING, 0, "data that %s has sent waits with a connection to %s", a, b);
	if (m->repair)
		return fail(INET_REPAIR, -m->repair, "TCP_REPAIR of the connection from %s to %s", a, b);
	return judge_room(on_its_way(m), a);
}

static inline int judge_connection_restore(const struct graph *graph, const struct kind *kind, const struct object *o,
					   const Ckpt__Inet *m)
{
	const Ckpt__Inet *peer = m->peer ? graph_data(graph, kind, m->peer) : NULL;
	union address a;
	bool sound = m->local && local_address(m, &a) && remote_address(m, &a) && m->tcp->received <= m->tcp->incoming.len &&
		     m->tcp->send_scale < 16 && m->tcp->receive_scale < 16;
	if (!sound || (m->peer && (!peer || !peer->tcp || peer->peer != o->id || m->peer == o->id)) ||
	    (!peer && !m->peer_closed && !listener_of(graph, kind, m)) || (peer && m->peer_closed))
		return fail(IMAGE_INCONSISTENT, 0, "connection %u, other end %u", o->id, m->peer);
	return judge_room(on_its_way(m), m->local);
}

/* --- plan --- */

static inline void plan_tcp(struct plan *plan, enum stage stage, struct arg fd, int option, int value)
{
	plan_int(plan, AT(PLAN_WORLD, stage), fd, IPPROTO_TCP, option, value);
}

/* Sequence numbers that were not told are the same everywhere: nobody sees them. */
static inline u32 read_sequence(const Ckpt__InetTcp *t) { return t->has_read_sequence ? t->read_sequence : 1u << 28; }
static inline u32 next_sequence(const Ckpt__InetTcp *t) { return read_sequence(t) + t->received; }
static inline u32 send_window(const Ckpt__InetTcp *t) { return t->has_send_window ? t->send_window : 65535; }

static inline void plan_sequence(struct plan *plan, struct arg fd, int queue, u32 sequence)
{
	plan_tcp(plan, STAGE_CREATE, fd, TCP_REPAIR_QUEUE, queue);
	plan_tcp(plan, STAGE_CREATE, fd, TCP_QUEUE_SEQ, (int)sequence);
}

/* What both ends agreed on when they met. */
static inline void plan_agreed(struct plan *plan, struct arg fd, const Ckpt__InetTcp *t)
{
	struct tcp_repair_opt options[4] = { { TCPOPT_MSS, t->mss } };
	size_t n = 1;
	if (t->scaled)
		options[n++] = (struct tcp_repair_opt){ TCPOPT_WINDOW_SCALE, t->send_scale | t->receive_scale << 16 };
	if (t->sack)
		options[n++] = (struct tcp_repair_opt){ TCPOPT_SACK_ALLOWED, 0 };
	if (t->timestamps)
		options[n++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMPS, 0 };
	plan_option(plan, AT(PLAN_WORLD, STAGE_CREATE), fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, n * sizeof *options);
	if (t->timestamps && t->has_timestamp)
		plan_tcp(plan, STAGE_CREATE, fd, TCP_TIMESTAMP, (int)t->timestamp);
}

/* In repair each call makes a buffer of the kernel; else the fewest calls take the least room. */
enum { REPAIRED_PIECE = 16384, SENT_PIECE = 1 << 20 };

static inline void plan_sends(struct plan *plan, enum stage stage, struct arg fd, const u8 *data, size_t len, size_t most)
{
	for (size_t n; len; data += n, len -= n) {
		n = MIN(len, most);
		step_expect(plan_call(plan, AT(PLAN_WORLD, stage), SYS_sendto, fd, ARG_OF_DATA(plan_data(plan, data, n, 8)),
				      ARG(n), ARG(MSG_DONTWAIT | MSG_NOSIGNAL)),
			    (s64)n);
	}
}

/* Room for its queues, whatever the buffers are in the end. */
static inline void plan_room(struct plan *plan, struct arg fd, size_t outgoing, size_t incoming)
{
	int send = (int)(outgoing * 2 + (1 << 18)), receive = (int)(incoming * 4 + (1 << 18));
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	plan_room_of(plan, at, fd, SO_SNDBUF, send);
	plan_room_of(plan, at, fd, SO_RCVBUF, receive);
	if (incoming < 1 << 17)
		return;
	/* Without the right to that: who waits for much at once gets room for it (Linux 5.14: while its buffer is not fixed). */
	step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_BUF_LOCK, 1));
	step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_RCVLOWAT, (int)MIN(incoming + incoming / 4, (size_t)INT32_MAX)));
	step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_RCVLOWAT, 1));
}

static inline bool is_after(u32 a, u32 b) { return (s32)(a - b) > 0; }

/* The other's end of sending (FIN) counts as a byte that it has received: that comes later. */
static inline void plan_window(struct plan *plan, struct arg fd, const Ckpt__InetTcp *t, const Ckpt__InetTcp *other)
{
	u32 next = next_sequence(t);
	bool no_send = !t->has_send_window_sequence || is_after(t->send_window_sequence, next);
	bool no_receive = !t->has_receive_window_sequence || is_after(t->receive_window_sequence, next);
	struct tcp_repair_window w = { .snd_wl1 = no_send ? next : t->send_window_sequence,
				       .snd_wnd = send_window(t),
				       .max_window = MAX(MAX(t->largest_window, send_window(t)), 65535u),
				       .rcv_wnd = t->has_receive_window ? t->receive_window : send_window(other),
				       .rcv_wup = no_receive ? next : t->receive_window_sequence };
	plan_option(plan, AT(PLAN_WORLD, STAGE_LINK), fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof w);
}

/* The other end of a connection whose other end was closed. */
static inline void other_end(const Ckpt__Inet *m, Ckpt__Inet *ret, Ckpt__InetTcp *ret_tcp)
{
	const Ckpt__InetTcp *t = m->tcp;
	ckpt__inet__init(ret);
	ckpt__inet_tcp__init(ret_tcp);
	SET(ret_tcp, send_scale, t->receive_scale);
	SET(ret_tcp, receive_scale, t->send_scale);
	ret_tcp->scaled = t->scaled, ret_tcp->sack = t->sack, ret_tcp->timestamps = t->timestamps, ret_tcp->mss = t->mss;
	ret->family = m->family, ret->type = m->type, ret->protocol = m->protocol;
	ret->local = m->remote, ret->local_port = m->remote_port, ret->local_scope = m->remote_scope;
	ret->remote = m->local, ret->remote_port = m->local_port, ret->remote_scope = m->local_scope;
	ret->tcp = ret_tcp;
	ret->peer_closed = true;
}

/* One end, made and bound before: connected without a packet, and its own queue filled. */
static inline void plan_connection(struct plan *plan, struct arg fd, const Ckpt__Inet *m, const Ckpt__Inet *peer)
{
	union address remote = { 0 };
	const Ckpt__InetTcp *t = m->tcp, *other = peer->tcp;
	remote_address(m, &remote);
	plan_room(plan, fd, other->incoming.len, t->incoming.len);
	plan_sequence(plan, fd, TCP_RECV_QUEUE, read_sequence(t));
	plan_sequence(plan, fd, TCP_SEND_QUEUE, next_sequence(other));
	plan_tcp(plan, STAGE_CREATE, fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	step_expect(plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_connect, fd, arg_address(plan, &remote),
			      ARG(address_size(&remote))),
		    0);
	plan_agreed(plan, fd, t);
	plan_tcp(plan, STAGE_LINK, fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	plan_sends(plan, STAGE_LINK, fd, t->incoming.data, t->received, REPAIRED_PIECE);
	plan_tcp(plan, STAGE_LINK, fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	plan_window(plan, fd, t, other);
}

/* Both ends are alive again: what one has sent flows to the other. */
static inline void plan_flow(struct plan *plan, struct arg fd, const Ckpt__Inet *m, const Ckpt__Inet *peer)
{
	const Ckpt__InetTcp *to = peer->tcp;
	plan_sends(plan, STAGE_SETTLE, fd, to->incoming.data + to->received, to->incoming.len - to->received, SENT_PIECE);
	if (m->shutdown & 3)
		plan_call(plan, AT(PLAN_WORLD, STAGE_SETTLE), SYS_shutdown, fd, ARG((m->shutdown & 3) - 1));
}

/* Its buffers are the kernel's to size again, but for those that the program has fixed. */
static inline void plan_buffers(struct plan *plan, struct arg fd, const Ckpt__Inet *m)
{
	struct place at = AT(PLAN_WORLD, STAGE_SETTLE);
	const Ckpt__InetOption *send = option_of(m, "SO_SNDBUF"), *receive = option_of(m, "SO_RCVBUF");
	plan_buffer(plan, at, fd, SO_SNDBUF, send ? send->value : m->tcp->send_room);
	plan_buffer(plan, at, fd, SO_RCVBUF, receive ? receive->value : m->tcp->receive_room);
	step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_BUF_LOCK, (send ? 1 : 0) | (receive ? 2 : 0)));
}
