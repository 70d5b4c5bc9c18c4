// SPDX-License-Identifier: LGPL-2.1-or-later
/* rights DIR shared|own|tight|strict|chroot|settings|scheduled|user: seccomp filters that threads share or have alone, filters
 * that refuse what a restore itself needs, strict mode, credentials and scheduling of single threads, another root directory,
 * settings of prctl, a user with some rights. */
#include "judge.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <sys/resource.h>

#define THREADS 4
#define REFUSED 77

static int install(unsigned flags, unsigned nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | REFUSED),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static bool refused(long nr) { return syscall(nr, -1, 0, 0, 0, 0, 0) == -1 && errno == REFUSED; }

/* --- threads --- */

static pthread_barrier_t prepared, asked, changed;
static bool own;

/* Raw calls: those of the C library change all threads. */
static void take_own(long i)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2] = { { 1u << CAP_CHOWN, 1u << CAP_CHOWN | 1u << CAP_KILL, 0 } };
	gid_t groups[] = { 10 + (gid_t)i, 20 + (gid_t)i };
	MUST_EQ(install(0, i % 2 ? SYS_getcpu : SYS_times), 0);
	MUST_EQ(syscall(SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP), 0);
	MUST_EQ(syscall(SYS_setgroups, 2, groups), 0);
	MUST_EQ(syscall(SYS_setresuid, 100 + i, 200 + i, 300 + i), 0);
	if (i == 1)
		MUST_EQ(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	MUST_EQ(syscall(SYS_capset, &header, caps), 0);
}

static void judge_own(long i)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	gid_t groups[3];
	uid_t r, e, s;
	MUST_EQ(refused(SYS_getcpu), i % 2);
	MUST_EQ(refused(SYS_times), !(i % 2));
	MUST_EQ(getresuid(&r, &e, &s), 0);
	MUST(r == 100 + i && e == 200 + i && s == 300 + i);
	MUST_EQ(getgroups(3, groups), 2);
	MUST(groups[0] == 10 + (gid_t)i && groups[1] == 20 + (gid_t)i);
	MUST_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), i == 1);
	MUST_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
	MUST_EQ(syscall(SYS_capget, &header, caps), 0);
	MUST(caps[0].effective == 1u << CAP_CHOWN && caps[0].permitted == (1u << CAP_CHOWN | 1u << CAP_KILL));
}

static void *thread(void *arg)
{
	long i = (long)arg;
	if (own)
		take_own(i);
	pthread_barrier_wait(&prepared);
	pthread_barrier_wait(&asked);
	if (own)
		judge_own(i);
	else
		MUST(refused(SYS_getcpu) && !refused(SYS_times));
	pthread_barrier_wait(&changed);
	pthread_barrier_wait(&changed);
	if (!own)
		MUST(refused(SYS_times));
	return NULL;
}

static void live_threads(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_init(&prepared, NULL, THREADS + 1);
	pthread_barrier_init(&asked, NULL, THREADS + 1);
	pthread_barrier_init(&changed, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
	pthread_barrier_wait(&prepared);
	if (!own) /* no_new_privs is not needed: it is root */
		MUST_EQ(install(SECCOMP_FILTER_FLAG_TSYNC, SYS_getcpu), 0);
	judge_wait();
	pthread_barrier_wait(&asked);
	pthread_barrier_wait(&changed);
	if (!own) /* works only where all threads have the same filters, not equal ones */
		MUST_EQ(install(SECCOMP_FILTER_FLAG_TSYNC, SYS_times), 0);
	pthread_barrier_wait(&changed);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* --- one process --- */

static void live_tight(void)
{
	static const unsigned calls[] = { SYS_futex, SYS_munmap,          SYS_prctl,  SYS_rt_sigaction, SYS_close_range,
					  SYS_setns, SYS_rt_sigqueueinfo, SYS_clone3, SYS_seccomp };
	size_t n = sizeof calls / sizeof *calls;
	for (size_t i = 0; i < n; i++)
		MUST_EQ(install(0, calls[i]), 0);
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0, 0, 0 } };
	MUST_EQ(syscall(SYS_capset, &header, none), 0); /* has filters, but neither no_new_privs nor a right to install them */
	judge_wait();
	for (size_t i = 0; i < n; i++)
		MUST(refused(calls[i]));
}

/* As an ordinary user has them. */
static void live_filtered(void)
{
	MUST_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	MUST_EQ(install(0, SYS_getcpu), 0);
	judge_wait();
	MUST(refused(SYS_getcpu));
}

static void live_strict(void)
{
	int ask[2], answer[2], status;
	char c = 0;
	MUST_EQ(pipe(ask), 0);
	MUST_EQ(pipe(answer), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		syscall(SYS_write, answer[1], "r", 1);
		while (syscall(SYS_read, ask[0], &c, 1) == 1 && c == 'a')
			syscall(SYS_write, answer[1], "y", 1);
		syscall(SYS_getpid); /* ends it */
		syscall(SYS_exit, 0);
	}
	MUST_EQ(read(answer[0], &c, 1), 1);
	judge_wait();
	MUST_EQ(write(ask[1], "a", 1), 1);
	MUST_EQ(read(answer[0], &c, 1), 1);
	MUST_EQ(c, 'y');
	MUST_EQ(write(ask[1], "e", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void live_chroot(void)
{
	struct stat root, now;
	char cwd[64];
	MUST_EQ(mkdir(judge_path("inner"), 0755), 0);
	MUST_EQ(chroot(judge_dir), 0);
	MUST_EQ(chdir("/inner"), 0);
	strcpy(judge_dir, "/");
	umask(0137);
	MUST_EQ(stat("/", &root), 0);
	judge_wait();
	MUST_EQ(stat("/", &now), 0);
	MUST(root.st_ino == now.st_ino && root.st_dev == now.st_dev);
	MUST(getcwd(cwd, sizeof cwd) && !strcmp(cwd, "/inner"));
	MUST_EQ(umask(0), 0137);
}

static void live_user(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	unsigned keep = 1u << CAP_NET_BIND_SERVICE, inherit = keep | 1u << CAP_SYS_TIME;
	struct __user_cap_data_struct caps[2] = { { keep, keep, inherit } }, now[2];
	uid_t r, e, s;
	MUST_EQ(chmod(judge_dir, 0777), 0);
	MUST_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
	MUST_EQ(setgroups(1, (gid_t[]){ 4242 }), 0);
	MUST_EQ(setresgid(50, 51, 52), 0);
	MUST_EQ(setresuid(1000, 1000, 1001), 0);
	MUST_EQ(syscall(SYS_capset, &header, caps), 0);
	MUST_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0), 0);
	MUST_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
	judge_wait();
	MUST_EQ(getresuid(&r, &e, &s), 0);
	MUST(r == 1000 && e == 1000 && s == 1001);
	MUST_EQ(syscall(SYS_capget, &header, now), 0);
	MUST_EQ(memcmp(now, caps, sizeof caps), 0);
	MUST_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0), 1);
	MUST_EQ(prctl(PR_GET_KEEPCAPS), 1);
	MUST_EQ(prctl(PR_GET_DUMPABLE), 0);
	MUST(setuid(0) == -1 && errno == EPERM);
}

#define SET_MDWE 65 /* PR_SET_MDWE, Linux 6.3 */

static void live_settings(void)
{
	int is = 0;
	bool mdwe = prctl(SET_MDWE, 1, 0, 0, 0) == 0;
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	MUST_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
	judge_wait();
	MUST_EQ(prctl(PR_GET_CHILD_SUBREAPER, &is), 0);
	MUST_EQ(is, 1);
	MUST_EQ(prctl(PR_GET_DUMPABLE), 0);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), mdwe ? -1 : 0);
}

static int cpus[THREADS];

static void set_scheduling(long i)
{
	struct sched_param param = { (int)i + 5 };
	cpu_set_t one;
	CPU_ZERO(&one);
	cpus[i] = judge_cpu(i % 2);
	CPU_SET(cpus[i], &one);
	MUST_EQ(setpriority(PRIO_PROCESS, (id_t)gettid(), (int)i - 3), 0);
	if (syscall(SYS_sched_setscheduler, 0, (i % 2 ? SCHED_FIFO : SCHED_RR) | SCHED_RESET_ON_FORK, &param)) {
		MUST_EQ(errno, EPERM); /* a control group without any time for it */
		judge_fail("skip: no real-time class is permitted here");
	}
	MUST_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

static void judge_scheduling(long i)
{
	struct sched_param param;
	cpu_set_t set;
	MUST_EQ(syscall(SYS_sched_getscheduler, 0), (i % 2 ? SCHED_FIFO : SCHED_RR) | SCHED_RESET_ON_FORK);
	MUST_EQ(syscall(SYS_sched_getparam, 0, &param), 0);
	MUST_EQ(param.sched_priority, i + 5);
	MUST_EQ(getpriority(PRIO_PROCESS, (id_t)gettid()), i - 3); /* for when it is realtime no more */
	MUST_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	MUST(CPU_COUNT(&set) == 1 && CPU_ISSET(cpus[i], &set));
}

static void *scheduled(void *arg)
{
	set_scheduling((long)arg);
	pthread_barrier_wait(&prepared);
	pthread_barrier_wait(&asked);
	judge_scheduling((long)arg);
	return NULL;
}

static void live_scheduled(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_init(&prepared, NULL, THREADS + 1);
	pthread_barrier_init(&asked, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, scheduled, (void *)i), 0);
	pthread_barrier_wait(&prepared);
	MUST_EQ(setpriority(PRIO_PROCESS, 0, -5), 0);
	judge_wait();
	pthread_barrier_wait(&asked);
	MUST_EQ(getpriority(PRIO_PROCESS, 0), -5);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *mode = argc > 2 ? argv[2] : "";
	own = !strcmp(mode, "own");
	if (own)
		MUST_EQ(chmod(judge_dir, 0777), 0);
	if (own || !strcmp(mode, "shared"))
		live_threads();
	else if (!strcmp(mode, "tight"))
		live_tight();
	else if (!strcmp(mode, "filtered"))
		live_filtered();
	else if (!strcmp(mode, "strict"))
		live_strict();
	else if (!strcmp(mode, "chroot"))
		live_chroot();
	else if (!strcmp(mode, "settings"))
		live_settings();
	else if (!strcmp(mode, "scheduled"))
		live_scheduled();
	else
		live_user();
	return judge_pass();
}
