// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of children. */
#include "base/child.h"
#include <signal.h>
#include <sys/wait.h>

bool child_is_ours(pid_t pid)
{
	siginfo_t info;
	return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
}

void child_end(pid_t pid)
{
	int status = 0;
	if (pid <= 0 || kill(pid, SIGKILL) < 0)
		return;
	while (waitpid(pid, &status, __WALL) == pid ? WIFSTOPPED(status) : errno == EINTR)
		;
}
