// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns processes that were stopped by job control: they are stopped again, and their parents learn nothing of it; and stops
 * that are still to come. */
#include "base/file.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/execute_internal.h"
#include "signals.pb-c.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_PATIENCE 10000 /* times 1 ms */

static bool is_stopped(const Ckpt__Task *t) { return t->state && !strcmp(t->state, "stopped"); }

int await_state(u32 tid, const char *letters)
{
	for (int tries = 0; tries < STOP_PATIENCE; tries++) {
		_cleanup_text_ struct text stat = { 0 };
		int r = file_readf(&stat, AT_FDCWD, "/proc/%u/stat", tid);
		const char *state = stat.data ? strrchr(stat.data, ')') : NULL;
		if (r < 0 || !state || !state[1] || !state[2])
			return fail(REGISTERS, r, "/proc/%u/stat", tid);
		if (strchr(letters, state[2]))
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return fail(REGISTERS, -ETIMEDOUT, "its state does not become %s", letters);
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

/* Only a signal that nobody handles has stopped it. */
static bool has_default_action(u32 pid, u32 signal)
{
	_cleanup_text_ struct text status = { 0 };
	if (file_readf(&status, AT_FDCWD, "/proc/%u/status", pid) < 0)
		return false;
	const char *ignored = status_field(status.data, "SigIgn"), *caught = status_field(status.data, "SigCgt");
	return ignored && caught && !((strtoull(ignored, NULL, 16) | strtoull(caught, NULL, 16)) >> (signal - 1) & 1);
}

static int set_mask(pid_t pid, u64 mask)
{
	return ptrace(PTRACE_SETSIGMASK, pid, sizeof mask, &mask) < 0 ? fail(REGISTERS, neg_errno(), "PTRACE_SETSIGMASK") : 0;
}

/* It is held: a SIGSTOP comes to ckpt first, and goes on as the signal that is wanted, with all others blocked. */
static int stop_by(u32 process, u32 first, u32 signal)
{
	int status;
	pid_t tid = (pid_t)first;
	if (syscall(SYS_tgkill, process, tid, SIGSTOP) < 0)
		return fail(SYSCALL, neg_errno(), "tgkill(SIGSTOP)");
	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		return fail(REGISTERS, neg_errno(), "it does not get SIGSTOP");
	int r = set_mask(tid, ~(1ull << (signal - 1)));
	if (r == 0 && ptrace(PTRACE_CONT, tid, 0, (long)signal) < 0)
		r = fail(REGISTERS, neg_errno(), "PTRACE_CONT");
	if (r == 0)
		r = await_state(first, "Tt");
	return r < 0 ? r : set_mask(tid, ~0ull);
}

/* The signal tells on only when its parent is still to be told of it. */
static int stop_task(const struct execution *x, const Ckpt__Task *t)
{
	u32 signal = t->ppid && t->stop_unseen ? t->stop_unseen : SIGSTOP;
	WORKING_ON_TASK(t->pid);
	if (signal != SIGSTOP && !has_default_action(t->pid, signal))
		return fail(IMAGE_INCONSISTENT, 0, "signal %u, which has stopped it, does not stop it", signal);
	return stop_by(t->pid, shape_first(x->graph, t->pid), signal);
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
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));)
		if (is_stopped(o->data))
			r = stop_task(x, o->data);
	return r;
}

static int remote(const struct execution *x, u32 tid, long nr, const u64 args[6], s64 *ret)
{
	arch_regs regs;
	int r = remote_get_regs((pid_t)tid, &regs);
	return r < 0 ? r : remote_call((pid_t)tid, &regs, execution_syscall(x), nr, args, ret);
}

/* The parent takes the wait status of the stop, unless it had not yet before the dump, and the SIGCHLD: either it had done so, or
 * its own is in the image. */
static int swallow(struct execution *x, const Ckpt__Task *t)
{
	u32 child = t->pid, parent = shape_first(x->graph, t->ppid);
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
	u64 args[6] = { P_PID, child, where, WSTOPPED | WNOHANG | (u32)__WALL };
	int r = t->stop_unseen ? 0 : remote(x, parent, SYS_waitid, args, &result);
	if (r < 0 || result < 0 || (!t->stop_unseen && info->si_pid != (pid_t)child))
		return fail(REGISTERS, r < 0 ? r : (int)result, "its parent %u cannot wait for its stop", parent);
	if (has_own_sigchld(x, t->ppid))
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
		r = swallow(x, t);
	}
	return r;
}

static int send_stop(const Ckpt__Thread *t, u32 tid, bool to_process)
{
	pid_t pid = (pid_t)(t ? t->pid : tid);
	WORKING_ON_THREAD(tid);
	if ((to_process ? kill(pid, SIGSTOP) : (int)syscall(SYS_tgkill, pid, tid, SIGSTOP)) < 0)
		return fail(SYSCALL, neg_errno(), "kill(SIGSTOP)");
	return 0;
}

/* Nobody runs any more: it takes effect when they are let go. */
int send_stops(const struct execution *x)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, resource_signals.kind, o));) {
		const Ckpt__Signals *m = o->data;
		const Ckpt__Thread *t = graph_data(x->graph, &kind_thread, o->id);
		for (size_t i = 0; r == 0 && i < m->n_shared; i++)
			r = m->shared[i]->signal == SIGSTOP ? send_stop(t, o->id, true) : 0;
		for (size_t i = 0; r == 0 && i < m->n_pending; i++)
			r = m->pending[i]->signal == SIGSTOP ? send_stop(t, o->id, false) : 0;
	}
	return r;
}
