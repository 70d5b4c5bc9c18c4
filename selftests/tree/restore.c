// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a user does with dump and restore: waits for the program, signals it, looks at the plan, does it again and again. */
#include "harness/target.h"
#include "host/caps.h"
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Restores in the foreground as a child; gives ckpt's pid. */
static pid_t restore_foreground(const struct target *t)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(ckpt_path(), "ckpt", "restore", t->image, NULL);
		_exit(127);
	}
	WAIT_UNTIL(target_alive(t->pid));
	return pid;
}

static int status_of(pid_t pid)
{
	int status = 0;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(waits_for_the_program, .root = true)
{
	struct target t;
	target_spawn(&t, "/bin/sh", "-c", "while [ ! -e " WORK "/stop ]; do sleep 0.05; done; exit 42");
	WAIT_UNTIL(count_named("sleep"));
	target_dump(&t, false);
	pid_t pid = restore_foreground(&t);
	write_text(WORK "/stop", "");
	CHECK_EQ(status_of(pid), 42);
}

TEST(hands_signals_on, .root = true)
{
	struct target t;
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, false);
	pid_t pid = restore_foreground(&t);
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(status_of(pid), 128 + SIGTERM);
}

TEST(handled_signals_too, .root = true)
{
	struct target t;
	target_spawn(&t, "/bin/bash", "-c", "trap 'exit 9' USR1; while :; do sleep 0.05; done");
	WAIT_UNTIL(count_named("sleep"));
	target_dump(&t, false);
	pid_t pid = restore_foreground(&t);
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EQ(status_of(pid), 9);
}

TEST(a_plan_makes_nothing, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "threads", "3");
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", "--plan", t.image), 0);
	CHECK_CONTAINS(output.data, "thread ");
	CHECK(!target_alive(t.pid));
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(leaves_stopped, .root = true)
{
	struct target t;
	char pid[16];
	target_start(&t, "sleeper");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image, "--leave-stopped"), 0);
	WAIT_UNTIL(target_state(t.pid) == 'T');
	CHECK_OK(kill(t.pid, SIGCONT));
	target_judge(&t);
}

/* Dumped and restored ten times over, and each image is moved before it is used. */
static void generations(struct target *t)
{
	char moved[sizeof t->image];
	for (int i = 0; i < 10; i++) {
		target_dump(t, false);
		snprintf(moved, sizeof moved, WORK "/generation%d", i);
		CHECK_OK(rename(t->image, moved));
		memcpy(t->image, moved, sizeof moved);
		target_restore(t, 0);
		snprintf(t->image, sizeof t->image, WORK "/next%d", i);
	}
	target_judge(t);
}

TEST(ten_generations_of_threads, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "threads", "20");
	generations(&t);
}

TEST(ten_generations_of_a_shell, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "pty");
	generations(&t);
}

TEST(ten_generations_of_python, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "/usr/bin/python3", "python.py");
	generations(&t);
}

TEST(ten_generations_of_a_call, .root = true, .seconds = 120)
{
	struct target t;
	target_start(&t, "calls", "nanosleep", "4");
	for (int i = 0; i < 10; i++) {
		target_dump(&t, false);
		target_restore(&t, 0);
		snprintf(t.image, sizeof t.image, WORK "/next%d", i);
	}
	target_judge(&t);
}

static bool plan_tells(const char *image, const char *how)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", "--plan", how, image), 0);
	CHECK(strstr(output.data, "interrupted call of thread"));
	return strstr(output.data, "tells of itself");
}

/* Then no thread does what only the proof asks for. */
TEST(without_proof, .root = true)
{
	struct target t;
	target_start(&t, "calls", "nanosleep", "4");
	target_dump(&t, false);
	CHECK(plan_tells(t.image, "--verify"));
	CHECK(!plan_tells(t.image, "--no-verify"));
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--no-verify", t.image), 0);
	target_judge(&t);
}

/* Who has the id was killed, but has not died yet: it is waited for. */
TEST(waits_for_the_dying, .root = true, .seconds = 60)
{
	struct target t;
	int status;
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, true);
	CHECK_OK(ptrace(PTRACE_SEIZE, t.pid, NULL, PTRACE_O_TRACEEXIT));
	CHECK_OK(kill(t.pid, SIGKILL));
	CHECK_EQ(waitpid(t.pid, &status, __WALL), t.pid);
	CHECK(WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXIT);
	if (!target_dying(t.pid))
		SKIP("before Linux 5.18 nothing tells that it is about to die");
	pid_t restores = fork();
	if (restores == 0)
		_exit(ckpt(NULL, "restore", "-d", t.image));
	nap_ms(200);
	CHECK_OK(ptrace(PTRACE_DETACH, t.pid, NULL, NULL));
	CHECK_EQ(status_of(restores), 0);
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	CHECK_OK(kill(t.pid, SIGKILL));
}

/* A job of a shell: its session and its terminal's shell stay behind, and it is given to the caller's. */
TEST(a_job_of_a_shell, .root = true)
{
	struct target t = { .image = WORK "/job" };
	t.pid = fork();
	if (t.pid == 0) {
		close_range(3, ~0u, 0);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image), 0);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", "-d", t.image), 0);
	WAIT_UNTIL(target_asleep(t.pid, "sleep")); /* let go, it may not have come to its call yet */
	CHECK_EQ(getsid(t.pid), getsid(0));
	CHECK_OK(kill(t.pid, SIGKILL));
}

/* What the kernel alone places comes to where it was, though there is less room for mappings. */
TEST(a_stack_without_limit, .root = true, .seconds = 60)
{
	struct target t;
	struct rlimit limit;
	if (caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_IO_URING)->interface);
	CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_STACK, &limit))
		SKIP("the limit of stacks may not be raised");
	for (int i = 0; i < 4; i++) { /* where mappings begin is chance, each time */
		target_start(&t, "urings");
		target_dump(&t, false);
		target_restore(&t, 0);
		target_judge(&t);
		target_gone(t.pid);
	}
}

/* A shell whose children come and go all the time: whatever ends during the freeze is no reason to refuse. */
TEST(short_lived_children, .root = true, .seconds = 120)
{
	struct target t;
	target_spawn(&t, "/bin/sh", "-c",
		     "while [ ! -e " WORK "/stop ]; do /bin/true; sleep 0.001; done; echo ok > " WORK "/done");
	for (int i = 0; i < 30; i++) {
		snprintf(t.image, sizeof t.image, WORK "/image%d", i);
		target_dump(&t, i % 3);
		if (i % 3 == 0)
			target_restore(&t, 0);
		nap_ms(i % 7);
	}
	write_text(WORK "/stop", "");
	WAIT_UNTIL(access(WORK "/done", F_OK) == 0);
}

/* The plainest of all: its facts after a restore, and after a dump that left it running, are those of the image. */
TEST(sleep_1000, .root = true, .seconds = 60)
{
	struct target t;
	target_spawn(&t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	target_dump(&t, true);
	target_compare(&t);
	snprintf(t.image, sizeof t.image, WORK "/ended");
	target_dump(&t, false);
	target_restore(&t, 300);
	target_compare(&t);
	WAIT_UNTIL(target_call(t.pid) > 0); /* asleep in its call again */
	CHECK_OK(kill(t.pid, SIGKILL));
}
