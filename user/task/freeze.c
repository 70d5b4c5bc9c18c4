// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the freeze: every thread of the tree comes to a stop. */
#include "base/clock.h"
#include "task/tree_internal.h"
#include "base/child.h"
#include "base/file.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <sched.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define FREEZE_TIMEOUT 5000000000ull
#define VFORK_PATIENCE 10000000ull /* ns until a thread that does not stop is looked into */

/* New tasks are caught too. Without EXITKILL: if ckpt dies, the kernel detaches everything and the tree runs on. */
#define FREEZE_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)

/* The number after "Name:" in /proc/PID/task/TID/status. */
static long status_number(struct tree_process *p, pid_t tid, const char *name)
{
	_cleanup_text_ struct text text = { 0 };
	if (file_readf(&text, p->proc, "task/%d/status", tid) < 0)
		return -1;
	const char *at = strstr(text.data, name);
	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* Has the thread ended? PTRACE_SEIZE refuses such a one with EPERM. */
static bool has_ended(struct tree_process *p, pid_t tid)
{
	_cleanup_text_ struct text text = { 0 };
	if (file_readf(&text, p->proc, "task/%d/stat", tid) < 0)
		return true;
	const char *name = text.data ? strrchr(text.data, ')') : NULL;
	return name && name[1] && (name[2] == 'Z' || name[2] == 'X');
}

/* The leader has ended: all of the process, or, for as long as it has other threads, only its first. */
static int see_end(struct tree_process *p)
{
	struct task_stat stat;
	if (stat_read(p->proc, &stat) < 0)
		return -ESRCH;
	if (stat.threads > 1)
		p->leader_ended = true;
	else
		p->state = 'Z';
	return -ESRCH;
}

static int fail_traced(long tracer, int err)
{
	_cleanup_text_ struct text name = { 0 };
	int r = file_readf(&name, AT_FDCWD, "/proc/%ld/comm", tracer);
	int len = r < 0 || !name.data ? 0 : (int)strcspn(name.data, "\n");
	return fail(TRACED, err, "the tracer is process %ld (%.*s)", tracer, len, len ? name.data : "");
}

/* "running", or "NR ARGUMENT... SP PC" of a sleeping thread. */
static void see_call(struct tree_process *p, struct tree_thread *t)
{
	_cleanup_text_ struct text text = { 0 };
	struct arch_seen_call *seen = &t->seen;
	unsigned long long v[8];
	seen->nr = -1;
	if (file_readf(&text, p->proc, "task/%d/syscall", t->tid) < 0)
		return;
	if (sscanf(text.data, "%ld %llx %llx %llx %llx %llx %llx %llx %llx", &seen->nr, v, v + 1, v + 2, v + 3, v + 4, v + 5,
		   v + 6, v + 7) != 9)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(seen->arg); i++)
		seen->arg[i] = v[i];
	seen->sp = v[6];
	seen->pc = v[7];
}

/* Calls that the kernel never restarts were ended with EINTR by the freeze alone: they go on. */
static int cure(struct tree_thread *t)
{
	arch_regs regs;
	struct iovec io = { &regs, sizeof regs };
	if (ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &io) < 0)
		return neg_errno();
	if (!arch_cure_eintr(&regs, &t->seen))
		return 0;
	return ptrace(PTRACE_SETREGSET, t->tid, NT_PRSTATUS, &io) < 0 ? neg_errno() : 0;
}

/* Any stop but the awaited one swallows the pending PTRACE_INTERRUPT (kernel/signal.c, ptrace_stop): it is sent again. */
static int take_stop(struct tree_thread *t)
{
	int status;
	pid_t got = waitpid(t->tid, &status, __WALL | WNOHANG);
	if (got == 0 || (got < 0 && errno == EINTR))
		return 0;
	if (got < 0)
		return errno == ECHILD ? -ESRCH : neg_errno();
	if (!WIFSTOPPED(status))
		return -ESRCH;
	if (status >> 16 == PTRACE_EVENT_STOP) {
		t->stopped = true;
		t->stop_signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		return 0;
	}
	int signal = status >> 16 || WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
	ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
	ptrace(PTRACE_CONT, t->tid, 0, (long)signal);
	return 0;
}

int tree_take_stop(struct tree_thread *t)
{
	int r = take_stop(t);
	return r == 0 && t->stopped ? cure(t) : r;
}

/* It was seized before, a process at its birth, and may have stopped since: an interrupt would come on top of that. Its other threads
 * were sent one when they were seized. What is held gets other registers than those it stopped with. */
static int take_held(struct tree_process *p, struct tree_thread *t)
{
	t->seized = true;
	int r = take_stop(t);
	bool asks = r == 0 && !t->stopped && t == p->threads.v;
	return asks && ptrace(PTRACE_INTERRUPT, t->tid, 0, 0) < 0 && errno != ESRCH ? neg_errno() : r;
}

static int seize(struct tree_process *p, struct tree_thread *t, bool held)
{
	t->held = held;
	if (held && (t == p->threads.v || child_is_ours(t->tid)))
		return take_held(p, t);
	if (ptrace(PTRACE_SEIZE, t->tid, 0, FREEZE_OPTIONS) == 0) {
		t->seized = true;
		if (arch_decides_at_exit())
			see_call(p, t);
		return ptrace(PTRACE_INTERRUPT, t->tid, 0, 0) < 0 && errno != ESRCH ? neg_errno() : 0;
	}
	if (errno == ESRCH)
		return -ESRCH;
	int err = neg_errno();
	if (err == -EPERM && has_ended(p, t->tid))
		return t->tid == p->pid ? see_end(p) : -ESRCH;
	long tracer = status_number(p, t->tid, "\nTracerPid:");
	if (tracer == getpid()) { /* caught by PTRACE_O_TRACECLONE and friends: it stops by itself */
		t->seized = true;
		return 0;
	}
	WORKING_ON_TASK(p->pid);
	WORKING_ON_THREAD(t->tid);
	if (tracer > 0)
		return fail_traced(tracer, err);
	if (status_number(p, t->tid, "\nKthread:") == 1)
		return fail(KERNEL_THREAD, err, "PTRACE_SEIZE");
	return fail(PTRACE_DENIED, err, "PTRACE_SEIZE");
}

/* PTRACE_SEIZE refuses the dead as it refuses those that it may not have. */
static bool is_dead(pid_t tid)
{
	_cleanup_text_ struct text stat = { 0 };
	const char *name = file_readf(&stat, AT_FDCWD, "/proc/%d/stat", tid) == 0 && stat.data ? strrchr(stat.data, ')') : NULL;
	return !name || (name[1] && strchr("ZX", name[2]));
}

/* Its own children stop for nobody: each is held by itself. */
int tree_hold(pid_t tid, enum tree_hold how)
{
	bool unfiltered = how & HOLD_UNFILTERED;
	long options = PTRACE_O_TRACESYSGOOD | (how & HOLD_PROCESS ? PTRACE_O_EXITKILL : 0) |
		       (unfiltered ? PTRACE_O_SUSPEND_SECCOMP : 0);
	WORKING_ON_THREAD(tid);
	if (ptrace(PTRACE_SEIZE, tid, 0, options) == 0)
		return 0;
	int err = neg_errno();
	if (is_dead(tid))
		return fail(TASK_DIED, err, "before it was held");
	return unfiltered ? fail(SECCOMP_SUSPEND, err, "PTRACE_SEIZE") : fail(PTRACE_DENIED, err, "PTRACE_SEIZE");
}

int tree_stop_early(pid_t tid)
{
	int r = tree_hold(tid, 0);
	return r == 0 && ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0 ? fail(PTRACE_DENIED, neg_errno(), "PTRACE_INTERRUPT") : r;
}

static void forget_thread(struct tree_process *p, size_t i)
{
	memmove(&p->threads.v[i], &p->threads.v[i + 1], (--p->threads.n - i) * sizeof *p->threads.v);
}

#define MANY 16 /* who was asked to stop is looked at when all were asked */

struct freeze {
	struct tree *tree;
	u64 begin, deadline, patience;
	bool held;      /* by tree_hold() */
	bool here;      /* ckpt's CPU is theirs */
	sigset_t child; /* SIGCHLD: pending while ckpt looks, so that no stop falls between look and sleep */
	bool released;  /* vfork children were let go */
};

/* One pass over a process: seizes what is new, takes what has stopped. *ret_moving: threads that still run. */
static int freeze_pass(struct tree_process *p, const struct freeze *f, bool hold_off, size_t *ret_moving)
{
	bool many = f->tree->processes.n > MANY || p->threads.n > MANY;
	for (size_t i = 0; i < p->threads.n; i++) {
		struct tree_thread *t = &p->threads.v[i];
		if (t->stopped)
			continue;
		int r = 0;
		bool asked = !t->seized && !hold_off;
		if (asked)
			r = seize(p, t, f->held);
		if (r == 0 && t->seized && !t->stopped && !(asked && many))
			r = f->held ? take_stop(t) : tree_take_stop(t);
		if (r == -ESRCH) {
			forget_thread(p, i--);
			continue;
		}
		if (r < 0)
			return r;
		*ret_moving += !t->stopped;
	}
	return 0;
}

static bool process_moves(const struct tree_process *p)
{
	for (size_t i = 0; i < p->threads.n; i++)
		if (!p->threads.v[i].stopped)
			return true;
	return false;
}

/* A parent inside vfork(2) cannot stop before its child has executed another program or ended: the child, which lives on
 * the parent's memory, is let go until then. */
static void release_vfork_children(struct tree *tree)
{
	int status;
	for (size_t i = 1; i < tree->processes.n; i++) {
		struct tree_process *child = &tree->processes.v[i], *parent = tree_find(tree, child->ppid);
		if (!parent || !process_moves(parent) || !child->threads.n)
			continue;
		if (syscall(SYS_kcmp, parent->pid, child->pid, 1 /* KCMP_VM */, 0, 0) != 0)
			continue;
		for (size_t k = 0; k < child->threads.n; k++) {
			struct tree_thread *t = &child->threads.v[k];
			/* one that was caught by its parent's options may not have been taken yet */
			if (!t->stopped && (t->seized || waitpid(t->tid, &status, __WALL | WNOHANG) != t->tid))
				continue;
			ptrace(PTRACE_DETACH, t->tid, 0, 0);
			t->seized = t->stopped = false;
		}
	}
}

/* Does the process still share its parent's memory, with the parent on the move? Then it is left alone for now. */
static bool is_vfork_child(struct tree *tree, struct tree_process *p)
{
	struct tree_process *parent = p->ppid ? tree_find(tree, p->ppid) : NULL;
	return parent && process_moves(parent) && syscall(SYS_kcmp, parent->pid, p->pid, 1 /* KCMP_VM */, 0, 0) == 0;
}

static int report_timeout(struct tree *tree)
{
	int r = -ETIMEDOUT;
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		for (size_t k = 0; k < p->threads.n; k++) {
			if (p->threads.v[k].stopped || !p->threads.v[k].seized) /* a vfork child is let go */
				continue;
			_cleanup_text_ struct text wchan = { 0 };
			file_readf(&wchan, p->proc, "task/%d/wchan", p->threads.v[k].tid);
			WORKING_ON_TASK(p->pid);
			WORKING_ON_THREAD(p->threads.v[k].tid);
			r = fail(FREEZE_TIMEOUT, -ETIMEDOUT, "it sits in %s",
				 wchan.len && strcmp(wchan.data, "0") ? wchan.data : "user code or an unnamed kernel function");
		}
	}
	return r;
}

void tree_pause(unsigned round)
{
	if (round < 100) /* a stop takes some ten microseconds; to sleep takes longer (the timer slack is 50) */
		sched_yield();
	else
		nanosleep(&(struct timespec){ .tv_nsec = round < 200 ? 20000 : 500000 }, NULL);
}

static int order_processes(const void *a, const void *b)
{
	return ((const struct tree_thread *)a)->tid - ((const struct tree_thread *)b)->tid;
}

static int freeze_all(struct freeze *f, size_t *ret_moving)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < f->tree->processes.n; i++) {
		struct tree_process *p = &f->tree->processes.v[i];
		if (p->state != 'Z')
			r = freeze_pass(p, f, f->released && is_vfork_child(f->tree, p), ret_moving);
	}
	return r;
}

/* Until every thread that is known has stopped. */
static int settle(struct freeze *f)
{
	for (unsigned round = 0;; round++) {
		size_t moving = 0;
		int r = freeze_all(f, &moving);
		if (r < 0 || !moving)
			return r;
		u64 now = now_ns();
		if (now > f->deadline)
			return report_timeout(f->tree);
		if (now - f->begin > f->patience) {
			f->patience = 2 * (now - f->begin); /* it costs as much as the freeze itself */
			bool grew = false;                  /* a child that was born after the scan, and stopped at its birth */
			r = tree_scan_all(f->tree, f->held ? SCAN_LEADERS : SCAN_ALL, &grew);
			if (r < 0)
				return r;
			if (!f->held) { /* who is held is in no vfork(2), and could not be taken again */
				release_vfork_children(f->tree);
				f->released = true;
			}
		}
		if (f->here)
			sigtimedwait(&f->child, NULL, &(struct timespec){ .tv_nsec = (long)child_nap() });
		else
			tree_pause(round);
	}
}

/* Until a scan of the stopped tree finds nobody new: the new are born by those who were not stopped yet. */
static int freeze(struct freeze *f)
{
	for (bool grew = true; grew;) {
		int r = settle(f);
		grew = false;
		if (r == 0)
			r = tree_scan_all(f->tree, f->held ? SCAN_LEADERS : SCAN_ALL, &grew);
		if (r == 0 && grew && tree_find(f->tree, getpid()))
			return fail(TREE_CONTAINS_SELF, 0, "ckpt is process %d", getpid());
		if (r < 0) {
			WORKING_ON_TASK(f->tree->processes.v[0].pid);
			return diag_failed() ? r : tree_lost(r, "it ended during the freeze");
		}
	}
	return 0;
}

static int freeze_to_order(struct freeze *f)
{
	struct tree *tree = f->tree;
	sigset_t before;
	sigemptyset(&f->child);
	sigaddset(&f->child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &f->child, &before);
	int r = freeze(f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		r = tree->processes.v[0].state == 'Z' ? -ESRCH : tree_look_through(tree);
	if (r < 0 && !diag_failed()) {
		WORKING_ON_TASK(tree->processes.v[0].pid);
		r = tree_lost(r, "it ended during the freeze");
	}
	if (r < 0) {
		tree_thaw(tree);
		return r;
	}
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		if (p->threads.n > 2)
			qsort(p->threads.v + 1, p->threads.n - 1, sizeof *p->threads.v, order_processes);
	}
	return 0;
}

int tree_freeze(struct tree *ret, pid_t root, const struct freeze_options *options)
{
	int r = tree_scan_begin(ret, root, SCAN_LEADERS);
	if (r < 0)
		return r;
	u64 begin = now_ns();
	ret->frozen_at = begin;
	struct freeze f = {
		.tree = ret,
		.held = options && options->held,
		.here = options && options->here,
		.begin = begin,
		.patience = VFORK_PATIENCE,
	};
	f.deadline = begin + (options && options->timeout ? options->timeout : FREEZE_TIMEOUT);
	return freeze_to_order(&f);
}

static void set_running(struct tree *tree, int request)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		for (size_t k = 0; k < tree->processes.v[i].threads.n; k++) {
			struct tree_thread *t = &tree->processes.v[i].threads.v[k];
			if (t->runs_on)
				ptrace((__typeof__(PTRACE_CONT))request, t->tid, 0, 0);
			t->stopped &= !t->runs_on;
			t->runs_on &= request == PTRACE_CONT;
		}
}

int tree_run_on(struct tree *tree, u64 moment)
{
	set_running(tree, PTRACE_CONT);
	nanosleep(&(struct timespec){ .tv_nsec = (long)moment }, NULL);
	set_running(tree, PTRACE_INTERRUPT);
	u64 begin = now_ns();
	struct freeze f = { .tree = tree, .begin = begin, .patience = VFORK_PATIENCE, .deadline = begin + FREEZE_TIMEOUT };
	return freeze_to_order(&f);
}
