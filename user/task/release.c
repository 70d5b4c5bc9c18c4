// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of a freeze: the tree goes on, or is killed. */
#include "task/tree_internal.h"
#include "base/file.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void detach(struct tree_thread *t)
{
	if (!t->stopped) { /* detaching needs a stop */
		ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
		for (int tries = 0; tries < 1000 && !t->stopped && tree_take_stop(t) == 0; tries++)
			tree_pause((unsigned)tries);
	}
	ptrace(PTRACE_DETACH, t->tid, 0, 0);
	t->seized = t->stopped = false;
}

/* Those in group-stop, or those that run; how many there were. */
static size_t detach_those(struct tree *tree, bool in_stop)
{
	size_t n = 0;
	/* threads that run at once take the CPU: sleepers, which are most, cost nothing, so plain order will do */
	for (size_t i = 0; i < tree->processes.n; i++)
		for (size_t k = 0; k < tree->processes.v[i].threads.n; k++) {
			struct tree_thread *t = &tree->processes.v[i].threads.v[k];
			if (!t->seized || (t->stop_signal != 0) != in_stop)
				continue;
			detach(t);
			n++;
		}
	return n;
}

#define STOP_PATIENCE 10000 /* looks; they take half a millisecond each after the first hundreds */

/* A thread that is let go in a group-stop runs for a moment, into the same stop (do_signal_stop()). */
static void await_stop(const struct tree_process *p, pid_t tid)
{
	for (unsigned round = 0; round < STOP_PATIENCE; round++) {
		_cleanup_text_ struct text stat = { 0 };
		const char *name_end =
			file_readf(&stat, p->proc, "task/%d/stat", tid) == 0 && stat.data ? strrchr(stat.data, ')') : NULL;
		if (!name_end || !name_end[1] || name_end[2] != 'R')
			return;
		tree_pause(round);
	}
}

void tree_thaw(struct tree *tree)
{
	size_t stopped = detach_those(tree, true);
	for (size_t i = 0; stopped && i < tree->processes.n; i++)
		for (size_t k = 0; k < tree->processes.v[i].threads.n; k++)
			if (tree->processes.v[i].threads.v[k].stop_signal)
				await_stop(&tree->processes.v[i], tree->processes.v[i].threads.v[k].tid);
	detach_those(tree, false); /* so nobody of the tree sees a stopped task run */
	tree->frozen_at = 0;
}

/* What it waits for is a word, or the end of ckpt. Nothing that is sent to ckpt's group or terminal ends it. */
static _Noreturn void be_guard(int wait, const struct tree *tree, void (*undone)(const void *), const void *arg)
{
	sigset_t all;
	char byte;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (read(wait, &byte, 1) != 1) {
		for (size_t i = 0; i < tree->processes.n; i++)
			syscall(SYS_pidfd_send_signal, tree->processes.v[i].pidfd, SIGKILL, NULL, 0);
		if (undone)
			undone(arg);
	}
	_exit(0);
}

int tree_guard(struct tree_guard *ret, const struct tree *tree, void (*undone)(const void *arg), const void *arg)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "pipe2");
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		be_guard(ends[0], tree, undone, arg);
	}
	*ret = (struct tree_guard){ pid, ends[1], ends[0] };
	if (pid > 0)
		return 0;
	int r = fail(SYSCALL, neg_errno(), "fork");
	close(ends[0]);
	close(ends[1]);
	ret->pid = 0;
	return r;
}

void tree_guard_end(struct tree_guard *guard)
{
	if (guard->pid <= 0)
		return;
	close(guard->tell);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(guard->wait);
	guard->pid = 0;
}

/* None dies with ckpt from here on. Until the last one is let off, who was let off dies by the guard. */
static int let_off(struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		if (p->threads.n && p->threads.v[0].seized && ptrace(PTRACE_SETOPTIONS, p->pid, 0, 0) < 0) {
			WORKING_ON_TASK(p->pid);
			return fail(SYSCALL, neg_errno(), "PTRACE_SETOPTIONS");
		}
	}
	return 0;
}

int tree_let_off(struct tree *tree, struct tree_guard *guard)
{
	int r = 0;
	if (!guard->pid && tree->processes.n > 1) /* one process is let off in one call */
		r = tree_guard(guard, tree, NULL, NULL);
	if (r == 0)
		r = let_off(tree);
	if (r == 0 && guard->pid && write(guard->tell, "", 1) != 1)
		r = fail(SYSCALL, neg_errno(), "write");
	tree_guard_end(guard);
	return r;
}

void tree_leave_stopped(const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		syscall(SYS_pidfd_send_signal, tree->processes.v[i].pidfd, SIGSTOP, NULL, 0);
}

int tree_kill(struct tree *tree)
{
	int r = 0;
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		WORKING_ON_TASK(p->pid);
		if (syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
			r = fail(SYSCALL, neg_errno(), "pidfd_send_signal(SIGKILL)");
	}
	/* the tracer must reap every thread before the leader can be reaped by its parent */
	for (size_t i = 0; r == 0 && i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		for (size_t k = p->threads.n; k-- > 0;) {
			struct tree_thread *t = &p->threads.v[k];
			int status;
			while (t->seized && waitpid(t->tid, &status, __WALL) == t->tid && WIFSTOPPED(status))
				;
			t->seized = t->stopped = false;
		}
	}
	tree->frozen_at = 0;
	return r;
}

void tree_free(struct tree *tree)
{
	tree_thaw(tree);
	tree_clear(tree);
}
