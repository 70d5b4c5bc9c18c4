// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs on a terminal whose other side is outside of the tree: the terminal is handed over at restore. */
#include "harness/terminal.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static const char *const bash[] = { "/bin/bash", "--norc", "--noprofile", "-i", NULL };
static const char ignored[] = "thread.registers,thread.extended,thread.call";

/* A shell with a stopped pipeline and a job in the background. */
static void start_shell(struct terminal_test *t, struct target *target)
{
	terminal_make(t);
	terminal_start(t, target, bash);
	terminal_expect(t, "PROMPT-1> ");
	terminal_say(t, "stty -echo\n");
	terminal_expect(t, "PROMPT-2> ");
	terminal_say(t, "cat | sed -u s/.*/[\\&]/\n");
	terminal_say(t, "first\n");
	terminal_expect(t, "[first]");
	terminal_say(t, "\x1a");
	terminal_expect(t, "Stopped");
	terminal_expect(t, "PROMPT-3> ");
	terminal_say(t, "sleep 1000 | cat &\n");
	terminal_expect(t, "PROMPT-4> ");
	WAIT_UNTIL(count_asleep("sleep") == 1 && count_asleep("cat") == 1); /* its programs are executed */
}

/* Its jobs are there, and it has control of them. */
static void judge_shell(struct terminal_test *t)
{
	struct termios modes;
	CHECK_OK(tcgetattr(t->master, &modes));
	CHECK(!(modes.c_lflag & ECHO));
	terminal_say(t, "jobs\n");
	terminal_expect(t, "Stopped");
	terminal_expect(t, "Running");
	terminal_say(t, "fg %1\n");
	terminal_expect(t, "cat | sed");
	terminal_say(t, "second\n");
	terminal_expect(t, "[second]");
	terminal_say(t, "\x1a");
	terminal_expect(t, "Stopped");
	terminal_say(t, "fg %1\n");
	terminal_expect(t, "cat | sed");
	terminal_say(t, "third\n");
	terminal_expect(t, "[third]");
	terminal_say(t, "\x03");
	terminal_expect(t, "PROMPT");
	terminal_say(t, "kill %2; wait; echo left $(jobs | wc -l); tty; stty size < /dev/tty\n");
	terminal_expect(t, "left 0");
	terminal_expect(t, t->path);
	terminal_expect(t, "33 111");
	terminal_say(t, "exit 7\n");
	terminal_expect(t, "exit");
}

/* Detached, onto this terminal; the target is what came out. */
static void restore_on(struct terminal_test *t, struct target *target, bool pidns)
{
	char option[64], pidfile[96];
	snprintf(option, sizeof option, "--tty=%s", t->path);
	snprintf(pidfile, sizeof pidfile, "%s.pid", target->image);
	unlink(pidfile);
	CHECK_EQ(ckpt(NULL, "restore", "-d", option, "--pidfile", pidfile, target->image, pidns ? "--pidns" : NULL), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK(pid && atoi(pid) > 1);
	target->pid = atoi(pid);
}

TEST(a_shell, .root = true, .seconds = 60)
{
	struct target target;
	struct terminal_test t;
	_cleanup_text_ struct text output = { 0 };
	char pid[16];
	start_shell(&t, &target);
	snprintf(pid, sizeof pid, "%d", target.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, target.image), 0);
	CHECK_CONTAINS(output.data, "[TTY_GIVEN]");
	target_gone(target.pid);
	restore_on(&t, &target, false);
	target_compare(&target);
	judge_shell(&t);
	target_gone(target.pid);
}

/* Its terminal is another one then, and so is the size: it is told. */
TEST(a_shell_on_another_terminal, .root = true, .seconds = 60)
{
	struct target target;
	static struct terminal_test t, other;
	struct winsize size = { .ws_row = 44, .ws_col = 99 };
	start_shell(&t, &target);
	terminal_say(&t, "trap 'echo now $LINES $COLUMNS' WINCH\n");
	terminal_expect(&t, "PROMPT-5> ");
	target_dump(&target, false);
	terminal_make(&other);
	CHECK_OK(ioctl(other.master, TIOCSWINSZ, &size));
	restore_on(&other, &target, true);
	terminal_say(&other, "\n");
	terminal_expect(&other, "now 44 99");
	/* readline writes back the size that it reads, before it shows the prompt */
	terminal_say(&other, "echo sett$((1))ed\n");
	terminal_expect(&other, "sett1ed");
	terminal_expect(&other, "PROMPT-");
	WAIT_UNTIL(target_asleep(target.pid, "bash"));
	size = (struct winsize){ .ws_row = 33, .ws_col = 111 };
	CHECK_OK(ioctl(other.master, TIOCSWINSZ, &size));
	judge_shell(&other);
	target_gone(target.pid);
}

static void generations(int count, bool pidns)
{
	struct target target;
	struct terminal_test t;
	char first[sizeof target.image];
	start_shell(&t, &target);
	target_dump(&target, false);
	memcpy(first, target.image, sizeof first);
	for (int i = 0; i < count; i++) {
		restore_on(&t, &target, pidns);
		snprintf(target.image, sizeof target.image, WORK "/next%d", i);
		target_dump(&target, false);
	}
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", ignored, first, target.image), 0);
	restore_on(&t, &target, pidns);
	judge_shell(&t);
	target_gone(target.pid);
}

TEST(twenty_generations, .root = true, .seconds = 120) { generations(20, false); }
TEST(twenty_generations_in_namespaces, .root = true, .seconds = 120) { generations(20, true); }

/* --- ckpt in the foreground of a terminal --- */

/* A shell in which ckpt is typed. */
static void type_restore(struct terminal_test *t, struct target *shell, const struct target *target, const char *options)
{
	char line[256];
	terminal_make(t);
	terminal_start(t, shell, bash);
	terminal_expect(t, "PROMPT-1> ");
	snprintf(line, sizeof line, "%s restore --tty %s %s 2>&1; echo status $?\n", ckpt_path(), options, target->image);
	terminal_say(t, line);
	terminal_expect(t, "status $?");
}

/* ckpt hands on what is typed once the terminal is raw, and its own, not the shell's. */
static bool is_relayed(const struct terminal_test *t, const struct target *shell)
{
	struct termios modes;
	CHECK_OK(tcgetattr(t->master, &modes));
	return tcgetpgrp(t->master) != shell->pid && !(modes.c_lflag & (ICANON | ECHO));
}

static void relayed(const char *options)
{
	static struct terminal_test inner, outer;
	struct target target, shell;
	struct termios modes;
	start_shell(&inner, &target);
	target_dump(&target, false);
	type_restore(&outer, &shell, &target, options);
	WAIT_UNTIL(is_relayed(&outer, &shell));
	terminal_say(&outer, "echo $((6*7)); stty size\n");
	terminal_expect(&outer, "42");
	terminal_expect(&outer, "33 111");
	terminal_say(&outer, "fg %1\n");
	terminal_expect(&outer, "cat | sed");
	terminal_say(&outer, "second\n");
	terminal_expect(&outer, "[second]");
	terminal_say(&outer, "\x1a");
	terminal_expect(&outer, "Stopped");
	terminal_say(&outer, "kill -9 %1 %2; disown -a; exit 7\n");
	terminal_expect(&outer, "status 7");
	terminal_expect(&outer, "PROMPT-2> ");
	CHECK_OK(tcgetattr(outer.master, &modes));
	CHECK(modes.c_oflag & OPOST);
	terminal_say(&outer, "exit\n");
	target_gone(shell.pid);
}

TEST(relayed_to_that_of_ckpt, .root = true, .seconds = 60) { relayed(""); }
TEST(relayed_out_of_a_namespace, .root = true, .seconds = 60) { relayed("--pidns"); }

/* A job of one shell goes on as the job of another one. */
static void job(const char *options)
{
	static struct terminal_test first, second;
	struct target shell, target = { .image = WORK "/job" };
	terminal_make(&first);
	terminal_start(&first, &shell, bash);
	terminal_expect(&first, "PROMPT-1> ");
	terminal_say(&first, "sed -u s/.*/[\\&]/\n");
	terminal_say(&first, "one\n");
	terminal_expect(&first, "[one]");
	target.pid = tcgetpgrp(first.master);
	CHECK(target.pid > 1 && target.pid != shell.pid);
	target_dump(&target, false);
	terminal_say(&first, "exit\n");
	target_gone(shell.pid);
	type_restore(&second, &shell, &target, options);
	nap_ms(300);
	terminal_say(&second, "two\n");
	terminal_expect(&second, "[two]");
	CHECK(tcgetpgrp(second.master) != shell.pid);
	terminal_say(&second, "\x03");
	terminal_expect(&second, "status 130");
	terminal_expect(&second, "PROMPT-2> ");
	terminal_say(&second, "exit\n");
	target_gone(shell.pid);
}

TEST(a_job_of_another_shell, .root = true, .seconds = 60) { job(""); }
TEST(a_job_in_a_namespace, .root = true, .seconds = 60) { job("--pidns"); }

/* --- refusals --- */

TEST(which_terminal, .root = true, .seconds = 60)
{
	static struct terminal_test t, taken;
	struct target target, holder;
	char option[64];
	start_shell(&t, &target);
	target_dump(&target, false);
	_cleanup_text_ struct text missing = { 0 }, wrong = { 0 }, controls = { 0 };
	CHECK_EQ(ckpt(&missing, "restore", "-d", target.image), 2);
	CHECK_CONTAINS(missing.data, "[TTY_MISSING]");
	CHECK_CONTAINS(missing.data, t.path);
	CHECK_EQ(ckpt(&wrong, "restore", "-d", "--tty=/dev/null", target.image), 2);
	CHECK_CONTAINS(wrong.data, "[TTY_HANDED]");
	terminal_make(&taken);
	terminal_start(&taken, &holder, bash);
	terminal_expect(&taken, "PROMPT-1> ");
	snprintf(option, sizeof option, "--tty=%s", taken.path);
	CHECK_EQ(ckpt(&controls, "restore", "-d", option, target.image), 3);
	CHECK_CONTAINS(controls.data, "[TTY_CONTROLS]");
	CHECK_CONTAINS(controls.data, "(bash)");
	terminal_say(&taken, "exit\n");
	target_gone(holder.pid);
	CHECK(!target_alive(target.pid));
	restore_on(&t, &target, false);
	judge_shell(&t);
	target_gone(target.pid);
}

/* A session leader that has nothing open of its terminal. */
TEST(nothing_to_hand_over, .root = true, .seconds = 60)
{
	static struct terminal_test t;
	struct target target;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	terminal_make(&t);
	terminal_start(&t, &target,
		       (const char *const[]){ "/bin/sh", "-c", "exec sleep 1000 < /dev/null > /dev/null 2>&1", NULL });
	WAIT_UNTIL(target_asleep(target.pid, "sleep"));
	snprintf(pid, sizeof pid, "%d", target.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, target.image), 3);
	CHECK_CONTAINS(output.data, "[TTY_EXTERNAL]");
	CHECK(target_alive(target.pid));
}

TEST(two_terminals, .root = true, .seconds = 60)
{
	static struct terminal_test t, other;
	struct target target;
	char command[64];
	_cleanup_text_ struct text output = { 0 };
	terminal_make(&other);
	snprintf(command, sizeof command, "exec sleep 1000 3<> %s", other.path);
	terminal_make(&t);
	terminal_start(&t, &target, (const char *const[]){ "/bin/sh", "-c", command, NULL });
	WAIT_UNTIL(target_asleep(target.pid, "sleep"));
	target_dump(&target, false);
	CHECK_EQ(ckpt(&output, "restore", "-d", "--tty=/dev/ptmx", target.image), 3);
	CHECK_CONTAINS(output.data, "[TTY_SEVERAL]");
}
