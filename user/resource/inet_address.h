/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of ip(7) and ipv6(7), as the kernel and as the image has them. A part of inet.c. */
#pragma once
#include "inet.pb-c.h"
#include "resource/file_scope.h"
#include <arpa/inet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <sys/socket.h>

union address {
	sa_family_t family;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Multipath TCP; what it accepts from an ordinary client is a socket of TCP. */
static inline bool is_multipath(const Ckpt__Inet *m) { return m->protocol == IPPROTO_MPTCP; }
static inline bool is_tcp(const Ckpt__Inet *m) { return m->protocol == IPPROTO_TCP || is_multipath(m); }
/* raw(7): every packet of a protocol, whose number takes the place of a port. */
static inline bool is_raw(const Ckpt__Inet *m) { return m->type && !strcmp(m->type, "raw"); }
static inline bool is_v6(const Ckpt__Inet *m) { return m->family && !strcmp(m->family, "inet6"); }
/* Until the tree is let go (restore/resets.h). */
static inline bool ends_by_reset(const Ckpt__Inet *m) { return m->tcp || m->connecting; }
static inline int family_number(const Ckpt__Inet *m) { return is_v6(m) ? AF_INET6 : AF_INET; }
static inline socklen_t address_size(const union address *a)
{
	return a->family == AF_INET6 ? (socklen_t)sizeof a->v6 : (socklen_t)sizeof a->v4;
}

/* ret_text has room for INET6_ADDRSTRLEN; false when it is the address that means none, and no port. */
static inline bool address_text(const union address *a, char *ret_text, u32 *ret_port, u32 *ret_scope)
{
	static const struct in6_addr none;
	bool six = a->family == AF_INET6;
	*ret_port = ntohs(six ? a->v6.sin6_port : a->v4.sin_port);
	*ret_scope = six ? a->v6.sin6_scope_id : 0;
	inet_ntop(a->family, six ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, ret_text, INET6_ADDRSTRLEN);
	return *ret_port || memcmp(six ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, &none, six ? 16 : 4);
}

/* False when the text is no address of the family. */
static inline bool address_make(union address *ret, int family, const char *text, u32 port, u32 scope)
{
	*ret = (union address){ .family = (sa_family_t)family };
	if (family == AF_INET6) {
		ret->v6.sin6_port = htons((u16)port);
		ret->v6.sin6_scope_id = scope;
		return port <= UINT16_MAX && inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1;
	}
	ret->v4.sin_port = htons((u16)port);
	return port <= UINT16_MAX && inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1;
}

static inline bool local_address(const Ckpt__Inet *m, union address *ret)
{
	return m->local && address_make(ret, family_number(m), m->local, m->local_port, m->local_scope);
}

static inline bool remote_address(const Ckpt__Inet *m, union address *ret)
{
	return m->remote && address_make(ret, family_number(m), m->remote, m->remote_port, m->remote_scope);
}

/* An IPv4 address of an IPv6 socket means the plain one. */
static inline const char *plain_address(const char *text) { return strncmp(text, "::ffff:", 7) ? text : text + 7; }

static inline bool same_address(const char *a, u32 a_port, const char *b, u32 b_port)
{
	return a && b && a_port == b_port && !strcmp(plain_address(a), plain_address(b));
}

static inline bool is_any_address(const char *text) { return text && (!strcmp(text, "0.0.0.0") || !strcmp(text, "::")); }

/* Are these the two ends of one connection? */
static inline bool are_ends(const Ckpt__Inet *a, const Ckpt__Inet *b)
{
	return a->protocol == b->protocol && a->remote && b->remote &&
	       same_address(a->local, a->local_port, b->remote, b->remote_port) &&
	       same_address(b->local, b->local_port, a->remote, a->remote_port);
}

/* "127.0.0.1:80", for people. */
#define ENDPOINT_ROOM (INET6_ADDRSTRLEN + 16)
static inline const char *endpoint(char text[ENDPOINT_ROOM], const char *address, u32 port)
{
	snprintf(text, ENDPOINT_ROOM, address && strchr(address, ':') ? "[%.45s]:%u" : "%.45s:%u", address ?: "?", port);
	return text;
}

/* A sockaddr in the arena. */
static inline struct arg arg_address(struct plan *plan, const union address *a)
{
	return ARG_OF_DATA(plan_data(plan, a, address_size(a), 8));
}
