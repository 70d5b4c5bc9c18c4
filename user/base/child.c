// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the end of children. */
#include "base/child.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_NS 2000000000l

#define NAP_IGNORED 100000ul

u64 child_nap(void)
{
	struct sigaction now;
	return sigaction(SIGCHLD, NULL, &now) == 0 && now.sa_handler == SIG_IGN ? NAP_IGNORED : CHILD_NAP_MAX;
}

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

int child_wait(pid_t pid, int *ret_status)
{
	for (long waited = 0, pause = 20000; waited < CHILD_NS; waited += pause) {
		pid_t r = waitpid(pid, ret_status, WNOHANG | __WALL);
		if (r == pid)
			return 0;
		if (r < 0 && errno != EINTR)
			return neg_errno();
		nanosleep(&(struct timespec){ .tv_nsec = pause }, NULL);
		pause = MIN(pause * 2, 5000000l);
	}
	return -ETIMEDOUT;
}

int child_try(int (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	if (pid < 0)
		return neg_errno();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(-fn(arg));
	}
	int status, r = child_wait(pid, &status);
	if (r < 0) {
		child_end(pid);
		return r;
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

void child_reap(pid_t pid)
{
	int status = 0;
	pid_t got;
	while ((got = waitpid(pid, &status, __WALL)) == pid ? WIFSTOPPED(status) : got < 0 && errno == EINTR)
		if (got == pid)
			ptrace(PTRACE_CONT, pid, 0, 0);
}

void child_end(pid_t pid)
{
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		child_reap(pid);
}
