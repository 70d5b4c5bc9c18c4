/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that cannot be made before a process of the tree is there, since they tell of it: one of those who have such a file opens
 * it when that process has been born, and sends it to the others. Inline, since resources do not use each other. */
#pragma once
#include "model/reflect.h"
#include "resource/file_scope.h"
#include <sys/socket.h>

static inline u64 referred_key(u32 file, bool watched) { return map_mix(watched ? 0x52454645 : 0x52454646, file); }

struct referred {
	const struct graph *graph;
	bool watched, failed;
};

static inline bool note_referred(void *arg, const struct object *o _unused_, u32 file)
{
	struct referred *r = arg;
	r->failed = graph_remember(r->graph, referred_key(file, r->watched), 1) < 0;
	return r->failed;
}

/* Does something else than these refer to the file? Found out for all files at once. */
static inline bool is_referred(const struct graph *graph, u32 file, bool watched, const char *const *but)
{
	struct referred r = { .graph = graph, .watched = watched };
	u64 known = referred_key(0, watched);
	if (!graph_recall(graph, known)) {
		graph_references(graph, but, note_referred, &r);
		r.failed = r.failed || graph_remember(graph, known, 1) < 0;
	}
	return r.failed ? graph_refers(graph, file, but) : graph_recall(graph, referred_key(file, watched)) != 0;
}

/* Who opens the file; 0: no process has it, or something other than a descriptor refers to it. watched: an epoll entry may, which is
 * added when the file is there (STAGE_OWN_WATCH). */
static inline u32 opener_of(const struct graph *graph, u32 file, bool watched)
{
	const char *const later[] = { "fds", watched ? "epoll" : NULL, NULL };
	return is_referred(graph, file, watched, later) ? 0 : first_holder(graph, file);
}

/* Where the opener does it; a plan without tasks has only the world. */
static inline struct place opener_place(const struct plan *plan, u32 opener)
{
	return plan_array(plan, opener) == UINT32_MAX ? AT(PLAN_WORLD, STAGE_CREATE) : AT(opener, STAGE_GROUP);
}

/* From here on the process `pid` of the tree has been born. */
static inline void plan_await_birth(struct plan *plan, struct place at, u32 pid)
{
	char name[24];
	if (plan_array(plan, pid) == UINT32_MAX)
		return;
	snprintf(name, sizeof name, "born %u", pid);
	u32 word = plan_word(plan, name);
	plan_post(plan, AT(pid, STAGE_UNMAP), word); /* STAGE_BIRTH is for who makes its session there */
	plan_wait(plan, at, word, 1);
}

/* A message with one descriptor, or with room for one: struct msghdr in the arena. *ret_fd: where the descriptor is. */
static inline u32 opener_message(struct plan *plan, int fd, u32 *ret_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct cmsghdr *c = (struct cmsghdr *)control;
	*c = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	struct msghdr header = { .msg_iovlen = 1, .msg_controllen = sizeof control };
	u32 at = plan_data(plan, &header, sizeof header, 8), data = plan_data(plan, control, sizeof control, 8);
	u32 iov = plan_data(plan, &(struct iovec){ .iov_len = 1 }, sizeof(struct iovec), 8);
	plan_pointer(plan, iov, plan_data(plan, NULL, 1, 1));
	plan_pointer(plan, at + offsetof(struct msghdr, msg_iov), iov);
	plan_pointer(plan, at + offsetof(struct msghdr, msg_control), data);
	*ret_fd = data + (u32)(CMSG_DATA(c) - (u8 *)control);
	return at;
}

/* The holder gets the file from the opener. ends: data offset of the two ends of a socket pair, of which the world has made
 * slots. */
static inline void plan_send(struct plan *plan, struct place from, struct place to, u32 file, const u32 ends[2])
{
	u32 word;
	struct arg service = ARG(plan_fd(plan, file));
	struct arg sent = ARG_OF_DATA(opener_message(plan, plan_fd(plan, file), &word));
	step_expect(plan_call(plan, from, SYS_sendmsg, ARG_OF_SLOT(ends[0]), sent, ARG(MSG_NOSIGNAL)), 1);
	struct arg received = ARG_OF_DATA(opener_message(plan, -1, &word));
	step_expect(plan_call(plan, to, SYS_recvmsg, ARG_OF_SLOT(ends[1]), received, ARG(MSG_CMSG_CLOEXEC)), 1);
	struct arg fd = ARG_OF_SLOT(step_result(plan, plan_op(plan, to, OP_LOAD, 0, (struct arg[6]){ ARG(word) })));
	plan_call(plan, to, SYS_dup3, fd, service, ARG(O_CLOEXEC));
	plan_call(plan, to, SYS_close, fd);
}

/* A socket pair of the world, at numbers above all service descriptors. */
static inline void plan_pair(struct plan *plan, const struct graph *graph, u32 ret_ends[2])
{
	struct place world = AT(PLAN_WORLD, STAGE_CREATE);
	u32 pair = plan_data(plan, NULL, 2 * sizeof(s32), 8), files = 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_file, o));)
		files = MAX(files, o->id);
	plan_call(plan, world, SYS_socketpair, ARG(AF_UNIX), ARG(SOCK_SEQPACKET | SOCK_CLOEXEC), ARG(0), ARG_OF_DATA(pair));
	for (u32 i = 0; i < 2; i++) {
		struct plan_step *load = plan_op(plan, world, OP_LOAD, 0, (struct arg[6]){ ARG(pair + 4 * i) });
		struct arg low = ARG_OF_SLOT(step_result(plan, load)), above = ARG(plan_fd(plan, files + 1));
		ret_ends[i] = step_result(plan, plan_call(plan, world, SYS_fcntl, low, ARG(F_DUPFD_CLOEXEC), above));
		plan_call(plan, world, SYS_close, low);
	}
}

/* Is a table, which has the file, the one for which its origin gets it? Its own, or else the first that is made from it. */
static inline bool table_asks(const struct graph *graph, const struct object *table, u32 file)
{
	u32 origin = table_origin(graph, table->id);
	const struct object *own = graph_find(graph, &kind_fds, origin);
	if (origin == table->id || (own && table_has(own, file)))
		return origin == table->id;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_fds, o)) && o != table;)
		if (table_origin(graph, o->id) == origin && table_has(o, file))
			return false;
	return true;
}

/* The opener has the file at its service place: all others who have it get it. */
static inline void plan_send_all(struct plan *plan, const struct graph *graph, u32 file, u32 opener)
{
	struct place at = opener_place(plan, opener);
	u32 ends[2] = { 0 };
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_fds, o));) {
		u32 origin = table_origin(graph, o->id);
		if (origin == opener || !table_has(o, file) || plan_array(plan, origin) == UINT32_MAX ||
		    !table_asks(graph, o, file))
			continue;
		if (!ends[0])
			plan_pair(plan, graph, ends);
		plan_send(plan, at, AT(origin, STAGE_GROUP), file, ends);
	}
}

/* A descriptor of this slot goes to the file's service place. */
static inline void plan_place_own(struct plan *plan, struct place at, u32 slot, u32 file)
{
	plan_call(plan, at, SYS_dup3, ARG_OF_SLOT(slot), ARG(plan_fd(plan, file)), ARG(O_CLOEXEC));
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(slot));
}

/* The opener has the file at a descriptor of this slot: it goes to its service place there, and to all others who have it. */
static inline void plan_hand_out(struct plan *plan, const struct graph *graph, u32 file, u32 opener, u32 slot)
{
	plan_place_own(plan, opener_place(plan, opener), slot, file);
	plan_send_all(plan, graph, file, opener);
}
