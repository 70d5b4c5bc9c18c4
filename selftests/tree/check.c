// SPDX-License-Identifier: LGPL-2.1-or-later
/* `ckpt check --pid`: judges a running tree as a dump would, and does not even make it run. */
#include "base/file.h"
#include "harness/target.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

static int check(struct text *output, pid_t pid, const char *option)
{
	char text[16];
	snprintf(text, sizeof text, "%d", pid);
	return option ? ckpt(output, "check", "--pid", text, option) : ckpt(output, "check", "--pid", text);
}

/* What a stop, a resume or injected code would change. SigQ counts the signals of all processes of the user. */
static char *traces_of(pid_t pid)
{
	struct text status = { 0 }, traces = { 0 };
	CHECK_OK(file_readf(&status, AT_FDCWD, "/proc/%d/status", pid));
	for (char *line = strtok(status.data, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, "ctxt_switches") || !strncmp(line, "State", 5) || !strncmp(line, "VmSize", 6) ||
		    (!strncmp(line, "Sig", 3) && strncmp(line, "SigQ", 4)))
			text_addf(&traces, "%s\n", line);
	CHECK_OK(file_readf(&traces, AT_FDCWD, "/proc/%d/maps", pid));
	text_free(&status);
	return text_take(&traces);
}

static u64 number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	if (!at)
		FAIL("no %s in %s", name, text);
	return strtoull(at + strlen(name), NULL, 10);
}

TEST(a_sleeping_program_is_not_even_woken, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sleep", "100");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	WAIT_UNTIL(target_call(t.pid) >= 0); /* it has left its processor: the switch is counted */
	_cleanup_free_ char *before = traces_of(t.pid);
	CHECK_EQ(check(&output, t.pid, NULL), 0);
	_cleanup_free_ char *after = traces_of(t.pid);
	CHECK_STR(after, before);
	CHECK_CONTAINS(output.data, "verdict: it can be dumped");
}

TEST(prediction_is_near_the_image, .root = true, .seconds = 60)
{
	struct target t;
	struct stat pages;
	char path[128];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "threads");
	nap_ms(100);
	CHECK_EQ(check(&output, t.pid, "--json"), 0);
	u64 predicted = number_after(output.data, "\"page_bytes\":");
	target_dump(&t, false);
	snprintf(path, sizeof path, "%s/pages", t.image);
	CHECK_OK(stat(path, &pages));
	u64 stored = (u64)pages.st_size;
	if (predicted < stored - stored / 10 || predicted > stored + stored / 10)
		FAIL("predicted %llu, stored %llu", (unsigned long long)predicted, (unsigned long long)stored);
}

TEST(every_reason_is_named_at_once, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "holds", "perf");
	CHECK_OK(ptrace(PTRACE_SEIZE, t.pid, 0, 0));
	CHECK_EQ(check(&output, t.pid, NULL), 3);
	CHECK_CONTAINS(output.data, "[TRACED]");
	CHECK_CONTAINS(output.data, "[FD_PERF]");
	CHECK_CONTAINS(output.data, "verdict: it cannot be dumped now: ");
	CHECK_CONTAINS(output.data, "result: nothing was stopped or changed");
}

/* What a dump would refuse in a queue is told beforehand, and the program gets all that was on its way. */
TEST(descriptors_in_flight_are_judged, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 }, again = { 0 };
	target_start(&t, "holds", "flying-socket");
	CHECK_EQ(check(&output, t.pid, NULL), 3);
	CHECK_CONTAINS(output.data, "[UNIX_EXTERNAL]");
	CHECK_CONTAINS(output.data, "[UNIX_FLYING]");
	CHECK_CONTAINS(output.data, "1 of 2 in socket:[");
	CHECK_EQ(check(&again, t.pid, NULL), 3);
	/* above it stands what changes, such as the file that tells that it is ready */
	CHECK_STR(strstr(again.data, "verdict: "), strstr(output.data, "verdict: "));
	target_judge(&t);
}

/* Policies of a dump, wherever they stand; those of a restore are none of them. */
TEST(policies_change_the_answer, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 }, wrong = { 0 };
	target_start(&t, "watches", "unread");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(check(&output, t.pid, NULL), 7);
	CHECK_CONTAINS(output.data, "[INOTIFY_UNREAD]");
	CHECK_EQ(check(NULL, t.pid, "--policy=inotify-events=drop"), 0);
	CHECK_EQ(ckpt(NULL, "check", "--policy", "inotify-events=drop", "--pid", pid), 0);
	CHECK_EQ(check(&wrong, t.pid, "--policy=cgroup=drop"), 2);
	CHECK_CONTAINS(wrong.data, "[USAGE]");
	target_judge(&t);
}

TEST(what_moves_is_changing, .root = true, .seconds = 60)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sh", "-c", "while :; do (exec 5</dev/null; :); done");
	for (long long begin = clock_ms(); clock_ms() - begin < WAIT_MS * test_patience();) {
		text_free(&output);
		int status = check(&output, t.pid, NULL);
		CHECK(status == 0 || status == 7 || status == 3); /* 3: a child that ended waits at both looks */
		if (strstr(output.data, "changing"))
			return;
	}
	FAIL("looks at a program that forks for ever found nothing that changes");
}

TEST(no_process_no_verdict, .root = true)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(check(&output, 999999, NULL), 2);
	CHECK_CONTAINS(output.data, "[NO_PROCESS]");
	CHECK(!strstr(output.data, "verdict"));
}
