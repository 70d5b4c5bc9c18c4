// SPDX-License-Identifier: LGPL-2.1-or-later
/* attributes DIR: everything small that belongs to a process: limits, scheduling, ids, capabilities, working directory, name,
 * arguments, environment, prctl settings, a seccomp filter. */
#include "../deny.h"
#include "judge.h"
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/resource.h>

static char before[65536], after[65536];
static char *put;

static void add(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put += vsprintf(put, format, args);
	va_end(args);
}

static void add_file(const char *path)
{
	char bytes[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
	uint64_t hash = 5381;
	for (ssize_t i = 0; i < n; i++)
		hash = hash * 33 + (unsigned char)bytes[i];
	add("%s %zd bytes, hash %llx\n", path, n, (unsigned long long)hash);
	if (fd >= 0)
		close(fd);
}

static void add_link(const char *path)
{
	char target[PATH_MAX] = "";
	MUST(readlink(path, target, sizeof target - 1) > 0);
	add("%s -> %s\n", path, target);
}

/* Lines of a status file that a checkpoint must not change. */
static void add_status(void)
{
	static const char *const keys[] = {
		"Name:",         "Umask:",  "Uid:",    "Gid:",    "Groups:",      "CapInh:",  "CapPrm:",
		"CapEff:",       "CapBnd:", "CapAmb:", "SigQ",    "NoNewPrivs:",  "Seccomp:", "Seccomp_filters:",
		"Cpus_allowed:", "SigBlk:", "SigIgn:", "SigCgt:", "THP_enabled:", "Threads:"
	};
	char line[512];
	FILE *status = fopen("/proc/self/status", "re");
	while (fgets(line, sizeof line, status))
		for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
			if (!strncmp(line, keys[i], strlen(keys[i])) && strcmp(keys[i], "SigQ") != 0)
				add("%s", line);
	fclose(status);
}

/* Each session has an autogroup, which begins with a number of its own. */
static void add_autogroup(void)
{
	int nice = 0;
	FILE *file = fopen("/proc/self/autogroup", "re");
	if (file && fscanf(file, "/autogroup-%*d nice %d", &nice) == 1)
		add("autogroup nice %d\n", nice);
	if (file)
		fclose(file);
}

static void describe(char *text)
{
	put = text;
	add_status();
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;
		getrlimit((__rlimit_resource_t)i, &limit);
		add("limit %d: %llx %llx\n", i, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	}
	struct sched_param param = { 0 };
	sched_getparam(0, &param);
	add("nice %d policy %d priority %d ioprio %ld\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
	    param.sched_priority, syscall(SYS_ioprio_get, 1, 0));
	add("personality %x\n", personality(0xffffffff));
	static const int options[] = { PR_GET_DUMPABLE,     PR_GET_KEEPCAPS,    PR_GET_TIMERSLACK, PR_GET_SECUREBITS,
				       PR_GET_NO_NEW_PRIVS, PR_GET_THP_DISABLE, PR_GET_TIMING };
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		add("prctl %d: %d\n", options[i], prctl(options[i], 0, 0, 0, 0));
	int signal = 0;
	prctl(PR_GET_PDEATHSIG, &signal);
	add("pdeathsig %d\n", signal);
	add_link("/proc/self/cwd");
	add_link("/proc/self/exe");
	add_link("/proc/self/root");
	static const char *const files[] = { "/proc/self/cmdline", "/proc/self/environ",       "/proc/self/auxv",
					     "/proc/self/comm",    "/proc/self/oom_score_adj", "/proc/self/coredump_filter",
					     "/proc/self/loginuid" };
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		add_file(files[i]);
	add("membarrier %ld\n", syscall(SYS_membarrier, 512 /* MEMBARRIER_CMD_GET_REGISTRATIONS */, 0, 0));
	add_autogroup();
	add("brk %p pagesize %lu sysinfo %lx\n", sbrk(0), getauxval(AT_PAGESZ), getauxval(AT_SYSINFO_EHDR));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Where the kernel permits it. */
static void set_login_uid(const char *text)
{
	int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		MUST(errno == EPERM || errno == EINVAL);
	if (fd >= 0)
		close(fd);
}

/* getcpu gives ENOTNAM from now on. */
static void install_filter(void) { MUST_EQ(deny_call(SYS_getcpu, ENOTNAM), 0); }

int main(int argc, char **argv)
{
	struct rlimit limit = { 100, 1000 };
	struct sched_param none = { 0 };
	cpu_set_t one;
	judge_start(argc, argv);
	bool filter = argc > 2 && !strcmp(argv[2], "seccomp");
	umask(0137);
	MUST_EQ(chdir(judge_dir), 0);
	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	MUST_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
	limit.rlim_cur = 0;
	MUST_EQ(setrlimit(RLIMIT_CORE, &limit), 0);
	limit = (struct rlimit){ 4 << 20, 64 << 20 };
	MUST_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
	MUST_EQ(setpriority(PRIO_PROCESS, 0, 7), 0);
	MUST_EQ(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	CPU_ZERO(&one);
	CPU_SET(judge_cpu(0), &one);
	MUST_EQ(sched_setaffinity(0, sizeof one, &one), 0);
	MUST_EQ(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6), 0);
	MUST(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
	MUST_EQ(prctl(PR_SET_NAME, "renamed it"), 0);
	MUST_EQ(prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0), 0);
	MUST_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	MUST_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR2), 0);
	signal(SIGUSR2, SIG_IGN);
	write_file("/proc/self/oom_score_adj", "321");
	if (access("/proc/self/autogroup", W_OK) == 0)
		write_file("/proc/self/autogroup", "5");
	set_login_uid("1234");
	MUST_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0), 0);
	MUST_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
	write_file("/proc/self/coredump_filter", "0x11");
	/* The arguments as `ps` shows them, overwritten as daemons do. */
	memset(argv[0], 'A', strlen(argv[0]));
	MUST(sbrk(12345) != (void *)-1);
	gid_t groups[] = { 7, 70, 700, 70000 };
	MUST_EQ(setgroups(4, groups), 0);
	MUST_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0), 0);
	MUST_EQ(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0), 0);
	MUST_EQ(setresgid(11, 12, 13), 0);
	MUST_EQ(setresuid(1001, 0, 1003), 0);
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	MUST_EQ(syscall(SYS_capget, &header, caps), 0);
	caps[0].inheritable = 1u << CAP_CHOWN | 1u << CAP_NET_ADMIN;
	caps[0].effective &= ~(1u << CAP_SYS_BOOT);
	MUST_EQ(syscall(SYS_capset, &header, caps), 0);
	MUST_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
	/* Changing ids clears these two. */
	MUST_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	MUST_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR2), 0);
	if (filter)
		install_filter();
	describe(before);
	judge_wait();
	describe(after);
	if (strcmp(before, after) != 0) {
		char *a = before, *b = after;
		for (char *end_a, *end_b; *a && *b; a = end_a + 1, b = end_b + 1) {
			end_a = strchrnul(a, '\n');
			end_b = strchrnul(b, '\n');
			if (end_a - a != end_b - b || memcmp(a, b, (size_t)(end_a - a)) != 0)
				judge_fail("was \"%.*s\", is \"%.*s\"", (int)(end_a - a), a, (int)(end_b - b), b);
		}
		judge_fail("attributes differ in number");
	}
	if (filter)
		MUST(syscall(SYS_getcpu, NULL, NULL, NULL) == -1 && errno == ENOTNAM);
	return judge_pass();
}
