// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the plan of the tree: what each process and each of its threads sets. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "restore/compile.h"
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define STACK_BYTES 2048

void compile_spawn(struct compiler *c, u32 by, enum stage stage, u32 tid, const struct clone_args *args)
{
	struct clone_args full = *args;
	full.stack_size = STACK_BYTES;
	full.set_tid_size = 1;
	if (full.child_tid)
		full.flags |= CLONE_CHILD_CLEARTID;
	u32 id = plan_data(c->plan, &tid, sizeof tid, 8);
	u32 data = plan_data(c->plan, &full, sizeof full, 8);
	plan_pointer(c->plan, data + (u32)offsetof(struct clone_args, set_tid), id);
	plan_pointer(c->plan, data + (u32)offsetof(struct clone_args, stack), plan_stack(c->plan, tid) - STACK_BYTES);
	struct arg spawn[6] = { ARG_OF_DATA(data), ARG(sizeof full), ARG(plan_array(c->plan, tid)) };
	plan_for(c->plan, "%s %u", args->flags & CLONE_THREAD ? "thread" : "process", tid);
	step_expect(plan_op(c->plan, AT(by, stage), OP_SPAWN, 0, spawn), tid);
}

/* mm fields and the program file: children are born before their parent sets its own. */
static int memory_fields(struct compiler *c, const Ckpt__Task *t)
{
	const Ckpt__Mm *m = graph_data(c->graph, &kind_mm, t->mm);
	struct prctl_mm_map map = {
		.start_code = m->start_code,
		.end_code = m->end_code,
		.start_data = m->start_data,
		.end_data = m->end_data,
		.start_brk = m->start_brk,
		.brk = m->brk,
		.start_stack = m->start_stack,
		.arg_start = m->arg_start,
		.arg_end = m->arg_end,
		.env_start = m->env_start,
		.env_end = m->env_end,
		.auxv_size = (u32)m->auxv.len,
		.exe_fd = (u32)plan_fd(c->plan, m->exe),
	};
	u32 auxv = plan_data(c->plan, m->auxv.data, m->auxv.len, 8), data = plan_data(c->plan, &map, sizeof map, 8);
	plan_pointer(c->plan, data + (u32)offsetof(struct prctl_mm_map, auxv), auxv);
	plan_for(c->plan, "mm fields of process %u", t->pid);
	plan_call(c->plan, AT(t->pid, STAGE_MM), SYS_prctl, ARG(PR_SET_MM), ARG(PR_SET_MM_MAP), ARG_OF_DATA(data),
		  ARG(sizeof map));
	return 0;
}

void compile_name(struct compiler *c, struct place place, const char *name)
{
	char comm[16] = { 0 };
	strncpy(comm, name ?: "", sizeof comm - 1);
	plan_call(c->plan, place, SYS_prctl, ARG(PR_SET_NAME), ARG_OF_DATA(plan_data(c->plan, comm, sizeof comm, 8)));
}

static void thread_own(struct compiler *c, const Ckpt__Thread *t)
{
	struct place place = AT(t->tid, STAGE_THREAD);
	plan_for(c->plan, "thread %u", t->tid);
	compile_name(c, place, t->comm);
	if (t->rseq && t->rseq->address)
		plan_call(c->plan, place, SYS_rseq, ARG(t->rseq->address), ARG(t->rseq->length), ARG(0),
			  ARG(t->rseq->signature));
	if (t->robust_list)
		plan_call(c->plan, place, SYS_set_robust_list, ARG(t->robust_list), ARG(24)); /* struct robust_list_head */
	if (!t->altstack || t->altstack->flags & SS_DISABLE)
		return;
	stack_t stack = { .ss_sp = (void *)(uintptr_t)t->altstack->sp,
			  .ss_size = t->altstack->size,
			  .ss_flags = (int)(t->altstack->flags & ~(u32)SS_ONSTACK) };
	u32 data = plan_data(c->plan, &stack, sizeof stack, 8);
	plan_call(c->plan, place, SYS_sigaltstack, ARG_OF_DATA(data), ARG(0));
}

/* A descriptor table that is not the process's begins as a copy of that, with all service descriptors; its owner makes those that
 * share it, when it is filled. */
static void spawn_thread(struct compiler *c, const Ckpt__Thread *t)
{
	bool owns = t->fds == t->tid;
	compile_spawn(
		c, t->fds && !owns ? t->fds : t->pid, STAGE_THREADS, t->tid,
		&(struct clone_args){ .flags = THREAD_FLAGS & ~(owns ? CLONE_FILES : 0ull), .child_tid = t->clear_child_tid });
	if (owns)
		compile_table(c, t->tid);
}

static void threads(struct compiler *c, const Ckpt__Task *task)
{
	for (size_t i = 0; i < task->n_tid; i++)
		if (task->tid[i] != task->pid)
			spawn_thread(c, graph_data(c->graph, &kind_thread, task->tid[i]));
	if (task->has_leader_exit) { /* it ends when all is done (leaders.c) */
		plan_for(c->plan, "leader %u, which has ended", task->pid);
		compile_name(c, AT(task->pid, STAGE_THREAD), task->comm);
	}
	for (size_t i = 0; i < task->n_tid; i++)
		thread_own(c, graph_data(c->graph, &kind_thread, task->tid[i]));
}

/* It hangs on its parent, the root on ckpt, until ckpt holds it: before anything takes its rights away. */
static void hold(struct compiler *c, const Ckpt__Task *t)
{
	plan_for(c->plan, "hold of process %u", t->pid);
	plan_hold(c->plan, AT(t->pid, STAGE_IDS), t->ppid);
}

int compile_tree(struct compiler *c)
{
	int r = compile_kin(c);
	if (r == 0)
		r = compile_homes(c);
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		compile_session(c, t);
		if (shape_is_zombie(t))
			continue;
		hold(c, t);
		if (t->mm == t->pid)
			r = compile_memory(c, t);
		if (r == 0)
			r = compile_files(c, t);
		if (r == 0 && t->mm == t->pid)
			r = memory_fields(c, t);
		threads(c, t);
	}
	return r < 0 && !diag_failed() ? fail_memory() : r;
}
