// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns sockets of unix(7): those that listen or have a name, connected pairs, their queues with descriptors and credentials in them, options, shutdown. */
#include "base/map.h"
#include "collect/collect.h"
#include "collect/netlink.h"
#include "collect/socket.h"
#include "resource/socket_room.h"
#include "resource/unix_plan.h"
#include "resource/unix_queue.h"
#include "unix.pb-c.h"
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Those of families that nobody carries are refused by judge, by their number. What a process has mapped of a socket is no socket. */
static bool unix_claims(const struct record_file *file, const char *link)
{
	bool other = file->fd == UINT32_MAX || file->family == AF_INET || file->family == AF_INET6 ||
		     file->family == AF_NETLINK || file->family == AF_PACKET;
	return !(file->flags & O_PATH) && !other && !strncmp(link, "socket:[", 8);
}

/* --- collect: the socket --- */

/* What is remembered of a socket: its number; the last one whose other end it is, and the one before that one; who has not
 * accepted its connection. Of all of them: are they looked for by name, and are those connected that send to a name? */
enum { OF_INODE = 1, WANTS_INODE, WANTED_BEFORE, LISTENER_OF, NEEDS_NAMES, DIRECTED };
static u64 unix_key(u64 what, u64 number) { return map_mix(map_mix(what, 0x756e6978), number); }

static int find_peer(struct collector *c, const struct object *mine, Ckpt__Unix *u)
{
	struct graph *graph = collector_graph(c);
	u32 id = u->has_peer_inode ? collector_recall(c, unix_key(OF_INODE, u->peer_inode)) : 0;
	int r = collector_remember(c, unix_key(OF_INODE, u->inode), mine->id);
	if (!id && u->has_peer_inode && u->peer_inode == u->inode) /* it sends to itself */
		id = mine->id;
	if (id)
		SET(u, peer, id);
	for (u32 other = collector_recall(c, unix_key(WANTS_INODE, u->inode)); other;
	     other = collector_recall(c, unix_key(WANTED_BEFORE, other)))
		SET((Ckpt__Unix *)graph_data(graph, &kind_unix, other), peer, mine->id);
	if (r < 0 || !u->has_peer_inode || id)
		return r;
	u32 before = collector_recall(c, unix_key(WANTS_INODE, u->peer_inode));
	r = collector_remember(c, unix_key(WANTS_INODE, u->peer_inode), mine->id);
	return r == 0 && before ? collector_remember(c, unix_key(WANTED_BEFORE, mine->id), before) : r;
}

static bool add_waiting(Ckpt__Unix *u, const struct unix_diag *diag)
{
	for (u32 i = 0; i < diag->nwaiting; i++)
		if (!MESSAGE_APPEND(&u->n_waiting_inode, &u->waiting_inode, diag->waiting[i]) ||
		    !MESSAGE_APPEND(&u->n_file, &u->file, 0u))
			return false;
	return true;
}

static void set_waiting(Ckpt__Unix *listener, Ckpt__Unix *client, u32 client_id)
{
	for (size_t i = 0; i < listener->n_file; i++)
		if (listener->waiting_inode[i] == client->inode)
			listener->file[i] = client_id;
	SET(client, unaccepted, true);
	client->has_peer_closed = 0, client->peer_closed = 0;
}

/* Is this one a client that a listener has not accepted, or a listener that has not accepted clients? */
static int find_waiting(struct collector *c, const struct object *mine, Ckpt__Unix *u)
{
	u32 listener = collector_recall(c, unix_key(LISTENER_OF, u->inode));
	if (listener)
		set_waiting(graph_data(collector_graph(c), &kind_unix, listener), u, mine->id);
	for (size_t i = 0; i < u->n_file; i++) {
		u32 client = collector_recall(c, unix_key(OF_INODE, u->waiting_inode[i]));
		if (client)
			set_waiting(u, graph_data(collector_graph(c), &kind_unix, client), client);
		else if (collector_remember(c, unix_key(LISTENER_OF, u->waiting_inode[i]), mine->id) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int collect_relations(struct collector *c, int fd, const struct object *o, Ckpt__Unix *u)
{
	struct unix_diag diag;
	int r = collector_unix(c, u->inode, &diag), near = r == -ENOENT ? socket_is_near(fd) : 0;
	if (r == -ENOENT && near != 1) { /* else there is no unix_diag */
		if (near == 0)
			SET(u, far, true);
		return 0;
	}
	if (r < 0)
		return fail(UNIX_DIAG, r, "socket:[%llu]", (unsigned long long)u->inode);
	SET(u, state, diag.state);
	SET(u, connected, diag.has_peer);
	SET(u, shutdown, diag.shutdown);
	if (diag.name[0] && !message_set_string(&u->name, diag.name))
		return fail_memory();
	if (diag.state == TCP_LISTEN) {
		SET(u, backlog, diag.backlog);
		SET(u, pending, diag.pending);
		if (!add_waiting(u, &diag))
			return fail_memory();
	}
	if (diag.has_peer && !diag.peer)
		SET(u, peer_closed, true);
	else if (diag.has_peer)
		SET(u, peer_inode, diag.peer);
	return find_peer(c, o, u) < 0 || find_waiting(c, o, u) < 0 ? fail_memory() : 0;
}

static int collect_creator(int fd, Ckpt__Unix *u)
{
	struct ucred creator;
	socklen_t len = sizeof creator;
	int r = u->connected || u->has_backlog ? socket_option(fd, SOL_SOCKET, SO_PEERCRED, &creator, &len) : 0;
	if (r > 0) {
		SET(u, creator_pid, (u32)creator.pid);
		SET(u, creator_uid, creator.uid);
		SET(u, creator_gid, creator.gid);
	}
	return MIN(r, 0);
}

static int collect_options(int fd, Ckpt__Unix *u)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(options); i++) {
		int value;
		socklen_t len = sizeof value;
		r = socket_option(fd, SOL_SOCKET, options[i].name, &value, &len);
		if (r <= 0)
			continue;
		*(protobuf_c_boolean *)((char *)u + options[i].has) = 1;
		*(s32 *)((char *)u + options[i].value) = value;
	}
	struct timeval t;
	socklen_t len = sizeof t;
	if (r >= 0 && (r = socket_option(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len)) > 0)
		SET(u, receive_timeout, t.tv_sec * 1000000 + t.tv_usec);
	if (r >= 0 && (r = socket_option(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &len)) > 0)
		SET(u, send_timeout, t.tv_sec * 1000000 + t.tv_usec);
	if (r < 0)
		return r;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	if (poll(&poll_fd, 1, 0) < 0)
		return fail(SYSCALL, neg_errno(), "poll");
	SET(u, reset, (poll_fd.revents & POLLERR) != 0);
	int unsent;
	r = socket_queue(fd, SIOCOUTQ, &unsent);
	if (r > 0)
		SET(u, unsent, (u32)unsent);
	return r < 0 ? r : collect_creator(fd, u);
}

/* The supplementary groups of who made it. */
static int collect_groups(int fd, Ckpt__Unix *u)
{
	gid_t few[32];
	socklen_t len = sizeof few;
	_cleanup_free_ gid_t *many = NULL;
	if (!u->creator_pid)
		return 0;
	int r = socket_option(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len);
	if (r == 0 && errno == ERANGE && len > sizeof few) {
		many = malloc(len);
		if (!many)
			return fail_memory();
		r = socket_option(fd, SOL_SOCKET, SO_PEERGROUPS, many, &len);
	}
	for (size_t i = 0; r > 0 && i < len / sizeof(gid_t); i++)
		if (!MESSAGE_APPEND(&u->n_creator_group, &u->creator_group, (many ?: few)[i]))
			return fail_memory();
	return MIN(r, 0);
}

/* Only socketpair(2) tells a datagram socket who made it: this one was connected to a name, and its owner is gone. */
static int collect_lost(int fd, Ckpt__Unix *u)
{
	struct sockaddr_un address = { 0 };
	socklen_t len = sizeof address;
	if (!is_datagram(u) || !u->peer_closed || u->creator_pid || getpeername(fd, (void *)&address, &len) < 0 ||
	    len <= sizeof address.sun_family)
		return 0;
	u->has_lost_address = true;
	len = MIN(len - sizeof address.sun_family, NAME_ROOM);
	return message_set_bytes(&u->lost_address, address.sun_path, len) ? 0 : fail_memory();
}

static int unix_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Unix *u = o->data;
	int fd = collector_fd(c), family, type;
	socklen_t len = sizeof family;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockopt of %s", subject->link);
	SET(u, inode, subject->file->ino);
	const char *name = type == SOCK_RAW ? "raw" : (size_t)type < ARRAY_SIZE(types) ? types[type] : NULL;
	if (!message_set_string(&u->type, name ?: "other"))
		return fail_memory();
	if (family != AF_UNIX) {
		SET(u, family, (u32)family);
		return 0;
	}
	int r = collect_relations(c, fd, o, u);
	if (r == 0 && u->has_state)
		r = collect_name(fd, u);
	if (r < 0)
		return r;
	r = collect_options(fd, u);
	if (r == 0)
		r = collect_lost(fd, u);
	if (r == 0)
		r = collect_groups(fd, u);
	if (r == 0)
		r = collect_common_options(fd, u);
	return r == 0 ? collect_queue(c, fd, u) : r;
}

/* --- judge --- */

static int refuse_family(const Ckpt__Unix *u)
{
	static const struct {
		u32 family;
		enum diag_code code;
		const char *name;
	} families[] = {
		{ AF_VSOCK, DIAG_SOCKET_FAMILY, "a virtual machine's (vsock)" },
		{ AF_ALG, DIAG_SOCKET_FAMILY, "a kernel cryptography (AF_ALG)" },
		{ AF_BLUETOOTH, DIAG_SOCKET_FAMILY, "a Bluetooth" },
		{ AF_CAN, DIAG_SOCKET_FAMILY, "a CAN bus" },
		{ AF_TIPC, DIAG_SOCKET_FAMILY, "a TIPC" },
		{ 44 /* AF_XDP */, DIAG_SOCKET_FAMILY, "an XDP" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family == u->family)
			return diag_report(DIAG_ERROR, families[i].code, 0, "%s socket of type %s", families[i].name, u->type);
	return fail(SOCKET_FAMILY, 0, "a socket of family %u and type %s", u->family, u->type);
}

/* A datagram socket that sends to a name. Two that send to each other and of which one has no name are a pair. */
static bool is_directed(const struct graph *graph, const Ckpt__Unix *u)
{
	if (u->has_lost_address)
		return true;
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	if (!peer || !is_datagram(u) || !peer->has_address)
		return false;
	bool mutual = peer->peer && graph_data(graph, &kind_unix, peer->peer) == u;
	return !mutual || u->has_address;
}

/* What a client has sent before it was accepted can be read by nobody else. */
static int judge_waiting(const Ckpt__Unix *u)
{
	size_t known = 0;
	for (size_t i = 0; i < u->n_file; i++)
		known += u->file[i] != 0;
	if (u->pending > known)
		return fail(UNIX_PENDING, 0, "%zu of %u at %s come from outside", u->pending - known, u->pending, u->name);
	if (u->unaccepted && u->unsent)
		return fail(UNIX_PENDING, 0, "data was sent before socket:[%llu] was accepted", (unsigned long long)u->inode);
	return 0;
}

/* Datagrams are sent again by who has sent them: the other end of a pair, a name of the tree, or somebody without a name. */
static int judge_senders(const struct graph *graph, const Ckpt__Unix *u)
{
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	bool pair = u->connected && !is_directed(graph, u);
	const char *name = u->name ?: "a socket without a name";
	for (size_t i = 0; is_datagram(u) && i < u->n_message; i++) {
		const Ckpt__UnixMessage *m = u->message[i];
		if (pair && m->has_source && (!peer || !has_source(m, peer)))
			return fail(UNIX_PENDING, 0, "a datagram at %s that its other end has not sent", name);
		if (!pair && m->has_source && !named(graph, &kind_unix, &m->source))
			return fail(UNIX_PENDING, 0, "a datagram at %s from a name that is not in the tree", name);
		if (!pair && !u->has_address)
			return fail(UNIX_PENDING, 0, "a datagram at %s", name);
	}
	return 0;
}

/* What one socket has sent to it: datagrams may be of many. */
static int judge_sent(const Ckpt__Unix *u)
{
	char where[40];
	u64 bytes = 0;
	for (size_t i = 0; i < u->n_message && (!is_datagram(u) || !bytes); i++)
		bytes += u->message[i]->data.len;
	snprintf(where, sizeof where, "socket:[%llu]", (unsigned long long)u->inode);
	return judge_room(bytes, where);
}

/* A connection without a name to somebody outside: standard input and output of services are such. */
static bool unix_external(const struct graph *graph _unused_, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	return u->has_peer_inode && !u->peer && !u->has_address && !is_datagram(u);
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	unsigned long long inode = u->inode;
	if (file_is_external(graph, o->id)) {
		note(FILE_GIVEN, u->unread ? "socket:[%llu], with %u bytes that are not kept" : "socket:[%llu]", inode,
		     u->unread);
		return 0;
	}
	if (u->has_family)
		return refuse_family(u);
	if (!u->has_state)
		return fail(UNIX_NAMESPACE, 0, "socket:[%llu]%s", inode, socket_far(u->far));
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	int r = u->has_address ? judge_name_dump(graph, &kind_unix, u) : 0;
	if (peer && peer->peer != o->id && !is_directed(graph, u))
		r = fail(UNIX_NAMED, 0, "socket:[%llu] sends to %s", inode, peer->name ?: "a socket without a name");
	if (u->has_peer_inode && !u->peer)
		r = fail(UNIX_EXTERNAL, 0, "socket:[%llu], connected to socket:[%llu]", inode,
			 (unsigned long long)u->peer_inode);
	if (u->peer_closed && !is_datagram(u) && u->shutdown != 3)
		r = fail(UNIX_EXTERNAL, 0, "socket:[%llu], which a socket outside has not accepted yet", inode);
	if (u->urgent)
		r = fail(UNIX_URGENT, 0, "socket:[%llu]", inode);
	int waiting = judge_waiting(u), queue = judge_senders(graph, u), room = judge_sent(u);
	return waiting ?: queue ?: room ?: r;
}

/* A process id that a short-lived helper takes must be free, or belong to the tree (that is checked elsewhere). */
static int judge_id(const struct graph *graph, u32 pid, const char *what)
{
	char path[32];
	if (!pid || graph_find(graph, &kind_task, pid))
		return 0;
	snprintf(path, sizeof path, "/proc/%u", pid);
	return access(path, F_OK) < 0 ? 0 : fail(UNIX_CREATOR, 0, "process %u %s", pid, what);
}

static int judge_message(const struct graph *graph, const Ckpt__UnixMessage *m)
{
	if (m->n_file > MAX_DESCRIPTORS)
		return fail(IMAGE_INCONSISTENT, 0, "%zu descriptors in one message", m->n_file);
	for (size_t i = 0; i < m->n_file; i++)
		if (!graph_find(graph, &kind_file, m->file[i]))
			return fail(IMAGE_INCONSISTENT, 0, "a message holds file %u, which is not there", m->file[i]);
	return judge_id(graph, m->pid, "sent a message");
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	bool directed = is_directed(graph, u);
	if (!type_number(u->type) || u->n_creator_group > NGROUPS_MAX ||
	    (u->peer && (!peer || (peer->peer != o->id && !directed) || (u->peer == o->id && !directed))))
		return fail(IMAGE_INCONSISTENT, 0, "socket %u, peer %u", o->id, u->peer);
	int r = judge_common_options(u);
	for (size_t i = 0; i < u->n_message && r == 0; i++)
		r = judge_message(graph, u->message[i]);
	for (size_t i = 0; i < u->n_file; i++) {
		const Ckpt__Unix *client = graph_data(graph, &kind_unix, u->file[i]);
		if (!u->has_backlog || !u->has_address || !client || !client->unaccepted)
			return fail(IMAGE_INCONSISTENT, 0, "socket %u waits at socket %u", u->file[i], o->id);
	}
	bool first =
		is_accepted(graph, &kind_unix, u) || !u->peer || (o->id < u->peer && !is_accepted(graph, &kind_unix, peer));
	int creator = first ? judge_id(graph, u->creator_pid, "made it") : 0;
	int name = judge_name_restore(graph, &kind_unix, u), lost = judge_lost_restore(u), room = judge_sent(u);
	return r ?: creator ?: name ?: lost ?: room;
}

static int unix_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

static bool has_sender(const Ckpt__Unix *u)
{
	bool any = false;
	for (size_t i = 0; i < u->n_message; i++)
		any |= u->message[i]->has_source;
	return any;
}

/* Is a datagram of the tree to be sent again by a socket that is found by its name? */
static bool needs_names(const struct graph *graph)
{
	enum { NO = 1, YES };
	u32 known = graph_recall(graph, unix_key(NEEDS_NAMES, 0));
	bool any = known == YES;
	if (known)
		return any;
	for (struct object *o = NULL; !any && (o = graph_next(graph, &kind_unix, o));)
		any = has_sender(o->data);
	(void)graph_remember(graph, unix_key(NEEDS_NAMES, 0), any ? YES : NO); /* else the next one looks again */
	return any;
}

/* What has nothing to do with another socket, nor with another process's id or directory. */
static bool unix_at_home(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	bool alone = !u->connected && !u->peer && !u->peer_closed && !u->has_backlog && !u->unaccepted && !u->n_message &&
		     !u->has_lost_address;
	return alone && !(u->has_address && (needs_reaching(u) || needs_names(graph) || (u->path && names_are_watched(graph))));
}

/* A connection at a name where the world listens, to the end as who does so now: it is made there, also by others who have that socket. */
static bool is_accepted_apart(const struct graph *graph, const Ckpt__Unix *accepted)
{
	const Ckpt__Unix *client = accepted->peer ? graph_data(graph, &kind_unix, accepted->peer) : NULL;
	const struct object *at =
		client && is_accepted(graph, &kind_unix, accepted) ? listener_of(graph, &kind_unix, accepted) : NULL;
	const Ckpt__Unix *listens = at ? at->data : NULL;
	return listens && !listens->n_file && !needs_reaching(listens) && same_creator(client, listens) &&
	       !client->has_address && !is_directed(graph, client);
}

/* Sockets that have to do with each other by their names are known to each other only in one table. */
static bool unix_apart(const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	bool paired = peer && !is_directed(graph, u) && !is_directed(graph, peer);
	bool accepted =
		u->has_address ? is_accepted_apart(graph, u) : peer && peer->has_address && is_accepted_apart(graph, peer);
	return (accepted || !u->has_address) && !u->has_backlog && !u->unaccepted && !u->has_lost_address && !has_sender(u) &&
	       (paired || !u->peer);
}

/* Of two that send to each other and of which one has no name the pair is made at once. */
static bool has_direction(const struct graph *graph, const Ckpt__Unix *u)
{
	const Ckpt__Unix *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	return is_directed(graph, u) || (peer && is_directed(graph, peer));
}

/* All that send to a name are connected in one order, when the first of them is planned. */
static int plan_directions(struct plan *plan, const struct graph *graph, const struct object *mine)
{
	u32 deepest = 0, first = graph_recall(graph, unix_key(DIRECTED, 0));
	if (first && first != mine->id)
		return 0;
	for (struct object *o = NULL; (o = graph_next(graph, &kind_unix, o));)
		if (has_direction(graph, o->data))
			deepest = MAX(deepest, depth_of(graph, o->data));
	for (u32 depth = deepest; depth > 0; depth--)
		for (struct object *o = NULL; (o = graph_next(graph, &kind_unix, o));)
			if (has_direction(graph, o->data) && depth_of(graph, o->data) == depth)
				plan_directed(plan, graph, o);
	return graph_remember(graph, unix_key(DIRECTED, 0), mine->id) < 0 ? fail_memory() : 0;
}

static int unix_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *peer = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	u32 slots[2];
	if (is_accepted(graph, &kind_unix, u)) {
		const struct object *listener = plan_home(plan, o->id) ? listener_of(graph, &kind_unix, u) : NULL;
		if (listener)
			plan_connection(plan, graph, ARG(plan_fd(plan, listener->id)), listener, o);
		else if (!listener_of(graph, &kind_unix, u) && first_accepted(graph, &kind_unix, u) == o)
			plan_orphans(plan, graph, o);
		return 0; /* its listener makes it */
	}
	if (peer && is_accepted(graph, &kind_unix, peer))
		return 0;
	bool pair = peer && !is_directed(graph, u) && !is_directed(graph, peer);
	if (pair && o->id > u->peer)
		return 0; /* its peer makes it */
	if (!pair && (!u->peer_closed || u->has_lost_address)) {
		plan_alone(plan, graph, o);
		return u->peer || u->has_lost_address ? plan_directions(plan, graph, o) : 0;
	}
	plan_socketpair(plan, u, slots);
	plan_name(plan, ARG_OF_SLOT(slots[0]), o->id, u);
	if (pair)
		plan_name(plan, ARG_OF_SLOT(slots[1]), u->peer, peer);
	if (pair)
		plan_pair(plan, graph, o, slots);
	else
		plan_widow(plan, graph, o, slots);
	return 0;
}

const struct resource resource_unix = {
	.name = "unix",
	.scope = SCOPE_FILE,
	.kind = &kind_unix,
	.claims = unix_claims,
	.collect = unix_collect,
	.judge = unix_judge,
	.external = unix_external,
	.at_home = unix_at_home,
	.apart = unix_apart,
	.plan = unix_plan,
};
