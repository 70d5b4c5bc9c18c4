// SPDX-License-Identifier: LGPL-2.1-or-later
/* tree DIR: four generations in several sessions and process groups; everyone keeps pid, parent, group and session, an orphan
 * keeps its subreaper, and every parent gets the exit status of its children. */
#include "judge.h"

struct member {
	pid_t pid, parent, group, session;
	int state;
};
static struct member *members;
enum { ROOT, PLAIN, LEADER, IN_GROUP, NEW_SESSION, IN_SESSION, GROUP_IN_SESSION, ORPHAN, MEMBERS };

static void note(int me)
{
	members[me].pid = getpid();
	members[me].parent = getppid();
	members[me].group = getpgrp();
	members[me].session = getsid(0);
	__atomic_store_n(&members[me].state, 1, __ATOMIC_SEQ_CST);
}

static void wait_state(int who, int state)
{
	for (int tries = 0; __atomic_load_n(&members[who].state, __ATOMIC_SEQ_CST) < state; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS / 2);
		judge_nap(2);
	}
}

static void judge_self(int me)
{
	MUST_EQ(getpid(), members[me].pid);
	MUST_EQ(getppid(), members[me].parent);
	MUST_EQ(getpgrp(), members[me].group);
	MUST_EQ(getsid(0), members[me].session);
	MUST_EQ(syscall(SYS_gettid), members[me].pid);
}

/* Waits for the verdict, judges itself, then its children, then ends with its number. */
static void live(int me)
{
	int status;
	while (!judge_asked())
		judge_nap(10);
	judge_self(me);
	for (pid_t child; (child = waitpid(-1, &status, 0)) > 0;) {
		int who = 0;
		while (who < MEMBERS && members[who].pid != child)
			who++;
		if (who == MEMBERS)
			judge_fail("%d got a child %d that it does not know", getpid(), child);
		MUST_EQ(WEXITSTATUS(status), who + 10);
		__atomic_store_n(&members[who].state, 2, __ATOMIC_SEQ_CST);
	}
	if (me != ROOT)
		_exit(me + 10);
}

/* Notes who it is before anybody is ready: a restore has ckpt for its root's parent for a moment. */
static void be(int me)
{
	note(me);
	live(me);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	members = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	if (fork() == 0)
		be(PLAIN);
	if (fork() == 0) {
		setpgid(0, 0);
		if (fork() == 0)
			be(IN_GROUP);
		wait_state(IN_GROUP, 1);
		be(LEADER);
	}
	if (fork() == 0) {
		setsid();
		if (fork() == 0)
			be(IN_SESSION);
		if (fork() == 0) {
			setpgid(0, 0);
			be(GROUP_IN_SESSION);
		}
		be(NEW_SESSION);
	}
	pid_t middle = fork();
	if (middle == 0) {
		if (fork() == 0) {
			while (getppid() != *(volatile pid_t *)&members[ROOT].pid)
				judge_nap(1);
			be(ORPHAN);
		}
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	note(ROOT);
	for (int i = 0; i < MEMBERS; i++)
		wait_state(i, 1);
	MUST_EQ(members[ORPHAN].parent, getpid());
	judge_ready();
	live(ROOT);
	int subreaper = 0;
	MUST_EQ(prctl(PR_GET_CHILD_SUBREAPER, &subreaper), 0);
	MUST_EQ(subreaper, 1);
	for (int i = 1; i < MEMBERS; i++)
		MUST_EQ(members[i].state, 2);
	return judge_pass();
}
