// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of system calls about processes: arguments that no kernel accepts, told apart by their errno. */
#include "host/probe.h"
#include "base/child.h"
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define PIDFS_MAGIC_NUMBER 0x50494446

/* Did the call only refuse its arguments? */
static int known_unless_refused(long r)
{
	if (r >= 0)
		return PROBE_YES;
	return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM || errno == EACCES ? neg_errno() : PROBE_YES;
}

int probe_syscall(struct host *host _unused_, const struct probe *p, char *note)
{
	int r = known_unless_refused(syscall(p->arg[0], p->arg[1], p->arg[2], p->arg[3], p->arg[4], p->arg[5]));
	if (r == -EOPNOTSUPP)
		snprintf(note, NOTE_BYTES, "the kernel knows it, but this processor or its boot options do not support it");
	return r;
}

int probe_syscall_built(struct host *host, const struct probe *p, char *note)
{
	return host_built(host, p->built, note) == CAP_NO ? -EOPNOTSUPP : probe_syscall(host, p, note);
}

int probe_syscall_flags(struct host *host, const struct probe *p, char *note)
{
	int r = probe_syscall(host, p, note);
	return r == PROBE_YES && errno == EINVAL ? -EINVAL : r;
}

int probe_prctl(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	if (prctl((int)p->arg[0], p->arg[1], p->arg[2], p->arg[3], p->arg[4]) >= 0)
		return PROBE_YES;
	return errno == EFAULT || errno == ENODEV ? PROBE_YES : neg_errno();
}

static int prctl_in_child(void *arg)
{
	const struct probe *p = arg;
	return prctl((int)p->arg[0], p->arg[1], p->arg[2], p->arg[3], p->arg[4]) < 0 ? neg_errno() : 0;
}

int probe_prctl_child(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	int r = child_try(prctl_in_child, (void *)p);
	return r == 0 ? PROBE_YES : r;
}

int probe_capability(struct host *host, const struct probe *p, char *note)
{
	if (p->arg[2] && !host->init_userns) {
		snprintf(note, NOTE_BYTES, "counts in the initial user namespace only");
		return -EPERM;
	}
	if (host_capable(host, (int)p->arg[0])) {
		if (!host->init_userns)
			snprintf(note, NOTE_BYTES, "only over what belongs to this user namespace");
		return PROBE_YES;
	}
	if (p->arg[1] && host_capable(host, (int)p->arg[1])) {
		snprintf(note, NOTE_BYTES, "CAP_SYS_ADMIN serves");
		return PROBE_YES;
	}
	snprintf(note, NOTE_BYTES, "not among the effective capabilities");
	return -EPERM;
}

int probe_membarrier(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	long commands = syscall(SYS_membarrier, 0, 0, 0);
	if (commands < 0)
		return neg_errno();
	return commands & p->arg[0] ? PROBE_YES : -EINVAL;
}

/* Id 1 is always taken where anybody lives, so that no process is ever made: EEXIST says that ids may be chosen. */
int probe_clone3(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	pid_t taken = 1;
	struct clone_args args = {
		.flags = (u64)p->arg[0],
		.exit_signal = SIGCHLD,
		.set_tid = (u64)(uintptr_t)&taken,
		.set_tid_size = 1,
		.cgroup = INT32_MAX,
	};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(0);
	if (pid > 0) {
		waitpid((pid_t)pid, NULL, 0);
		return PROBE_YES;
	}
	if (errno == EEXIST || errno == EBADF || (errno == EPERM && !p->arg[1]))
		return PROBE_YES;
	return neg_errno();
}

int probe_kcmp(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	long self = getpid();
	if (syscall(SYS_kcmp, self, self, p->arg[0], 0x7fffffff, 0) >= 0)
		return PROBE_YES;
	return errno == EBADF || errno == EFAULT ? PROBE_YES : neg_errno();
}

static int own_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return fd < 0 ? neg_errno() : fd;
}

int probe_pidfd_open(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	pid_t who = p->arg[0] ? gettid() : getpid();
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, who, p->arg[0]);
	if (fd < 0)
		return neg_errno();
	return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 ? PROBE_YES : neg_errno();
}

int probe_pidfd_getfd(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_close_ int self = own_pidfd();
	if (self < 0)
		return self;
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, self, self, 0);
	return fd < 0 ? neg_errno() : PROBE_YES;
}

int probe_pidfs(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	struct statfs fs;
	_cleanup_close_ int self = own_pidfd();
	if (self < 0)
		return self;
	if (fstatfs(self, &fs) < 0)
		return neg_errno();
	return fs.f_type == PIDFS_MAGIC_NUMBER ? PROBE_YES : -ENOSYS;
}

int probe_pidfd_ioctl(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	u64 room[32] = { 0 };
	_cleanup_close_ int self = own_pidfd();
	if (self < 0)
		return self;
	int r = ioctl(self, (unsigned long)p->arg[0], p->arg[1] ? NULL : room);
	if (r < 0)
		return neg_errno();
	if (p->arg[1])
		close(r);
	return PROBE_YES;
}

int probe_waitid_pidfd(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	siginfo_t info;
	if (waitid((idtype_t)3 /* P_PIDFD */, INT32_MAX, &info, WEXITED | WNOHANG) == 0)
		return PROBE_YES;
	return errno == EBADF ? PROBE_YES : neg_errno();
}

int probe_msg_copy(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	struct msgbuf message;
	if (msgrcv(INT32_MAX, &message, 0, 0, 040000 /* MSG_COPY */ | IPC_NOWAIT) >= 0)
		return PROBE_YES;
	return errno == ENOSYS || errno == EPERM ? neg_errno() : PROBE_YES;
}

static int use_pkey(void *arg _unused_)
{
	int key = (int)syscall(SYS_pkey_alloc, 0, 0);
	return key < 0 ? neg_errno() : 0;
}

int probe_pkeys(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	int r = child_try(use_pkey, NULL);
	if (r == -ENOSPC || r == -EINVAL)
		snprintf(note, NOTE_BYTES, "this processor has no protection keys");
	return r == 0 ? PROBE_YES : r;
}
