// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the life of one test binary: finds the tests, runs each in its cage, prints KTAP. */
#include "harness/test.h"
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum outcome { RUNNING, PASSED, SKIPPED, FAILED };

/* Shared with the test's processes. */
static struct verdict {
	enum outcome outcome;
	char reason[200];
} * verdict;

extern const struct test *const __start_tests[], *const __stop_tests[];

static void give_verdict(enum outcome outcome, const char *format, va_list args)
{
	if (verdict->outcome == FAILED)
		return;
	vsnprintf(verdict->reason, sizeof verdict->reason, format, args);
	for (char *c = verdict->reason; *c; c++)
		if (*c == '\n')
			*c = ' ';
	verdict->outcome = outcome;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	dprintf(STDERR_FILENO, "%s:%d: ", file, line);
	vdprintf(STDERR_FILENO, format, args);
	dprintf(STDERR_FILENO, "\n");
	give_verdict(FAILED, format, again);
	va_end(again);
	va_end(args);
	_exit(1);
}

void test_skip(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	give_verdict(SKIPPED, format, args);
	va_end(args);
	_exit(0);
}

void test_check_eq(const char *file, int line, const char *a_text, const char *b_text, long long a, long long b)
{
	if (a != b)
		test_fail(file, line, "%s is %lld (%#llx), not %s = %lld (%#llx)", a_text, a, a, b_text, b, b);
}

void test_check_str(const char *file, int line, const char *a_text, const char *b_text, const char *a, const char *b)
{
	if (!a || !b ? a != b : strcmp(a, b) != 0)
		test_fail(file, line, "%s is \"%s\", not %s = \"%s\"", a_text, a ?: "(null)", b_text, b ?: "(null)");
}

void test_check_mem(const char *file, int line, const char *a_text, const char *b_text, const void *a, const void *b,
		    size_t len)
{
	const u8 *left = a, *right = b;
	for (size_t i = 0; i < len; i++)
		if (left[i] != right[i])
			test_fail(file, line, "%s and %s differ at byte %zu of %zu: %#x, %#x", a_text, b_text, i, len, left[i],
				  right[i]);
}

void test_check_contains(const char *file, int line, const char *text_text, const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		test_fail(file, line, "%s has no \"%s\"; it is:\n%s", text_text, part, text ?: "(null)");
}

long long test_check_ok(const char *file, int line, const char *text, long long value)
{
	int saved = errno;
	if (value < 0)
		test_fail(file, line, "%s gave %lld (%s)", text, value, strerror(value == -1 ? saved : (int)-value));
	return value;
}

static char build_dir[PATH_MAX];

void test_move_build_dir(const char *dir) { snprintf(build_dir, sizeof build_dir, "%s", dir); }

const char *test_build_dir(void)
{
	char *dir = build_dir;
	if (*dir)
		return dir;
	ssize_t len = readlink("/proc/self/exe", dir, sizeof build_dir - 1);
	dir[MAX(len, 0)] = 0;
	/* B/selftests/GROUP/TEST */
	for (int up = 0; up < 3 && strrchr(dir, '/'); up++)
		*strrchr(dir, '/') = 0;
	return dir;
}

int test_patience(void)
{
	const char *times = getenv("TEST_PATIENCE");
	return times && atoi(times) > 0 ? atoi(times) : 1;
}

static void run_test(const struct test *test)
{
	setsid();
	test->run();
	fflush(NULL);
	if (verdict->outcome == RUNNING)
		verdict->outcome = PASSED;
	exit(0);
}

/* The first process of the namespace: owns the test and reaps what it leaves; its end ends all of them. */
static int be_init(const struct test *test)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("ckpt-test", "/mnt", "tmpfs", 0, "mode=0755") ||
	    mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666,mode=620,gid=5")) {
		perror("namespace of the test");
		return 1;
	}
	prctl(PR_SET_NAME, "test-init");
	pid_t pid = fork();
	if (pid == 0)
		run_test(test);
	for (int status;;) {
		pid_t ended = waitpid(-1, &status, __WALL);
		if (ended < 0 && errno == ECHILD)
			return 1;
		if (ended == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

static bool raise_lo(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return r == 0;
}

/* Who runs tests in the background may ignore what a terminal sends, and so would all that a test starts. */
static void heed_signals(void)
{
	sigset_t none;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void raise_limit(int which, rlim_t least)
{
	struct rlimit limit;
	if (getrlimit(which, &limit) || limit.rlim_max >= least)
		return;
	limit.rlim_max = least;
	setrlimit(which, &limit);
}

/* What shells and services have set as they like, and tests take for granted. */
static void be_plain(void)
{
	struct rlimit stack;
	umask(022);
	raise_limit(RLIMIT_CORE, RLIM_INFINITY);
	raise_limit(RLIMIT_STACK, RLIM_INFINITY);
	raise_limit(RLIMIT_NOFILE, 1 << 16);
	if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur == RLIM_INFINITY) {
		stack.rlim_cur = 8 << 20;
		setrlimit(RLIMIT_STACK, &stack);
	}
}

/* Between the harness and the cage: killing it kills the cage. */
static int be_keeper(const struct test *test, bool caged)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	heed_signals();
	be_plain();
	if (!caged)
		run_test(test);
	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | (test->net ? CLONE_NEWNET : 0)) || (test->net && !raise_lo())) {
		perror("unshare");
		return 1;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(be_init(test));
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void replay(int log)
{
	char line[4096];
	FILE *from = fdopen(log, "r");
	rewind(from);
	while (fgets(line, sizeof line, from))
		printf("# %s%s", line, strchr(line, '\n') ? "" : "\n");
	fclose(from);
}

/* A test tells what it takes at most where nothing else runs; a limit is there for what would never end. */
#define LOADED 6

static int seconds_of(const struct test *test) { return (test->seconds ?: 60) * LOADED * test_patience(); }

static void decide(const struct test *test, int status)
{
	if (verdict->outcome == FAILED || (verdict->outcome != RUNNING && WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return;
	verdict->outcome = FAILED;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		snprintf(verdict->reason, sizeof verdict->reason, "killed (the time limit is %d s)", seconds_of(test));
	else if (WIFSIGNALED(status) || WEXITSTATUS(status) > 128)
		snprintf(verdict->reason, sizeof verdict->reason, "died of signal %d",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128);
	else
		snprintf(verdict->reason, sizeof verdict->reason, "ended with status %d", WEXITSTATUS(status));
}

/* May this process make namespaces? */
static bool can_cage(void)
{
	int status = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	waitpid(pid, &status, 0);
	return status == 0;
}

static enum outcome run_one(int number, const struct test *test, bool caged, bool verbose)
{
	*verdict = (struct verdict){ RUNNING };
	caged = caged && !test->host;
	if (test->root && (geteuid() || (!caged && !test->host))) {
		printf("ok %d %s # SKIP needs root and namespaces\n", number, test->name);
		return SKIPPED;
	}
	int log = memfd_create("log", MFD_CLOEXEC);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, STDIN_FILENO);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		close(null);
		close(log);
		_exit(be_keeper(test, caged));
	}
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	struct pollfd end = { pidfd, POLLIN, 0 };
	if (poll(&end, 1, seconds_of(test) * 1000) == 0) {
		if (!caged)
			kill(-pid, SIGKILL);
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	}
	waitpid(pid, &status, 0);
	close(pidfd);
	decide(test, status);
	if (verdict->outcome == FAILED || verbose)
		replay(log);
	else
		close(log);
	if (verdict->outcome == SKIPPED)
		printf("ok %d %s # SKIP %s\n", number, test->name, verdict->reason);
	else if (verdict->outcome == PASSED)
		printf("ok %d %s\n", number, test->name);
	else
		printf("# %s: %s\nnot ok %d %s\n", test->name, verdict->reason, number, test->name);
	fflush(stdout);
	return verdict->outcome;
}

static int by_order(const void *a, const void *b)
{
	return (*(const struct test *const *)a)->order - (*(const struct test *const *)b)->order;
}

static bool wanted(const struct test *test, char **patterns)
{
	if (!*patterns)
		return !test->manual;
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, test->name, FNM_EXTMATCH) == 0)
			return true;
	return false;
}

/* A name that no test has, perhaps no more: who asks for it would think that it passed. */
static const char *unknown_pattern(const struct test **tests, int n, char **patterns)
{
	for (; *patterns; patterns++) {
		int i = 0;
		while (i < n && fnmatch(*patterns, tests[i]->name, FNM_EXTMATCH) != 0)
			i++;
		if (i == n)
			return *patterns;
	}
	return NULL;
}

/* usage: TEST [-l] [-v] [PATTERN]...   PATTERN: as of a shell, also "!(*_a|*_b)" (fnmatch(3), FNM_EXTMATCH). */
int main(int argc, char **argv)
{
	bool verbose = false, list = false;
	for (int option; (option = getopt(argc, argv, "lv")) != -1;) {
		if (option == '?')
			return 2;
		*(option == 'l' ? &list : &verbose) = true;
	}
	signal(SIGCHLD, SIG_DFL); /* else nobody could be waited for */
	int plan = 0, number = 0, count[FAILED + 1] = { 0 }, n = (int)(__stop_tests - __start_tests);
	const struct test *tests[n];
	memcpy(tests, __start_tests, sizeof tests);
	qsort(tests, n, sizeof *tests, by_order);
	verdict = mmap(NULL, sizeof *verdict, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < n; i++) {
		if (list)
			puts(tests[i]->name);
		plan += wanted(tests[i], argv + optind);
	}
	if (list)
		return 0;
	const char *unknown = unknown_pattern(tests, n, argv + optind);
	if (unknown) {
		printf("# no test here is called %s\n", unknown);
		return 2;
	}
	printf("KTAP version 1\n1..%d\n", plan);
	bool caged = can_cage();
	for (int i = 0; i < n; i++)
		if (wanted(tests[i], argv + optind))
			count[run_one(++number, tests[i], caged, verbose)]++;
	return count[FAILED] ? 1 : count[SKIPPED] == plan ? 4 : 0;
}
