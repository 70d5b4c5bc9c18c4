/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* strangers DIR leader|heir|session|group|shares: shapes that cannot be made again: a process whose main thread has ended with rights of its
 * own, a child that asks for a signal at the end of such a thread, a member of a session whose leader is neither its ancestor nor its sibling, a member of a group outside of the tree (DIR/pid is its root),
 * siblings that share the descriptors of a process that is dead. */
#include "judge.h"

static void rest(void)
{
	while (!judge_asked())
		judge_nap(10);
	_exit(0);
}

static bool main_has_ended(void)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	char *name = strrchr(text, ')');
	return name && name[1] && name[2] == 'Z';
}

static void *last(void *heir)
{
	int told[2];
	char byte;
	while (!main_has_ended())
		judge_nap(1);
	if (heir) {
		MUST_EQ(pipe2(told, O_CLOEXEC), 0);
		if (fork() == 0) {
			MUST(signal(SIGUSR1, SIG_IGN) != SIG_ERR && prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
			MUST_EQ(write(told[1], "", 1), 1);
			rest();
		}
		MUST_EQ(read(told[0], &byte, 1), 1);
	}
	judge_wait();
	exit(judge_pass());
}

/* The calls of the C library would set the ids of all threads. */
static void leader_ends(const char *heir)
{
	pthread_t thread;
	MUST_EQ(pthread_create(&thread, NULL, last, (void *)heir), 0);
	if (!heir)
		MUST_EQ(syscall(SYS_setresuid, 1234, 1234, 1234), 0);
	syscall(SYS_exit, 0);
}

static void foreign_session(void)
{
	pid_t root = getpid();
	int *come = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	if (fork() == 0) {
		if (fork() == 0) {
			setsid();
			pid_t middle = fork();
			if (middle == 0) {
				if (fork() == 0) {
					while (getppid() != root)
						judge_nap(1);
					*come = 1;
					rest();
				}
				_exit(0);
			}
			waitpid(middle, NULL, 0);
			rest();
		}
		rest();
	}
	while (!*(volatile int *)come)
		judge_nap(1);
	judge_wait();
}

static void sharing_siblings(void)
{
	pid_t root = getpid();
	int *come = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid_t middle = fork();
	if (middle == 0) {
		for (int i = 0; i < 2; i++)
			if (syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0) == 0) {
				while (getppid() != root)
					judge_nap(1);
				__atomic_add_fetch(come, 1, __ATOMIC_SEQ_CST);
				rest();
			}
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	while (__atomic_load_n(come, __ATOMIC_SEQ_CST) < 2)
		judge_nap(1);
	judge_wait();
}

static void foreign_group(void)
{
	pid_t outside = getpid(), root = fork();
	char text[16];
	if (root == 0) {
		setpgid(0, 0);
		pid_t child = fork();
		if (child == 0) {
			MUST_EQ(setpgid(0, outside), 0);
			rest();
		}
		while (getpgid(child) != outside)
			judge_nap(1);
		snprintf(text, sizeof text, "%d", getpid());
		judge_write("pid", text);
		judge_wait();
		exit(judge_pass());
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	if (!strcmp(what, "leader"))
		leader_ends(NULL);
	else if (!strcmp(what, "heir"))
		leader_ends(what);
	else if (!strcmp(what, "group"))
		foreign_group();
	else if (!strcmp(what, "shares"))
		sharing_siblings();
	else
		foreign_session();
	return judge_pass();
}
