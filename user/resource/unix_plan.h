/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How unix sockets are made again. A part of unix.c. */
#pragma once
#include "base/map.h"
#include "creds.pb-c.h"
#include "resource/unix_options.h"

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define LINK AT(PLAN_WORLD, STAGE_LINK)
#define SETTLE AT(PLAN_WORLD, STAGE_SETTLE)
#define MADE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Ordinary users may set none. */
static inline void plan_supplementary(struct plan *plan, struct place at, const u32 *groups, size_t n)
{
	step_any(plan_call(plan, at, SYS_setgroups, ARG(n), ARG_OF_DATA(plan_data(plan, groups, n * sizeof *groups, 4))));
}

static inline void plan_become(struct plan *plan, struct place at, const Ckpt__Unix *u)
{
	if (!u->creator_pid)
		return;
	plan_supplementary(plan, at, u->creator_group, u->n_creator_group);
	step_any(plan_call(plan, at, SYS_setresgid, ARG(-1), ARG(u->creator_gid), ARG(-1)));
	step_any(plan_call(plan, at, SYS_setresuid, ARG(-1), ARG(u->creator_uid), ARG(-1)));
}

static inline u64 groups_key(const Ckpt__Unix *u)
{
	u64 key = u->n_creator_group;
	for (size_t i = 0; i < u->n_creator_group; i++)
		key = map_mix(key, u->creator_group[i]);
	return key;
}

/* SO_PEERCRED tells who called socketpair(): a process with that id and those credentials does it. */
static inline struct place creator(struct plan *plan, const Ckpt__Unix *u)
{
	char name[64];
	snprintf(name, sizeof name, "creator %u %u %u %llx", u->creator_pid, u->creator_uid, u->creator_gid,
		 (unsigned long long)groups_key(u));
	bool is_new;
	struct place at = plan_helper(plan, CREATE, name, u->creator_pid, &is_new);
	if (is_new)
		plan_become(plan, at, u);
	return at;
}

/* file: which it becomes, or is made for. */
static inline u32 plan_socket(struct plan *plan, u32 file, const Ckpt__Unix *u)
{
	u32 type = (u32)type_number(u->type) | SOCK_NONBLOCK | plan_cloexec(plan, file);
	return step_result(plan,
			   plan_call(plan, plan_at(plan, file, STAGE_CREATE), SYS_socket, ARG(AF_UNIX), ARG(type), ARG(0)));
}

/* A connected pair: the slots of both descriptors. */
static inline void plan_socketpair(struct plan *plan, const Ckpt__Unix *u, u32 ret_slots[2])
{
	u32 fds = plan_data(plan, (int[2]){ -1, -1 }, 8, 4);
	struct place at = creator(plan, u);
	plan_helper_call(plan, at, CREATE, SYS_socketpair,
			 (struct arg[6]){ ARG(AF_UNIX), ARG(type_number(u->type) | MADE_FLAGS), ARG(0), ARG_OF_DATA(fds) });
	for (u32 i = 0; i < 2; i++)
		ret_slots[i] = step_result(plan, plan_op(plan, CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(fds + 4 * i) }));
}

static inline void plan_place(struct plan *plan, const struct graph *graph, u32 slot, u32 file)
{
	plan_place_fd(plan, slot, file);
	plan_status_flags(plan, plan_at(plan, file, STAGE_CREATE), file, file_flags(graph, file), O_NONBLOCK);
}

static inline struct plan_step *set_option(struct plan *plan, u32 file, int name, const void *value, u32 len)
{
	return plan_call(plan, plan_at(plan, file, STAGE_SETTLE), SYS_setsockopt, ARG(plan_fd(plan, file)), ARG(SOL_SOCKET),
			 ARG(name), ARG_OF_DATA(plan_data(plan, value, len, 8)), ARG(len));
}

static inline void plan_options(struct plan *plan, u32 file, const Ckpt__Unix *u)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		s32 value = *(const s32 *)((const char *)u + options[i].value);
		int name = options[i].name;
		if (!*(const protobuf_c_boolean *)((const char *)u + options[i].has))
			continue;
		if (options[i].always) {
			value /= 2; /* the kernel doubles what it is given */
		} else if (value == options[i].initial) {
			continue;
		}
		set_option(plan, file, name, &value, sizeof value);
		if (options[i].always &&
		    value > 212992) /* the common net.core.?mem_max; for more a right, which no user namespace gives */
			step_any(set_option(plan, file, name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, &value,
					    sizeof value));
	}
	for (size_t i = 0; i < u->n_option; i++)
		set_option(plan, file, find_common_option(u->option[i]->name)->number, &u->option[i]->value,
			   sizeof u->option[i]->value);
	s64 receive[2] = { u->receive_timeout / 1000000, u->receive_timeout % 1000000 };
	s64 send[2] = { u->send_timeout / 1000000, u->send_timeout % 1000000 };
	if (u->receive_timeout)
		set_option(plan, file, SO_RCVTIMEO, receive, sizeof receive);
	if (u->send_timeout)
		set_option(plan, file, SO_SNDTIMEO, send, sizeof send);
}

static inline u32 plan_control(struct plan *plan, const Ckpt__UnixMessage *m, size_t *ret_len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS) + CMSG_SPACE(sizeof(struct ucred))] = {
		0
	};
	struct cmsghdr *c = (struct cmsghdr *)control;
	*ret_len = 0;
	if (m->n_file) {
		*c = (struct cmsghdr){ CMSG_LEN(m->n_file * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (size_t i = 0; i < m->n_file; i++)
			((int *)CMSG_DATA(c))[i] = plan_fd(plan, m->file[i]);
		*ret_len += CMSG_SPACE(m->n_file * sizeof(int));
		c = (struct cmsghdr *)(control + *ret_len);
	}
	if (m->pid) {
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS };
		memcpy(CMSG_DATA(c), &(struct ucred){ (pid_t)m->pid, m->uid, m->gid }, sizeof(struct ucred));
		*ret_len += CMSG_SPACE(sizeof(struct ucred));
	}
	return *ret_len ? plan_data(plan, control, *ret_len, 8) : 0;
}

/* struct msghdr in the arena. */
static inline u32 plan_msghdr(struct plan *plan, const Ckpt__UnixMessage *m, const Ckpt__Unix *to)
{
	size_t control_len;
	u32 control = plan_control(plan, m, &control_len);
	u32 data = plan_data(plan, m->data.data, m->data.len, 8);
	u32 iov = plan_data(plan, &(struct iovec){ .iov_len = m->data.len }, sizeof(struct iovec), 8);
	struct msghdr header = { .msg_iovlen = 1, .msg_controllen = control_len };
	if (to)
		header.msg_namelen = (socklen_t)name_len(to);
	u32 at = plan_data(plan, &header, sizeof header, 8);
	if (to)
		plan_pointer(plan, at + offsetof(struct msghdr, msg_name), (u32)arg_name(plan, to).value);
	plan_pointer(plan, iov, data);
	plan_pointer(plan, at + offsetof(struct msghdr, msg_iov), iov);
	if (control)
		plan_pointer(plan, at + offsetof(struct msghdr, msg_control), control);
	return at;
}

static inline bool has_source(const Ckpt__UnixMessage *m, const Ckpt__Unix *u)
{
	return u->has_address && m->source.len == u->address.len && !memcmp(m->source.data, u->address.data, u->address.len);
}

/* One message into a queue; one with credentials is sent by a process of that id. by_name: to the name of the receiver. */
static inline void plan_send(struct plan *plan, struct arg from, const struct object *to, size_t index, bool by_name)
{
	const Ckpt__Unix *u = to->data;
	const Ckpt__UnixMessage *m = u->message[index];
	struct arg args[6] = { from, ARG_OF_DATA(plan_msghdr(plan, m, by_name ? u : NULL)), ARG(MSG_DONTWAIT | MSG_NOSIGNAL) };
	if (!m->pid && !(by_name && needs_reaching(u))) {
		step_expect(plan_op(plan, LINK, OP_CALL, SYS_sendmsg, args), (s64)m->data.len);
		return;
	}
	char name[64];
	snprintf(name, sizeof name, "sender %u %zu", to->id, index);
	struct place at = plan_helper(plan, LINK, name, m->pid, NULL);
	if (by_name)
		plan_reach(plan, at, to->id, u);
	step_expect(plan_helper_call(plan, at, LINK, SYS_sendmsg, args), (s64)m->data.len);
}

/* What is sent through a socket may be more than its buffer allows in the end, and each message takes room beside its bytes. More
 * than the common net.core.wmem_max is a matter of rights. own: its buffer, which holds what it has sent elsewhere too. */
static inline void plan_room(struct plan *plan, struct arg from, const Ckpt__Unix *to, int own)
{
	u64 need = (own > 212992 ? (u64)own : 0) + to->n_message * 2048;
	for (size_t i = 0; i < to->n_message; i++)
		need += to->message[i]->data.len;
	int room = (int)MIN(MAX(need, 1u << 20), (u64)INT32_MAX / 2);
	for (int i = 0; i < (need > 1 << 17 ? 2 : 1); i++)
		step_any(plan_call(plan, LINK, SYS_setsockopt, from, ARG(SOL_SOCKET), ARG(i ? SO_SNDBUFFORCE : SO_SNDBUF),
				   ARG_OF_DATA(plan_data(plan, &room, sizeof room, 4)), ARG(sizeof room)));
}

/* Datagrams from others than its other end: from the socket of the tree that has the name, or from one that has none. */
static inline void plan_datagram(struct plan *plan, const struct graph *graph, const struct object *to, size_t index)
{
	const Ckpt__UnixMessage *m = ((const Ckpt__Unix *)to->data)->message[index];
	const struct object *sender = m->has_source ? named(graph, &kind_unix, &m->source) : NULL;
	if (sender) {
		plan_room(plan, ARG(plan_fd(plan, sender->id)), to->data, ((const Ckpt__Unix *)sender->data)->send_buffer);
		plan_send(plan, ARG(plan_fd(plan, sender->id)), to, index, true);
		return;
	}
	struct plan_step *made = plan_call(plan, LINK, SYS_socket, ARG(AF_UNIX), ARG(SOCK_DGRAM | MADE_FLAGS), ARG(0));
	struct arg nobody = ARG_OF_SLOT(step_result(plan, made));
	plan_room(plan, nobody, to->data, 0);
	plan_send(plan, nobody, to, index, true);
	plan_call(plan, LINK, SYS_close, nobody);
}

/* Its queue, filled through the descriptor of its other end, which gets room for all of it first; NULL: by names. */
static inline void plan_queue(struct plan *plan, const struct graph *graph, const struct arg *from, const struct object *to)
{
	const Ckpt__Unix *u = to->data;
	if (u->n_message && from)
		plan_room(plan, *from, u, 0);
	for (size_t i = 0; i < u->n_message; i++) {
		if (from)
			plan_send(plan, *from, to, i, false);
		else
			plan_datagram(plan, graph, to, i);
	}
}

static inline void plan_shutdown(struct plan *plan, u32 file, const Ckpt__Unix *u)
{
	plan_options(plan, file, u);
	if (u->shutdown & 3)
		plan_call(plan, plan_at(plan, file, STAGE_SETTLE), SYS_shutdown, ARG(plan_fd(plan, file)),
			  ARG((u->shutdown & 3) - 1));
}

static inline void plan_pair(struct plan *plan, const struct graph *graph, const struct object *o, const u32 slots[2])
{
	const Ckpt__Unix *a = o->data;
	const struct object *other = graph_find(graph, &kind_unix, a->peer);
	const Ckpt__Unix *b = other->data;
	struct arg mine = ARG(plan_fd(plan, o->id)), theirs = ARG(plan_fd(plan, other->id));
	plan_place(plan, graph, slots[0], o->id);
	plan_place(plan, graph, slots[1], a->peer);
	plan_queue(plan, graph, &theirs, o);
	plan_queue(plan, graph, &mine, other);
	plan_shutdown(plan, o->id, a);
	plan_shutdown(plan, a->peer, b);
}

/* One end whose peer is closed. What the peer had not read when it was closed makes the error that waits. */
static inline void plan_widow(struct plan *plan, const struct graph *graph, const struct object *o, const u32 slots[2])
{
	const Ckpt__Unix *u = o->data;
	struct arg gone = ARG_OF_SLOT(slots[1]);
	plan_place(plan, graph, slots[0], o->id);
	plan_queue(plan, graph, &gone, o);
	if (u->reset)
		plan_call(plan, LINK, SYS_sendto, ARG(plan_fd(plan, o->id)), arg_string(plan, "x"), ARG(1),
			  ARG(MSG_DONTWAIT | MSG_NOSIGNAL));
	plan_call(plan, LINK, SYS_close, gone);
	plan_options(plan, o->id, u);
	if (u->shutdown & 3)
		step_any(plan_call(plan, SETTLE, SYS_shutdown, ARG(plan_fd(plan, o->id)), ARG((u->shutdown & 3) - 1)));
}

/* SO_PEERCRED tells who called listen() last before the connection was made. */
static inline void plan_listen(struct plan *plan, u32 socket, u32 number, const Ckpt__Unix *who, u32 backlog)
{
	char name[32];
	snprintf(name, sizeof name, "listener %u", number);
	struct place at = plan_helper(plan, CREATE, name, who->creator_pid, NULL);
	plan_become(plan, at, who);
	plan_helper_call(plan, at, CREATE, SYS_listen, (struct arg[6]){ ARG_OF_SLOT(socket), ARG(backlog) });
}

/* The ends of a connection to the socket that listens at a slot: connected by a process with the old id, accepted at once. It
 * may have had rights to reach the name that the credentials it has now would not give. named: whose name it is. */
static inline void plan_connection(struct plan *plan, const struct graph *graph, struct arg listener,
				   const struct object *named, const struct object *o)
{
	const Ckpt__Unix *u = o->data, *client = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
	char name[32];
	u32 slots[2];
	slots[1] = plan_socket(plan, u->peer, u);
	if (client)
		plan_name(plan, ARG_OF_SLOT(slots[1]), u->peer, client);
	snprintf(name, sizeof name, "connector %u", o->id);
	struct place at = plan_helper(plan, CREATE, name, u->creator_pid, NULL);
	plan_become(plan, at, u);
	step_any(plan_call(plan, at, SYS_setfsuid, ARG(0)));
	step_expect(plan_use_name(plan, at, CREATE, SYS_connect, ARG_OF_SLOT(slots[1]), named->id, named->data), 0);
	slots[0] = step_result(plan, plan_call(plan, CREATE, SYS_accept4, listener, ARG(0), ARG(0), ARG(MADE_FLAGS)));
	if (u->peer)
		plan_pair(plan, graph, o, slots);
	else
		plan_widow(plan, graph, o, slots);
}

static inline bool same_creator(const Ckpt__Unix *a, const Ckpt__Unix *b)
{
	return a->creator_pid == b->creator_pid && a->creator_uid == b->creator_uid && a->creator_gid == b->creator_gid &&
	       groups_key(a) == groups_key(b);
}

/* All connections that were accepted at a name, each after who listened then has listened. */
static inline void plan_accepted(struct plan *plan, const struct graph *graph, u32 listener, const struct object *named,
				 const Ckpt__Unix *listens)
{
	for (struct object *o = NULL; (o = graph_next(graph, &kind_unix, o));) {
		const Ckpt__Unix *u = o->data, *client = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
		if (!is_accepted(graph, &kind_unix, u) || !same_name(u, named->data) || plan_home(plan, o->id))
			continue;
		if (client && (!listens || !same_creator(client, listens)))
			plan_listen(plan, listener, o->id, listens = client, 5);
		else if (!listens)
			plan_listen(plan, listener, o->id, listens = u, 5);
		plan_connection(plan, graph, ARG_OF_SLOT(listener), named, o);
	}
}

static inline const Ckpt__Creds *creds_of(const struct graph *graph, u32 pid)
{
	for (size_t i = 0; i < graph->objects.n; i++)
		if (graph->objects.v[i]->id == pid && !strcmp(graph->objects.v[i]->kind->name, "creds"))
			return graph->objects.v[i]->data;
	return NULL;
}

/* Connections that wait to be accepted. Who has the descriptor makes the connection: that is what SO_PEERCRED will tell then. */
static inline void plan_waiting(struct plan *plan, const struct graph *graph, const struct object *listener)
{
	const Ckpt__Unix *u = listener->data;
	for (size_t i = 0; i < u->n_file; i++) {
		char name[32];
		snprintf(name, sizeof name, "waiter %u", u->file[i]);
		u32 pid = first_holder(graph, u->file[i]);
		const Ckpt__Creds *creds = creds_of(graph, pid);
		struct place at = plan_helper(plan, LINK, name, pid, NULL);
		if (creds) {
			plan_supplementary(plan, at, creds->group, creds->n_group);
			step_any(plan_call(plan, at, SYS_setresgid, ARG(-1), ARG(creds->egid), ARG(-1)));
			step_any(plan_call(plan, at, SYS_setresuid, ARG(-1), ARG(creds->euid), ARG(-1)));
			step_any(plan_call(plan, at, SYS_setfsuid, ARG(0)));
		}
		step_expect(plan_use_name(plan, at, LINK, SYS_connect, ARG(plan_fd(plan, u->file[i])), listener->id, u), 0);
	}
}

static inline void plan_listener(struct plan *plan, const struct graph *graph, const struct object *o, u32 socket)
{
	const Ckpt__Unix *u = o->data, *last = u;
	plan_listen(plan, socket, o->id, u, u->backlog);
	plan_accepted(plan, graph, socket, o, u);
	for (struct object *other = NULL; (other = graph_next(graph, &kind_unix, other));) {
		const Ckpt__Unix *client = other->data,
				 *end = client->peer ? graph_data(graph, &kind_unix, client->peer) : NULL;
		if (end && is_accepted(graph, &kind_unix, end) && same_name(end, u))
			last = client;
	}
	char again[32];
	snprintf(again, sizeof again, "again %u", o->id);
	if (!same_creator(last, u)) {
		struct place at = plan_helper(plan, CREATE, again, u->creator_pid, NULL);
		plan_become(plan, at, u);
		plan_helper_call(plan, at, CREATE, SYS_listen, (struct arg[6]){ ARG_OF_SLOT(socket), ARG(u->backlog) });
	}
	plan_waiting(plan, graph, o);
}

/* Nobody listens at their name any more: a socket does for a moment. */
static inline void plan_orphans(struct plan *plan, const struct graph *graph, const struct object *first)
{
	u32 socket = plan_socket(plan, first->id, first->data);
	plan_name(plan, ARG_OF_SLOT(socket), first->id, first->data);
	plan_accepted(plan, graph, socket, first, NULL);
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(socket));
}

/* Datagrams go to the name of its other end. */
static inline void plan_direction(struct plan *plan, const struct object *o, const struct object *to)
{
	char name[32];
	snprintf(name, sizeof name, "director %u", o->id);
	struct place at = plan_helper(plan, SETTLE, name, 0, NULL);
	step_expect(plan_use_name(plan, at, SETTLE, SYS_connect, ARG(plan_fd(plan, o->id)), to->id, to->data), 0);
}

#define LOST 0x80000000u /* with its number: what has the lost name for a moment */

/* Datagrams went to a name whose owner is gone: it has one that goes as soon as it is connected to. */
static inline void plan_lost(struct plan *plan, const struct object *o, const Ckpt__Unix *u)
{
	char path[NAME_ROOM + 16];
	bool rooted = u->lost_address.data[0] == '/', abstract = !u->lost_address.data[0];
	Ckpt__Unix owner = CKPT__UNIX__INIT;
	owner.type = u->type;
	owner.has_address = true;
	owner.address = u->lost_address;
	snprintf(path, sizeof path, "%s%.*s", rooted ? "" : "/there/", (int)u->lost_address.len,
		 (const char *)u->lost_address.data);
	owner.path = abstract ? NULL : path;
	owner.deleted = !abstract;
	owner.mode = 0600;
	u32 socket = plan_socket(plan, o->id | LOST, &owner);
	plan_name(plan, ARG_OF_SLOT(socket), o->id | LOST, &owner);
	plan_direction(plan, o, &(struct object){ .id = o->id | LOST, .data = &owner });
	plan_call(plan, SETTLE, SYS_close, ARG_OF_SLOT(socket));
}

static inline void plan_directed(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	plan_for(plan, "unix %u", o->id);
	if (u->peer)
		plan_direction(plan, o, graph_find(graph, &kind_unix, u->peer));
	if (u->has_lost_address)
		plan_lost(plan, o, u);
}

#define DEEPEST 1024u

/* Who sends to somebody hears nobody else, and nobody else may be connected to it (unix_may_send() in net/unix/af_unix.c). So the
 * longer the way from a socket to one that sends to nobody, the earlier it is connected. */
static inline u32 depth_of(const struct graph *graph, const Ckpt__Unix *u)
{
	u32 depth = 1;
	for (; depth < DEEPEST; depth++) {
		const Ckpt__Unix *next = u->peer ? graph_data(graph, &kind_unix, u->peer) : NULL;
		if (!next || next == u || !(next->peer || next->has_lost_address) ||
		    (next->peer && graph_data(graph, &kind_unix, next->peer) == u))
			break;
		u = next;
	}
	return depth;
}

static inline void plan_alone(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Unix *u = o->data;
	u32 socket = plan_socket(plan, o->id, u);
	plan_name(plan, ARG_OF_SLOT(socket), o->id, u);
	if (u->has_backlog)
		plan_listener(plan, graph, o, socket);
	plan_place(plan, graph, socket, o->id);
	plan_queue(plan, graph, NULL, o);
	plan_shutdown(plan, o->id, u);
}
