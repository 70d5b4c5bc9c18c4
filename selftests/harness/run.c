// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns a run of many tests (binaries and scripts that print KTAP): a time limit for each, some at a time, what failed and
 * what was skipped, and one total as the last line: "N passed, N failed, N skipped". */
#include "base/base.h"
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

struct tally {
	int passed, failed, skipped;
	char reason[200]; /* of the last that was skipped */
};

struct job {
	const char *program;
	pid_t pid;
	int pidfd, log;
	bool late;
	double started;
};

static struct settings {
	int seconds, parallel;
	bool ktap; /* everything as KTAP to standard output */
	FILE *log; /* everything as KTAP here */
	int width;
} settings = { .seconds = 1800, .parallel = 1 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* GROUP/TEST, the last two parts of the path. */
static const char *short_name(const char *program)
{
	const char *slash = strrchr(program, '/');
	while (slash && slash > program && slash[-1] != '/')
		slash--;
	return slash ?: program;
}

/* PROGRAM or PROGRAM:NAME,NAME: only these of its tests. */
static void run_program(char *program)
{
	char *argv[64] = { program }, *names = strchr(program, ':');
	int n = 1;

	if (names)
		*names++ = 0;
	for (char *name = names ? strtok(names, ",") : NULL; name && n < 63; name = strtok(NULL, ","))
		argv[n++] = name;
	execv(program, argv);
}

static bool start(struct job *job, const char *program)
{
	*job = (struct job){ .program = program, .log = memfd_create("log", MFD_CLOEXEC), .started = now() };
	job->pid = fork();
	if (job->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		int null = open("/dev/null", O_RDONLY);
		dup2(null, STDIN_FILENO);
		dup2(job->log, STDOUT_FILENO);
		dup2(job->log, STDERR_FILENO);
		run_program(strdup(program));
		printf("# cannot run %s: %s\n", program, strerror(errno));
		fflush(stdout);
		_exit(127);
	}
	job->pidfd = (int)syscall(SYS_pidfd_open, job->pid, 0);
	return job->pid > 0;
}

/* One line of KTAP: counts it, says whether a person should see it. */
static bool count_line(struct tally *tally, const char *line, int *plan)
{
	int number;
	if (sscanf(line, "1..%d", &number) == 1)
		*plan = number;
	if (!strncmp(line, "not ok ", 7)) {
		tally->failed++;
		return true;
	}
	if (strncmp(line, "ok ", 3))
		return false;
	const char *skip = strstr(line, "# SKIP");
	if (!skip) {
		tally->passed++;
		return false;
	}
	tally->skipped++;
	sscanf(skip, "# SKIP %199[^\n]", tally->reason);
	return true;
}

static void copy_log(FILE *from, FILE *to, const char *indent)
{
	char line[8192];
	rewind(from);
	while (fgets(line, sizeof line, from))
		fprintf(to, "%s%s", indent, line);
}

static const char *outcome_text(const struct job *job, int status)
{
	static char text[80];
	*text = 0;
	if (job->late)
		snprintf(text, sizeof text, "did not end within %d s", settings.seconds);
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "died of signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 1 && WEXITSTATUS(status) != 4)
		snprintf(text, sizeof text, "ended with status %d", WEXITSTATUS(status));
	return text;
}

/* Lines for people: the failed with what they printed before, the skipped with their reasons. */
static void show(FILE *log, const char *name, const struct tally *tally, double seconds)
{
	char line[8192], comments[65536] = "";
	printf("  %-*s %3d passed", settings.width, name, tally->passed);
	if (tally->failed)
		printf(", %d FAILED", tally->failed);
	if (tally->skipped)
		printf(", %d skipped", tally->skipped);
	printf("  (%.1f s)\n", seconds);
	rewind(log);
	while (fgets(line, sizeof line, log)) {
		struct tally one = { 0 };
		if (!isdigit((unsigned char)*line) && strncmp(line, "ok ", 3) && strncmp(line, "not ok ", 7) &&
		    strncmp(line, "KTAP", 4)) {
			if (strlen(comments) + strlen(line) + 5 < sizeof comments)
				strcat(strcat(comments, "      "), line);
			continue;
		}
		if (count_line(&one, line, &(int){ 0 })) {
			if (one.failed)
				fputs(comments, stdout);
			printf("    %s", line);
		}
		*comments = 0;
	}
	if (tally->failed)
		fputs(comments, stdout);
	fflush(stdout);
}

static void finish(struct job *job, int status, int number, struct tally *total)
{
	struct tally tally = { 0 };
	int plan = -1;
	char line[8192];
	double seconds = now() - job->started;
	const char *name = short_name(job->program), *wrong = outcome_text(job, status);
	FILE *log = fdopen(job->log, "r+");
	rewind(log);
	while (fgets(line, sizeof line, log))
		count_line(&tally, line, &plan);
	int seen = tally.passed + tally.failed + tally.skipped;
	if (*wrong || seen != plan || (status && !tally.failed && !(WIFEXITED(status) && WEXITSTATUS(status) == 4))) {
		tally.failed++;
		fprintf(log, "# %s: %s (%d of %d tests seen)\nnot ok %d %s\n", name, *wrong ? wrong : "is not complete", seen,
			plan, seen + 1, name);
		fflush(log);
	}
	FILE *outputs[] = { settings.ktap ? stdout : NULL, settings.log };
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		if (!outputs[i])
			continue;
		copy_log(log, outputs[i], "  ");
		bool none = !tally.passed && !tally.failed;
		fprintf(outputs[i], "# %s took %.1f s\n", name, seconds);
		fprintf(outputs[i], "%sok %d %s%s%s\n", tally.failed ? "not " : "", number, name, none ? " # SKIP " : "",
			none ? tally.reason : "");
		fflush(outputs[i]);
	}
	if (!settings.ktap)
		show(log, name, &tally, seconds);
	fclose(log);
	close(job->pidfd);
	total->passed += tally.passed;
	total->failed += tally.failed;
	total->skipped += tally.skipped;
}

/* Waits for any job to end or to be late; its index. */
static int wait_any(struct job *jobs, int n, int *status)
{
	for (;;) {
		struct pollfd fds[n];
		for (int i = 0; i < n; i++) {
			fds[i] = (struct pollfd){ jobs[i].pidfd, POLLIN, 0 };
			if (!jobs[i].late && now() - jobs[i].started > settings.seconds) {
				jobs[i].late = true;
				kill(-jobs[i].pid, SIGKILL);
			}
		}
		if (poll(fds, n, 500) <= 0)
			continue;
		for (int i = 0; i < n; i++)
			if (fds[i].revents && waitpid(jobs[i].pid, status, 0) == jobs[i].pid)
				return i;
	}
}

/* usage: run [-k] [-o LOG] [-t SECONDS] [-j JOBS] PROGRAM... */
/* --- what tests change for all of the machine, and only together can change back --- */

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"

/* By how many huge pages the pool may grow; empty: it cannot be read. */
static void pool_read(char ret[24])
{
	int fd = open(POOL, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, 23);
	ret[MAX(n, 0)] = 0;
	closep(&fd);
}

static void pool_restore(const char *before)
{
	char now_there[24];
	pool_read(now_there);
	int fd = strcmp(before, now_there) ? open(POOL, O_WRONLY | O_CLOEXEC) : -1;
	if (fd >= 0 && write(fd, before, strlen(before)) < 0)
		perror(POOL);
	closep(&fd);
}

int main(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "ko:t:j:")) != -1;) {
		if (option == 'k')
			settings.ktap = true;
		else if (option == 'o')
			settings.log = fopen(optarg, "we");
		else if (option == 't')
			settings.seconds = MAX(atoi(optarg), 1);
		else if (option == 'j')
			settings.parallel = MIN(MAX(atoi(optarg), 1), 64);
		else
			return 2;
	}
	struct tally total = { 0 };
	struct job jobs[64];
	signal(SIGCHLD, SIG_DFL); /* else nobody could be waited for */
	char pool[24];
	pool_read(pool);
	int running = 0, number = 0, n = argc - optind;
	for (int i = optind; i < argc; i++)
		settings.width = MAX(settings.width, (int)strlen(short_name(argv[i])));
	if (settings.ktap)
		printf("KTAP version 1\n1..%d\n", n);
	if (settings.log)
		fprintf(settings.log, "KTAP version 1\n1..%d\n", n);
	while (optind < argc || running) {
		while (running < settings.parallel && optind < argc)
			if (start(&jobs[running], argv[optind++]))
				running++;
		int status = 0, ended = wait_any(jobs, running, &status);
		finish(&jobs[ended], status, ++number, &total);
		jobs[ended] = jobs[--running];
	}
	pool_restore(pool);
	printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped);
	return total.failed ? 1 : total.passed + total.skipped == 0 || total.passed == 0 ? 4 : 0;
}
