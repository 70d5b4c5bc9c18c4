// SPDX-License-Identifier: LGPL-2.1-or-later
/* pty DIR [ahead|watched]: the master of a pseudo terminal and an interactive bash on it, with a stopped job and one in the
 * background. After it the terminal has its size and modes, `fg` works, ^Z and ^C reach the job, and bash still has job control. ahead:
 * bash waits for something else, and what was typed meanwhile waits for bash: it does that when it can. watched: somebody has a pidfd
 * of bash. */
#include "judge.h"
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master;
static char seen[1 << 20];
static size_t n_seen;

static void say(const char *text) { MUST_EQ(write(master, text, strlen(text)), (ssize_t)strlen(text)); }

/* Reads what the terminal shows until it holds text; what follows stays for the next call. */
static void expect(const char *text)
{
	struct pollfd p = { master, POLLIN, 0 };
	char *found;
	for (double start = judge_clock(CLOCK_MONOTONIC); !(found = memmem(seen, n_seen, text, strlen(text)));) {
		if (judge_clock(CLOCK_MONOTONIC) - start > JUDGE_PATIENCE_MS / 1e3 || n_seen > sizeof seen - 5000)
			judge_fail("the terminal did not show \"%s\" but: %s", text, seen + (n_seen > 300 ? n_seen - 300 : 0));
		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t n = read(master, seen + n_seen, 4096);
		MUST(n > 0);
		n_seen += (size_t)n;
		seen[n_seen] = 0;
	}
	found += strlen(text);
	n_seen -= (size_t)(found - seen);
	memmove(seen, found, n_seen + 1);
}

static pid_t start_shell(void)
{
	struct winsize size = { .ws_row = 33, .ws_col = 111 };
	pid_t shell = forkpty(&master, NULL, NULL, &size);
	if (shell == 0) {
		setenv("PS1", "PROMPT-\\#> ", 1);
		setenv("HISTFILE", "", 1);
		setenv("TERM", "dumb", 1);
		execl("/bin/bash", "bash", "--norc", "--noprofile", "-i", NULL);
		_exit(126);
	}
	expect("PROMPT-1> ");
	say("stty -echo\n");
	expect("PROMPT-2> ");
	return shell;
}

static void type_ahead(pid_t shell)
{
	char line[PATH_MAX + 100];
	MUST_EQ(mkfifo(judge_path("word"), 0600), 0);
	snprintf(line, sizeof line, "read word < %s; echo got $word\n", judge_path("word"));
	say(line);
	judge_settled(shell);
	say("echo ahead $((6*7))\n"
	    "echo ha");
	judge_wait();
	int fd = open(judge_path("word"), O_WRONLY | O_CLOEXEC);
	MUST_EQ(write(fd, "late\n", 5), 5);
	close(fd);
	expect("got late");
	expect("ahead 42");
	expect("PROMPT-4> ");
	say("lf-$((1+1))\n");
	expect("half-2");
	expect("PROMPT-5> ");
}

static void run_jobs(pid_t shell)
{
	struct winsize size_now;
	struct termios modes, modes_now;
	say("cat | sed -u s/.*/[\\&]/\n");
	say("first\n");
	expect("[first]");
	say("\x1a"); /* ^Z */
	expect("Stopped");
	expect("PROMPT-3> ");
	/* the next prompt comes when the job has executed its program */
	say("sleep 1000 & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done\n");
	expect("PROMPT-4> ");
	pid_t foreground = tcgetpgrp(master);
	MUST_EQ(foreground, shell);
	MUST_EQ(tcgetattr(master, &modes), 0);
	judge_wait();
	MUST_EQ(ioctl(master, TIOCGWINSZ, &size_now), 0);
	MUST(size_now.ws_row == 33 && size_now.ws_col == 111);
	MUST_EQ(tcgetattr(master, &modes_now), 0);
	MUST(modes_now.c_lflag == modes.c_lflag && modes_now.c_iflag == modes.c_iflag && modes_now.c_oflag == modes.c_oflag);
	MUST(!(modes_now.c_lflag & ECHO));
	MUST_EQ(tcgetpgrp(master), shell);
	say("jobs\n");
	expect("Stopped");
	expect("Running");
	expect("PROMPT-5> ");
	say("fg %1\n");
	expect("cat | sed");
	say("second\n");
	expect("[second]");
	MUST(tcgetpgrp(master) != shell);
	say("\x1a");
	expect("Stopped");
	expect("PROMPT-6> ");
	say("fg %1\n");
	expect("cat | sed");
	say("third\n");
	expect("[third]");
	say("\x03"); /* ^C */
	expect("PROMPT-7> ");
	say("kill %2; wait; echo left $(jobs | wc -l)\n");
	expect("left 0");
	expect("PROMPT-8> ");
}

int main(int argc, char **argv)
{
	int status = 0;
	judge_start(argc, argv);
	judge_need((const char *const[]){ "/bin/bash", "/bin/cat", "/bin/sed", "/bin/sleep", "/bin/stty", "/bin/wc", NULL });
	pid_t shell = start_shell();
	int pidfd = argc > 2 && !strcmp(argv[2], "watched") ? (int)syscall(SYS_pidfd_open, shell, 0) : -1;
	if (argc > 2 && !strcmp(argv[2], "ahead"))
		type_ahead(shell);
	else
		run_jobs(shell);
	MUST(pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0);
	say("exit 7\n");
	for (int tries = 0; waitpid(shell, &status, WNOHANG) == 0; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS / 10);
		judge_nap(10);
	}
	MUST_EQ(WEXITSTATUS(status), 7);
	return judge_pass();
}
