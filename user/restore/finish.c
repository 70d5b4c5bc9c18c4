// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the last steps, which the tracer makes: the arena's end, registers. */
#include "arch/arch.h"
#include "base/child.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "model/shape.h"
#include "restore/execute_internal.h"
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

u64 execution_syscall(const struct execution *x)
{
	s64 offset = arch_find_syscall((const void *)(uintptr_t)x->site.code, PAGE_BYTES);
	return x->site.code + (u64)offset;
}

struct finish {
	VECTOR(struct remote_home) homes; /* in the order of the graph's threads */
};

static int arm_all(struct execution *x, struct finish *f)
{
	for (struct object *o = NULL; (o = graph_next(x->graph, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		WORKING_ON_THREAD(t->tid);
		struct remote_home *home = vector_add(&f->homes);
		int r = home ? restore_interrupted(x, t, home) : fail_memory();
		if (r < 0)
			return r;
	}
	return 0;
}

/* One call per address space, made at the instruction that it unmaps: the trap is pending before it returns. */
static int unmap_arenas(struct execution *x)
{
	u64 pc = execution_syscall(x);
	for (struct object *o = NULL; (o = graph_next(x->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (shape_is_zombie(t) || t->mm != t->pid)
			continue;
		WORKING_ON_TASK(t->pid);
		arch_regs regs;
		s64 result = 0;
		pid_t first = (pid_t)shape_first(x->graph, t->pid);
		int r = remote_get_regs(first, &regs);
		if (r == 0)
			r = remote_call_trapped(first, &regs, pc, SYS_munmap,
						(u64[6]){ x->site.code, x->site.end - x->site.code }, &result);
		if (r < 0 || result < 0)
			return fail(REGISTERS, r < 0 ? r : (int)result, "unmapping the arena");
	}
	return 0;
}

/* Memory that the extended registers forbid (PKRU) is none that the thread needs any more. */
static bool may_finish_early(const struct execution *x, const Ckpt__Thread *t)
{
	return execution_stops_early(x, t) && restore_runs_nothing(t);
}

static int set_extended(const Ckpt__Thread *t) { return remote_set_extended((pid_t)t->tid, t->extended.data, t->extended.len); }

void finish_early(struct execution *x)
{
	for (const struct object *o = x->extended; (o = graph_next(x->graph, &kind_thread, o)); x->extended = o)
		if (may_finish_early(x, o->data) && set_extended(o->data) < 0) /* most likely it has not stopped yet */
			return;
}

static int set_all(struct execution *x, struct finish *f)
{
	size_t i = 0;
	bool early = x->extended;
	for (struct object *o = NULL; (o = graph_next(x->graph, &kind_thread, o)); i++) {
		const Ckpt__Thread *t = o->data;
		WORKING_ON_THREAD(t->tid);
		int r = early && may_finish_early(x, t) ? 0 : set_extended(t);
		early = early && o != x->extended;
		if (r < 0)
			return fail(REGISTERS, r, "%zu bytes of extended registers", t->extended.len);
		r = remote_resume((pid_t)t->tid, &f->homes.v[i], t->sigmask);
		if (r < 0)
			return fail(REGISTERS, r, "setting its registers");
		arch_regs *given = vector_add(&x->registers);
		if (!given)
			return fail_memory();
		*given = f->homes.v[i].regs;
	}
	return 0;
}

/* Every thread is woken some times: on ckpt's CPU, when that stays on one. */
static int bring_all(const struct execution *x, struct cpu_stay **ret)
{
	size_t n = 0;
	for (struct object *o = NULL; x->stay->len && (o = graph_next(x->graph, &kind_thread, o));)
		n++;
	*ret = n ? calloc(n, sizeof **ret) : NULL;
	if (n && !*ret)
		return fail_memory();
	n = 0;
	for (struct object *o = NULL; *ret && (o = graph_next(x->graph, &kind_thread, o));)
		cpu_bring(*ret + n++, (pid_t)o->id, x->stay);
	return 0;
}

static int release_all(const struct execution *x, struct cpu_stay *brought)
{
	size_t n = 0;
	for (struct object *o = NULL; brought && (o = graph_next(x->graph, &kind_thread, o));) {
		WORKING_ON_THREAD(o->id);
		int r = cpu_release(brought + n++, (pid_t)o->id);
		if (r < 0)
			return fail(SYSCALL, r, "sched_setaffinity");
	}
	return 0;
}

int execute_finish(struct execution *x)
{
	_cleanup_free_ struct cpu_stay *brought = NULL;
	int r = bring_all(x, &brought);
	if (r < 0)
		return r;
	for (u32 i = 0, tid; (tid = plan_gated(x->plan, i)); i++)
		if (!graph_find(x->graph, &kind_task, shape_maker(x->graph, tid)))
			ptrace(PTRACE_INTERRUPT, (pid_t)tid, 0, 0); /* seized already */
	r = leaders_end(x);
	if (r == 0)
		r = stop_tasks(x);
	if (r == 0)
		r = tree_freeze(&x->tree, x->root, &(struct freeze_options){ .held = true, .here = brought });
	if (r == 0)
		r = swallow_stops(x);
	struct finish f = { 0 };
	if (r == 0)
		r = arm_all(x, &f);
	if (r == 0)
		r = unmap_arenas(x);
	if (r == 0)
		r = set_all(x, &f);
	if (r == 0)
		r = restore_dispatch(x);
	if (r == 0)
		r = send_stops(x);
	vector_free(&f.homes);
	return r == 0 ? release_all(x, brought) : r;
}

/* Who lost his parent is found in no tree. An id is killed only as long as it is a tracee, dead or not. */
static void kill_held(const struct execution *x)
{
	for (u32 i = 0; i < x->held; i++) {
		u32 pid = plan_held(x->plan, i)->pid, first = shape_first(x->graph, pid);
		if (child_is_ours((pid_t)pid) || child_is_ours((pid_t)first)) /* the signal is for all of its threads */
			kill((pid_t)pid, SIGKILL);
	}
}

/* Threads that are seized are reaped by ckpt, and before that no process can be. */
static void reap_threads(const struct execution *x)
{
	for (struct object *o = NULL; (o = graph_next(x->graph, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		if (t->pid != t->tid)
			child_reap((pid_t)t->tid);
	}
}

void execute_undo(struct execution *x)
{
	child_end(x->stand_in);
	x->stand_in = 0;
	if (!child_is_ours(x->root)) { /* a root that a stand-in has not made yet is another's process, or none */
		birth_undo(x);
		return;
	}
	size_t mark = diag_mark();
	if (!x->tree.processes.n && tree_scan(&x->tree, x->root) < 0)
		kill(x->root, SIGKILL);
	kill_held(x);
	tree_kill(&x->tree);
	diag_survived(mark);
	reap_threads(x);
	for (u32 i = 0; i < x->held; i++)
		if (child_is_ours((pid_t)plan_held(x->plan, i)->pid))
			child_end((pid_t)plan_held(x->plan, i)->pid);
	if (child_is_ours(x->root))
		child_end(x->root);
	x->root = 0;
}
