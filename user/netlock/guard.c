// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the guard of a lock that was handed on: a process that outlives ckpt for a moment. */
#include "base/child.h"
#include "base/file.h"
#include "netlock/backend.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PF_EXITING 4u
#define FLAGS_FIELD 9 /* of /proc/PID/stat */
#define EXIT_FIELD 52 /* exit code: from the very kill on (Linux 5.18) */

static const char *field(const char *stat, int number)
{
	const char *at = strrchr(stat, ')');
	for (int i = 2; at && i < number; i++)
		at = strchr(at + 1, ' ');
	return at ? at + 1 : "";
}

/* Was it sent SIGKILL? Before Linux 5.18 the signal itself shows until the process takes it. */
static bool is_killed(int proc)
{
	_cleanup_text_ struct text stat = { 0 }, status = { 0 };
	if (file_read(proc, "stat", &stat) < 0 || !stat.data || file_read(proc, "status", &status) < 0 || !status.data)
		return true;
	unsigned long flags = strtoul(field(stat.data, FLAGS_FIELD), NULL, 10);
	unsigned long code = strtoul(field(stat.data, EXIT_FIELD), NULL, 10);
	const char *own = strstr(status.data, "\nSigPnd:"), *shared = strstr(status.data, "\nShdPnd:");
	u64 pending = (own ? strtoull(own + 8, NULL, 16) : 0) | (shared ? strtoull(shared + 8, NULL, 16) : 0);
	char state = *field(stat.data, 3);
	return state == 'Z' || state == 'X' || flags & PF_EXITING || (code & 127) == SIGKILL || pending & 1ull << (SIGKILL - 1);
}

/* A death of ckpt kills, by ptrace and by the parent-death signal, before its pidfd tells of it (kernel/exit.c, exit_notify()). */
static _Noreturn void watch(int ckpt, int other, netlock_then *then, const char *name)
{
	sigset_t all;
	struct pollfd ends = { .events = POLLIN };
	int high[] = { fcntl(ckpt, F_DUPFD, 3), other < 0 ? -1 : fcntl(other, F_DUPFD, 3) };
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	/* nothing of ckpt's is kept open: neither the lock nor a connection */
	dup2(high[0], 0);
	dup2(other < 0 ? high[0] : high[1], 1);
	close_range(2, ~0u, 0);
	while (poll(&ends, 1, -1) != 1)
		;
	then(1, name);
	_exit(0);
}

pid_t netlock_watch(int other, netlock_then *then, const char *name)
{
	_cleanup_close_ int ckpt = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t watcher = ckpt < 0 ? -1 : fork();
	if (watcher == 0)
		watch(ckpt, other, then, name);
	return watcher < 0 ? neg_errno() : watcher;
}

static void release_of_living(int proc, const char *id)
{
	if (!is_killed(proc))
		netlock_release(id);
}

pid_t netlock_guard(const char *id, pid_t root)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)root);
	_cleanup_close_ int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc < 0 ? neg_errno() : netlock_watch(proc, release_of_living, id);
}

void netlock_unguard(pid_t guard)
{
	if (guard > 0)
		child_end(guard);
}
