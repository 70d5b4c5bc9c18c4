/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon DIR: a daemon as of old, made by two forks: the leader of its session and of its group has ended. DIR/pid holds its
 * process id; the process that was started looks on. It keeps session and group, and so does its child. */
#include "judge.h"

static void write_pid(void)
{
	char text[16];
	snprintf(text, sizeof text, "%d", getpid());
	judge_write("pid", text);
}

static void be_daemon(pid_t session)
{
	pid_t pid = getpid(), child;
	int status;
	while (kill(session, 0) == 0)
		judge_nap(1);
	MUST_EQ(getsid(0), session);
	MUST_EQ(getpgrp(), session);
	child = fork();
	if (child == 0) {
		while (!judge_asked())
			judge_nap(10);
		_exit(getsid(0) == session && getpgrp() == session && getppid() == pid ? 0 : 1);
	}
	judge_settled(child);
	write_pid();
	judge_wait();
	MUST_EQ(getpid(), pid);
	MUST_EQ(getsid(0), session);
	MUST_EQ(getpgrp(), session);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	exit(judge_pass());
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	pid_t leader = fork();
	if (leader == 0) {
		leader = setsid();
		if (fork() == 0)
			be_daemon(leader);
		_exit(0);
	}
	MUST_EQ(waitpid(leader, NULL, 0), leader);
	for (;;)
		pause();
}
