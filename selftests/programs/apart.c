// SPDX-License-Identifier: LGPL-2.1-or-later
/* apart DIR: threads of one process that differ in everything that the kernel keeps for each thread: each sees its own again. */
#include "../deny.h"
#include "judge.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/resource.h>

#define THREADS 4
#define HELD 0x5eed /* what a hash begins with */
static pthread_barrier_t prepared, asked;

static long hash(const void *bytes, size_t len)
{
	unsigned long h = HELD;
	for (size_t i = 0; i < len; i++)
		h = h * 33 + ((const unsigned char *)bytes)[i];
	return (long)h;
}

/* --- what is set by one number --- */

static long set_nice(long i) { return setpriority(PRIO_PROCESS, (id_t)gettid(), (int)i * 3 - 4); }
static long get_nice(void) { return getpriority(PRIO_PROCESS, (id_t)gettid()); }

/* Realtime threads have a timer slack of 0: these are none. */
static long set_policy(long i)
{
	static const int policies[THREADS] = { SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_BATCH | SCHED_RESET_ON_FORK };
	return syscall(SYS_sched_setscheduler, 0, policies[i], &(struct sched_param){ 0 });
}
static long get_policy(void) { return syscall(SYS_sched_getscheduler, 0); }

static long set_cpus(long i)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(judge_cpu(i), &one);
	return sched_setaffinity(0, sizeof one, &one);
}
static long get_cpus(void)
{
	cpu_set_t set;
	MUST_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	return hash(&set, sizeof set);
}

static long set_io(long i) { return syscall(SYS_ioprio_set, 1, 0, 2 << 13 | (7 - i)); }
static long get_io(void) { return syscall(SYS_ioprio_get, 1, 0); }
static long set_slack(long i) { return prctl(PR_SET_TIMERSLACK, 60000 + i, 0, 0, 0); }
static long get_slack(void) { return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0); }
static long set_personality(long i) { return personality(i % 2 ? ADDR_NO_RANDOMIZE : UNAME26 * (unsigned long)(i / 2)) < 0; }
static long get_personality(void) { return personality(0xffffffff); }
static long set_keep(long i) { return prctl(PR_SET_KEEPCAPS, i % 2, 0, 0, 0); }
static long get_keep(void) { return prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0); }
/* Who restores it ends, and is its parent until then. */
static long set_death(long i)
{
	signal(SIGRTMIN + (int)i, SIG_IGN);
	return prctl(PR_SET_PDEATHSIG, SIGRTMIN + i, 0, 0, 0);
}
static long get_death(void)
{
	int signal = 0;
	MUST_EQ(prctl(PR_GET_PDEATHSIG, &signal), 0);
	return signal;
}
static long get_no_privs(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }

/* --- names, signals --- */

static long set_name(long i)
{
	char name[16];
	snprintf(name, sizeof name, "apart %ld", i);
	return prctl(PR_SET_NAME, name);
}
static long get_name(void)
{
	char name[16];
	MUST_EQ(prctl(PR_GET_NAME, name), 0);
	return hash(name, strlen(name));
}

static long set_mask(long i)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 8 + (int)i);
	return pthread_sigmask(SIG_BLOCK, &set, NULL);
}
static long get_mask(void)
{
	uint64_t set = 0;
	MUST_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, sizeof set), 0);
	return (long)set;
}

static long set_pending(long i) { return pthread_kill(pthread_self(), i % 2 ? SIGUSR1 : SIGRTMIN + 8 + (int)i); }
static long get_pending(void)
{
	uint64_t set = 0;
	MUST_EQ(syscall(SYS_rt_sigpending, &set, sizeof set), 0);
	return (long)set;
}

static long set_altstack(long i)
{
	static char stacks[THREADS][1 << 16];
	return sigaltstack(&(stack_t){ .ss_sp = stacks[i], .ss_size = sizeof *stacks - (size_t)i * 16 }, NULL);
}
static long get_altstack(void)
{
	stack_t stack;
	MUST_EQ(sigaltstack(NULL, &stack), 0);
	return (long)stack.ss_sp + (long)stack.ss_size + stack.ss_flags;
}

/* The first thread shares them with the process; the last has another root. */
static long set_directories(long i)
{
	if (!i)
		return 0;
	if (unshare(CLONE_FS) || (i == 3 && chroot(judge_dir)) || chdir(i == 2 ? judge_dir : "/"))
		return -1;
	umask(0100 + (mode_t)i);
	return 0;
}
static long get_directories(void)
{
	char cwd[PATH_MAX];
	struct stat root;
	mode_t mask = umask(0);
	umask(mask);
	MUST(getcwd(cwd, sizeof cwd) && stat("/", &root) == 0);
	return hash(cwd, strlen(cwd)) ^ mask ^ (long)root.st_ino << 32;
}

/* --- rights: raw calls, since those of the C library change all threads --- */

static long set_filter(long i) { return i % 2 ? deny_call(i > 1 ? SYS_getcpu : SYS_times, ENOTNAM) : 0; }
static long get_filter(void)
{
	bool no_cpu = syscall(SYS_getcpu, NULL, NULL, NULL) < 0, no_times = syscall(SYS_times, NULL) < 0;
	return no_cpu + 2 * no_times + 4 * prctl(PR_GET_SECCOMP);
}

static long set_securebits(long i) { return prctl(PR_SET_SECUREBITS, i % 2 ? SECBIT_NOROOT : SECBIT_NO_SETUID_FIXUP); }
static long get_securebits(void) { return prctl(PR_GET_SECUREBITS); }
static long set_bounding(long i) { return prctl(PR_CAPBSET_DROP, CAP_SYS_PACCT + (int)i, 0, 0, 0); }
static long get_bounding(void)
{
	long set = 0;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		set |= (long)prctl(PR_CAPBSET_READ, cap, 0, 0, 0) << cap;
	return set;
}

static long set_groups(long i) { return syscall(SYS_setgroups, i, (gid_t[]){ 10 + (gid_t)i, 20, 30 }); }
static long get_groups(void)
{
	gid_t groups[8];
	int n = getgroups(8, groups);
	return hash(groups, (size_t)n * sizeof *groups);
}

static long set_ids(long i)
{
	return syscall(SYS_setresgid, 11 + i, 12 + i, 13 + i) || syscall(SYS_setresuid, 21 + i, 0, 23 + i) ||
	       syscall(SYS_setfsuid, 31 + i) < 0 || syscall(SYS_setfsgid, 41 + i) < 0;
}
static long get_ids(void)
{
	uid_t ids[8];
	MUST(getresuid(ids, ids + 1, ids + 2) == 0 && getresgid(ids + 3, ids + 4, ids + 5) == 0);
	ids[6] = (uid_t)setfsuid((uid_t)-1);
	ids[7] = (uid_t)setfsgid((gid_t)-1);
	return hash(ids, sizeof ids);
}

static long set_caps(long i)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	if (syscall(SYS_capget, &header, caps) < 0)
		return -1;
	caps[0].inheritable = 1u << (CAP_CHOWN + i);
	caps[0].effective &= ~(1u << (CAP_KILL + i % 2));
	return syscall(SYS_capset, &header, caps) ||
	       (i > 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN + i, 0, 0) < 0);
}
static long get_caps(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	long ambient = 0;
	MUST_EQ(syscall(SYS_capget, &header, caps), 0);
	for (int cap = 0; cap < 8; cap++)
		ambient |= (long)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) << cap;
	return hash(caps, sizeof caps) ^ ambient;
}

/* In this order: who has given up rights sets no more; a change of ids clears the parent-death signal. no_new_privs comes with the
 * filters. */
static const struct attribute {
	const char *name;
	long (*set)(long i); /* 0, or what is not an error of its own */
	long (*get)(void);
} attributes[] = {
	{ "nice", set_nice, get_nice },
	{ "policy", set_policy, get_policy },
	{ "cpus", set_cpus, get_cpus },
	{ "priority of input and output", set_io, get_io },
	{ "timer slack", set_slack, get_slack },
	{ "personality", set_personality, get_personality },
	{ "name", set_name, get_name },
	{ "signal mask", set_mask, get_mask },
	{ "pending signals", set_pending, get_pending },
	{ "alternate stack", set_altstack, get_altstack },
	{ "directories and umask", set_directories, get_directories },
	{ "bounding set", set_bounding, get_bounding },
	{ "securebits", set_securebits, get_securebits },
	{ "keeping of capabilities", set_keep, get_keep },
	{ "seccomp filter", set_filter, get_filter },
	{ "no_new_privs", NULL, get_no_privs },
	{ "groups", set_groups, get_groups },
	{ "user and group ids", set_ids, get_ids },
	{ "capabilities", set_caps, get_caps },
	{ "parent-death signal", set_death, get_death },
};
#define ATTRIBUTES (sizeof attributes / sizeof *attributes)

static long had[THREADS][ATTRIBUTES];

static void *live(void *arg)
{
	long i = (long)arg;
	for (size_t k = 0; k < ATTRIBUTES; k++)
		if (attributes[k].set && attributes[k].set(i) != 0)
			judge_fail("thread %ld cannot set its %s: %s", i, attributes[k].name, strerror(errno));
	for (size_t k = 0; k < ATTRIBUTES; k++)
		had[i][k] = attributes[k].get();
	pthread_barrier_wait(&prepared);
	pthread_barrier_wait(&asked);
	for (size_t k = 0; k < ATTRIBUTES; k++) {
		long has = attributes[k].get();
		if (has != had[i][k])
			judge_fail("thread %ld: its %s was %lx, is %lx", i, attributes[k].name, had[i][k], has);
	}
	return NULL;
}

/* Each attribute is another one in some thread. */
static void judge_differing(int processors)
{
	for (size_t k = 0; k < ATTRIBUTES; k++) {
		bool differs = false;
		for (int i = 1; i < THREADS; i++)
			differs |= had[i][k] != had[0][k];
		if (!differs && (attributes[k].get != get_cpus || processors > 1))
			judge_fail("no thread has a %s of its own", attributes[k].name);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	cpu_set_t all;
	judge_start(argc, argv);
	MUST_EQ(sched_getaffinity(0, sizeof all, &all), 0);
	pthread_barrier_init(&prepared, NULL, THREADS + 1);
	pthread_barrier_init(&asked, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, live, (void *)i), 0);
	pthread_barrier_wait(&prepared);
	judge_differing(CPU_COUNT(&all));
	judge_wait();
	pthread_barrier_wait(&asked);
	for (int i = 0; i < THREADS; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	return judge_pass();
}
