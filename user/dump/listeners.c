// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the lock on addresses where the tree listens. It comes last, when all was judged: while a tree runs on to be met again, its
 * own connections to itself are not to wait. */
#include "dump/listeners.h"
#include "collect/netlink.h"
#include "diag/diag.h"
#include "inet.pb-c.h"
#include "resource/registry.h"
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <sys/socket.h>

/* The inodes of all sockets of the tree that listen; 0 or -ENOMEM. */
static int note_listeners(const struct graph *graph, const struct kind *kind, struct map *ret)
{
	int r = 0;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, kind, o));) {
		const Ckpt__Inet *m = o->data;
		if (m->listening)
			r = map_set(ret, m->inode, 1) < 0 ? fail_memory() : 0;
	}
	return r;
}

static int lock_address(struct netlock *lock, const char *address, u32 port)
{
	struct flow wants;
	return flow_make(&wants, address, port, NULL, 0) ? netlock_add(lock, &wants) : -EINVAL;
}

/* The address, and what an IPv6 socket at no address in particular is given of IPv4. fd: a duplicate. */
static int lock_one(struct netlock *lock, const Ckpt__Inet *m, int fd)
{
	int only = 1;
	socklen_t len = sizeof only;
	int r = lock_address(lock, m->local, m->local_port);
	bool both = !strcmp(m->local, "::") && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && !only;
	return r == 0 && both ? lock_address(lock, "0.0.0.0", m->local_port) : r;
}

/* Has nobody come since it was looked at? Who is given up anyway may. */
static int check_waiting(struct connections *connections, const struct policies *policies, u32 file, const Ckpt__Inet *m,
			 int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	connections_mark_outside(connections, file, fd);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return fail(SYSCALL, neg_errno(), "TCP_INFO");
	bool quiet = info.tcpi_unacked == m->waiting || policy_of(policies, POLICY_TCP_WAITING) == POLICY_RESET;
	return quiet ? 0 : fail(TASK_RACED, 0, "somebody connected to %s:%u", m->local, m->local_port);
}

static bool is_wanted(const Ckpt__Inet *m, int fd, const struct map *listeners)
{
	int shares = 0;
	socklen_t len = sizeof shares;
	if (fd < 0 || !m->local)
		return false;
	getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shares, &len);
	return !shares || netlink_tcp_others(m->local_port, listeners) <= 0;
}

int dump_lock_listeners(const struct graph *graph, const struct policies *policies, struct netlock *lock,
			struct connections *connections)
{
	const struct kind *kind = resource_inet.kind;
	_cleanup_(map_free) struct map listeners = { 0 };
	int r = note_listeners(graph, kind, &listeners);
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, kind, o));) {
		const Ckpt__Inet *m = o->data;
		size_t mark = diag_mark();
		_cleanup_close_ int fd = m->listening ? connections_open(connections, o->id) : -1;
		if (!is_wanted(m, fd, &listeners))
			continue;
		WORKING_ON("file %u", o->id);
		r = lock_one(lock, m, fd);
		if (r < 0) { /* nor could the next */
			diag_forget(mark);
			warn(NETLOCK_LISTENER, r, "%s:%u", m->local, m->local_port);
			return 0;
		}
		r = lock->backend ? check_waiting(connections, policies, o->id, m, fd) : 0;
	}
	return r;
}
