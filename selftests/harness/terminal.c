// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns pseudoterminals of tests. */
#include "harness/terminal.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

void terminal_make(struct terminal_test *t)
{
	struct winsize size = { .ws_row = 33, .ws_col = 111 };
	memset(t, 0, sizeof *t);
	t->master = (int)CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	CHECK_OK(grantpt(t->master));
	CHECK_OK(unlockpt(t->master));
	CHECK_OK(ptsname_r(t->master, t->path, sizeof t->path));
	CHECK_OK(ioctl(t->master, TIOCSWINSZ, &size));
}

void terminal_start(struct terminal_test *t, struct target *target, const char *const *argv)
{
	static int number;
	*target = (struct target){ 0 };
	snprintf(target->image, sizeof target->image, WORK "/terminal%d", ++number);
	target->pid = fork();
	if (target->pid)
		return;
	setsid();
	int slave = open(t->path, O_RDWR);
	ioctl(slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(slave, fd);
	close_range(3, ~0u, 0);
	if (chdir("/"))
		_exit(126);
	execve(argv[0], (char **)argv,
	       (char *[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "TERM=dumb", "PS1=PROMPT-\\#> ",
			   "HISTFILE=", "ASAN_OPTIONS=use_sigaltstack=0", NULL });
	_exit(127);
}

void terminal_say(struct terminal_test *t, const char *text)
{
	CHECK_EQ(write(t->master, text, strlen(text)), (long long)strlen(text));
}

void terminal_expect(struct terminal_test *t, const char *text)
{
	char *found;
	for (long long start = clock_ms(); !(found = memmem(t->seen, t->n, text, strlen(text)));) {
		struct pollfd p = { t->master, POLLIN, 0 };
		if (clock_ms() - start > WAIT_MS * test_patience() || t->n > sizeof t->seen - 4097)
			FAIL("the terminal did not show \"%s\" but: %s", text, t->seen + (t->n > 400 ? t->n - 400 : 0));
		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t n = read(t->master, t->seen + t->n, 4096);
		if (n < 0) /* nobody has the other side open for the moment */
			nap_ms(5);
		t->n += n > 0 ? (size_t)n : 0;
		t->seen[t->n] = 0;
	}
	found += strlen(text);
	t->n -= (size_t)(found - t->seen);
	memmove(t->seen, found, t->n + 1);
}
