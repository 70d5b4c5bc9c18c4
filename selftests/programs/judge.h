/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a program tells what it noticed. It is started as PROGRAM DIR [ARGUMENT]...; it makes DIR/ready when it may be dumped,
 * sees DIR/stop when it is asked for its verdict, and writes "ok" or what went wrong to DIR/verdict. DIR/gap holds the
 * milliseconds that it did not exist. Every header of libc that the programs need is here. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Until what must come is taken never to come: no matter of the machine's speed, and less than a test waits for a verdict. */
#define JUDGE_PATIENCE_MS 60000

static char judge_dir[PATH_MAX];

__attribute__((unused)) static const char *judge_path(const char *name)
{
	static __thread char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", judge_dir, name);
	return path;
}

static void judge_write(const char *name, const char *text)
{
	int fd = open(judge_path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* the first word counts */
	if (write(fd, text, strlen(text)) < 0)
		_exit(99);
	close(fd);
}

__attribute__((unused, format(printf, 1, 2), noreturn)) static void judge_fail(const char *format, ...)
{
	char text[1000];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	judge_write("verdict", text);
	_exit(1);
}

#define MUST(condition)                                                                                                        \
	do {                                                                                                                   \
		if (!(condition))                                                                                              \
			judge_fail("%s:%d: %s does not hold (errno %d: %s)", __FILE__, __LINE__, #condition, errno,            \
				   strerror(errno));                                                                           \
	} while (0)
#define MUST_EQ(a, b)                                                                                                          \
	do {                                                                                                                   \
		long long a_ = (long long)(a), b_ = (long long)(b);                                                            \
		if (a_ != b_)                                                                                                  \
			judge_fail("%s:%d: %s is %lld (%#llx), not %s = %lld (%#llx) (errno %d)", __FILE__, __LINE__, #a, a_,  \
				   a_, #b, b_, b_, errno);                                                                     \
	} while (0)

/* fcntl(F_GETFL) without O_LARGEFILE, which the kernel adds. */
__attribute__((unused)) static int judge_flags(int fd)
{
#if defined(__x86_64__)
	return fcntl(fd, F_GETFL) & ~0100000;
#else
	return fcntl(fd, F_GETFL) & ~0400000;
#endif
}

/* Ends the program before it is ready, and the test is skipped, when one of these is not there (NULL ends the list). */
__attribute__((unused)) static void judge_need(const char *const *paths)
{
	for (; *paths; paths++)
		if (access(*paths, X_OK) < 0)
			judge_fail("skip: %s is not installed", *paths);
}

__attribute__((unused)) static void judge_start(int argc, char **argv)
{
	if (argc < 2 || !realpath(argv[1], judge_dir)) {
		fprintf(stderr, "usage: %s DIR [ARGUMENT]...\n", argv[0]);
		_exit(2);
	}
}

__attribute__((unused)) static void judge_ready(void)
{
	char made[PATH_MAX + 64];
	judge_write("made", "");
	snprintf(made, sizeof made, "%s", judge_path("made"));
	rename(made, judge_path("ready")); /* by then it is open no more: a dump may begin at once */
}

__attribute__((unused)) static bool judge_asked(void) { return access(judge_path("stop"), F_OK) == 0; }

__attribute__((unused)) static void judge_nap(int milliseconds)
{
	struct timespec t = { milliseconds / 1000, milliseconds % 1000 * 1000000l };
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* Waits, doing nothing that a dump could disturb more than a sleep. */
__attribute__((unused)) static void judge_wait(void)
{
	judge_ready();
	while (!judge_asked())
		judge_nap(20);
}

__attribute__((unused)) static int judge_pass(void)
{
	judge_write("verdict", "ok");
	return 0;
}

__attribute__((unused)) static double judge_clock(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The i-th of the processors that the thread may run on, which may be others than the first ones (cpusets), and a single one. */
__attribute__((unused)) static int judge_cpu(long i)
{
	cpu_set_t all;
	MUST_EQ(sched_getaffinity(0, sizeof all, &all), 0);
	i %= CPU_COUNT(&all);
	for (int cpu = 0;; cpu++)
		if (CPU_ISSET(cpu, &all) && i-- == 0)
			return cpu;
}

/* Waits until a child sleeps: it has nothing left to do but what it waits for. */
__attribute__((unused)) static void judge_settled(pid_t pid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	for (int asleep = 0, tries = 0; asleep < 5 && tries < 2000; tries++, judge_nap(2)) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		text[n > 0 ? n : 0] = 0;
		char *name = strrchr(text, ')');
		asleep = name && name[1] && name[2] == 'S' ? asleep + 1 : 0;
	}
}

/* Seconds that the program did not exist, as the test says. */
__attribute__((unused)) static double judge_gap(void)
{
	char text[32] = "";
	int fd = open(judge_path("gap"), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 ? atoi(text) / 1000.0 : 0;
}
