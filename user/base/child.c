// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of children. */
#include "base/child.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

bool child_is_ours(pid_t pid)
{
	siginfo_t info;
	return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
}

int child_run(const char *const *argv)
{
	pid_t pid = fork();
	int status = 0;
	sigset_t none;
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0)
		return neg_errno();
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return neg_errno();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void child_end(pid_t pid)
{
	int status = 0;
	if (pid <= 0 || kill(pid, SIGKILL) < 0)
		return;
	while (waitpid(pid, &status, __WALL) == pid ? WIFSTOPPED(status) : errno == EINTR)
		;
}
