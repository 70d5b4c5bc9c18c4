// SPDX-License-Identifier: LGPL-2.1-or-later
/* typeahead DIR: pseudoterminals with something in them that nobody has read yet: lines and half lines that were typed, of all kinds
 * of ends; bytes of every value; more than is taken at once; what was written, also by who has closed its side since; those that are
 * stopped. After it every read gives the same pieces, and nothing was echoed or answered to twice. */
#include "judge.h"
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

struct pty {
	int master, slave;
};

static volatile sig_atomic_t signals;
static unsigned char all[20000];

static void count(int signal) { signals += signal != 0; }

/* With settings that a shell's terminal has at first, and others on and off. */
static void open_pty(struct pty *p, tcflag_t on, tcflag_t off)
{
	struct termios modes;
	MUST_EQ(openpty(&p->master, &p->slave, NULL, NULL, NULL), 0);
	MUST_EQ(tcgetattr(p->slave, &modes), 0);
	modes.c_lflag = (modes.c_lflag | on) & ~off;
	modes.c_cc[VEOL] = '<';
	modes.c_cc[VEOL2] = '>';
	MUST_EQ(tcsetattr(p->slave, TCSANOW, &modes), 0);
	MUST_EQ(fcntl(p->master, F_SETFL, O_NONBLOCK), 0);
	MUST_EQ(fcntl(p->slave, F_SETFL, O_NONBLOCK), 0);
}

static void set_lines(const struct pty *p, bool on)
{
	struct termios modes;
	MUST_EQ(tcgetattr(p->slave, &modes), 0);
	modes.c_lflag = on ? modes.c_lflag | ICANON : modes.c_lflag & ~(tcflag_t)ICANON;
	MUST_EQ(tcsetattr(p->slave, TCSANOW, &modes), 0);
}

static void put(int fd, const void *text, size_t len) { MUST_EQ(write(fd, text, len), (ssize_t)len); }
static void say(int fd, const char *text) { put(fd, text, strlen(text)); }

/* The kernel brings it there by itself: waits until so much can be read. */
static void arrived(int fd, int bytes)
{
	int waiting = 0;
	for (int tries = 0; tries < JUDGE_PATIENCE_MS && waiting != bytes; tries++) {
		MUST_EQ(ioctl(fd, FIONREAD, &waiting), 0);
		if (waiting != bytes)
			judge_nap(1);
	}
	MUST_EQ(waiting, bytes);
}

/* One read gives exactly this. */
static void gives(int fd, const void *text, size_t len)
{
	static unsigned char got[sizeof all];
	struct pollfd p = { fd, POLLIN, 0 };
	MUST_EQ(poll(&p, 1, JUDGE_PATIENCE_MS), 1);
	ssize_t n = read(fd, got, sizeof got);
	MUST_EQ(n, len);
	MUST(!memcmp(got, text, len));
}

static void gives_line(const struct pty *p, const char *line) { gives(p->slave, line, strlen(line)); }

static void gives_nothing(int fd)
{
	char byte;
	MUST_EQ(read(fd, &byte, 1), -1);
	MUST_EQ(errno, EAGAIN);
}

/* So much, in however many reads. */
static void gives_all(int fd, const unsigned char *bytes, size_t len)
{
	unsigned char got[4096];
	for (size_t at = 0; at < len;) {
		struct pollfd p = { fd, POLLIN, 0 };
		MUST_EQ(poll(&p, 1, JUDGE_PATIENCE_MS), 1);
		ssize_t n = read(fd, got, sizeof got);
		MUST(n > 0 && (size_t)n <= len - at);
		MUST(!memcmp(got, bytes + at, (size_t)n));
		at += (size_t)n;
	}
	gives_nothing(fd);
}

/* --- what a shell's user has typed: a line, and a half one --- */

static struct pty shell;

static void make_shell(void)
{
	open_pty(&shell, 0, 0);
	say(shell.master, "ls -l\nech");
	arrived(shell.slave, 6);
	arrived(shell.master, 10); /* "ls -l\r\nech" is echoed */
}

static void judge_shell(void)
{
	gives(shell.master, "ls -l\r\nech", 10);
	gives_nothing(shell.master);
	gives_line(&shell, "ls -l\n");
	gives_nothing(shell.slave);
	say(shell.master, "x\x7fo\n");
	gives_line(&shell, "echo\n");
	gives_all(shell.master, (const unsigned char *)"x\b \bo\r\n", 7);
}

/* --- lines of all ends --- */

static struct pty lines;

static void make_lines(void)
{
	open_pty(&lines, IEXTEN, ECHO);
	say(lines.master, "end\x04"
			  "\x04"
			  "with\x16\ninside\n"
			  "by its own\x16<<"
			  "\x16> another\x16\x04>"
			  "\x16\x03\x16\x13\x16\x11 quoted\n"
			  "\n"
			  "left\x16\x04 over\x16");
	arrived(lines.slave, 3 + 12 + 12 + 11 + 11 + 1);
}

static void judge_lines(void)
{
	gives_line(&lines, "end");
	gives_line(&lines, "");
	gives_line(&lines, "with\ninside\n");
	gives_line(&lines, "by its own<<");
	gives_line(&lines, "> another\x04>");
	gives_line(&lines, "\x03\x13\x11 quoted\n");
	gives_line(&lines, "\n");
	gives_nothing(lines.slave);
	say(lines.master, "\x03\n"); /* what comes next is no special character */
	gives_line(&lines, "left\x04 over\x03\n");
	gives_nothing(lines.master);
}

/* --- one byte after the other --- */

static struct pty raw, full, turned;

static void make_raw(void)
{
	struct termios modes;
	open_pty(&raw, 0, ECHO | ISIG | ICANON | IEXTEN);
	MUST_EQ(tcgetattr(raw.slave, &modes), 0);
	cfmakeraw(&modes);
	MUST_EQ(tcsetattr(raw.slave, TCSANOW, &modes), 0);
	put(raw.master, all, 3000);
	arrived(raw.slave, 3000);
	modes.c_iflag |= ICRNL | IXON | ISTRIP;
	modes.c_lflag |= ECHO | ISIG;
	MUST_EQ(tcsetattr(raw.slave, TCSANOW, &modes), 0);
}

static void judge_raw(void)
{
	gives_nothing(raw.master);
	gives_all(raw.slave, all, 3000);
	say(raw.master, "a\rb\xe3");
	arrived(raw.slave, 4);
	gives(raw.slave, "a\nbc", 4);
}

/* More than the line discipline takes. */
static void make_full(void)
{
	struct termios modes;
	open_pty(&full, 0, 0);
	MUST_EQ(tcgetattr(full.slave, &modes), 0);
	cfmakeraw(&modes);
	MUST_EQ(tcsetattr(full.slave, TCSANOW, &modes), 0);
	put(full.master, all, 7000);
	arrived(full.slave, 4095);
}

static void judge_full(void)
{
	gives_all(full.slave, all, 7000);
	say(full.master, "on");
	gives_all(full.slave, (const unsigned char *)"on", 2);
}

/* Typed byte by byte, then read by lines: as if it were one. */
static void make_turned(void)
{
	open_pty(&turned, 0, ICANON | ECHO);
	say(turned.master, "one\ntwo\nthr");
	arrived(turned.slave, 11);
	set_lines(&turned, true);
}

static void judge_turned(void)
{
	gives_line(&turned, "one\ntwo\nthr");
	gives_nothing(turned.slave);
}

/* --- a line as long as lines can be, and others behind it --- */

static struct pty longest;
static char line[4097];

static void make_longest(void)
{
	open_pty(&longest, 0, ECHO);
	memset(line, 'l', 4095);
	line[4095] = '\n';
	put(longest.master, line, 4096);
	arrived(longest.slave, 4096);
	say(longest.master, "behind\nhalf");
}

static void judge_longest(void)
{
	gives_line(&longest, line);
	gives_line(&longest, "behind\n");
	gives_nothing(longest.slave);
	say(longest.master, "\n");
	gives_line(&longest, "half\n");
}

/* --- what was written --- */

static struct pty written, gone;

static void make_written(void)
{
	open_pty(&written, 0, 0);
	put(written.slave, all + 97, 20); /* "abc": nothing is translated */
	gives(written.master, all + 97, 20);
	struct termios modes;
	MUST_EQ(tcgetattr(written.slave, &modes), 0);
	modes.c_oflag = 0;
	MUST_EQ(tcsetattr(written.slave, TCSANOW, &modes), 0);
	put(written.slave, all, 11000);
	arrived(written.master, 4095);
	modes.c_oflag = OPOST | TAB3;
	MUST_EQ(tcsetattr(written.slave, TCSANOW, &modes), 0);
}

static void judge_written(void)
{
	gives_all(written.master, all, 11000);
	say(written.slave, "\t:\n"); /* it stands at column 20 */
	arrived(written.master, 6);
	gives(written.master, "    :\n", 6);
}

static void make_gone(void)
{
	open_pty(&gone, 0, 0);
	say(gone.slave, "last words\n");
	say(gone.master, "unheard\n");
	arrived(gone.slave, 8);
	arrived(gone.master, 12 + 9);
	close(gone.slave);
}

static void judge_gone(void)
{
	char byte;
	gives(gone.master, "last words\r\nunheard\r\n", 21);
	MUST_EQ(read(gone.master, &byte, 1), -1);
	MUST_EQ(errno, EIO);
	gone.slave = ioctl(gone.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
	gives_line(&gone, "unheard\n");
}

/* --- stopped --- */

static struct pty stopped, suspended, mute;

/* Nothing can be written. */
static bool is_stopped(const struct pty *p) { return write(p->slave, "?", 1) < 0 && errno == EAGAIN; }

static void make_stopped(void)
{
	open_pty(&stopped, 0, ECHO);
	say(stopped.master, "typed\nha\x13");
	for (int tries = 0; tries < JUDGE_PATIENCE_MS && !is_stopped(&stopped); tries++)
		judge_nap(1);
	MUST(is_stopped(&stopped));
	MUST_EQ(tcflush(stopped.master, TCIFLUSH), 0); /* what told that it was not yet */
	open_pty(&suspended, 0, ECHO);
	say(suspended.slave, "kept");
	MUST_EQ(tcflow(suspended.slave, TCOOFF), 0);
	open_pty(&mute, 0, ECHO);
	MUST_EQ(tcflow(mute.master, TCOOFF), 0);
}

static void judge_stopped(void)
{
	MUST(is_stopped(&stopped));
	gives_nothing(stopped.master);
	gives_line(&stopped, "typed\n");
	say(stopped.master, "\x11lf\n");
	gives_line(&stopped, "half\n");
	MUST(!is_stopped(&stopped));
	gives(stopped.master, "?", 1);
	gives(suspended.master, "kept", 4);
	say(suspended.master, "\x11\n"); /* that does not start it */
	gives_line(&suspended, "\n");
	MUST(is_stopped(&suspended));
	MUST_EQ(tcflow(suspended.slave, TCOON), 0);
	MUST(!is_stopped(&suspended));
	MUST_EQ(write(mute.master, "?", 1), -1);
	MUST_EQ(errno, EAGAIN);
	MUST_EQ(tcflow(mute.master, TCOON), 0);
	say(mute.master, "speaks\n");
	gives_line(&mute, "speaks\n");
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	for (int i = 1; i < 32; i++)
		if (i == SIGINT || i == SIGQUIT || i == SIGTSTP || i == SIGTTOU || i == SIGTTIN || i == SIGHUP || i == SIGIO)
			signal(i, count);
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (unsigned char)(i < 512 ? i : i * i / 7);
	make_shell();
	make_lines();
	make_raw();
	make_full();
	make_turned();
	make_longest();
	make_written();
	make_gone();
	make_stopped();
	judge_wait();
	judge_shell();
	judge_lines();
	judge_raw();
	judge_full();
	judge_turned();
	judge_longest();
	judge_written();
	judge_gone();
	judge_stopped();
	MUST_EQ(signals, 0);
	return judge_pass();
}
