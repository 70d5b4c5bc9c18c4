// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns sockets of ip(7) and ipv6(7): UDP, UDP-Lite, ICMP and raw ones, connected or not; TCP, also multipath TCP, that are new, bound or
 * listen, or wait to be connected, and TCP connections within the tree and to the outside. */
#include "base/map.h"
#include "collect/collect.h"
#include "collect/socket.h"
#include "resource/inet_connecting.h"
#include "resource/inet_group.h"
#include "resource/inet_outside.h"
#include "resource/inet_queue.h"
#include "resource/inet_tcp.h"

#ifndef TCP_AO_INFO
#define TCP_AO_INFO 40 /* Linux 6.7 */
#endif

static const struct kind kind_inet = { .name = "inet", .desc = &ckpt__inet__descriptor };

static const char *const types[] = { [SOCK_STREAM] = "stream", [SOCK_DGRAM] = "datagram", [SOCK_RAW] = "raw" };

static bool inet_claims(const struct record_file *file, const char *link)
{
	(void)link;
	return file->family == AF_INET || file->family == AF_INET6;
}

static bool is_datagram(const Ckpt__Inet *m) { return m->protocol == IPPROTO_UDP || m->protocol == IPPROTO_UDPLITE; }
/* icmp(7) without a right: the id of an echo takes the place of a port. */
static bool is_echo(const Ckpt__Inet *m) { return m->protocol == (is_v6(m) ? (u32)IPPROTO_ICMPV6 : (u32)IPPROTO_ICMP); }

static int type_number(const Ckpt__Inet *m)
{
	for (size_t i = 1; i < ARRAY_SIZE(types); i++)
		if (types[i] && !strcmp(types[i], m->type))
			return (int)i;
	return 0;
}

static bool is_known(const Ckpt__Inet *m)
{
	if (is_raw(m))
		return m->protocol && m->protocol < 256;
	return (is_tcp(m) && !strcmp(m->type, "stream")) || (!strcmp(m->type, "datagram") && (is_datagram(m) || is_echo(m)));
}

/* --- collect --- */

static int collect_addresses(int fd, Ckpt__Inet *m)
{
	union address a = { 0 };
	char text[INET6_ADDRSTRLEN];
	socklen_t len = sizeof a;
	u32 port, scope;
	if (getsockname(fd, (void *)&a, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname");
	if (address_text(&a, text, &port, &scope)) {
		SET(m, local_port, port);
		if (scope)
			SET(m, local_scope, scope);
		if (!message_set_string(&m->local, text))
			return fail_memory();
	}
	len = sizeof a;
	if (getpeername(fd, (void *)&a, &len) < 0)
		return errno == ENOTCONN ? 0 : fail(SYSCALL, neg_errno(), "getpeername");
	address_text(&a, text, &port, &scope);
	SET(m, remote_port, port);
	if (scope)
		SET(m, remote_scope, scope);
	return message_set_string(&m->remote, text) ? 0 : fail_memory();
}

/* What it will neither receive nor send any more: 1, 2. That only sending has ended poll(2) does not tell of datagrams. */
static int datagram_shutdown(int fd, const Ckpt__Inet *m, short events)
{
	union address local = { 0 }, remote = { 0 };
	socklen_t local_len = sizeof local, remote_len = sizeof remote;
	int polled = (events & POLLRDHUP ? 1 : 0) | (events & POLLHUP ? 2 : 0);
	if (polled || !is_datagram(m) || !m->remote)
		return polled;
	if (getsockname(fd, (void *)&local, &local_len) < 0 || getpeername(fd, (void *)&remote, &remote_len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname, getpeername");
	int told = netlink_udp_shutdown((int)m->protocol, &local, &remote, m->inode);
	return told >= 0 ? told : socket_lacks(-told) ? 0 : fail(SYSCALL, told, "sock_diag(7)");
}

static int collect_moment(int fd, Ckpt__Inet *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLPRI | POLLRDHUP };
	int unread = 0;
	u8 byte;
	int r = poll(&poll_fd, 1, 0);
	if (r < 0)
		return fail(SYSCALL, neg_errno(), "poll");
	if (poll_fd.revents & POLLERR)
		SET(m, error, true);
	if (m->listening || !m->remote)
		SET(m, ended, is_tcp(m) && m->state == CLOSED && (poll_fd.revents & POLLRDHUP));
	r = is_tcp(m) && !m->listening ? socket_queue(fd, SIOCINQ, &unread) : 0;
	if (r < 0)
		return r;
	if (r > 0)
		SET(m, unread, (u32)unread);
	int shutdown = is_tcp(m) ? (poll_fd.revents & POLLRDHUP ? 1 : 0) | (STATE_IN(m->state, SENT_END_STATES) ? 2 : 0)
				 : datagram_shutdown(fd, m, poll_fd.revents);
	if (shutdown < 0)
		return shutdown;
	if (shutdown && !m->ended)
		SET(m, shutdown, (u32)shutdown);
	bool marked = poll_fd.revents & POLLPRI; /* with SO_OOBINLINE recv(2) tells nothing */
	if (is_tcp(m) && m->remote && (marked || recv(fd, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) > 0))
		SET(m, urgent, true);
	return 0;
}

/* Has it had a connection, which is over? An error that waits to be told is taken for a reset. The address that it still shows is not
 * its own any more. */
static int collect_over(int fd, Ckpt__Inet *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLRDHUP };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	if (m->remote)
		return 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || poll(&poll_fd, 1, 0) < 0)
		return fail(SYSCALL, neg_errno(), "TCP_INFO, poll");
	if (info.tcpi_state != CLOSED || !(poll_fd.revents & (POLLRDHUP | POLLERR)))
		return 0;
	forget_address(m);
	return message_set_string(&m->over, poll_fd.revents & POLLERR ? OVER_RESET : OVER_CLOSED) ? 0 : fail_memory();
}

/* Are its segments signed, by TCP-MD5 or TCP-AO? *ret_received: as netlink_tcp_signs() tells it, or 0. */
static int has_keys(int fd, const Ckpt__Inet *m, u32 *ret_received)
{
	union address local = { 0 }, remote = { 0 };
	u8 info[128] = { 0 }; /* struct tcp_ao_info_opt, which may grow */
	socklen_t local_len = sizeof local, len = sizeof info;
	*ret_received = 0;
	int told = socket_option(fd, IPPROTO_TCP, TCP_AO_INFO, info, &len);
	if (told)
		return told;
	remote_address(m, &remote); /* one that listens has none */
	if (getsockname(fd, (void *)&local, &local_len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname");
	told = netlink_tcp_signs(&local, &remote, ret_received);
	return told >= 0 ? told : socket_lacks(-told) ? 0 : fail(SYSCALL, told, "sock_diag(7)");
}

static int collect_tcp(struct collector *c, int fd, struct object *o)
{
	Ckpt__Inet *m = o->data;
	struct tcp_info info = { 0 };
	char layer[32] = "";
	socklen_t len = sizeof info, layer_len = sizeof layer - 1;
	u32 received = 0;
	if (is_multipath(m) && m->remote) /* which is refused */
		return 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return fail(SYSCALL, neg_errno(), "TCP_INFO");
	SET(m, state, info.tcpi_state);
	bool layered = !is_multipath(m) && getsockopt(fd, IPPROTO_TCP, TCP_ULP, layer, &layer_len) == 0 && layer_len;
	if (layered && !message_set_string(&m->layer, layer))
		return fail_memory();
	if (info.tcpi_state == LISTEN) {
		if (m->local_port && collector_remember(c, listener_key(m->local_port), o->id) < 0)
			return fail_memory();
		int noted = collector_live(c) ? 0 : collector_note_connection(c, o->id);
		if (noted < 0)
			return fail(SYSCALL, noted, "a duplicate of a listening socket");
		SET(m, listening, true);
		SET(m, backlog, info.tcpi_sacked);
		SET(m, waiting, info.tcpi_unacked);
	}
	int keys = (m->listening || m->remote) && !is_multipath(m) ? has_keys(fd, m, &received) : 0;
	if (keys < 0)
		return keys;
	if (keys)
		SET(m, keys, true);
	SET(m, sent, info.tcpi_bytes_acked > 1 || info.tcpi_unacked || info.tcpi_notsent_bytes);
	int r = collect_moment(fd, m);
	if (r < 0)
		return r;
	if (m->over)
		return collect_left(fd, m);
	/* what lies behind urgent data that was read already (SIOCINQ counts up to there) */
	if (m->remote && !m->listening && received > m->unread + (m->shutdown & 1) + 1)
		SET(m, urgent, true);
	bool connected = m->local && m->remote && STATE_IN(m->state, OUTSIDE_STATES);
	if (m->protocol != IPPROTO_TCP || !connected || m->urgent)
		return 0;
	if (m->state == CLOSE_WAIT && is_widow(m)) {
		SET(m, peer_closed, true);
		forget_end(m); /* comes with it */
	}
	r = collect_connection(c, o->id, fd, &info, m);
	if (r == 0)
		r = find_peer(c, &kind_inet, o->id, &(struct end){ m, fd });
	return r == 0 && m->peer && !collector_live(c) ? end_pair(m, graph_data(collector_graph(c), &kind_inet, m->peer)) : r;
}

/* An end of a connection whose other end nobody in the tree has. */
static int settle_outside(struct collector *c, u32 file, Ckpt__Inet *m)
{
	struct connections *all = collector_connections(c);
	struct netlock *lock = collector_netlock(c);
	enum policy_choice policy = collector_policy(c, POLICY_TCP);
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	if (policy == POLICY_REFUSE)
		return 0;
	SET(m, outside, true);
	if (collector_live(c))
		return 0;
	if (policy != POLICY_KEEP) {
		connections_give_up(all, file);
		return give_up(m, policy == POLICY_RESET ? OVER_RESET : OVER_CLOSED);
	}
	struct flow flow;
	if (!flow_make(&flow, m->local, m->local_port, m->remote, m->remote_port))
		return fail(TASK_RACED, 0, "a connection to %s ended", m->remote);
	int r = lock && !m->repair ? netlock_add(lock, &flow) : 0;
	if (r == 0 && lock && !m->repair)
		r = lock_listener(c, &kind_inet, lock, &flow);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = connections_open(all, file);
	if (fd < 0)
		return fail(SYSCALL, fd, "a duplicate of a connection");
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return fail(SYSCALL, neg_errno(), "TCP_INFO");
	SET(m, state, info.tcpi_state);
	if (!STATE_IN(m->state, OUTSIDE_STATES)) /* it has ended since it was looked at first */
		return fail(TASK_RACED, 0, "a connection to %s ended", m->remote);
	collect_moment(fd, m);
	connections_mark_outside(all, file, fd);
	return m->urgent ? 0 : read_outside(c, &(struct end){ m, fd });
}

/* What waits at a listener and is given up: connections from outside, which end with the tree, and those from inside with data that
 * nobody can read. Who has sent these is reset. */
static int give_up_waiting(struct collector *c, Ckpt__Inet *listener)
{
	const struct graph *graph = collector_graph(c);
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_inet, o));) {
		Ckpt__Inet *m = o->data;
		if (listener_of(graph, &kind_inet, m) != listener || !has_gone_on(m) || !waits_inside(c, m))
			continue;
		if (!collector_live(c))
			connections_give_up(collector_connections(c), o->id);
		r = give_up(m, OVER_RESET);
	}
	SET(listener, waiting, waiting_at(graph, &kind_inet, listener));
	return r;
}

static int inet_settle(struct collector *c, struct object *o)
{
	Ckpt__Inet *m = o->data;
	WORKING_ON("file %u", o->id);
	if (m->listening && m->waiting && collector_policy(c, POLICY_TCP_WAITING) == POLICY_RESET)
		return give_up_waiting(c, m);
	if (!m->tcp || m->peer || m->peer_closed || waits_inside(c, m))
		return 0;
	return settle_outside(c, o->id, m);
}

static int inet_choose(const struct graph *graph _unused_, struct object *o, const struct policies *policies)
{
	Ckpt__Inet *m = o->data;
	enum policy_choice policy = policy_of(policies, POLICY_TCP);
	bool keeps = !m->outside || policy == POLICY_KEEP || policy == POLICY_REFUSE;
	return keeps ? 0 : give_up(m, policy == POLICY_RESET ? OVER_RESET : OVER_CLOSED);
}

/* The other end of a connection without a port, which getpeername(2) denies: /proc/net/raw and the like have it, by the inode. */
static int collect_portless(Ckpt__Inet *m)
{
	_cleanup_text_ struct text table = { 0 };
	char path[40], address[33];
	unsigned long long inode = 0;
	snprintf(path, sizeof path, "/proc/net/%s%s", is_raw(m) ? "raw" : "icmp", is_v6(m) ? "6" : "");
	if (file_read(AT_FDCWD, path, &table) < 0 || !table.data)
		return 0;
	for (const char *line = strchr(table.data, '\n'); line && *++line; line = strchr(line, '\n')) {
		union address a = { .family = (sa_family_t)family_number(m) };
		u32 *words = is_v6(m) ? a.v6.sin6_addr.s6_addr32 : &a.v4.sin_addr.s_addr, port, scope;
		if (sscanf(line, "%*d: %*[0-9A-F]:%*x %32[0-9A-F]:%*x %*x %*x:%*x %*x:%*x %*x %*u %*u %llu", address, &inode) !=
			    2 ||
		    inode != m->inode || strspn(address, "0") == strlen(address))
			continue;
		for (size_t i = 0; i < strlen(address) / 8; i++)
			sscanf(address + 8 * i, "%8x", &words[i]);
		char text[INET6_ADDRSTRLEN];
		address_text(&a, text, &port, &scope);
		return message_set_string(&m->remote, text) ? 0 : fail_memory();
	}
	return 0;
}

static int collect_unread(int fd, Ckpt__Inet *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	if (poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLIN)
		SET(m, unread, 1);
	return 0;
}

/* SO_ATTACH_REUSEPORT_CBPF and SO_ATTACH_REUSEPORT_EBPF: eBPF alone tells, and is asked where there can be such a program. Nobody
 * attaches it again, so that a restored socket is not asked. */
static bool is_chosen_by_program(struct collector *c)
{
	const struct record_file *told = collector_storing(c) || collector_live(c) ? collector_kernel_file(c) : NULL;
	return told && told->chosen;
}

static int inet_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Inet *m = o->data;
	struct socket_head head;
	int fd = collector_fd(c), r = socket_head(fd, subject->link, &head);
	if (r < 0)
		return r;
	SET_SOCKET_HEAD(m, &head);
	int type = 0, protocol = 0, reuse = 0, shares = 0;
	r = socket_int(fd, SO_TYPE, &type) ?: socket_int(fd, SO_PROTOCOL, &protocol) ?: socket_int(fd, SO_REUSEADDR, &reuse) ?:
		    socket_int(fd, SO_REUSEPORT, &shares);
	if (r < 0)
		return r;
	const char *name = (size_t)type < ARRAY_SIZE(types) ? types[type] : NULL;
	if (!message_set_string(&m->family, subject->file->family == AF_INET6 ? "inet6" : "inet") ||
	    !message_set_string(&m->type, name ?: "other"))
		return fail_memory();
	SET(m, protocol, (u32)protocol);
	r = collect_addresses(fd, m);
	if (r < 0 || !is_known(m) || head.near != 1)
		return r;
	SET(m, reuse, reuse != 0);
	if (shares && is_chosen_by_program(c))
		SET(m, chosen, true);
	if (m->protocol == IPPROTO_TCP)
		r = collect_over(fd, m) ?: collect_connecting(fd, m);
	if (r == 0)
		r = collect_options(fd, m, type);
	if (r < 0 || is_tcp(m))
		return r < 0 ? r : collect_tcp(c, fd, o);
	r = collect_moment(fd, m) ?: collect_groups(fd, m);
	if (r == 0 && !m->remote && (is_raw(m) || is_echo(m)))
		r = collect_portless(m);
	if (r < 0 || collector_live(c))
		return r;
	return is_datagram(m) && !is_raw(m) ? collect_datagrams(c, fd, m) : collect_unread(fd, m);
}

/* --- judge --- */

static int judge_tcp_dump(const struct graph *graph, const Ckpt__Inet *m)
{
	char a[ENDPOINT_ROOM], b[ENDPOINT_ROOM];
	endpoint(a, m->local, m->local_port);
	endpoint(b, m->remote, m->remote_port);
	if (is_multipath(m) && (m->remote || STATE_IN(m->state, CONNECTED_STATES)))
		return fail(INET_MULTIPATH, 0, "from %s to %s", a, b);
	if (m->layer)
		return fail(INET_LAYER, 0, "%s on the socket at %s", m->layer, a);
	if (m->keys)
		return fail(INET_KEYS, 0, "the socket at %s", a);
	if (m->urgent)
		return fail(INET_URGENT, 0, "from %s to %s", b, a);
	if (m->over)
		return 0;
	if ((m->state == SYN_SENT || m->state == SYN_RECV) && !m->connecting)
		return fail(INET_CONNECTING, 0, "from %s", a);
	if (m->listening && m->waiting && m->waiting > waiting_at(graph, &kind_inet, m))
		return fail(INET_WAITING, 0, "%u of them at %s", m->waiting, a);
	return m->outside ? judge_outside_dump(m) : m->tcp ? judge_connection_dump(graph, &kind_inet, m) : 0;
}

static int judge_dump(const struct graph *graph, const Ckpt__Inet *m)
{
	char a[ENDPOINT_ROOM];
	endpoint(a, m->local, m->local_port);
	if (!m->near)
		return fail(INET_NAMESPACE, 0, "%s%s", a, socket_far(m->has_near));
	if (!is_known(m))
		return fail(INET_PROTOCOL, 0, "protocol %u, type %s, at %s", m->protocol, m->type, a);
	if (m->error)
		return fail(INET_ERROR, 0, "at %s", a);
	if (m->hidden_filter)
		return fail(INET_FILTER, 0, "of the socket at %s", a);
	if (m->chosen)
		warn(INET_CHOOSER, 0, "the socket at %s", a);
	int groups = judge_groups(m);
	return groups ?: is_tcp(m) ? judge_tcp_dump(graph, m) : judge_datagrams(graph, &kind_inet, m);
}

/* No socket of this kind can be made where the kernel does not have it, or net.mptcp.enabled is 0. */
static int judge_multipath(const Ckpt__Inet *m)
{
	if (!is_multipath(m))
		return 0;
	if (m->remote || m->tcp)
		return fail(IMAGE_INCONSISTENT, 0, "a connection of protocol %u", m->protocol);
	_cleanup_close_ int fd = socket(family_number(m), SOCK_STREAM | SOCK_CLOEXEC, (int)m->protocol);
	return fd < 0 ? fail(INET_NO_MULTIPATH, neg_errno(), "the socket at %s", m->local ?: "no address yet") : 0;
}

/* Would it get its address here? Tried with a socket that is closed again. What is bound by the tree itself allows the others. */
static int judge_address(const Ckpt__Inet *m)
{
	union address a;
	char text[ENDPOINT_ROOM];
	const Ckpt__InetOption *device = option_of(m, "SO_BINDTODEVICE");
	int on = 1;
	if (!local_address(m, &a))
		return m->local ? fail(IMAGE_INCONSISTENT, 0, "the address %.46s", m->local) : 0;
	int protocol = is_tcp(m) ? 0 : (int)m->protocol;
	_cleanup_close_ int fd = socket(family_number(m), type_number(m) | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return fail(SYSCALL, neg_errno(), "socket");
	if (m->reuse || is_tcp(m))
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	for (size_t i = 0; i < m->n_option; i++) {
		const struct inet_option *o = find_option(m->option[i]->name);
		int value = (int)m->option[i]->value;
		if (o->when <= ANY && o->type == INT)
			setsockopt(fd, o->level, o->number, &value, sizeof value);
	}
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device->text, (socklen_t)strlen(device->text) + 1) < 0)
		return fail(INET_ADDRESS, neg_errno(), "the device %s", device->text);
	if (m->tcp) /* many share an address: they are told apart by the other end */
		a.family == AF_INET6 ? (a.v6.sin6_port = 0) : (a.v4.sin_port = 0);
	if (bind(fd, (void *)&a, address_size(&a)) == 0)
		return 0;
	endpoint(text, m->local, m->local_port);
	return errno == EADDRINUSE ? fail(INET_TAKEN, neg_errno(), "%s", text) : fail(INET_ADDRESS, neg_errno(), "%s", text);
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Inet *m = o->data;
	union address a;
	if (!m->family || !m->type || !is_known(m) || (m->remote && !remote_address(m, &a)) ||
	    ((m->tcp || m->peer || m->peer_closed || m->outside) && !(m->tcp && is_tcp(m))) ||
	    (m->left.len && !is_over(m, OVER_CLOSED)) ||
	    (m->over &&
	     (m->local || m->remote || m->tcp || m->listening || !(is_over(m, OVER_CLOSED) || is_over(m, OVER_RESET)))))
		return fail(IMAGE_INCONSISTENT, 0, "socket %u", o->id);
	int r = judge_options(m);
	if (r == 0)
		r = judge_multipath(m);
	if (r == 0)
		r = judge_groups_restore(m);
	if (r == 0)
		r = judge_datagrams_restore(m);
	if (r == 0)
		r = judge_connecting_restore(m);
	if (r == 0 && m->tcp && m->outside)
		r = judge_outside_restore(o, m);
	else if (r == 0 && m->tcp)
		r = judge_connection_restore(graph, &kind_inet, o, m);
	return r == 0 ? judge_address(m) : r;
}

static int inet_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o->data) : judge_restore(graph, o);
}

/* --- plan --- */

/* Protocols that share their ports have one number here. */
static u64 port_key(const Ckpt__Inet *m, u32 port)
{
	return map_mix(map_mix((uintptr_t)&kind_inet, is_multipath(m) ? IPPROTO_TCP : m->protocol), port);
}

#define SHARED_PORT UINT32_MAX

/* Notes of each port which socket has it, or that it has to do with several. */
static bool note_ports(const struct graph *graph)
{
	u64 noted = map_mix((uintptr_t)&kind_inet, UINT64_MAX);
	int r = 0;
	if (graph_recall(graph, noted))
		return true;
	for (struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_inet, o));) {
		const Ckpt__Inet *m = o->data;
		u64 own = port_key(m, m->local_port);
		if (m->local)
			r = graph_remember(graph, own, graph_recall(graph, own) ? SHARED_PORT : o->id);
		if (r == 0 && m->remote && is_tcp(m)) /* its other end may be one that listens in the tree */
			r = graph_remember(graph, port_key(m, m->remote_port), SHARED_PORT);
	}
	return r == 0 && graph_remember(graph, noted, 1) == 0;
}

/* Sockets of one port depend on each other's order, and connections on what has been locked for them. */
static bool inet_at_home(const struct graph *graph, const struct object *o)
{
	const Ckpt__Inet *m = o->data;
	if (m->tcp || m->over || m->n_datagram || !(is_tcp(m) ? !m->remote : is_datagram(m)) || !note_ports(graph))
		return false;
	return !m->local || graph_recall(graph, port_key(m, m->local_port)) == o->id;
}

#define CREATE(file) plan_at(plan, file, STAGE_CREATE)
#define LINK(file) plan_at(plan, file, STAGE_LINK)
#define SETTLE(file) plan_at(plan, file, STAGE_SETTLE)
#define WATCH(file) plan_at(plan, file, STAGE_WATCH)

/* Addresses of the tree may be shared in ways that its own options would not allow any more: all are bound with
 * SO_REUSEADDR, which gets its value at the end. */
static void plan_bind(struct plan *plan, u32 file, struct arg fd, const Ckpt__Inet *m)
{
	union address local;
	plan_options(plan, CREATE(file), fd, m, true);
	if (!local_address(m, &local))
		return;
	plan_int(plan, CREATE(file), fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (m->tcp && (m->peer || m->peer_closed || m->outside))
		plan_tcp(plan, STAGE_CREATE, fd, TCP_REPAIR, 1);
	step_expect(plan_call(plan, CREATE(file), SYS_bind, fd, arg_address(plan, &local), ARG(address_size(&local))), 0);
}

/* TCP: to a listener of the tree, which need not accept now, past the network lock that it may have. */
static void plan_connect(struct plan *plan, u32 file, struct arg fd, const Ckpt__Inet *m, const union address *remote)
{
	const Ckpt__InetOption *mark = option_of(m, "SO_MARK");
	struct place at = is_tcp(m) ? SETTLE(file) : LINK(file);
	if (is_tcp(m))
		step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_MARK, NETLOCK_MARK));
	step_expect(plan_call(plan, at, SYS_connect, fd, arg_address(plan, remote), ARG(address_size(remote))),
		    is_tcp(m) ? -EINPROGRESS : 0);
	if (is_tcp(m))
		step_any(plan_int(plan, at, fd, SOL_SOCKET, SO_MARK, mark ? (int)mark->value : 0));
}

static void plan_link(struct plan *plan, u32 file, struct arg fd, const Ckpt__Inet *m, const Ckpt__Inet *peer)
{
	union address remote = { 0 };
	if (m->listening)
		plan_call(plan, LINK(file), SYS_listen, fd, ARG(m->backlog));
	if (peer) {
		plan_connection(plan, fd, m, peer);
	} else if (m->outside) {
		plan_outside(plan, fd, m);
	} else if (m->over) {
		plan_over(plan, fd, m);
	} else if (!m->connecting && remote_address(m, &remote)) {
		plan_connect(plan, file, fd, m, &remote);
	}
}

static void plan_last(struct plan *plan, const struct graph *graph, u32 file, const Ckpt__Inet *m)
{
	struct arg fd = ARG(plan_fd(plan, file));
	for (size_t i = 0; i < m->n_datagram; i++)
		plan_datagram(plan, SETTLE(file), m, m->datagram[i]);
	if (m->tcp && (m->peer || m->peer_closed || m->outside))
		plan_buffers(plan, fd, m);
	plan_groups(plan, SETTLE(file), fd, m);
	plan_filter(plan, SETTLE(file), fd, m);
	plan_options(plan, SETTLE(file), fd, m, false);
	if (m->local)
		plan_int(plan, WATCH(file), fd, SOL_SOCKET, SO_REUSEADDR, m->reuse);
	else if (m->reuse)
		plan_int(plan, SETTLE(file), fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!is_tcp(m) && (m->shutdown & 3))
		plan_call(plan, SETTLE(file), SYS_shutdown, fd, ARG((m->shutdown & 3) - 1));
	if (m->connecting)
		plan_connecting(plan, WATCH(file), fd, m);
	plan_status_flags(plan, m->connecting ? WATCH(file) : SETTLE(file), file, file_flags(graph, file), O_NONBLOCK);
}

/* Until the tree is let go, a connection ends by a reset: else its address is in use for a minute (restore/resets.h). */
static void plan_reset(struct plan *plan, u32 file, struct arg fd)
{
	const struct linger at_once = { 1, 0 };
	plan_option(plan, CREATE(file), fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* Both ends of one come together (`peer`), and repair mode binds them to an address whatever others do there by then. */
static bool inet_apart(const struct graph *graph _unused_, const struct object *o)
{
	const Ckpt__Inet *m = o->data;
	return m->tcp && (m->peer || m->peer_closed || m->outside);
}

static u32 plan_socket(struct plan *plan, u32 file, const Ckpt__Inet *m)
{
	return step_result(plan, plan_call(plan, CREATE(file), SYS_socket, ARG(family_number(m)),
					   ARG(type_number(m) | SOCK_NONBLOCK | plan_cloexec(plan, file)), ARG(m->protocol)));
}

/* Both ends are alive again. */
static void plan_pair(struct plan *plan, struct arg a, const Ckpt__Inet *m, struct arg b, const Ckpt__Inet *peer)
{
	plan_tcp(plan, STAGE_SETTLE, a, TCP_REPAIR, -1);
	plan_tcp(plan, STAGE_SETTLE, b, TCP_REPAIR, -1);
	plan_flow(plan, a, m, peer);
	plan_flow(plan, b, peer, m);
}

/* The other end was closed: it is made, and closed again. */
static void plan_widow(struct plan *plan, u32 file, struct arg fd, const Ckpt__Inet *m)
{
	Ckpt__Inet other;
	Ckpt__InetTcp tcp;
	other_end(m, &other, &tcp);
	struct arg gone = ARG_OF_SLOT(plan_socket(plan, file, m));
	plan_connection(plan, fd, m, &other);
	plan_bind(plan, file, gone, &other);
	plan_connection(plan, gone, &other, m);
	plan_pair(plan, gone, &other, fd, m);
	plan_call(plan, SETTLE(file), SYS_close, gone);
}

static int inet_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Inet *m = o->data, *peer = m->peer ? graph_data(graph, &kind_inet, m->peer) : NULL;
	struct arg fd = ARG(plan_fd(plan, o->id));
	plan_place_fd(plan, plan_socket(plan, o->id, m), o->id);
	plan_call(plan, CREATE(o->id), SYS_fchown, fd, ARG(m->uid), ARG(m->gid));
	plan_bind(plan, o->id, fd, m);
	if (ends_by_reset(m))
		plan_reset(plan, o->id, fd);
	if (m->peer_closed)
		plan_widow(plan, o->id, fd, m);
	else
		plan_link(plan, o->id, fd, m, peer);
	if (peer && o->id < m->peer) /* both at once, by the second */
		return 0;
	if (peer) {
		plan_pair(plan, ARG(plan_fd(plan, m->peer)), peer, fd, m);
		plan_last(plan, graph, m->peer, peer);
	}
	plan_last(plan, graph, o->id, m);
	return 0;
}

const struct resource resource_inet = {
	.name = "inet",
	.scope = SCOPE_FILE,
	.kind = &kind_inet,
	.claims = inet_claims,
	.collect = inet_collect,
	.settle = inet_settle,
	.choose = inet_choose,
	.judge = inet_judge,
	.at_home = inet_at_home,
	.apart = inet_apart,
	.plan = inet_plan,
};
