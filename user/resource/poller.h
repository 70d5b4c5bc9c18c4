/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings of io_uring(7) for which a thread of the kernel submits (IORING_SETUP_SQPOLL). It belongs to the process that made the ring and
 * has the rights that its maker had then: so a thread of that process takes these rights, makes the rings, and ends, before anything is
 * mapped. Inline, since resources do not use each other. */
#pragma once
#include "resource/file_scope.h"
#include "uring.pb-c.h"
#include <errno.h>

/* The process that makes the file; 0: the world does, or it is no ring. */
static inline u32 poller_of(const struct graph *graph, u32 file)
{
	const Ckpt__Uring *u = graph_data(graph, graph_kind(graph, "uring"), file);
	return u ? u->poller : 0;
}

/* Does the process make rings? */
static inline bool is_poller(const struct graph *graph, u32 pid)
{
	const struct kind *kind = graph_kind(graph, "uring");
	for (const struct object *o = NULL; kind && (o = graph_next(graph, kind, o));)
		if (((const Ckpt__Uring *)o->data)->poller == pid)
			return true;
	return false;
}

/* The array of the thread that makes a process' rings: it takes rights at STAGE_IDS and STAGE_CREDS, makes at STAGE_TIMERS. The process
 * goes on when it is gone. */
static inline u32 plan_poller(struct plan *plan, u32 pid)
{
	char name[24];
	snprintf(name, sizeof name, "poller %u", pid);
	u32 word = plan_word(plan, name), tid = PLAN_HELPER + word;
	if (plan_array(plan, tid) != UINT32_MAX || plan_thread(plan, tid) < 0)
		return tid;
	const u32 stack = 2048;
	struct place at = AT(pid, STAGE_UNMAP);
	struct clone_args args = { .flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
				   .stack_size = stack };
	u32 data = plan_data(plan, &args, sizeof args, 8);
	plan_pointer(plan, data + offsetof(struct clone_args, stack), plan_stack(plan, tid) - stack);
	struct plan_step *spawn = plan_op(plan, at, OP_SPAWN, 0,
					  (struct arg[6]){ ARG_OF_DATA(data), ARG(sizeof args), ARG(plan_array(plan, tid)) });
	struct arg born = ARG_OF_SLOT(step_result(plan, spawn));
	plan_wait(plan, at, word, 1);
	struct plan_step *is_there = plan_call(plan, at, SYS_tgkill, ARG(pid), born, ARG(0));
	step_any(is_there);
	plan_op(plan, at, OP_BRANCH, 0,
		(struct arg[6]){ ARG_OF_SLOT(step_result(plan, is_there)), ARG(-ESRCH), ARG(1), ARG(10000000) });
	plan_post(plan, AT(tid, STAGE_CLOSE), word);
	plan_op(plan, AT(tid, STAGE_CLOSE), OP_EXIT, 0, (struct arg[6]){ ARG(0) });
	return tid;
}
