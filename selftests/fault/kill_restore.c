// SPDX-License-Identifier: LGPL-2.1-or-later
/* kill -9 of ckpt at every system call of a restore: nothing is left of it, no process, no file, no mount; or the whole
 * program runs, and is right. The tests take every so many system calls; the soak_ tests (make soak) take all of them. */
#include "harness/killer.h"
#include "harness/left.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static struct struck restore_killed_at(const struct target *t, int n)
{
	const char *argv[] = { "ckpt", "restore", t->image, "-d", NULL };
	for (int tries = 0;; tries++) {
		_cleanup_text_ struct text output = { 0 };
		struct struck s = strike_run(ckpt_path(), argv, &(struct strike){ .at = n }, &output);
		if (!WIFEXITED(s.status) || !WEXITSTATUS(s.status))
			return s;
		/* ids of the dead are out of sight a little before they are free */
		if (!output.data || !strstr(output.data, "[PID_TAKEN]") || tries == 20)
			FAIL("the restore itself does not work under a tracer: %s", output.data ?: "");
		nap_ms(20);
	}
}

static void shell(const char *format, const char *a, const char *b)
{
	char command[256];
	snprintf(command, sizeof command, format, a, b);
	CHECK_EQ(system(command), 0);
}

/* The program that came out is whole: it gives its verdict. Then its files are put back as they were. */
static void judge_survivor(struct target *t)
{
	target_judge(t);
	target_gone(t->pid);
	shell("rm -rf %s && cp -a %s.kept %1$s", t->dir, t->dir);
}

/* What became of it: nothing, or all of the program. */
static bool lives(const struct target *t, const struct struck *s, const char *before)
{
	if (!WIFSIGNALED(s->status))
		return true;
	for (long long begin = clock_ms(); clock_ms() - begin < 300; nap_ms(1)) {
		_cleanup_free_ char *now = left_look();
		if (!strcmp(now, before))
			return false;
	}
	return target_alive(t->pid);
}

/* Killed at calls first, first + step, ... of the restore of one image. */
static void sweep(const char *const *argv, int step)
{
	struct target t;
	target_startv(&t, argv);
	target_dump(&t, false);
	shell("cp -a %s %s.kept", t.dir, t.dir);
	_cleanup_free_ char *before = left_look_alone();
	int kills = 0, lived = 0, calls = 0;
	for (int i = 0; i < 2; i++) { /* the first one fills the cache of capabilities */
		struct struck whole = restore_killed_at(&t, 0);
		judge_survivor(&t);
		calls = whole.calls;
	}
	step = step ?: calls / 50 + 1;
	for (int n = 1; n <= calls; n += n + 30 > calls ? 1 : step) {
		char what[64];
		struct struck s = restore_killed_at(&t, n);
		kills += WIFSIGNALED(s.status);
		snprintf(what, sizeof what, "killed at call %d of %d (number %d)", n, calls, s.nr);
		if (lives(&t, &s, before)) {
			lived++;
			judge_survivor(&t);
		}
		left_check(before, what);
	}
	printf("%d kills over %d system calls, the program lived %d times\n", kills, calls, lived);
	fflush(stdout);
	CHECK(kills > 20);
	target_restore(&t, 0);
	target_judge(&t);
}
#define SWEEP(step, ...) sweep((const char *const[]){ __VA_ARGS__, NULL }, step)

TEST(sleeper, .root = true, .seconds = 120) { SWEEP(0, "sleeper"); }
TEST(threads, .root = true, .seconds = 180) { SWEEP(0, "threads"); }
TEST(python, .root = true, .seconds = 180) { SWEEP(0, "/usr/bin/python3", "python.py"); }
TEST(tree, .root = true, .seconds = 180) { SWEEP(0, "tree"); }
TEST(rights, .root = true, .seconds = 180) { SWEEP(0, "userns"); }
TEST(ghosts, .root = true, .seconds = 180) { SWEEP(0, "ghosts"); }

TEST(soak_restore_sleeper, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "sleeper"); }
TEST(soak_restore_threads, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "threads"); }
TEST(soak_restore_python, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "/usr/bin/python3", "python.py"); }
TEST(soak_restore_tree, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "tree"); }
TEST(soak_restore_rights, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "userns"); }
TEST(soak_restore_ghosts, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "ghosts"); }
TEST(soak_restore_fifos, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "fifos"); }
