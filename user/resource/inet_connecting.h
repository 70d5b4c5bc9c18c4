/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP sockets that wait for an answer to their SYN: they ask again. A part of inet.c. */
#pragma once
#include "resource/inet_tcp.h"

/* --- collect --- */

/* Where does it connect to? getpeername(2) tells only when it has got there. With data in the SYN, or before the SYN was sent
 * (TCP Fast Open), it stays untold: it could not ask again. */
static inline int collect_connecting(int fd, Ckpt__Inet *m)
{
	struct tcp_info info = { 0 };
	union address local, remote = { 0 };
	char text[INET6_ADDRSTRLEN];
	socklen_t len = sizeof info;
	u32 port, scope;
	if (m->remote || !m->local || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_state != SYN_SENT ||
	    info.tcpi_unacked != 1 || info.tcpi_notsent_bytes || !local_address(m, &local) ||
	    netlink_tcp_connecting(&local, m->inode, &remote) < 0)
		return 0;
	address_text(&remote, text, &port, &scope);
	SET(m, connecting, true);
	SET(m, remote_port, port);
	if (scope)
		SET(m, remote_scope, scope);
	return message_set_string(&m->remote, text) ? 0 : fail_memory();
}

/* --- judge --- */

/* A way there is found by a socket that sends nothing. */
static inline int judge_connecting_restore(const Ckpt__Inet *m)
{
	union address local, remote;
	char text[ENDPOINT_ROOM];
	int mark = option_of(m, "SO_MARK") ? (int)option_of(m, "SO_MARK")->value : 0;
	if (!m->connecting)
		return 0;
	if (!local_address(m, &local) || !remote_address(m, &remote) || m->protocol != IPPROTO_TCP || m->tcp || m->listening)
		return fail(IMAGE_INCONSISTENT, 0, "a connection to %.46s that is about to be made", m->remote ?: "nowhere");
	if (option_of(m, "SO_BINDTODEVICE") || option_of(m, "IP_TRANSPARENT") || option_of(m, "IP_FREEBIND"))
		return 0;
	_cleanup_close_ int fd = socket(family_number(m), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(SYSCALL, neg_errno(), "socket");
	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
	local.family == AF_INET6 ? (local.v6.sin6_port = 0) : (local.v4.sin_port = 0);
	if (bind(fd, (void *)&local, address_size(&local)) < 0) /* judge_address() says so */
		return 0;
	endpoint(text, m->remote, m->remote_port);
	return connect(fd, (void *)&remote, address_size(&remote)) < 0 ? fail(INET_ADDRESS, neg_errno(), "no way to %s", text)
								       : 0;
}

/* --- plan --- */

/* When all who wait at sockets of the tree have their places there, since one may be full. */
static inline void plan_connecting(struct plan *plan, struct place at, struct arg fd, const Ckpt__Inet *m)
{
	union address remote = { 0 };
	remote_address(m, &remote);
	step_expect(plan_call(plan, at, SYS_connect, fd, arg_address(plan, &remote), ARG(address_size(&remote))), -EINPROGRESS);
}
