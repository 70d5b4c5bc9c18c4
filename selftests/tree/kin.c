// SPDX-License-Identifier: LGPL-2.1-or-later
/* Kinship: zombies, the dead leaders of sessions and groups, stopped jobs, and what processes share with each other. */
#include "tree/program.h"
#include <signal.h>
#include <sys/resource.h>

PROGRAM(dead, PLAIN, "dead")
PROGRAM(stopped, PLAIN, "stopped")
PROGRAM(kin, PLAIN, "kin")

/* The tree is not what was started: its process id is in a file. */
static void start_inner(struct target *t, const char *program, const char *what)
{
	char path[96];
	target_start(t, program, what);
	snprintf(path, sizeof path, "%s/pid", t->dir);
	_cleanup_free_ char *pid = read_text(path);
	CHECK(pid != NULL);
	t->pid = atoi(pid);
}

TEST(daemon_dump_restore, .root = true, .seconds = 60)
{
	struct target t;
	start_inner(&t, "daemon", NULL);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_compare(&t);
	target_judge(&t);
}

TEST(daemon_generations, .root = true, .seconds = 60)
{
	struct target t;
	start_inner(&t, "daemon", NULL);
	for (int i = 0; i < 3; i++) {
		target_dump(&t, false);
		target_restore(&t, 0);
		snprintf(t.image + strlen(t.image), sizeof t.image - strlen(t.image), "x");
	}
	target_judge(&t);
}

/* A core file is needed for the flag in an exit status; the limit forbids one. */
TEST(dead_without_core, .root = true, .seconds = 60)
{
	struct target t;
	struct rlimit none = { 0 };
	char noted[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "dead");
	snprintf(noted, sizeof noted, "%s/no-core", t.dir);
	if (access(noted, F_OK) == 0)
		SKIP("core files do not go to files here");
	target_dump(&t, false);
	CHECK_OK(setrlimit(RLIMIT_CORE, &none));
	CHECK_EQ(ckpt(&output, "restore", t.image, "-d"), 3);
	CHECK_CONTAINS(output.data, "[ZOMBIE_CORE]");
	CHECK_CONTAINS(output.data, "  do:");
	CHECK(!target_alive(t.pid));
}

/* Refused by name; the program does not notice. */
static void refused(struct target *t, const char *code)
{
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	snprintf(pid, sizeof pid, "%d", t->pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t->image), 3);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "  do:");
	CHECK(access(t->image, F_OK) < 0);
}

TEST(leader_dead, .root = true)
{
	struct target t;
	target_start(&t, "strangers", "leader");
	for (int tries = 0; target_state(t.pid) != 'Z'; tries++, nap_ms(2))
		CHECK(tries < 1000);
	refused(&t, "[LEADER_DEAD]");
	char path[96];
	snprintf(path, sizeof path, "%s/stop", t.dir);
	write_text(path, "");
	snprintf(path, sizeof path, "%s/verdict", t.dir);
	for (int tries = 0; access(path, F_OK) < 0; tries++, nap_ms(10))
		CHECK(tries < 500);
}

TEST(session_foreign, .root = true)
{
	struct target t;
	target_start(&t, "strangers", "session");
	refused(&t, "[SESSION_FOREIGN]");
	target_judge(&t);
}

TEST(group_foreign, .root = true)
{
	struct target t;
	start_inner(&t, "strangers", "group");
	refused(&t, "[GROUP_LEADERLESS]");
	target_judge(&t);
}
