// SPDX-License-Identifier: LGPL-2.1-or-later
/* Restores into a pid namespace of their own: many clones of one image side by side, clones of clones, what their pid 1 does. */
#include "harness/target.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A field of a file of /proc/PID as text behind the name, "" when there is none. */
static void field_text(pid_t pid, const char *file, const char *name, char *value, size_t room)
{
	char path[64], line[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	snprintf(line, sizeof line, "%s:", name);
	_cleanup_free_ char *status = read_text(path);
	const char *at = status ? status : "";
	while (*at && strncmp(at, line, strlen(line)))
		at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != 0);
	at += *at ? strlen(line) : 0;
	at += strspn(at, " \t");
	snprintf(value, room, "%.*s", (int)strcspn(at, "\n"), at);
}

static void status_text(pid_t pid, const char *name, char *value, size_t room) { field_text(pid, "status", name, value, room); }

static pid_t parent_of(pid_t pid)
{
	char value[32];
	status_text(pid, "PPid", value, sizeof value);
	return atoi(value);
}

/* The id in the innermost pid namespace. */
static pid_t inside(pid_t pid)
{
	char value[64];
	status_text(pid, "NSpid", value, sizeof value);
	const char *last = strrchr(value, '\t');
	return atoi(last ? last + 1 : value);
}

/* Restores the image into a pid namespace of its own, detached; the target is the clone then. */
static void clone_target(struct target *t)
{
	char pidfile[96];
	snprintf(pidfile, sizeof pidfile, "%s.pid", t->image);
	unlink(pidfile);
	CHECK_EQ(ckpt(NULL, "restore", t->image, "-d", "--pidns", "--pidfile", pidfile), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK(pid && atoi(pid) > 1);
	t->pid = atoi(pid);
}

/* --- ten at once --- */

#define CLONES 10

/* In a mount namespace of its own, where the program's directory is its own copy. */
static pid_t start_clone(const struct target *t, const char *image, int i)
{
	char copy[64], pidfile[64];
	snprintf(copy, sizeof copy, WORK "/copy%d", i);
	snprintf(pidfile, sizeof pidfile, WORK "/clone%d", i);
	pid_t pid = fork();
	if (pid)
		return pid;
	if (unshare(CLONE_NEWNS) || mount(copy, t->dir, NULL, MS_BIND, NULL))
		_exit(120);
	execl(ckpt_path(), "ckpt", "restore", "-d", "--pidns", "--pidfile", pidfile, image, NULL);
	_exit(121);
}

static void ten_clones(struct target *t, const char *image)
{
	pid_t ckpts[CLONES], clones[CLONES];
	char path[96];
	for (int i = 0; i < CLONES; i++) {
		snprintf(path, sizeof path, "cp -a %s " WORK "/copy%d", t->dir, i);
		CHECK_EQ(system(path), 0);
	}
	for (int i = 0; i < CLONES; i++)
		ckpts[i] = start_clone(t, image, i);
	for (int i = 0; i < CLONES; i++) {
		int status = 0;
		CHECK_EQ(waitpid(ckpts[i], &status, 0), ckpts[i]);
		CHECK_EQ(status, 0);
		snprintf(path, sizeof path, WORK "/clone%d", i);
		_cleanup_free_ char *pid = read_text(path);
		clones[i] = pid ? atoi(pid) : 0;
		CHECK(clones[i] > 1);
	}
	for (int i = 0; i < CLONES; i++) {
		CHECK(target_alive(clones[i]));
		CHECK_EQ(inside(clones[i]), t->pid);
		snprintf(path, sizeof path, WORK "/copy%d/stop", i);
		write_text(path, "");
	}
	for (int i = 0; i < CLONES; i++) {
		struct target clone = { .pid = clones[i] };
		snprintf(clone.dir, sizeof clone.dir, WORK "/copy%d", i);
		target_judge(&clone);
	}
	WAIT_UNTIL(!count_named("ckpt-reaper"));
	CHECK_EQ(system("rm -rf " WORK "/copy* " WORK "/clone*"), 0);
}

/* What tells of processes and namespaces tells of those in there. */
static void judged_clone(const char *program)
{
	struct target t;
	target_start(&t, program);
	target_dump(&t, false);
	clone_target(&t);
	target_judge(&t);
}
TEST(descriptors_of_processes, .root = true) { judged_clone("pidfds"); }
TEST(files_of_processes, .root = true) { judged_clone("procfiles"); }
TEST(descriptors_of_namespaces, .root = true) { judged_clone("namespaces"); }

TEST(ten_of_python, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "python.py");
	target_dump(&t, false);
	ten_clones(&t, t.image);
	CHECK_OK(mkdir(WORK "/readonly", 0700));
	CHECK_OK(mount(t.image, WORK "/readonly", NULL, MS_BIND, NULL));
	CHECK_OK(mount(NULL, WORK "/readonly", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	CHECK(open(WORK "/readonly/x", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
	ten_clones(&t, WORK "/readonly");
}

/* --- clones of clones --- */

/* From the second image on, facts of the first and the last are equal. */
static void generations(struct target *t, int count)
{
	char first[sizeof t->image];
	target_dump(t, false);
	memcpy(first, t->image, sizeof first);
	for (int i = 0; i < count; i++) {
		clone_target(t);
		snprintf(t->image, sizeof t->image, WORK "/next%d", i);
		target_dump(t, false);
	}
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", first, t->image), 0);
	clone_target(t);
	target_judge(t);
}

TEST(generations_of_a_sleeper, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "sleeper");
	generations(&t, 10);
}

TEST(generations_of_threads, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "threads", "20");
	generations(&t, 5);
}

TEST(generations_of_a_tree, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "tree");
	generations(&t, 3);
}

TEST(generations_of_sockets, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "sockets");
	generations(&t, 3);
}

TEST(generations_of_a_shell, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "pty");
	generations(&t, 20);
}

/* The same in the pid namespace where it was. */
TEST(generations_of_a_shell_here, .root = true, .seconds = 120)
{
	struct target t;
	char first[sizeof t.image];
	target_start(&t, "pty");
	target_dump(&t, false);
	memcpy(first, t.image, sizeof first);
	for (int i = 0; i < 20; i++) {
		target_restore(&t, 0);
		snprintf(t.image, sizeof t.image, WORK "/next%d", i);
		target_dump(&t, false);
	}
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", first, t.image), 0);
	target_restore(&t, 0);
	target_judge(&t);
}

/* A clone that goes on after its dump, is compared with its image, and looked at from outside. */
TEST(left_running, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sockets");
	pid_t known = t.pid;
	target_dump(&t, false);
	clone_target(&t);
	CHECK_EQ(inside(t.pid), known);
	target_compare(&t);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "inspect", "--section", "task", pid), 0);
	char line[32];
	snprintf(line, sizeof line, "task %d", known);
	CHECK_CONTAINS(output.data, line);
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", t.image, pid), 0);
	target_judge(&t);
}

/* What was dumped in a clone comes back among all others too. */
TEST(out_of_its_namespace, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	pid_t known = t.pid;
	target_dump(&t, false);
	clone_target(&t);
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "check", "--pid", pid), 0);
	snprintf(t.image, sizeof t.image, WORK "/of_the_clone");
	target_dump(&t, false);
	t.pid = known;
	target_restore(&t, 0);
	target_judge(&t);
}

/* --- process 1 --- */

static int count_entries(const char *path)
{
	int n = 0;
	DIR *dir = opendir(path);
	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

TEST(its_reaper_is_small, .root = true)
{
	struct target t;
	char value[64], path[64];
	target_spawn(&t, "/bin/sh", "-c",
		     "while [ ! -e " WORK "/on ]; do sleep 0.02; done; ((sleep 0.1; > " WORK "/over) &); exec sleep 1000");
	WAIT_UNTIL(count_named("sleep"));
	target_dump(&t, false);
	clone_target(&t);
	pid_t reaper = parent_of(t.pid);
	CHECK_EQ(inside(reaper), 1);
	status_text(reaper, "Name", value, sizeof value);
	CHECK_STR(value, "ckpt-reaper");
	/* VmRSS is near enough only where processors are few: each counts for itself */
	field_text(reaper, "smaps_rollup", "Rss", value, sizeof value);
	CHECK(atoi(value) > 0 && atoi(value) <= 64);
	status_text(reaper, "CapPrm", value, sizeof value);
	CHECK_STR(value, "0000000000000020");
	status_text(reaper, "CapBnd", value, sizeof value);
	CHECK_STR(value, "0000000000000000");
	snprintf(path, sizeof path, "/proc/%d/fd", reaper);
	WAIT_UNTIL(count_entries(path) == 2); /* . and .. */
	write_text(WORK "/on", "");
	WAIT_UNTIL(access(WORK "/over", F_OK) == 0 && count_named("sh") + count_named("sleep") == 1); /* the orphan has ended */
	CHECK_OK(kill(reaper, SIGTERM));                                                              /* handed on */
	target_gone(t.pid);
	target_gone(reaper);
}

/* ckpt in the foreground. */
static pid_t foreground(const struct target *t)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(ckpt_path(), "ckpt", "restore", "--pidns", t->image, NULL);
		_exit(127);
	}
	return pid;
}

static int status_of(pid_t pid)
{
	int status = 0;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(tells_the_status, .root = true)
{
	struct target t;
	target_spawn(&t, "/bin/sh", "-c", "while [ ! -e " WORK "/on ]; do sleep 0.02; done; (sleep 1000 &); exit 42");
	WAIT_UNTIL(count_named("sleep"));
	target_dump(&t, false);
	pid_t pid = foreground(&t);
	WAIT_UNTIL(count_named("ckpt-reaper"));
	write_text(WORK "/on", "");
	CHECK_EQ(status_of(pid), 42);
	WAIT_UNTIL(count_named("sleep") == 1); /* what it left behind lives on */
	CHECK_EQ(count_named("ckpt-reaper"), 1);
	CHECK_EQ(system("pkill -x sleep"), 0); /* of this test's own namespace */
	WAIT_UNTIL(!count_named("ckpt-reaper"));
}

TEST(hands_signals_on, .root = true)
{
	struct target t;
	target_spawn(&t, "/bin/bash", "-c", "trap 'exit 9' USR1; echo on > " WORK "/trapped; while :; do sleep 0.02; done");
	WAIT_UNTIL(access(WORK "/trapped", F_OK) == 0);
	target_dump(&t, false);
	pid_t pid = foreground(&t);
	WAIT_UNTIL(count_named("bash"));
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EQ(status_of(pid), 9);
	pid = foreground(&t);
	WAIT_UNTIL(count_named("bash"));
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(status_of(pid), 128 + SIGTERM);
}

/* Killed at any time: all of it is gone, or all of it runs. */
TEST(ckpt_may_die, .root = true, .seconds = 120)
{
	struct target t;
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, false);
	int gone = 0;
	for (int i = 0; i < 60 || !gone; i++) {
		pid_t pid = foreground(&t);
		usleep((useconds_t)(i % 60) * 300);
		CHECK_OK(kill(pid, SIGKILL));
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		int sleepers = 1, others = 0; /* the namespace takes its time to end */
		for (long long start = clock_ms(); sleepers != others; nap_ms(10)) {
			CHECK(clock_ms() - start < WAIT_MS * test_patience());
			sleepers = count_named("sleep");
			others = count_named("ckpt") + count_named("ckpt-reaper");
		}
		CHECK(sleepers <= 1);
		nap_ms(30);
		gone += !count_named("sleep");
		CHECK_OK(system("pkill -x sleep")); /* what runs, runs without ckpt */
		WAIT_UNTIL(!count_named("ckpt-reaper") && !count_named("sleep"));
	}
}

/* What is wrong with an image is found inside, and said outside; nothing is left. */
TEST(a_damaged_image, .root = true)
{
	struct target t;
	char path[96];
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, false);
	snprintf(path, sizeof path, "%s/pages", t.image);
	int fd = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
	CHECK_EQ(pwrite(fd, "damage", 6, 5000), 6);
	close(fd);
	CHECK_EQ(ckpt(&output, "restore", "--pidns", t.image), 5);
	CHECK_CONTAINS(output.data, "[IMAGE_DAMAGED]");
	CHECK_CONTAINS(output.data, "was ended again");
	CHECK_EQ(count_named("sleep") + count_named("ckpt-reaper") + count_named("ckpt"), 0);
}

/* Who may make no namespaces is told so. */
TEST(without_the_right, .root = true)
{
	struct target t;
	int out[2], status = 0;
	char bytes[4096];
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, false);
	CHECK_OK(pipe2(out, O_CLOEXEC));
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 2);
		prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN);
		execl(ckpt_path(), "ckpt", "restore", "--pidns", t.image, NULL);
		_exit(127);
	}
	close(out[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	ssize_t n = CHECK_OK(read(out[0], bytes, sizeof bytes - 1));
	bytes[n] = 0;
	CHECK_CONTAINS(bytes, "[PIDNS]");
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 6);
	CHECK_EQ(count_named("sleep"), 0);
}

/* --- what lies outside --- */

/* A job of this process: its session and its parent are not in the image. */
TEST(names_what_lies_outside, .root = true)
{
	struct target t = { .image = WORK "/job" };
	t.pid = fork();
	if (t.pid == 0) {
		close_range(3, ~0u, 0);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	char was[64];
	target_dump(&t, false);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", "-d", "--pidns", "--json", t.image), 0);
	CHECK_CONTAINS(output.data, "\"PIDNS_OUTSIDE\"");
	snprintf(was, sizeof was, "its parent is process 1, was %d", getpid());
	CHECK_CONTAINS(output.data, was);
	snprintf(was, sizeof was, "its session is 1, was %d", getsid(0));
	CHECK_CONTAINS(output.data, was);
	snprintf(was, sizeof was, "its process group is 1, was %d", getpgrp());
	CHECK_CONTAINS(output.data, was);
}

/* A process that stayed behind keeps the id of its group or session from being free, though nobody has it. */
static void left_behind(const char *script, const char *what)
{
	struct target t;
	char wanted[64];
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sh", "-c", script);
	WAIT_UNTIL(target_asleep(t.pid, "sleep") && count_named("sleep") == 2);
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), 7);
	snprintf(wanted, sizeof wanted, "%d is the %s of process", t.pid, what);
	CHECK_CONTAINS(output.data, "[PID_TAKEN]");
	CHECK_CONTAINS(output.data, wanted);
	CHECK_EQ(count_named("sleep"), 1);
}

TEST(who_keeps_the_group, .root = true) { left_behind("(sleep 1000 &); exec sleep 1000", "process group"); }
/* timeout(1) goes to a group of its own. */
TEST(who_keeps_the_session, .root = true) { left_behind("(timeout 1000 sleep 1000 &); exec sleep 1000", "session"); }

TEST(who_holds_the_id, .root = true)
{
	struct target t;
	char pid[16], holder[64];
	_cleanup_text_ struct text output = { 0 };
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image, "--leave-running"), 0);
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), 7);
	snprintf(holder, sizeof holder, "%d is \"sleep\"", t.pid);
	CHECK_CONTAINS(output.data, "[PID_TAKEN]");
	CHECK_CONTAINS(output.data, holder);
	CHECK_CONTAINS(output.data, "--pidns");
	pid_t original = t.pid;
	clone_target(&t);
	CHECK(target_alive(original) && target_alive(t.pid) && t.pid != original);
	CHECK_EQ(inside(t.pid), original);
}

/* A tree of so many processes that waiting for each of the dead by itself would take longer than a test may. */
#define MANY_DEAD 40

static bool has_children(pid_t pid, size_t count)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
	_cleanup_free_ char *list = read_text(path);
	size_t n = 0;
	for (const char *at = list; at && *at; at++)
		n += *at == ' ';
	return n == count;
}

TEST(ids_of_the_dead, .root = true)
{
	struct target t;
	char pid[16], holder[96], script[96];
	_cleanup_text_ struct text output = { 0 };
	snprintf(script, sizeof script, "i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i+1)); done; wait", MANY_DEAD);
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	target_spawn(&t, "/bin/sh", "-c", script);
	WAIT_UNTIL(has_children(t.pid, MANY_DEAD));
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image), 0);
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), 7);
	snprintf(holder, sizeof holder, "%d is \"sh\", which has ended, but its parent %d has not asked how", t.pid, getpid());
	CHECK_CONTAINS(output.data, holder);
	WAIT_UNTIL(waitpid(-1, NULL, WNOHANG) < 0); /* not all of them may have died by then */
	CHECK_EQ(errno, ECHILD);
	CHECK_EQ(ckpt(NULL, "restore", "-d", t.image), 0);
	CHECK(has_children(t.pid, MANY_DEAD));
}
