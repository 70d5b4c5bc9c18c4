// SPDX-License-Identifier: LGPL-2.1-or-later
/* tmux with two shells on terminals of its own: dumped and restored, they are talked to by a new client. */
#include "harness/load.h"
#include <linux/close_range.h>
#include <stdio.h>

#define TMUX "/usr/bin/tmux"
static const char socket_path[] = WORK "/tmux", pid_path[] = WORK "/pid";

static int tmux(struct text *output, const char *const *arguments)
{
	const char *argv[16] = { "tmux", "-S", socket_path, "-f", "/dev/null" };
	for (int i = 0; arguments[i] && i < 10; i++)
		argv[5 + i] = arguments[i];
	return run_program(output, TMUX, argv);
}
#define TMUX_RUN(output, ...) tmux(output, (const char *const[]){ __VA_ARGS__, NULL })

static void expect_in(const char *pane, const char *text)
{
	for (long long start = clock_ms();; nap_ms(50)) {
		_cleanup_text_ struct text screen = { 0 };
		CHECK_EQ(TMUX_RUN(&screen, "capture-pane", "-p", "-t", pane), 0);
		if (screen.data && strstr(screen.data, text))
			return;
		if (clock_ms() - start > WAIT_MS * test_patience())
			FAIL("pane %s does not show \"%s\"", pane, text);
	}
}

/* tmux tells its panes of a new size a little later. */
static void expect_size(const char *pane, const char *columns)
{
	_cleanup_text_ struct text screen = { 0 };
	for (long long start = clock_ms(); !screen.data || !strstr(screen.data, columns);) {
		CHECK(clock_ms() - start < WAIT_MS * test_patience());
		CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", pane, "stty size", "Enter"), 0);
		nap_ms(200);
		text_free(&screen);
		CHECK_EQ(TMUX_RUN(&screen, "capture-pane", "-p", "-t", pane), 0);
	}
}

static void start(struct target *t)
{
	*t = (struct target){ .image = WORK "/image" };
	if (access(TMUX, X_OK) < 0)
		SKIP("there is no " TMUX);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* what make and others left open */
	setenv("TERM", "dumb", 1);
	setenv("PS1", "$ ", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	CHECK_EQ(TMUX_RUN(NULL, "new-session", "-d", "-x", "90", "-y", "40", "/bin/bash --norc --noprofile"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "split-window", "/bin/bash --norc --noprofile"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.0", "mine=$((40+2)); echo zero-$mine", "Enter"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.1", "mine=$((50+3)); echo one-$mine", "Enter"), 0);
	expect_in("0.0", "zero-42");
	expect_in("0.1", "one-53");
	_cleanup_text_ struct text pid = { 0 };
	CHECK_EQ(TMUX_RUN(&pid, "display-message", "-p", "#{pid}"), 0);
	t->pid = atoi(pid.data);
	CHECK(t->pid > 1);
	nap_ms(200);
	WAIT_UNTIL(count_asleep("bash") == 2 && target_state(t->pid) == 'S');
}

static void judge(struct target *t)
{
	expect_in("0.0", "zero-42"); /* what was on the screen */
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.0", "echo again-$((mine+1)); stty size", "Enter"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.1", "sleep 1000 & echo again-$((mine+1)) $(jobs | wc -l)", "Enter"), 0);
	expect_in("0.0", "again-43");
	expect_in("0.1", "again-54 1");
	CHECK_EQ(TMUX_RUN(NULL, "resize-window", "-x", "70", "-y", "30"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.1", "kill %1", "Enter"), 0);
	expect_size("0.1", " 70");
	CHECK_EQ(TMUX_RUN(NULL, "kill-server"), 0);
	target_gone(t->pid);
}

TEST(two_shells, .root = true, .seconds = 60)
{
	struct target t;
	start(&t);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_compare(&t);
	judge(&t);
}

/* Each has terminals of its own; the name of the socket is the last one's. */
TEST(three_clones, .root = true, .seconds = 60)
{
	struct target t;
	start(&t);
	target_dump(&t, false);
	for (int i = 0; i < 3; i++) {
		char pidfile[40];
		snprintf(pidfile, sizeof pidfile, WORK "/clone%d.pid", i);
		if (i)
			CHECK_OK(rename(socket_path, WORK "/before"));
		CHECK_EQ(ckpt(NULL, "restore", "-d", "--pidns", "--pidfile", pidfile, t.image), 0);
	}
	for (int i = 2; i >= 0; i--) {
		char pidfile[40];
		snprintf(pidfile, sizeof pidfile, WORK "/clone%d.pid", i);
		_cleanup_free_ char *pid = read_text(pidfile);
		t.pid = atoi(pid);
		CHECK(target_alive(t.pid));
		if (i == 2)
			judge(&t);
	}
}

TEST(two_shells_in_a_namespace, .root = true, .seconds = 60)
{
	struct target t;
	start(&t);
	target_dump(&t, false);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--pidns", "--pidfile", pid_path, t.image), 0);
	_cleanup_free_ char *pid = read_text(pid_path);
	t.pid = atoi(pid);
	target_compare(&t);
	judge(&t);
}

/* An editor in the middle of a change: it is in insert mode, with a swap file, and goes on where it was. */
TEST(two_shells_and_vim, .root = true, .seconds = 60)
{
	static const char file[] = WORK "/file", text[] = "first half\nsecond half\nfirst half\n";
	struct target t;
	need_program("/usr/bin/vim");
	start(&t);
	setenv("TERM", "screen", 1);
	CHECK_EQ(TMUX_RUN(NULL, "split-window", "/usr/bin/vim -u NONE -i NONE " WORK "/file"), 0);
	expect_in("0.2", "[New File]");
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.2", "ifirst half", "Enter", "second "), 0);
	expect_in("0.2", "second");
	target_dump(&t, false);
	target_restore(&t, 0);
	expect_in("0.2", "first half");
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.2", "half", "Escape", "ggyyGp"), 0);
	CHECK_EQ(TMUX_RUN(NULL, "send-keys", "-t", "0.2", ":wq", "Enter"), 0);
	WAIT_UNTIL(load_file_size(file) >= (long long)strlen(text));
	_cleanup_free_ char *saved = read_text(file);
	CHECK_STR(saved, text);
	judge(&t);
}
