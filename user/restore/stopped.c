// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns processes that were stopped by job control: they are stopped again, and their parents learn nothing of it. */
#include "base/file.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "restore/execute_internal.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_PATIENCE 2000 /* times 1 ms */

static bool is_stopped(const Ckpt__Task *t) { return t->state && !strcmp(t->state, "stopped"); }

static int wait_stopped(u32 pid)
{
	for (int tries = 0; tries < STOP_PATIENCE; tries++) {
		_cleanup_text_ struct text stat = { 0 };
		int r = file_readf(&stat, AT_FDCWD, "/proc/%u/stat", pid);
		const char *state = stat.data ? strrchr(stat.data, ')') : NULL;
		if (r < 0 || !state)
			return fail(REGISTERS, r, "/proc/%u/stat", pid);
		if (state[2] == 'T' || state[2] == 't')
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return fail(REGISTERS, -ETIMEDOUT, "it does not stop");
}

/* A SIGCHLD that was pending before the stop is the program's own: one more makes no difference, and it stays. */
static int note_own_sigchld(struct execution *x, u32 pid)
{
	_cleanup_text_ struct text status = { 0 };
	int r = file_readf(&status, AT_FDCWD, "/proc/%u/status", pid);
	const char *pending = status.data ? status_field(status.data, "ShdPnd") : NULL;
	if (r < 0 || !pending)
		return fail(REGISTERS, r, "/proc/%u/status", pid);
	if (!(strtoull(pending, NULL, 16) >> (SIGCHLD - 1) & 1))
		return 0;
	u32 *place = vector_add(&x->own_sigchld);
	if (!place)
		return fail_memory();
	*place = pid;
	return 0;
}

static bool has_own_sigchld(const struct execution *x, u32 pid)
{
	for (size_t i = 0; i < x->own_sigchld.n; i++)
		if (x->own_sigchld.v[i] == pid)
			return true;
	return false;
}

/* It is held: the signal comes to ckpt first. */
static int pass_stop(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		return fail(REGISTERS, neg_errno(), "it does not get SIGSTOP");
	return ptrace(PTRACE_CONT, pid, 0, SIGSTOP) < 0 ? fail(REGISTERS, neg_errno(), "PTRACE_CONT") : 0;
}

/* Before the tree is frozen: the group-stop itself is the kernel's. */
int stop_tasks(struct execution *x)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		WORKING_ON_TASK(t->pid);
		r = is_stopped(t) && t->ppid ? note_own_sigchld(x, t->ppid) : 0;
	}
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (!is_stopped(t))
			continue;
		WORKING_ON_TASK(t->pid);
		if (kill((pid_t)t->pid, SIGSTOP) < 0)
			return fail(SYSCALL, neg_errno(), "kill(SIGSTOP)");
		r = pass_stop((pid_t)t->pid);
		if (r == 0)
			r = wait_stopped(t->pid);
	}
	return r;
}

static int remote(const struct execution *x, u32 tid, long nr, const u64 args[6], s64 *ret)
{
	arch_regs regs;
	int r = remote_get_regs((pid_t)tid, &regs);
	return r < 0 ? r : remote_call((pid_t)tid, &regs, execution_syscall(x), nr, args, ret);
}

/* The parent takes the wait status and the SIGCHLD of the stop, as it had done before the dump. */
static int swallow(struct execution *x, u32 child, u32 parent)
{
	u32 scratch = plan_stack(x->plan, parent) - 512;
	u64 where = x->site.data + scratch;
	siginfo_t *info = (siginfo_t *)(x->map + scratch);
	struct {
		u64 set, zero[2];
	} *wait = (void *)(x->map + scratch + 256);
	memset(info, 0, sizeof *info);
	memset(wait, 0, sizeof *wait);
	wait->set = 1ull << (SIGCHLD - 1);
	s64 result = 0;
	int r = remote(x, parent, SYS_waitid, (u64[6]){ P_PID, child, where, WSTOPPED | WNOHANG }, &result);
	if (r < 0 || result < 0 || info->si_pid != (pid_t)child)
		return fail(REGISTERS, r < 0 ? r : (int)result, "its parent %u cannot wait for its stop", parent);
	if (has_own_sigchld(x, parent))
		return 0;
	/* zero time: it does not sleep */
	r = remote(x, parent, SYS_rt_sigtimedwait, (u64[6]){ where + 256, 0, where + 264, 8 }, &result);
	return r < 0 ? fail(REGISTERS, r, "its parent %u cannot take SIGCHLD", parent) : 0;
}

int swallow_stops(struct execution *x)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (!is_stopped(t) || !t->ppid)
			continue;
		WORKING_ON_TASK(t->pid);
		r = swallow(x, t->pid, t->ppid);
	}
	return r;
}
