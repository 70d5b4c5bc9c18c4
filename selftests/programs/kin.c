/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kin DIR: processes that share with their parent what threads share: descriptors, directories and umask, memory, signal actions,
 * one by one and all together, over two generations. Afterwards what one changes the others see, and nobody else does. */
#include "judge.h"

enum { FILES = 1, FS = 2, MEMORY = 4, ACTIONS = 8 };
static const int shares[] = { FILES,
			      FS,
			      FILES | FS,
			      MEMORY,
			      MEMORY | FILES,
			      MEMORY | FS,
			      MEMORY | FILES | FS,
			      MEMORY | ACTIONS,
			      MEMORY | FILES | ACTIONS,
			      MEMORY | FS | ACTIONS,
			      MEMORY | FILES | FS | ACTIONS,
			      0 };
enum { KIN = sizeof shares / sizeof *shares };

/* Of one child, in memory that all share anyhow; grown: it has a child that shares with it what it shares itself. */
struct member {
	int what, grown, asked, answered;
	pid_t pid;
	char cwd[64];
	int umask, value, handled, fd_there;
};
static struct member *members;
static volatile int value;
static char stacks[2 * KIN][1 << 16] __attribute__((aligned(64)));

static void on_signal(int signal) { (void)signal; }
static void on_signal_too(int signal) { (void)signal; }

static int flags_of(int what)
{
	return (what & FILES ? CLONE_FILES : 0) | (what & FS ? CLONE_FS : 0) | (what & MEMORY ? CLONE_VM : 0) |
	       (what & ACTIONS ? CLONE_SIGHAND : 0);
}

/* A child in shared memory has the thread pointer of its parent: it calls nothing of libc that has state of a thread but errno. */
static void nap(void)
{
	struct timespec t = { 0, 2000000 };
	syscall(SYS_nanosleep, (long)&t, 0, 0, 0);
}

struct kernel_action {
	void (*handler)(int);
	unsigned long flags, restorer, mask;
};

static void see(struct member *m)
{
	struct kernel_action action = { 0 };
	m->umask = (int)syscall(SYS_umask, 0, 0, 0, 0);
	syscall(SYS_umask, m->umask, 0, 0, 0);
	syscall(SYS_getcwd, (long)m->cwd, sizeof m->cwd, 0, 0);
	m->value = value;
	m->fd_there = syscall(SYS_fcntl, 300, F_GETFD, 0, 0) >= 0;
	syscall(SYS_rt_sigaction, SIGUSR1, 0, (long)&action, 8);
	m->handled = action.handler == on_signal ? 1 : action.handler == on_signal_too ? 2 : 0;
}

static int live(void *arg)
{
	struct member *m = arg;
	for (int seen = 0; seen >= 0;) {
		nap();
		int asked = __atomic_load_n(&m->asked, __ATOMIC_SEQ_CST);
		if (asked < 0)
			syscall(SYS_exit_group, 3, 0, 0, 0);
		if (asked == seen)
			continue;
		see(m);
		seen = asked;
		__atomic_store_n(&m->answered, seen, __ATOMIC_SEQ_CST);
	}
	return 0;
}

static int parent_of_one(void *arg)
{
	struct member *m = arg;
	m[1].pid = clone(live, stacks[m + 1 - members] + sizeof *stacks, flags_of(m->what) | SIGCHLD, m + 1);
	return live(m);
}

static void ask(struct member *m)
{
	int next = m->asked + 1;
	__atomic_store_n(&m->asked, next, __ATOMIC_SEQ_CST);
	for (int tries = 0; __atomic_load_n(&m->answered, __ATOMIC_SEQ_CST) != next; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS);
		judge_nap(1);
	}
}

static void check(struct member *m, const char *cwd_was, int umask_was)
{
	char here[64];
	MUST(getcwd(here, sizeof here));
	ask(m);
	MUST_EQ(m->fd_there, !!(m->what & FILES));
	MUST_EQ(strcmp(m->cwd, m->what & FS ? here : cwd_was), 0);
	MUST_EQ(m->umask, m->what & FS ? 077 : umask_was);
	MUST_EQ(m->value, m->what & MEMORY ? 2 : 1);
	MUST_EQ(m->handled, m->what & ACTIONS ? 2 : 1);
}

int main(int argc, char **argv)
{
	char cwd_was[64];
	int status;
	judge_start(argc, argv);
	members = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(getcwd(cwd_was, sizeof cwd_was));
	umask(027);
	value = 1;
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < KIN; i++) {
		struct member *m = &members[2 * i];
		m[0].what = m[1].what = shares[i];
		m->pid = clone(parent_of_one, stacks[2 * i] + sizeof *stacks, flags_of(m->what) | SIGCHLD, m);
		MUST(m->pid > 0);
		ask(m);
		ask(m + 1);
	}
	judge_wait();
	MUST_EQ(dup2(0, 300), 300);
	MUST_EQ(chdir(judge_dir), 0);
	MUST_EQ(umask(077), 027);
	value = 2;
	signal(SIGUSR1, on_signal_too);
	for (int i = 0; i < 2 * KIN; i++)
		check(&members[i], cwd_was, 027);
	for (int i = 0; i < KIN; i++) {
		kill(members[2 * i + 1].pid, SIGKILL);
		members[2 * i].asked = -1;
		MUST_EQ(waitpid(members[2 * i].pid, &status, 0), members[2 * i].pid);
		MUST_EQ(status, 3 << 8);
	}
	return judge_pass();
}
