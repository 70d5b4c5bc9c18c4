// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns sockets of netlink(7): ports, multicast groups, options. What a program has asked and the kernel has answered must have been
 * read. */
#include "collect/collect.h"
#include "collect/socket.h"
#include "netlink.pb-c.h"
#include "resource/socket_option.h"
#include <linux/netlink.h>
#include <poll.h>

static const struct kind kind_netlink = { .name = "netlink", .desc = &ckpt__netlink__descriptor };

#define GROUPS_ROOM 64 /* words of 32 groups; no protocol has more */

/* Protocols that keep nothing else for a socket than its groups. */
static const u32 plain_protocols[] = { NETLINK_ROUTE,   NETLINK_SOCK_DIAG,      NETLINK_XFRM,
				       NETLINK_SELINUX, NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC };

static const struct socket_option netlink_options[] = {
#include "resource/socket_options.def"
	COMMON_OPTIONS,
	OPTION(SOL_SOCKET, SO_PASSCRED, INT),
	OPTION(SOL_SOCKET, SO_PASSSEC, INT),
	OPTION(SOL_SOCKET, SO_PASSPIDFD, INT),
	OPTION(SOL_NETLINK, NETLINK_PKTINFO, INT),
	OPTION(SOL_NETLINK, NETLINK_BROADCAST_ERROR, INT),
	OPTION(SOL_NETLINK, NETLINK_NO_ENOBUFS, INT),
	OPTION(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, INT),
	OPTION(SOL_NETLINK, NETLINK_CAP_ACK, INT),
	OPTION(SOL_NETLINK, NETLINK_EXT_ACK, INT),
	OPTION(SOL_NETLINK, NETLINK_GET_STRICT_CHK, INT),
	LAST_OPTION
};

static bool netlink_claims(const struct record_file *file, const char *link)
{
	(void)link;
	return file->family == AF_NETLINK;
}

/* --- collect --- */

static int collect_addresses(int fd, Ckpt__Netlink *m)
{
	struct sockaddr_nl a = { 0 };
	socklen_t len = sizeof a;
	if (getsockname(fd, (void *)&a, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname");
	SET(m, port, a.nl_pid);
	len = sizeof a;
	if (getpeername(fd, (void *)&a, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getpeername");
	if (a.nl_pid || a.nl_groups) {
		SET(m, peer_port, a.nl_pid);
		SET(m, peer_groups, a.nl_groups);
	}
	return 0;
}

static int collect_groups(int fd, Ckpt__Netlink *m)
{
	u32 words[GROUPS_ROOM] = { 0 };
	socklen_t len = sizeof words;
	if (getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &len) < 0)
		return fail(SYSCALL, neg_errno(), "NETLINK_LIST_MEMBERSHIPS");
	size_t n = 0, bits = MIN((size_t)len, sizeof words) * 8;
	m->group = calloc(bits + 1, sizeof *m->group);
	if (!m->group)
		return fail_memory();
	for (u32 i = 0; i < bits; i++)
		if (words[i / 32] & 1u << i % 32)
			m->group[n++] = i + 1;
	m->n_group = n;
	return 0;
}

static void collect_moment(int fd, Ckpt__Netlink *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	poll(&poll_fd, 1, 0);
	if (poll_fd.revents & POLLERR)
		SET(m, error, true);
	ssize_t n = poll_fd.revents & POLLIN ? recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) : 0;
	if (n > 0)
		SET(m, unread, (u32)n);
}

static int netlink_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Netlink *m = o->data;
	struct socket_head head;
	int fd = collector_fd(c), r = socket_head(fd, subject->link, &head);
	if (r < 0)
		return r;
	SET_SOCKET_HEAD(m, &head);
	int protocol;
	r = socket_int(fd, SO_PROTOCOL, &protocol) ?: collect_plain_type(fd, &m->type);
	SET(m, protocol, (u32)protocol);
	if (r < 0 || head.near != 1)
		return r;
	collect_moment(fd, m);
	r = collect_addresses(fd, m);
	if (r == 0)
		r = collect_groups(fd, m);
	_cleanup_close_ int fresh = socket(AF_NETLINK, plain_type_number(m->type) | SOCK_CLOEXEC, (int)m->protocol);
	if (r == 0)
		r = collect_options(fd, fresh, netlink_options, ARRAY_SIZE(netlink_options), &m->n_option, &m->option);
	return r;
}

/* --- judge --- */

static bool is_plain(u32 protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain_protocols); i++)
		if (plain_protocols[i] == protocol)
			return true;
	return false;
}

static int judge_dump(const Ckpt__Netlink *m)
{
	unsigned long long inode = m->inode;
	if (!m->near)
		return fail(INET_NAMESPACE, 0, "socket:[%llu]%s", inode, socket_far(m->has_near));
	if (!is_plain(m->protocol))
		return fail(SOCKET_NETLINK, 0, "a netlink socket of protocol %u", m->protocol);
	if (m->hidden_filter)
		return fail(INET_FILTER, 0, "of the netlink socket:[%llu]", inode);
	if (m->error || m->unread)
		return fail(NETLINK_UNREAD, 0, "%u bytes in socket:[%llu]", m->unread, inode);
	return 0;
}

/* Tried with a socket that is closed again. */
static int judge_port(const Ckpt__Netlink *m)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = m->port };
	_cleanup_close_ int fd = socket(AF_NETLINK, plain_type_number(m->type) | SOCK_CLOEXEC, (int)m->protocol);
	if (fd < 0)
		return fail(SOCKET_NETLINK, neg_errno(), "protocol %u", m->protocol);
	if (m->port && bind(fd, (void *)&a, sizeof a) < 0)
		return fail(NETLINK_TAKEN, neg_errno(), "port %u of protocol %u", m->port, m->protocol);
	return 0;
}

static int judge_restore(const struct object *o)
{
	const Ckpt__Netlink *m = o->data;
	bool sound = plain_type_number(m->type) && is_plain(m->protocol) && m->n_group <= GROUPS_ROOM * 32 &&
		     filter_sound(&m->filter) &&
		     options_sound(netlink_options, ARRAY_SIZE(netlink_options), m->n_option, m->option);
	return sound ? judge_port(m) : fail(IMAGE_INCONSISTENT, 0, "netlink socket %u", o->id);
}

static int netlink_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	return direction == DIRECTION_DUMP ? judge_dump(o->data) : judge_restore(o);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static void plan_address(struct plan *plan, struct arg fd, long call, u32 port, u32 groups)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups };
	step_expect(plan_call(plan, CREATE, call, fd, ARG_OF_DATA(plan_data(plan, &a, sizeof a, 8)), ARG(sizeof a)), 0);
}

static bool netlink_apart(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static int netlink_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Netlink *m = o->data;
	u32 made = (u32)plain_type_number(m->type) | SOCK_CLOEXEC;
	struct plan_step *make = plan_call(plan, CREATE, SYS_socket, ARG(AF_NETLINK), ARG(made), ARG(m->protocol));
	struct arg fd = ARG(plan_fd(plan, o->id));
	plan_place_fd(plan, step_result(plan, make), o->id);
	plan_call(plan, CREATE, SYS_fchown, fd, ARG(m->uid), ARG(m->gid));
	if (m->port)
		plan_address(plan, fd, SYS_bind, m->port, 0);
	plan_filter(plan, CREATE, fd, &m->filter); /* before the first message can come */
	plan_options(plan, CREATE, fd, netlink_options, ARRAY_SIZE(netlink_options), m->n_option, m->option);
	for (size_t i = 0; i < m->n_group; i++)
		plan_set(plan, CREATE, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &m->group[i], sizeof m->group[i]);
	if (m->has_peer_port)
		plan_address(plan, fd, SYS_connect, m->peer_port, m->peer_groups);
	plan_status_flags(plan, CREATE, o->id, file_flags(graph, o->id), 0);
	return 0;
}

const struct resource resource_netlink = {
	.name = "netlink",
	.scope = SCOPE_FILE,
	.kind = &kind_netlink,
	.claims = netlink_claims,
	.collect = netlink_collect,
	.judge = netlink_judge,
	.apart = netlink_apart,
	.plan = netlink_plan,
};
