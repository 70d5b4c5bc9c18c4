// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what is checked of every refusal. */
#include "harness/refused.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

/* What a timer has left, and how long the kernel's thread of an io_uring(7) has lived and worked: they go on. */
static bool goes_on(const char *line)
{
	static const char *const names[] = { "it_value:", "SqThreadCpu:", "SqTotalTime:", "SqWorkTime:" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(line, names[i], strlen(names[i])))
			return true;
	return false;
}

/* What the links of a directory of /proc/PID lead to; of files, what is in them but for what goes on by itself. */
static void add_entries(struct text *facts, pid_t pid, const char *name)
{
	char path[300], value[512];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	DIR *entries = opendir(path);
	CHECK(entries != NULL);
	for (struct dirent *e; (e = readdir(entries));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/%s/%s", pid, name, e->d_name);
		ssize_t n = readlink(path, value, sizeof value - 1);
		value[MAX(n, 0)] = 0;
		text_addf(facts, "%s -> %s\n", path, value);
		FILE *file = n < 0 ? fopen(path, "r") : NULL;
		while (file && fgets(value, sizeof value, file))
			if (!goes_on(value))
				text_adds(facts, value);
		if (file)
			fclose(file);
	}
	closedir(entries);
}

/* What a refused dump must not change: descriptors, mappings, signals, tracer, limits of a process. */
static char *facts_of(pid_t pid)
{
	static const char *const files[] = { "maps", "limits", "comm", "cgroup" };
	static const char *const lines[] = { "TracerPid:", "ShdPnd:", "SigPnd:",  "SigBlk:",
					     "SigIgn:",    "SigCgt:", "Seccomp:", "Threads:" };
	struct text facts = { 0 };
	char path[64], line[512];
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
		_cleanup_free_ char *text = read_text(path);
		text_addf(&facts, "%s: %s\n", files[i], text ?: "unreadable");
	}
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *status = fopen(path, "r");
	while (fgets(line, sizeof line, status))
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			if (!strncmp(line, lines[i], strlen(lines[i])))
				text_adds(&facts, line);
	fclose(status);
	add_entries(&facts, pid, "fd");
	add_entries(&facts, pid, "fdinfo");
	add_entries(&facts, pid, "ns");
	return text_take(&facts);
}

/* The facts of one that has come to rest: what it did before it was ready may show a little later. */
static char *facts_at_rest(pid_t pid)
{
	char *now = facts_of(pid);
	for (bool same = false; !same;) {
		char *before = now;
		nap_ms(30);
		now = facts_of(pid);
		same = !strcmp(before, now);
		free(before);
	}
	return now;
}

/* The facts once they are these again, or what they are in the end: who was let go may not have been there yet. */
static char *facts_again(pid_t pid, const char *wanted)
{
	char *now = facts_of(pid);
	for (long long begin = clock_ms(); strcmp(now, wanted) && clock_ms() - begin < WAIT_MS * test_patience(); nap_ms(10)) {
		free(now);
		now = facts_of(pid);
	}
	return now;
}

static bool lives(pid_t pid)
{
	char state = target_state(pid);
	return state == 'S' || state == 'R';
}

/* Names the first line that differs. */
static void check_same(const char *before, const char *after)
{
	while (*before && *after) {
		size_t was = strcspn(before, "\n"), is = strcspn(after, "\n");
		if (was != is || memcmp(before, after, was) != 0)
			FAIL("the dump changed \"%.*s\" to \"%.*s\"", (int)was, before, (int)is, after);
		before += was + (before[was] != 0);
		after += is + (after[is] != 0);
	}
	CHECK_EQ(*before, *after);
}

void refused_at(const struct target *t, const char *image, int exit_class, const char *code)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	bool existed = access(image, F_OK) == 0;
	_cleanup_text_ struct text output = { 0 };
	_cleanup_free_ char *before = facts_at_rest(t->pid);
	int status = ckpt(&output, "dump", pid, image);
	_cleanup_free_ char *after = facts_again(t->pid, before);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "  why:");
	CHECK_CONTAINS(output.data, "  do:");
	CHECK_CONTAINS(output.data, "  result:");
	CHECK_EQ(status, exit_class);
	check_same(before, after);
	WAIT_UNTIL(lives(t->pid));
	CHECK_EQ(access(image, F_OK) == 0, existed);
}

void start_holding(struct target *t, const char *what)
{
	char path[96];
	target_start(t, "holds", what);
	snprintf(path, sizeof path, "%s/unavailable", t->dir);
	_cleanup_free_ char *reason = read_text(path);
	if (reason)
		SKIP("%s: %s", what, reason);
}

void restore_refused(const char *image, int exit_class, const char *code)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", image, "-d"), exit_class);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "  do:");
}
