/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Datagrams that were not read yet: looked at without taking them, and sent again with their old source by a raw socket. A
 * part of inet.c. */
#pragma once
#include "resource/inet_packet.h"
#include "resource/socket_room.h"
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#define DATAGRAM_ROOM 65536u

/* --- collect --- */

static inline int add_datagram(Ckpt__Inet *m, const u8 *data, size_t len, const union address *source)
{
	Ckpt__InetDatagram *d = MESSAGE_NEW(Ckpt__InetDatagram, ckpt__inet_datagram);
	char text[INET6_ADDRSTRLEN];
	u32 port, scope;
	if (!d || !MESSAGE_APPEND(&m->n_datagram, &m->datagram, d)) {
		free(d);
		return fail_memory();
	}
	address_text(source, text, &port, &scope);
	SET(d, source_port, port);
	d->has_data = true;
	return message_set_string(&d->source, text) && message_set_bytes(&d->data, data, len) ? 0 : fail_memory();
}

static inline int set_peek_offset(int fd, int offset)
{
	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) < 0 ? fail(INET_PEEK, neg_errno(), "SO_PEEK_OFF")
										   : 0;
}

/* One by one: an offset that is as long as all before leads to the next. */
static inline int peek_datagrams(int fd, Ckpt__Inet *m)
{
	_cleanup_free_ u8 *data = malloc(DATAGRAM_ROOM);
	if (!data)
		return fail_memory();
	for (int offset = -1;;) { /* an empty one that comes first is seen without */
		union address source = { 0 };
		socklen_t len = sizeof source;
		int r = set_peek_offset(fd, offset);
		if (r < 0)
			return r;
		ssize_t n = recvfrom(fd, data, DATAGRAM_ROOM, MSG_PEEK | MSG_DONTWAIT, (void *)&source, &len);
		if (n < 0)
			return errno == EAGAIN && (offset >= 0 || m->shutdown & 1) ? 0
										   : fail(INET_PEEK, neg_errno(), "recvfrom");
		if (!source.family) /* shut down for receiving */
			return 0;
		r = add_datagram(m, data, (size_t)n, &source);
		if (r < 0)
			return r;
		offset = MAX(offset, 0) + (int)n;
	}
}

static inline int collect_datagrams(struct collector *c, int fd, Ckpt__Inet *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int before = -1, held;
	socklen_t len = sizeof before;
	if (socket_queue(fd, SIOCOUTQ, &held) < 0)
		return -EIO;
	if (held)
		SET(m, held, (u32)held);
	if (poll(&poll_fd, 1, 0) < 0)
		return fail(SYSCALL, neg_errno(), "poll");
	if (!(poll_fd.revents & POLLIN))
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, &len) < 0)
		return fail(INET_PEEK, neg_errno(), "SO_PEEK_OFF");
	int r = peek_datagrams(fd, m), back = socket_set_back(fd, SO_PEEK_OFF, before);
	if (back < 0)
		return fail(INET_PEEK, back, "SO_PEEK_OFF could not be set back to %d", before);
	if (r == 0 && !(m->shutdown & 1))
		r = judge_seen(c, m->n_datagram);
	return r;
}

/* --- judge --- */

/* Another socket that may be given what is sent to this one. */
static inline bool is_shared(const struct graph *graph, const struct kind *kind, const Ckpt__Inet *m)
{
	for (const struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const Ckpt__Inet *other = o->data;
		if (other != m && other->protocol == m->protocol && other->local_port == m->local_port && !other->remote)
			return true;
	}
	return false;
}

static inline int judge_datagrams(const struct graph *graph, const struct kind *kind, const Ckpt__Inet *m)
{
	static const char *const changed[] = { "UDP_GRO", "UDP_ENCAP", "SO_BINDTODEVICE" };
	char text[ENDPOINT_ROOM];
	endpoint(text, m->local, m->local_port);
	if (m->held)
		return fail(INET_HELD, 0, "at %s", text);
	if (m->unread)
		return fail(INET_QUEUE, 0, "packets at a %s socket of protocol %u", m->type, m->protocol);
	for (size_t i = 0; m->n_datagram && i < ARRAY_SIZE(changed); i++)
		if (option_of(m, changed[i]))
			return fail(INET_QUEUE, 0, "%zu at %s, which has %s", m->n_datagram, text, changed[i]);
	if (m->n_datagram && is_shared(graph, kind, m))
		return fail(INET_QUEUE, 0, "%zu at %s, where another socket waits too", m->n_datagram, text);
	for (size_t i = 0; i < m->n_datagram; i++)
		if (!strncmp(m->datagram[i]->source ?: "", "fe80:", 5))
			return fail(INET_QUEUE, 0, "at %s, from the link-local address %s", text, m->datagram[i]->source);
	return 0;
}

static inline int judge_datagrams_restore(const Ckpt__Inet *m)
{
	union address a;
	for (size_t i = 0; i < m->n_datagram; i++) {
		const Ckpt__InetDatagram *d = m->datagram[i];
		bool six = d->source && strchr(d->source, ':');
		if (!d->source || !m->local || d->data.len > 65507 || (six && !is_v6(m)) ||
		    !address_make(&a, six ? AF_INET6 : AF_INET, d->source, d->source_port, 0))
			return fail(IMAGE_INCONSISTENT, 0, "datagram %zu", i);
	}
	return 0;
}

/* --- plan --- */

static inline struct ends ends_of(const Ckpt__Inet *m, const Ckpt__InetDatagram *d)
{
	const char *from = plain_address(d->source), *to = plain_address(m->local);
	if (is_any_address(to))
		to = strchr(from, ':') ? "::1" : "127.0.0.1";
	return ends_make(from, to);
}

/* An IP packet: a header of 20 or 40 bytes, 8 of UDP, and the data. */
static inline void make_datagram(u8 *packet, const struct ends *e, u8 protocol, const Ckpt__InetDatagram *d, u32 port)
{
	size_t udp = 8 + d->data.len;
	u8 *u = packet + packet_header(e);
	packet_make(packet, e, protocol, udp);
	memset(u, 0, 8);
	u[0] = (u8)(d->source_port >> 8), u[1] = (u8)d->source_port;
	u[2] = (u8)(port >> 8), u[3] = (u8)port;
	if (protocol == IPPROTO_UDP) /* UDP-Lite: how much the checksum covers, 0: all */
		u[4] = (u8)(udp >> 8), u[5] = (u8)udp;
	if (d->data.len)
		memcpy(u + 8, d->data.data, d->data.len);
	u32 sum = packet_sum(e, protocol, u, udp);
	u[6] = (u8)(sum >> 8), u[7] = (u8)sum;
}

static inline void plan_datagram(struct plan *plan, struct place at, const Ckpt__Inet *m, const Ckpt__InetDatagram *d)
{
	struct ends e = ends_of(m, d);
	size_t len = packet_header(&e) + 8 + d->data.len;
	u32 data = plan_data(plan, NULL, len, 8);
	if (plan_bytes(plan, data))
		make_datagram(plan_bytes(plan, data), &e, (u8)m->protocol, d, m->local_port);
	plan_packet(plan, at, &e, data, len, 0, 0);
}
