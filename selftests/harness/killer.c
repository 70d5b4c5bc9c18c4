// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns a tracer that counts system calls: a few microseconds each, where strace takes fifty. */
#include "harness/killer.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <linux/ptrace.h>

static bool enters_call(pid_t tid)
{
	struct ptrace_syscall_info info;
	return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

static pid_t start(const char *path, const char *const *argv)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("ASAN_OPTIONS", "use_sigaltstack=0:detect_leaks=0", 1); /* leaks cannot be looked for under a tracer */
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(path, (char **)argv);
		_exit(127);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL,
			PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
				PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
	return pid;
}

int killer_run(const char *path, const char *const *argv, int n, int *ret_status)
{
	pid_t pid = start(path, argv);
	int calls = 0, status;
	bool counting = false;
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
		if (tid == pid && !WIFSTOPPED(status))
			*ret_status = status;
		if (tid <= 0 || !WIFSTOPPED(status))
			continue;
		int signal = WSTOPSIG(status), event = status >> 16;
		if (event == PTRACE_EVENT_EXEC)
			counting = true;
		if (counting && signal == (SIGTRAP | 0x80) && enters_call(tid) && ++calls == n)
			kill(pid, SIGKILL);
		bool ours = event || signal == (SIGTRAP | 0x80) || signal == SIGSTOP;
		ptrace(PTRACE_SYSCALL, tid, NULL, ours ? 0 : signal);
	}
	return calls;
}
