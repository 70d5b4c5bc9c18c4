/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets of ip(7) and ipv6(7) that come from another's address: what only the other end could send. A part of inet.c. */
#pragma once
#include "resource/inet_options.h"

struct ends {
	u8 source[16], destination[16]; /* network order */
	size_t len;                     /* 4 or 16 */
};

/* Bytes of the header of IP before what it carries. */
static inline size_t packet_header(const struct ends *e) { return e->len == 4 ? 20 : 40; }

/* Texts of one family. */
static inline struct ends ends_make(const char *from, const char *to)
{
	bool six = strchr(from, ':') != NULL;
	struct ends e = { .len = six ? 16 : 4 };
	inet_pton(six ? AF_INET6 : AF_INET, from, e.source);
	inet_pton(six ? AF_INET6 : AF_INET, to, e.destination);
	return e;
}

static inline u32 sum16(u32 sum, const void *bytes, size_t len)
{
	const u8 *b = bytes;
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? b[i] : (u32)b[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* RFC 1071, over the pseudo header too; never 0, which means none to UDP. */
static inline u32 packet_sum(const struct ends *e, u8 protocol, const u8 *carried, size_t len)
{
	u32 sum = sum16((u32)(protocol + len), e->source, e->len);
	sum = ~sum16(sum16(sum, e->destination, e->len), carried, len) & 0xffff;
	return sum ?: 0xffff;
}

/* Length, identification and checksum of IPv4 are the kernel's. */
static inline void packet_make(u8 *packet, const struct ends *e, u8 protocol, size_t carried)
{
	memset(packet, 0, packet_header(e));
	if (e->len == 4) {
		packet[0] = 0x45;
		packet[8] = 64;
		packet[9] = protocol;
		memcpy(packet + 12, e->source, 4);
		memcpy(packet + 16, e->destination, 4);
	} else {
		packet[0] = 0x60;
		packet[4] = (u8)(carried >> 8), packet[5] = (u8)carried;
		packet[6] = protocol;
		packet[7] = 64;
		memcpy(packet + 8, e->source, 16);
		memcpy(packet + 24, e->destination, 16);
	}
}

/* Sends it from a raw socket. scope: the interface of a link-local destination; mark: SO_MARK, 0: none. */
static inline void plan_packet(struct plan *plan, struct place at, const struct ends *e, u32 data, size_t len, u32 scope,
			       int mark)
{
	union address to = { .family = e->len == 4 ? AF_INET : AF_INET6 };
	memcpy(e->len == 4 ? (void *)&to.v4.sin_addr : &to.v6.sin6_addr, e->destination, e->len);
	if (e->len == 16)
		to.v6.sin6_scope_id = scope;
	struct plan_step *make =
		plan_call(plan, at, SYS_socket, ARG(to.family), ARG(SOCK_RAW | SOCK_CLOEXEC), ARG(IPPROTO_RAW));
	struct arg raw = ARG_OF_SLOT(step_result(plan, make));
	if (mark)
		plan_int(plan, at, raw, SOL_SOCKET, SO_MARK, mark);
	step_expect(plan_call(plan, at, SYS_sendto, raw, ARG_OF_DATA(data), ARG(len), ARG(0), arg_address(plan, &to),
			      ARG(address_size(&to))),
		    (s64)len);
	plan_call(plan, at, SYS_close, raw);
}
