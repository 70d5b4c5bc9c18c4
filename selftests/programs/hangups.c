/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hangups DIR [fixed]: slaves of terminals whose masters are closed, as a program has them that a login has left behind. They read the
 * end and take nothing; the other terminals go on. fixed: of one of those some settings are locked (TIOCSLCKTRMIOS). */
#include "judge.h"
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

static int orphan, reader, living, living_master;

static int open_pty(int *ret_slave)
{
	int master;
	MUST_EQ(openpty(&master, ret_slave, NULL, NULL, NULL), 0);
	return master;
}

/* The master of `orphan` ends; a terminal of the tree takes a lower number than it had. */
static void close_master(void)
{
	int first, first_master = open_pty(&first), master = open_pty(&orphan);
	MUST_EQ(fcntl(orphan, F_SETFL, O_NONBLOCK), 0);
	reader = open(ttyname(orphan), O_RDONLY | O_NOCTTY);
	MUST(reader >= 0);
	close(first);
	close(first_master);
	close(master);
	living_master = open_pty(&living);
}

static void judge_dead(int fd, int flags)
{
	char byte;
	struct stat st;
	struct termios termios;
	struct pollfd p = { fd, POLLIN, 0 };
	MUST_EQ(read(fd, &byte, 1), 0);
	MUST(write(fd, "x", 1) == -1 && errno == (fd == reader ? EBADF : EIO));
	MUST(tcgetattr(fd, &termios) == -1 && errno == EIO);
	MUST_EQ(poll(&p, 1, 0), 1);
	MUST(p.revents & POLLHUP);
	MUST(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 136);
	MUST_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), flags);
}

static void judge_terminals(void)
{
	char text[16];
	judge_dead(orphan, O_RDWR | O_NONBLOCK);
	judge_dead(reader, O_RDONLY);
	MUST_EQ(write(living_master, "typed\n", 6), 6);
	MUST_EQ(read(living, text, sizeof text), 6);
	MUST(!memcmp(text, "typed\n", 6));
}

/* Nobody echoes there any more, nor ends by ^C. */
static void fix_settings(void)
{
	struct termios fixed = { .c_lflag = ECHO }, settings;
	MUST_EQ(tcgetattr(living, &settings), 0);
	settings.c_lflag &= ~(tcflag_t)ECHO;
	settings.c_cc[VINTR] = 7;
	MUST_EQ(tcsetattr(living, TCSANOW, &settings), 0);
	fixed.c_cc[VINTR] = 1;
	MUST_EQ(ioctl(living, TIOCSLCKTRMIOS, &fixed), 0);
}

static void judge_fixed(void)
{
	struct termios settings;
	MUST_EQ(tcgetattr(living, &settings), 0);
	MUST(!(settings.c_lflag & ECHO) && settings.c_cc[VINTR] == 7);
	settings.c_lflag = (settings.c_lflag | ECHO) & ~(tcflag_t)ISIG;
	settings.c_cc[VINTR] = 3;
	(void)tcsetattr(living, TCSANOW, &settings);
	MUST_EQ(tcgetattr(living, &settings), 0);
	MUST(!(settings.c_lflag & (ECHO | ISIG)) && settings.c_cc[VINTR] == 7);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	close_master();
	if (argc > 2)
		fix_settings();
	judge_wait();
	judge_terminals();
	if (argc > 2)
		judge_fixed();
	return judge_pass();
}
