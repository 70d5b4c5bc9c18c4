// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of a freeze: the tree goes on, or is killed. */
#include "task/tree_internal.h"
#include "base/child.h"
#include "base/file.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#define FLAGS_FIELD 9 /* of /proc/PID/stat */
#define THREADS_FIELD 20
#define EXIT_FIELD 52 /* exit code: from the very kill on (Linux 5.18) */

static const char *field(const char *stat, int number)
{
	const char *at = strrchr(stat, ')');
	for (int i = 2; at && i < number; i++)
		at = strchr(at + 1, ' ');
	return at ? at + 1 : "";
}

/* Before Linux 5.18 the signal itself shows until the process takes it. A leader that others outlive has not ended its process. */
bool task_was_killed(int proc)
{
	_cleanup_text_ struct text stat = { 0 }, status = { 0 };
	if (file_read(proc, "stat", &stat) < 0 || !stat.data || file_read(proc, "status", &status) < 0 || !status.data)
		return true;
	unsigned long flags = strtoul(field(stat.data, FLAGS_FIELD), NULL, 10);
	unsigned long code = strtoul(field(stat.data, EXIT_FIELD), NULL, 10);
	const char *own = strstr(status.data, "\nSigPnd:"), *shared = strstr(status.data, "\nShdPnd:");
	u64 pending = (own ? strtoull(own + 8, NULL, 16) : 0) | (shared ? strtoull(shared + 8, NULL, 16) : 0);
	char state = *field(stat.data, 3);
	bool others_live = state == 'Z' && strtol(field(stat.data, THREADS_FIELD), NULL, 10) > 1;
	bool ended = !others_live && (state == 'Z' || state == 'X' || flags & PF_EXITING);
	return ended || (code & 127) == SIGKILL || pending & 1ull << (SIGKILL - 1);
}

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

/* What a guard does when ckpt dies. */
struct guard_task {
	const struct tree *tree;
	bool begun; /* it ends the tree only if its root was killed */
	void (*undone)(const void *arg);
	const void *arg;
};

/* What it waits for is a word, or the end of ckpt. Nothing that is sent to ckpt's group or terminal ends it. */
static _Noreturn void be_guard(int wait, const struct guard_task *task)
{
	const struct tree *tree = task->tree;
	sigset_t all;
	char byte;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (read(wait, &byte, 1) != 1 && (!task->begun || task_was_killed(tree->processes.v[0].proc))) {
		for (size_t i = 0; i < tree->processes.n; i++)
			syscall(SYS_pidfd_send_signal, tree->processes.v[i].pidfd, SIGKILL, NULL, 0);
		if (task->undone)
			task->undone(task->arg);
	}
	_exit(0);
}

static pid_t fork_guard(const struct tree_guard *guard, const struct guard_task *task)
{
	pid_t pid = fork();
	if (pid == 0) {
		close(guard->tell);
		be_guard(guard->wait, task);
	}
	return pid < 0 ? neg_errno() : pid;
}

static int start_guard(struct tree_guard *ret, const struct guard_task *task)
{
	int ends[2];
	*ret = (struct tree_guard){ 0 };
	if (pipe2(ends, O_CLOEXEC) < 0)
		return neg_errno();
	ret->tell = ends[1], ret->wait = ends[0];
	ret->pid = fork_guard(ret, task);
	if (ret->pid > 0)
		return 0;
	int r = ret->pid;
	close(ends[0]);
	close(ends[1]);
	*ret = (struct tree_guard){ 0 };
	return r;
}

/* What one write(2) tells all of them is there as a whole or not at all. */
#define GUARDS_MAX PIPE_BUF

static int start_more(struct tree_guard *guard, const struct guard_task *task)
{
	if (!guard->pid)
		return start_guard(guard, task);
	pid_t *place = guard->more.n + 1 == GUARDS_MAX ? NULL : vector_add(&guard->more);
	if (!place)
		return -ENOMEM;
	pid_t pid = fork_guard(guard, task);
	if (pid < 0)
		guard->more.n--;
	else
		*place = pid;
	return MIN(pid, 0);
}

int tree_guard(struct tree_guard *ret, const struct tree *tree, void (*undone)(const void *arg), const void *arg)
{
	int r = start_guard(ret, &(struct guard_task){ .tree = tree, .undone = undone, .arg = arg });
	return r < 0 ? fail(SYSCALL, r, "pipe2, fork") : 0;
}

int tree_guard_more(struct tree_guard *guard, const struct tree *tree, void (*undone)(const void *arg), const void *arg)
{
	int r = start_more(guard, &(struct guard_task){ .tree = tree, .undone = undone, .arg = arg });
	return r < 0 ? fail(SYSCALL, r, "pipe2, fork") : 0;
}

int tree_keep_files(struct tree_guard *guard, const struct tree *tree, void (*undone)(const void *arg), const void *arg)
{
	return start_more(guard, &(struct guard_task){ .tree = tree, .begun = true, .undone = undone, .arg = arg });
}

static void await_guard(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void tree_guard_end(struct tree_guard *guard)
{
	if (guard->pid <= 0)
		return;
	close(guard->tell);
	await_guard(guard->pid);
	for (size_t i = 0; i < guard->more.n; i++)
		await_guard(guard->more.v[i]);
	close(guard->wait);
	vector_free(&guard->more);
	guard->pid = 0;
}

/* None of them has anything to do any more, however soon ckpt dies. */
static int tell_guards(const struct tree_guard *guard)
{
	static const char words[GUARDS_MAX];
	size_t n = 1 + guard->more.n;
	return write(guard->tell, words, n) == (ssize_t)n ? 0 : fail(SYSCALL, neg_errno(), "write");
}

void tree_guard_dismiss(struct tree_guard *guard)
{
	if (guard->pid > 0)
		(void)tell_guards(guard);
	tree_guard_end(guard);
}

/* None dies with ckpt from here on. Until the last one is let off, who was let off dies by the guard. */
static int let_off(struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		if (p->threads.n && p->threads.v[0].seized && ptrace(PTRACE_SETOPTIONS, tree_first(p), 0, 0) < 0) {
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
	if (r == 0 && guard->pid)
		r = tell_guards(guard);
	tree_guard_end(guard);
	return r;
}

void tree_leave_stopped(const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		syscall(SYS_pidfd_send_signal, tree->processes.v[i].pidfd, SIGSTOP, NULL, 0);
}

/* Who was killed frees his memory before he can be reaped: two do it in less time than one (process_mrelease(2), Linux 5.15). */
static void help_to_free(const struct tree *tree)
{
	for (size_t i = 0; i < tree->processes.n; i++)
		if (tree->processes.v[i].large)
			syscall(SYS_process_mrelease, tree->processes.v[i].pidfd, 0);
}

int tree_kill(struct tree *tree)
{
	struct tree_guard guard = { 0 };
	int r = 0;
	if (tree->processes.n > 1) /* one process is killed in one call; the guard is for the death of ckpt between two */
		(void)start_guard(&guard, &(struct guard_task){ .tree = tree, .begun = true });
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		WORKING_ON_TASK(p->pid);
		if (syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
			r = fail(SYSCALL, neg_errno(), "pidfd_send_signal(SIGKILL)");
	}
	tree_guard_end(&guard);
	help_to_free(tree);
	/* the tracer must reap every thread before the leader can be reaped by its parent */
	for (size_t i = 0; r == 0 && i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		for (size_t k = p->threads.n; k-- > 0;) {
			struct tree_thread *t = &p->threads.v[k];
			if (t->seized)
				child_reap(t->tid);
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
