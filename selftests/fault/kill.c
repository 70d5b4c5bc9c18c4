// SPDX-License-Identifier: LGPL-2.1-or-later
/* kill -9 of ckpt at every system call of a dump: the program lives on and is right, each time; once the program is gone, its
 * image is whole. The tests take every so many system calls; the soak_ tests (make soak) take all of them. */
#include "harness/killer.h"
#include "harness/left.h"
#include <stdio.h>
#include <sys/wait.h>

static struct struck dump_killed_at(const struct target *t, bool leave_running, int n)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	const char *argv[] = { "ckpt", "dump", pid, t->image, leave_running ? "--leave-running" : NULL, NULL };
	return strike_run(ckpt_path(), argv, &(struct strike){ .at = n, .children = true }, NULL);
}

static void remove_image(const struct target *t)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s*", t->image);
	CHECK_EQ(system(command), 0);
}

/* The system calls of a whole dump. */
static int count_calls(const struct target *t)
{
	int calls = 0;
	for (int i = 0; i < STRIKE_WHOLE; i++) {
		struct struck s = dump_killed_at(t, true, 0);
		if (!WIFEXITED(s.status) || WEXITSTATUS(s.status) != 0)
			FAIL("the dump itself does not work under a tracer (wait status %#x)", s.status);
		calls = strike_least(calls, &s);
		remove_image(t);
	}
	return calls;
}

/* Kills at calls first, first + step, ... of a dump that leaves the target running; the same target bears them all. Calls between them
 * are taken too where many runs ended before their call: they wait more often on a busy machine. */
static void sweep(struct target *t, bool wakes, int first, int step)
{
	char what[64];
	int kills = 0, calls = count_calls(t);
	if (step == 0)
		step = calls / 40 + 1;
	for (int slice = 0; slice < step && kills * step <= calls / 2; slice++)
		for (int n = strike_first(first) + slice; n <= calls; n += step) {
			struct struck s = dump_killed_at(t, true, n);
			snprintf(what, sizeof what, "killed at call %d of %d (number %d)", n, calls, s.nr);
			left_running(t->pid, wakes && (step == 1 ? n % 50 == 0 : true), what);
			remove_image(t);
			kills += WIFSIGNALED(s.status);
		}
	printf("%d kills over %d system calls\n", kills, calls);
	fflush(stdout);
	CHECK(kills * step > calls / 2);
	/* And it still can be dumped, restored and asked. */
	target_dump(t, false);
	target_restore(t, 0);
	target_judge(t);
}

/* Is it gone? Who was killed takes a moment on a machine with much to do. */
static bool has_ended(const struct target *t)
{
	for (; target_alive(t->pid); nap_ms(1))
		if (!target_dying(t->pid))
			return false;
	CHECK_EQ(access(t->image, F_OK), 0);
	return true;
}

/* One that lives on, or can be brought back. */
static void survives(struct target *t)
{
	if (has_ended(t)) {
		target_gone(t->pid);
		target_restore(t, 0);
	} else {
		left_running(t->pid, true, "killed during a dump that ends it");
	}
	target_judge(t);
	target_gone(t->pid);
}

/* Likewise for a dump that ends the target: it lives on, or it is gone and the image is whole. How many calls that takes differs;
 * the last are where the tree ends. */
static void sweep_ending(const char *program, int step)
{
	struct target t;
	int calls = 0, shorter = 0, n = 1;
	for (bool killed = true; killed; n += n < calls - 60 ? step : n < calls - 20 ? MIN(step, 3) : 1) {
		target_start(&t, program, "5");
		if (!calls) {
			calls = count_calls(&t);
			n = calls > 60 && step != 1 ? calls - 60 : 1;
			step = step ?: calls / 15 + 1;
		}
		struct struck s = dump_killed_at(&t, false, n);
		killed = WIFSIGNALED(s.status);
		survives(&t);
		if (strike_shorter(&calls, &shorter, &s)) {
			n = MIN(n, MAX(calls - 60, 1));
			killed = true;
		}
	}
}

TEST(sleeper, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "sleeper");
	sweep(&t, true, 1, 0);
}

TEST(threads, .root = true, .seconds = 180)
{
	struct target t;
	target_start(&t, "threads");
	sweep(&t, true, 2, 0);
}

TEST(python, .root = true, .seconds = 180)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "python.py");
	sweep(&t, true, 3, 0);
}

TEST(connections, .root = true, .net = true, .seconds = 180)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "loop.py", "tcp");
	sweep(&t, true, 5, 0);
}

/* bash with job control, and processes that share memory by copy-on-write. */
TEST(shell, .root = true, .seconds = 180)
{
	struct target t;
	target_start(&t, "pty");
	sweep(&t, false, 4, 0);
}

TEST(prefork, .root = true, .seconds = 180)
{
	struct target t;
	target_start(&t, "cow");
	sweep(&t, false, 5, 0);
}

static void start_redis(struct target *t)
{
	if (access("/usr/bin/redis-server", X_OK) < 0)
		SKIP("redis-server is not installed");
	target_start(t, "/usr/bin/python3", "redis.py");
}

/* A server with its clients: connections, threads, data on its way. */
TEST(redis, .root = true, .net = true, .seconds = 180)
{
	struct target t;
	start_redis(&t);
	sweep(&t, true, 6, 0);
}

TEST(ending_dump, .root = true, .seconds = 180) { sweep_ending("threads.static", 0); }

TEST(killed_when_the_tree_was, .root = true)
{
	struct target t;
	char pid[16];
	target_start(&t, "tree");
	snprintf(pid, sizeof pid, "%d", t.pid);
	struct strike_end end = { .target = t.pid };
	const char *argv[] = { "ckpt", "dump", pid, t.image, NULL };
	struct struck s = strike_run(ckpt_path(), argv, &(struct strike){ .seen = strike_when_ended, .arg = &end }, NULL);
	CHECK(end.killed && WIFSIGNALED(s.status));
	WAIT_UNTIL(!count_named("tree")); /* who ends a half released tree is at work */
	CHECK(has_ended(&t));
	survives(&t);
}

TEST(soak_sleeper, .root = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "sleeper");
	sweep(&t, true, 1, 1);
}

TEST(soak_connections, .root = true, .net = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "loop.py", "tcp");
	sweep(&t, true, 1, 1);
}

TEST(soak_threads, .root = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "threads");
	sweep(&t, true, 1, 1);
}

TEST(soak_python, .root = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "python.py");
	sweep(&t, true, 1, 1);
}

TEST(soak_ending_dump, .root = true, .manual = true, .seconds = 7200) { sweep_ending("sleeper", 1); }

TEST(soak_shell, .root = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "pty");
	sweep(&t, false, 1, 1);
}

TEST(soak_prefork, .root = true, .manual = true, .seconds = 7200)
{
	struct target t;
	target_start(&t, "cow");
	sweep(&t, false, 1, 1);
}

TEST(soak_redis, .root = true, .net = true, .manual = true, .seconds = 7200)
{
	struct target t;
	start_redis(&t);
	sweep(&t, true, 1, 1);
}
