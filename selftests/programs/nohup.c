/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nohup DIR: a session on a pseudo terminal, of which a member has lost its parent and came to the sub-reaper that is the parent of
 * the session's leader. It keeps session, group and controlling terminal, and so does the leader. */
#include "judge.h"
#include <pty.h>
#include <termios.h>

static struct {
	int come, judged;
	pid_t pid, leader;
} * shared;

static int has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC), group = fd < 0 ? -1 : tcgetpgrp(fd);
	close(fd);
	return group == shared->leader;
}

static void orphan(pid_t root)
{
	while (getppid() != root)
		judge_nap(1);
	shared->pid = getpid();
	pid_t group = getpgrp();
	MUST(has_terminal());
	__atomic_store_n(&shared->come, 1, __ATOMIC_SEQ_CST);
	while (!judge_asked())
		judge_nap(10);
	bool good = getppid() == root && getsid(0) == shared->leader && getpgrp() == group && has_terminal();
	__atomic_store_n(&shared->judged, 1, __ATOMIC_SEQ_CST); /* the end of its leader takes the terminal from the session */
	_exit(good ? 21 : 1);
}

static void leader(pid_t root)
{
	shared->leader = getpid();
	signal(SIGHUP, SIG_IGN);
	pid_t middle = fork();
	if (middle == 0) {
		setpgid(0, 0);
		if (fork() == 0)
			orphan(root);
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	while (!__atomic_load_n(&shared->judged, __ATOMIC_SEQ_CST))
		judge_nap(10);
	_exit(getsid(0) == getpid() && has_terminal() ? 22 : 1);
}

int main(int argc, char **argv)
{
	int master, status;
	judge_start(argc, argv);
	pid_t root = getpid();
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid_t child = forkpty(&master, NULL, NULL, NULL);
	if (child == 0)
		leader(root);
	while (!__atomic_load_n(&shared->come, __ATOMIC_SEQ_CST))
		judge_nap(1);
	judge_wait();
	MUST_EQ(waitpid(shared->pid, &status, 0), shared->pid);
	MUST_EQ(status, 21 << 8);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 22 << 8);
	return judge_pass();
}
