/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dead DIR: zombies of every kind, three sessions, groups and sessions whose leader has died (be it reaped or not), orphans that
 * came to a sub-reaper. Afterwards everyone is where it was, each zombie tells what it had told, and no signal came twice. */
#include "judge.h"
#include <sys/resource.h>

enum { ZERO, THREE, KILLED, CORE, USER, QUIET, SIGNALS, ZOMBIES };
static const struct {
	int code, status, uid;
} expected[ZOMBIES] = { [ZERO] = { CLD_EXITED, 0 },       [THREE] = { CLD_EXITED, 3 },      [KILLED] = { CLD_KILLED, SIGKILL },
			[CORE] = { CLD_DUMPED, SIGSEGV }, [USER] = { CLD_EXITED, 7, 1234 }, [QUIET] = { CLD_EXITED, 255 },
			[SIGNALS] = { CLD_KILLED, 40 } };
static pid_t zombies[ZOMBIES];
static volatile int children, others;

enum { OF_ZOMBIE_SESSION, OF_DEAD_SESSION, OF_LIVE_SESSION, OF_ZOMBIE_GROUP, OF_DEAD_GROUP, LEADER, MOVED, IN_MOVED, MEMBERS };
struct member {
	pid_t pid, parent, group, session;
	int state;
};
static struct member *members;
static pid_t zombie_leader, dead_leader, zombie_group, dead_group;

static void count(int signal)
{
	if (signal == SIGCHLD)
		children++;
	else
		others++;
}

static void die(int which)
{
	signal(SIGSEGV, SIG_DFL);
	if (which == USER)
		MUST_EQ(setresuid(1234, 1234, 1234), 0);
	if (which == KILLED)
		raise(SIGKILL);
	if (which == SIGNALS)
		raise(40);
	if (which == CORE) {
		struct rlimit limit;
		MUST_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
		limit.rlim_cur = limit.rlim_max;
		MUST_EQ(setrlimit(RLIMIT_CORE, &limit), 0);
		raise(SIGSEGV);
	}
	_exit(expected[which].status);
}

static void await_end(pid_t pid)
{
	siginfo_t info;
	MUST_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | __WALL), 0);
}

/* Of clone(2) with another signal than SIGCHLD, or none. */
static pid_t fork_with(int signal) { return (pid_t)syscall(SYS_clone, signal, 0, 0, 0, 0); }

static void make_zombies(void)
{
	for (int i = 0; i < ZOMBIES; i++) {
		zombies[i] = fork_with(i == QUIET ? 0 : i == SIGNALS ? SIGUSR1 : SIGCHLD);
		if (!zombies[i])
			die(i);
		await_end(zombies[i]);
	}
}

static void check_zombie(int i)
{
	siginfo_t info = { 0 };
	int code = expected[i].code;
	MUST_EQ(waitid(P_PID, (id_t)zombies[i], &info, WEXITED | __WALL | WNOHANG), 0);
	MUST_EQ(info.si_pid, zombies[i]);
	if (code == CLD_DUMPED && info.si_code == CLD_KILLED && access(judge_path("no-core"), F_OK) == 0)
		code = CLD_KILLED;
	MUST_EQ(info.si_code, code);
	MUST_EQ(info.si_status, expected[i].status);
	MUST_EQ(info.si_uid, expected[i].uid);
}

static void note(int me)
{
	members[me] = (struct member){ getpid(), getppid(), getpgrp(), getsid(0), 0 };
	__atomic_store_n(&members[me].state, 1, __ATOMIC_SEQ_CST);
}

static void live(int me)
{
	note(me);
	while (!judge_asked())
		judge_nap(10);
	MUST_EQ(getpid(), members[me].pid);
	MUST_EQ(getppid(), members[me].parent);
	MUST_EQ(getpgrp(), members[me].group);
	MUST_EQ(getsid(0), members[me].session);
	_exit(me + 10);
}

static void wait_state(int who)
{
	for (int tries = 0; !__atomic_load_n(&members[who].state, __ATOMIC_SEQ_CST); tries++) {
		MUST(tries < JUDGE_PATIENCE_MS / 2);
		judge_nap(2);
	}
}

/* A child that leads a session, has a child of its own and ends: that one comes to the sub-reaper. */
static pid_t orphan(int who, int survive)
{
	pid_t parent = getpid(), leader = fork();
	if (leader)
		return leader;
	setsid();
	if (fork() == 0) {
		while (getppid() != parent)
			judge_nap(1);
		live(who);
	}
	if (survive) { /* one more generation dies instead */
		pid_t middle = fork();
		if (middle == 0) {
			if (fork() == 0) {
				while (getppid() != parent)
					judge_nap(1);
				live(survive);
			}
			_exit(0);
		}
		waitpid(middle, NULL, 0);
	}
	_exit(4);
}

static pid_t live_session(void)
{
	pid_t parent = getpid(), leader = fork();
	if (leader)
		return leader;
	setsid();
	pid_t middle = fork();
	if (middle == 0) {
		if (fork() == 0) {
			while (getppid() != parent)
				judge_nap(1);
			live(OF_LIVE_SESSION);
		}
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	live(LEADER);
	return 0;
}

/* A pipeline whose first process ends. */
static pid_t group(int who)
{
	pid_t leader = fork();
	if (leader == 0) {
		setpgid(0, 0);
		while (!members[who].pid)
			judge_nap(1);
		_exit(5);
	}
	setpgid(leader, leader);
	if (fork() == 0) {
		setpgid(0, leader);
		live(who);
	}
	wait_state(who);
	return leader;
}

/* A leader that left its group to the others. */
static void moved_leader(void)
{
	pid_t leader = fork();
	if (leader == 0) {
		setpgid(0, 0);
		while (!members[IN_MOVED].pid)
			judge_nap(1);
		setpgid(0, getppid());
		live(MOVED);
	}
	setpgid(leader, leader);
	if (fork() == 0) {
		setpgid(0, leader);
		live(IN_MOVED);
	}
	wait_state(MOVED);
}

static void check_members(void)
{
	int status;
	MUST_EQ(members[OF_ZOMBIE_SESSION].session, zombie_leader);
	MUST_EQ(members[OF_DEAD_SESSION].session, dead_leader);
	MUST_EQ(members[OF_LIVE_SESSION].session, members[LEADER].pid);
	MUST_EQ(members[OF_ZOMBIE_GROUP].group, zombie_group);
	MUST_EQ(members[OF_DEAD_GROUP].group, dead_group);
	MUST_EQ(members[IN_MOVED].group, members[MOVED].pid);
	MUST_EQ(members[MOVED].group, getpgrp());
	for (int i = 0; i < MEMBERS; i++) {
		MUST_EQ(waitpid(members[i].pid, &status, 0), members[i].pid);
		MUST_EQ(status, (i + 10) << 8);
	}
	MUST_EQ(waitpid(zombie_leader, &status, WNOHANG), zombie_leader);
	MUST_EQ(status, 4 << 8);
	MUST_EQ(waitpid(zombie_group, &status, WNOHANG), zombie_group);
	MUST_EQ(status, 5 << 8);
	MUST_EQ(waitpid(-1, &status, __WALL), -1);
}

int main(int argc, char **argv)
{
	sigset_t some, pending;
	judge_start(argc, argv);
	MUST_EQ(chdir(judge_dir), 0); /* for the core file */
	members = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	signal(SIGCHLD, count);
	signal(SIGUSR1, count);
	make_zombies();
	zombie_leader = orphan(OF_ZOMBIE_SESSION, 0);
	await_end(zombie_leader);
	dead_leader = orphan(OF_DEAD_SESSION, 0);
	MUST_EQ(waitpid(dead_leader, NULL, 0), dead_leader);
	if (live_session() == 0)
		return 0;
	zombie_group = group(OF_ZOMBIE_GROUP);
	await_end(zombie_group);
	dead_group = group(OF_DEAD_GROUP);
	MUST_EQ(waitpid(dead_group, NULL, 0), dead_group);
	moved_leader();
	for (int i = 0; i < MEMBERS; i++)
		wait_state(i);
	siginfo_t info = { 0 };
	MUST_EQ(waitid(P_PID, (id_t)zombies[CORE], &info, WEXITED | WNOWAIT), 0);
	if (info.si_code == CLD_KILLED) /* core files are not to be had here */
		judge_write("no-core", "");
	unlink("core");
	/* one signal of a death is still to come, the other was taken */
	sigemptyset(&some);
	sigaddset(&some, SIGCHLD);
	sigprocmask(SIG_BLOCK, &some, NULL);
	pid_t late = fork();
	if (late == 0)
		_exit(1);
	await_end(late);
	int seen = children, seen_others = others;
	judge_wait();
	MUST_EQ(children, seen);
	MUST_EQ(others, seen_others);
	for (int i = 0; i < ZOMBIES; i++)
		check_zombie(i);
	sigpending(&pending);
	MUST(sigismember(&pending, SIGCHLD));
	struct timespec zero = { 0 };
	MUST_EQ(sigtimedwait(&some, &info, &zero), SIGCHLD);
	MUST(info.si_code == CLD_EXITED);
	MUST_EQ(waitpid(late, NULL, WNOHANG), late);
	check_members();
	return judge_pass();
}
