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

static void *sleeper(void *arg)
{
	if (arg)
		MUST_EQ(unshare(CLONE_NEWUTS), 0);
	while (!judge_asked())
		judge_nap(10);
	return NULL;
}

static char selector = 0; /* SYSCALL_DISPATCH_FILTER_ALLOW */

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
	if (!strcmp(what, "thread"))
		MUST_EQ(pthread_create(&thread, NULL, sleeper, "unshare"), 0);
	if (!strcmp(what, "user")) {
		MUST_EQ(unshare(CLONE_NEWUSER), 0);
		MUST_EQ(pthread_create(&thread, NULL, sleeper, NULL), 0);
	}
	if (!strcmp(what, "listener"))
		MUST_EQ(close((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)),
			0);
	if (!strcmp(what, "dispatch"))
		MUST_EQ(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector), 0);
	if (!strcmp(what, "thread-clock")) {
		MUST_EQ(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), 0);
		MUST_EQ(pthread_create(&thread, NULL, sleeper, NULL), 0);
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
