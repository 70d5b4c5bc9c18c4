// SPDX-License-Identifier: LGPL-2.1-or-later
/* Kinship: zombies, the dead leaders of sessions and groups, stopped jobs, and what processes share with each other. */
#include "tree/program.h"
#include "harness/edit.h"
#include "prctl.pb-c.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

PROGRAM(dead, PLAIN, "dead")
PROGRAM(stopped, PLAIN, "stopped")
PROGRAM(kin, PLAIN, "kin")
PROGRAM(nohup, PLAIN, "nohup")
PROGRAM(leaders, NEEDS(PIDFD_THREAD), "leaders")
PROGRAM(leaders_child, NEEDS(PIDFD_THREAD), "leaders", "child")
PROGRAM(leaders_filtered, NEEDS(PIDFD_THREAD), "leaders", "filtered")
PROGRAM(leaders_one, QUIET | NEEDS(PIDFD_THREAD), "leaders", "one")
PROGRAM(leaders_user, NEEDS(PIDFD_THREAD), "leaders", "user")

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

TEST(leader_apart, .root = true)
{
	struct target t;
	program_needs(NEEDS(PIDFD_THREAD));
	target_start(&t, "strangers", "leader");
	refused(&t, "[LEADER_APART]");
	target_judge(&t);
}

TEST(leader_of_an_heir, .root = true)
{
	struct target t;
	program_needs(NEEDS(PIDFD_THREAD));
	target_start(&t, "strangers", "heir");
	refused(&t, "[LEADER_PDEATH]");
	target_judge(&t);
}

TEST(leader_generations, .root = true, .seconds = 60)
{
	struct target t;
	program_needs(NEEDS(PIDFD_THREAD));
	target_start(&t, "leaders", "child");
	for (int i = 0; i < 4; i++) {
		target_dump(&t, false);
		target_restore(&t, 0);
		snprintf(t.image + strlen(t.image), sizeof t.image - strlen(t.image), "x");
	}
	target_judge(&t);
}

/* State of a thread that lives, which that of its process does not show. */
static bool first_is(pid_t pid, char wanted)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	bool is = false;
	for (struct dirent *e; dir && !is && (e = readdir(dir));)
		is = atoi(e->d_name) > pid && target_state(atoi(e->d_name)) == wanted;
	if (dir)
		closedir(dir);
	return is;
}

TEST(leader_of_the_stopped, .root = true, .seconds = 60)
{
	struct target t;
	program_needs(NEEDS(PIDFD_THREAD));
	target_start(&t, "leaders", "one");
	CHECK_OK(kill(t.pid, SIGSTOP));
	WAIT_UNTIL(first_is(t.pid, 'T'));
	target_dump(&t, false);
	target_restore(&t, 0);
	WAIT_UNTIL(first_is(t.pid, 'T'));
	CHECK_OK(kill(t.pid, SIGCONT));
	target_judge(&t);
}

TEST(leader_inspected, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text seen = { 0 }, checked = { 0 };
	target_start(&t, "leaders");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&seen, "inspect", pid), 0);
	CHECK_CONTAINS(seen.data, "was the main ");
	CHECK_CONTAINS(seen.data, "worker 2");
	bool carried = program_lacks(NEEDS(PIDFD_THREAD)) == NULL;
	CHECK_EQ(ckpt(&checked, "check", "--pid", pid), carried ? 0 : EXIT_KERNEL);
	CHECK(carried == !strstr(checked.data, "[LEADER_FILES]"));
	target_judge(&t);
}

/* The session's leader is dead, so a stand-in leads it for a moment: a child of the caller with --sibling, who must wait for it. */
TEST(stand_in_unreaped, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sh", "-c", "sleep 1000 & echo $! > " WORK "/pid");
	_cleanup_free_ char *pid = wait_text(WORK "/pid");
	target_gone(t.pid);
	t.pid = atoi(pid);
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", "--sibling", t.image), 1);
	CHECK_CONTAINS(output.data, "[STAND_IN_UNREAPED]");
	WAIT_UNTIL(waitpid(-1, NULL, WNOHANG) < 0); /* not all of them may have died by then */
	CHECK_EQ(errno, ECHILD);
	CHECK(!target_alive(t.pid));
	target_restore(&t, 0);
	CHECK_OK(kill(t.pid, SIGKILL));
}

TEST(session_foreign, .root = true)
{
	struct target t;
	target_start(&t, "strangers", "session");
	refused(&t, "[SESSION_FOREIGN]");
	target_judge(&t);
}

TEST(siblings_share, .root = true)
{
	struct target t;
	target_start(&t, "strangers", "shares");
	refused(&t, "[TASK_SHARES]");
	target_judge(&t);
}

TEST(group_foreign, .root = true)
{
	struct target t;
	start_inner(&t, "strangers", "group");
	refused(&t, "[GROUP_LEADERLESS]");
	target_judge(&t);
}

static void set_score(struct graph *g, const void *score)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (!strcmp(g->objects.v[i]->kind->name, "prctl"))
			((Ckpt__Prctl *)g->objects.v[i]->data)->oom_score_adj = *(const int *)score;
}

/* Who may not protect himself cannot protect a process that he restores; who may, can. */
TEST(oom_score, .root = true, .seconds = 60)
{
	struct target t;
	char protected[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	target_dump(&t, false);
	snprintf(protected, sizeof protected, "%s.protected", t.image);
	edit_image(t.image, protected, set_score, &(int){ -500 });
	int fd = (int)CHECK_OK(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
	if (pwrite(fd, "-500", 4, 0) == 4) {
		CHECK_EQ(pwrite(fd, "0", 1, 0), 1);
		CHECK_EQ(ckpt(NULL, "restore", protected, "-d"), 0);
	} else {
		CHECK_EQ(ckpt(&output, "restore", protected, "-d"), 6);
		CHECK_CONTAINS(output.data, "[OOM_SCORE]");
		CHECK_CONTAINS(output.data, "  do:");
		target_restore(&t, 0);
	}
	close(fd);
	target_judge(&t);
}

/* What is above that of ckpt needs no right. */
TEST(oom_score_higher, .root = true, .seconds = 60)
{
	struct target t;
	char path[64];
	target_start(&t, "sleeper");
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", t.pid);
	write_text(path, "321");
	target_dump(&t, false);
	target_restore(&t, 0);
	_cleanup_free_ char *now = read_text(path);
	CHECK_STR(now, "321\n");
	target_judge(&t);
}

/* The same facts from /proc, kcmp(2) and the processes themselves. */
static void without_bpf(const char *program)
{
	struct target t;
	char pid[16];
	target_lose_bpf();
	target_start(&t, program);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image, "--no-bpf"), 0);
	target_gone(t.pid);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(dead_without_bpf, .root = true, .seconds = 60) { without_bpf("dead"); }

/* Who is stopped answers no questions. */
TEST(stopped_without_bpf, .root = true, .seconds = 60)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_lose_bpf();
	target_start(&t, "stopped");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK(ckpt(&output, "dump", pid, t.image, "--no-bpf") != 0);
	CHECK_CONTAINS(output.data, "stopped by a signal");
	target_judge(&t);
}

TEST(kin_without_bpf, .root = true, .seconds = 60) { without_bpf("kin"); }

/* What the caller's soft limit of descriptors is does not count, the hard one is named. */
TEST(few_descriptors, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	struct rlimit limit;
	target_start(&t, "many", "60");
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 64;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	target_dump(&t, false);
	target_restore(&t, 0);
	limit.rlim_max = 64;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	snprintf(pid, sizeof pid, "%d", t.pid);
	snprintf(t.image, sizeof t.image, WORK "/another");
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), 1);
	CHECK_CONTAINS(output.data, "[TOO_MANY_FILES]");
	target_judge(&t);
}

PROGRAM(thousand_processes, PLAIN, "many", "1000")
PROGRAM(thousand_threads, PLAIN, "threads", "1000")
