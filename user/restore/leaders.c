// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns leaders that had ended before the dump while other threads of their process lived: each makes its process as any leader does,
 * and ends when all is done, as it had ended. Its id stays until the last thread ends (kernel/exit.c, delay_group_leader()). */
#include "arch/arch.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "model/shape.h"
#include "restore/execute_internal.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* linux/ptrace.h, which cannot be included together with sys/ptrace.h. */
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

int leaders_await(struct execution *x)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (!t->has_leader_exit)
			continue;
		r = execution_await(x, t->pid);
		if (r == 0 && !plan_is_gated(x->plan, t->tid[0])) /* at the gate it was taken hold of */
			r = tree_hold((pid_t)t->tid[0], HOLD_PROCESS);
	}
	return r;
}

/* From where it is parked into exit(2), as far as its last stop. Its filters must not forbid that. */
static int aim_at_exit(const struct execution *x, const Ckpt__Task *t)
{
	pid_t pid = (pid_t)t->pid;
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT |
		       (plan_is_gated(x->plan, t->pid) ? PTRACE_O_SUSPEND_SECCOMP : 0);
	const u64 args[6] = { t->leader_exit >> 8 };
	struct remote_stop stop = { 0 };
	arch_regs regs;
	int r = remote_interrupt(pid, false);
	if (r == 0)
		r = ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0 ? neg_errno() : remote_get_regs(pid, &regs);
	if (r < 0)
		return r;
	arch_aim_call(&regs, execution_syscall(x), SYS_exit, args);
	r = remote_set_regs(pid, &regs);
	if (r == 0)
		r = remote_continue(pid, false, 0);
	if (r == 0)
		r = remote_wait_stop(pid, REMOTE_PATIENCE, &stop);
	return r == 0 && (stop.kind != STOP_OTHER || stop.event != PTRACE_EVENT_EXIT) ? -EPROTO : r;
}

/* A dead one that were still traced would be kept from its parent for as long as ckpt lives. */
static int end_leader(const struct execution *x, const Ckpt__Task *t)
{
	WORKING_ON_TASK(t->pid);
	int r = aim_at_exit(x, t);
	if (r == 0 && ptrace(PTRACE_DETACH, (pid_t)t->pid, 0, 0) < 0)
		r = neg_errno();
	return r < 0 ? fail(REGISTERS, r, "the end of its leader") : await_state(t->pid, "Z");
}

int leaders_end(struct execution *x)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));)
		if (((const Ckpt__Task *)o->data)->has_leader_exit)
			r = end_leader(x, o->data);
	return r;
}
