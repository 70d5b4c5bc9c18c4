// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the guard of a lock that was handed on: a process that outlives ckpt for a moment. */
#include "base/child.h"
#include "netlock/backend.h"
#include "task/tree.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void await_end(int pidfd)
{
	struct pollfd ends = { .fd = pidfd, .events = POLLIN };
	while (pidfd >= 0 && poll(&ends, 1, -1) != 1)
		;
}

/* What the process keeps open of ckpt. */
enum { CKPT, BEFORE, OTHER, KEPT };

/* A death of ckpt kills, by ptrace and by the parent-death signal, before its pidfd tells of it (kernel/exit.c, exit_notify()). */
static _Noreturn void watch(const int fds[KEPT], netlock_then *then, const char *name)
{
	sigset_t all;
	int high[KEPT];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	/* nothing else: neither the lock nor a connection */
	for (int i = 0; i < KEPT; i++)
		high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, KEPT);
	for (int i = 0; i < KEPT; i++)
		if (high[i] >= 0)
			dup2(high[i], i);
		else
			close(i);
	close_range(KEPT, ~0u, 0);
	await_end(CKPT);
	if (high[BEFORE] >= 0)
		await_end(BEFORE);
	then(OTHER, name);
	_exit(0);
}

pid_t netlock_watch(int before, int other, netlock_then *then, const char *name)
{
	_cleanup_close_ int ckpt = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t watcher = ckpt < 0 ? -1 : fork();
	if (watcher == 0)
		watch((const int[KEPT]){ ckpt, before, other }, then, name);
	return watcher < 0 ? neg_errno() : watcher;
}

static void release_of_living(int proc, const char *id)
{
	if (!task_was_killed(proc))
		netlock_release(id);
}

pid_t netlock_guard(const char *id, pid_t root, pid_t before)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)root);
	_cleanup_close_ int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int first = before > 0 ? (int)syscall(SYS_pidfd_open, before, 0) : -1;
	if (proc < 0 || (before > 0 && first < 0))
		return neg_errno();
	return netlock_watch(first, proc, release_of_living, id);
}

void netlock_unguard(pid_t guard)
{
	if (guard > 0)
		child_end(guard);
}
