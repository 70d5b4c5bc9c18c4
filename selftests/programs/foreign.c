// SPDX-License-Identifier: LGPL-2.1-or-later
/* foreign DIR WHAT...: is in namespaces, or has settings, that ckpt refuses to carry, and must not notice that it was tried. */
#include "judge.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

static const struct {
	const char *name;
	int flag;
} namespaces[] = { { "uts", CLONE_NEWUTS }, { "ipc", CLONE_NEWIPC },  { "net", CLONE_NEWNET }, { "mnt", CLONE_NEWNS },
		   { "pid", CLONE_NEWPID }, { "cgroup", 0x02000000 }, { "time", 0x00000080 } };

/* arg: what it shares with no other thread, NULL: nothing. */
static int asleep;
static void *sleeper(void *arg)
{
	if (arg)
		MUST_EQ(unshare(*(const int *)arg), 0);
	__atomic_add_fetch(&asleep, 1, __ATOMIC_SEQ_CST);
	while (!judge_asked())
		judge_nap(10);
	return NULL;
}

/* Returns when the thread has what it shares with no other. */
static void start(void *(*run)(void *), const int *flag)
{
	pthread_t thread;
	int before = __atomic_load_n(&asleep, __ATOMIC_SEQ_CST);
	MUST_EQ(pthread_create(&thread, NULL, run, (void *)flag), 0);
	while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) == before)
		judge_nap(1);
}

/* Shares its directories with one other thread alone. */
static void *parent_of_sleeper(void *arg)
{
	pthread_t thread;
	MUST_EQ(unshare(CLONE_FS), 0);
	MUST_EQ(pthread_create(&thread, NULL, sleeper, arg), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	return arg;
}

/* Shares its directories or its descriptors (arg: flags of clone(2)) with a process that it has made, and with no other thread.
 * CLONE_PARENT: that is no child of its process. */
static void *parent_of_process(void *arg)
{
	int flags = *(const int *)arg;
	MUST_EQ(unshare(flags & ~CLONE_PARENT), 0);
	pid_t child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	MUST(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	sleeper(NULL);
	MUST(kill(child, SIGKILL) == 0 && (flags & CLONE_PARENT || waitpid(child, NULL, 0) == child));
	return arg;
}

static timer_t timer_of_thread;

/* Ends, and its timer does not. */
static void *make_timer(void *arg)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	event._sigev_un._tid = gettid();
	MUST_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer_of_thread), 0);
	return arg;
}

static void take(const char *what)
{
	static pthread_t thread;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getcpu, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	timer_t timer;
	clockid_t clock;
	for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
		if (!strcmp(what, namespaces[i].name))
			MUST_EQ(unshare(namespaces[i].flag), 0);
	static const int uts = CLONE_NEWUTS, files = CLONE_FILES, fs = CLONE_FS,
			 outside[] = { CLONE_FS | CLONE_PARENT, CLONE_FILES | CLONE_PARENT };
	if (!strcmp(what, "thread"))
		start(sleeper, &uts);
	if (!strcmp(what, "thread-files-child"))
		start(parent_of_process, &files);
	if (!strcmp(what, "thread-fs-outside"))
		start(parent_of_process, &outside[0]);
	if (!strcmp(what, "thread-files-outside"))
		start(parent_of_process, &outside[1]);
	if (!strcmp(what, "thread-fs"))
		start(parent_of_sleeper, NULL);
	if (!strcmp(what, "thread-fs-child"))
		start(parent_of_process, &fs);
	if (!strcmp(what, "thread-timer"))
		MUST(!pthread_create(&thread, NULL, make_timer, NULL) && !pthread_join(thread, NULL));
	if (!strcmp(what, "user")) {
		MUST_EQ(unshare(CLONE_NEWUSER), 0);
		start(sleeper, NULL);
	}
	if (!strcmp(what, "supervisor"))
		MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >= 0);
	if (!strcmp(what, "listener"))
		MUST_EQ(close((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)),
			0);
	if (!strcmp(what, "thread-clock")) {
		MUST_EQ(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), 0);
		start(sleeper, NULL);
	}
	if (!strcmp(what, "clock")) {
		MUST_EQ(clock_getcpuclockid(getppid(), &clock), 0);
		MUST_EQ(timer_create(clock, &event, &timer), 0);
	}
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	MUST_EQ(chmod(judge_dir, 0777), 0);
	for (int i = 2; i < argc; i++)
		take(argv[i]);
	judge_nap(30);
	judge_wait();
	return judge_pass();
}
