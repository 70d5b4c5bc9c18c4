// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the look at what there is. */
#include "harness/left.h"
#include "harness/killer.h"
#include "base/file.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

static struct text *found; /* nftw() takes no argument */

static int order_lines(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int see_file(const char *path, const struct stat *st, int type _unused_, struct FTW *ftw _unused_)
{
	if (!S_ISDIR(st->st_mode))
		text_addf(found, "file %s %o %u\n", path, st->st_mode, (unsigned)st->st_nlink);
	else
		text_addf(found, "directory %s\n", path);
	return 0;
}

static void see_files(struct text *t)
{
	found = t;
	nftw(WORK, see_file, 16, FTW_PHYS); /* other places are not the test's alone */
}

static void see_threads(struct text *t, const char *pid)
{
	char path[300];
	struct dirent *e;
	snprintf(path, sizeof path, "/proc/%s/task", pid);
	DIR *tasks = opendir(path);
	while (tasks && (e = readdir(tasks))) {
		_cleanup_text_ struct text name = { 0 };
		if (*e->d_name != '.' && file_readf(&name, AT_FDCWD, "%s/%s/comm", path, e->d_name) == 0)
			text_addf(t, "thread %s of process %s: %s", e->d_name, pid, name.data);
	}
	if (tasks)
		closedir(tasks);
}

static void see_processes(struct text *t)
{
	struct dirent *e;
	DIR *proc = opendir("/proc");
	CHECK(proc);
	while ((e = readdir(proc)))
		if (*e->d_name >= '1' && *e->d_name <= '9')
			see_threads(t, e->d_name);
	closedir(proc);
}

/* proc_sysvipc(5): key, shmid, perms, size. */
static void see_segments(struct text *t)
{
	_cleanup_text_ struct text all = { 0 };
	long key, id, perms, size;
	if (file_read(AT_FDCWD, "/proc/sysvipc/shm", &all) < 0)
		return;
	for (const char *line = strchr(all.data, '\n'); line; line = strchr(line + 1, '\n'))
		if (sscanf(line, " %ld %ld %lo %ld", &key, &id, &perms, &size) == 4)
			text_addf(t, "segment %ld key %ld mode %lo of %ld bytes\n", id, key, perms, size);
}

char *left_look(void)
{
	_cleanup_text_ struct text t = { 0 }, sorted = { 0 };
	char *lines[4096];
	size_t n = 0;
	strike_own_cache(); /* a mount, before it is looked at */
	see_processes(&t);
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/mountinfo", &t));
	see_files(&t);
	see_segments(&t);
	for (char *line = strtok(t.data, "\n"); line && n < ARRAY_SIZE(lines); line = strtok(NULL, "\n"))
		lines[n++] = line;
	qsort(lines, n, sizeof *lines, order_lines);
	for (size_t i = 0; i < n; i++)
		text_addf(&sorted, "%s\n", lines[i]);
	return text_take(&sorted);
}

/* Lines of a that b lacks. */
static void print_missing(const char *sign, const char *a, const char *b)
{
	for (const char *end; *a; a = end + 1) {
		end = strchr(a, '\n');
		_cleanup_free_ char *line = strndup(a, (size_t)(end - a) + 1);
		if (!strstr(b, line))
			printf("%s %s", sign, line);
	}
}

void left_check(const char *before, const char *what)
{
	for (long long begin = clock_ms();; nap_ms(1)) {
		_cleanup_free_ char *now = left_look();
		if (!strcmp(before, now))
			return;
		if (clock_ms() - begin < WAIT_MS * test_patience())
			continue;
		print_missing("-", before, now);
		print_missing("+", now, before);
		fflush(stdout);
		FAIL("%s: something was left behind, or is gone", what);
	}
}

bool left_processes(void)
{
	_cleanup_text_ struct text t = { 0 };
	char own[32];
	see_processes(&t);
	snprintf(own, sizeof own, "thread %d of", getpid());
	for (const char *line = t.data; *line; line = strchr(line, '\n') + 1)
		if (strncmp(line, "thread 1 of", 11) && strncmp(line, own, strlen(own)))
			return true;
	return false;
}

char *left_look_alone(void)
{
	for (long long begin = clock_ms(); left_processes(); nap_ms(1))
		if (clock_ms() - begin > WAIT_MS * test_patience())
			FAIL("somebody lives on: %s", left_look());
	return left_look();
}

static unsigned long long switches_of(pid_t pid)
{
	char path[64];
	unsigned long long sum = 0;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	_cleanup_free_ char *status = read_text(path);
	const char *line = status ? strstr(status, "\nvoluntary_ctxt_switches:") : NULL;
	if (line)
		sum = strtoull(line + 25, NULL, 10);
	return sum;
}

void left_running(pid_t pid, bool wakes, const char *what)
{
	char path[64];
	struct dirent *entry;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	for (long long start = clock_ms();; nap_ms(1)) {
		DIR *tasks = opendir(path);
		int stopped = 0, threads = 0;
		if (!tasks)
			FAIL("%s: the target is gone", what);
		while ((entry = readdir(tasks)))
			if (*entry->d_name != '.') {
				char state = target_state(atoi(entry->d_name));
				threads++;
				stopped += state == 'T' || state == 't' || state == 'Z' || state == 'X';
			}
		closedir(tasks);
		if (threads && !stopped)
			break;
		if (clock_ms() - start > WAIT_MS * test_patience())
			FAIL("%s: %d of %d threads are stopped", what, stopped, threads);
	}
	unsigned long long before = switches_of(pid);
	for (long long start = clock_ms(); wakes && switches_of(pid) == before; nap_ms(2))
		if (clock_ms() - start > WAIT_MS * test_patience())
			FAIL("%s: the target stands still", what);
}
