// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of ptrace and of reading and writing other processes, asked of a stopped child of ours. */
#include "host/probe.h"
#include "base/file.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

int probe_ptrace(struct host *host, const struct probe *p, char *note _unused_)
{
	u64 buffer[64] = { 0 };
	if (p->arg[4] && !host_capable(host, (int)p->arg[4]))
		return -EACCES; /* as the kernel would say: saves the child */
	pid_t tracee = host_tracee(host);
	if (tracee < 0)
		return tracee;
	if (p->arg[0] == PTRACE_SEIZE)
		return PROBE_YES;
	long r = ptrace((int)p->arg[0], tracee, p->arg[1], p->arg[2] ? buffer : NULL);
	return r >= 0 || errno == p->arg[3] ? PROBE_YES : neg_errno();
}

int probe_ptrace_options(struct host *host, const struct probe *p, char *note _unused_)
{
	pid_t tracee = host_tracee(host);
	if (tracee < 0)
		return tracee;
	if (ptrace(PTRACE_SETOPTIONS, tracee, 0, p->arg[0]) < 0)
		return neg_errno();
	ptrace(PTRACE_SETOPTIONS, tracee, 0, 0);
	return PROBE_YES;
}

/* Our own child is always allowed to us by Yama's mode 1; a target is not our child. */
int probe_ptrace_others(struct host *host, const struct probe *p _unused_, char *note)
{
	_cleanup_text_ struct text scope = { 0 };
	pid_t tracee = host_tracee(host);
	if (tracee < 0)
		return tracee;
	int mode = file_read(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", &scope) == 0 ? atoi(scope.data) : 0;
	if (host_capable(host, CAP_SYS_PTRACE))
		return PROBE_YES;
	if (mode == 0)
		snprintf(note, NOTE_BYTES, "programs of the same user only");
	else
		snprintf(note, NOTE_BYTES, "kernel.yama.ptrace_scope is %d", mode);
	return mode == 0 ? PROBE_YES : -EPERM;
}

static const char readonly_word[8] = "ckpt";

/* Writes the bytes that are there already, into a page that the child may only read. */
int probe_proc_mem_force(struct host *host, const struct probe *p _unused_, char *note _unused_)
{
	char path[40], word[sizeof readonly_word];
	pid_t tracee = host_tracee(host);
	if (tracee < 0)
		return tracee;
	snprintf(path, sizeof path, "/proc/%d/mem", (int)tracee);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	off_t at = (off_t)(uintptr_t)readonly_word;
	int r = file_pread_full(fd, word, sizeof word, at);
	if (r == 0)
		r = file_pwrite_full(fd, word, sizeof word, at);
	return r < 0 ? r : PROBE_YES;
}

int probe_process_vm_readv(struct host *host, const struct probe *p _unused_, char *note _unused_)
{
	char word[sizeof readonly_word];
	struct iovec here = { word, sizeof word }, there = { (void *)readonly_word, sizeof readonly_word };
	pid_t tracee = host_tracee(host);
	if (tracee < 0)
		return tracee;
	return process_vm_readv(tracee, &here, 1, &there, 1, 0) == (ssize_t)sizeof word ? PROBE_YES : neg_errno();
}

int probe_proc_others(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	if (access("/proc/1/status", R_OK) == 0)
		return PROBE_YES;
	snprintf(note, NOTE_BYTES, "/proc hides the processes of others (hidepid= or subset=)");
	return -EPERM;
}
