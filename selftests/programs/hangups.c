/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hangups DIR [WHAT]: slaves of terminals whose masters are closed, as a program has them that a login has left behind. They read the
 * end and take nothing; the other terminals go on, and a path of one is held (O_PATH). WHAT: "fixed", of one of those some
 * settings are locked (TIOCSLCKTRMIOS); "machine": what terminals of the machine itself there are is open too. */
#include "judge.h"
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

static int orphan, reader, living, living_master, living_path;

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
	living_path = open(ttyname(living), O_PATH);
	MUST(living_path >= 0);
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
	struct stat st, path;
	judge_dead(orphan, O_RDWR | O_NONBLOCK);
	judge_dead(reader, O_RDONLY);
	MUST_EQ(write(living_master, "typed\n", 6), 6);
	MUST_EQ(read(living, text, sizeof text), 6);
	MUST(!memcmp(text, "typed\n", 6));
	MUST(fstat(living, &st) == 0 && fstat(living_path, &path) == 0 && st.st_ino == path.st_ino &&
	     st.st_rdev == path.st_rdev);
	MUST(fcntl(living_path, F_GETFL) & O_PATH);
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

/* Those that nobody has, or all have. */
static const char *const machines[] = { "/dev/tty61", "/dev/tty62", "/dev/console" };
static int machine[3], machine_flags[3];
static struct termios machine_settings[3];

static void open_machine(void)
{
	for (int i = 0; i < 3; i++) {
		machine[i] = open(machines[i], (i == 1 ? O_WRONLY : O_RDWR) | O_NOCTTY | O_NONBLOCK);
		if (machine[i] < 0 || tcgetattr(machine[i], &machine_settings[i]) < 0)
			continue;
		if (i == 0) {
			machine_settings[0].c_lflag &= ~(tcflag_t)(ICANON | ECHO);
			MUST_EQ(tcsetattr(machine[0], TCSANOW, &machine_settings[0]), 0);
			MUST_EQ(fcntl(machine[0], F_SETFL, O_APPEND), 0);
		}
		machine_flags[i] = fcntl(machine[i], F_GETFL);
	}
}

static void judge_machine(void)
{
	for (int i = 0; i < 3; i++) {
		char link[32], name[32] = "";
		struct termios settings;
		if (machine[i] < 0 || !machine_flags[i])
			continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", machine[i]);
		MUST(readlink(link, name, sizeof name - 1) > 0 && !strcmp(name, machines[i]));
		MUST_EQ(fcntl(machine[i], F_GETFL), machine_flags[i]);
		MUST_EQ(tcgetattr(machine[i], &settings), 0);
		MUST_EQ(settings.c_lflag, machine_settings[i].c_lflag);
	}
	MUST(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	bool fixed = argc > 2 && !strcmp(argv[2], "fixed"), of_machine = argc > 2 && !strcmp(argv[2], "machine");
	close_master();
	if (fixed)
		fix_settings();
	if (of_machine)
		open_machine();
	judge_wait();
	judge_terminals();
	if (fixed)
		judge_fixed();
	if (of_machine)
		judge_machine();
	return judge_pass();
}
