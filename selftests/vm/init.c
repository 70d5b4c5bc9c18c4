// SPDX-License-Identifier: LGPL-2.1-or-later
/* The first process of a test machine: mounts what tests expect, sets up the loopback device, runs the command in /command (one
 * argument per line), prints its exit status between marks and switches the machine off. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void mount_all(void)
{
	static const struct {
		const char *type, *at, *options;
	} rows[] = {
		{ "proc", "/proc", NULL },
		{ "sysfs", "/sys", NULL },
		{ "devtmpfs", "/dev", NULL },
		{ "devpts", "/dev/pts", "ptmxmode=0666,mode=0620" },
		{ "tmpfs", "/dev/shm", "mode=1777" },
		{ "tmpfs", "/tmp", "mode=1777" },
		{ "tmpfs", "/run", "mode=0755" },
		{ "cgroup2", "/sys/fs/cgroup", NULL },
		{ "bpf", "/sys/fs/bpf", "mode=0700" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mkdir(rows[i].at, 0755);
		if (mount(rows[i].type, rows[i].at, rows[i].type, 0, rows[i].options) < 0)
			fprintf(stderr, "init: no %s on %s: %m\n", rows[i].type, rows[i].at);
	}
}

/* What udev makes, and a security module may resolve: the kernel calls a program that is executed by descriptor /dev/fd/N
 * (fs/exec.c), and TOMOYO looks that name up. */
static void link_descriptors(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") < 0)
		fprintf(stderr, "init: /dev/fd: %m\n");
}

/* Those that tests need and that a whole system would load when they are asked for (selftests/vm/kernel). */
static void load_modules(void)
{
	char name[32], path[64];
	FILE *names = fopen("/modules/order", "re");

	while (names && fscanf(names, "%31s", name) == 1) {
		snprintf(path, sizeof(path), "/modules/%s.ko", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0) < 0)
			fprintf(stderr, "init: %s: %m\n", path);
		close(fd);
	}
	if (names)
		fclose(names);
}

/* Of a network in which nothing is up. */
static void lift_loopback(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		fprintf(stderr, "init: lo: %m\n");
	close(fd);
}

static int run_command(void)
{
	static char text[65536], *argv[1024];
	size_t n = 0;
	int status = 0;

	int fd = open("/command", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 127;
	for (char *line = strtok(text, "\n"); line && n < 1023; line = strtok(NULL, "\n"))
		argv[n++] = line;
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		execv(argv[0], argv);
		fprintf(stderr, "init: %s: %m\n", argv[0]);
		_exit(127);
	}
	for (pid_t ended; (ended = wait(&status)) != pid;)
		if (ended < 0)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
	setenv("PATH", "/bin", 1);
	setenv("HOME", "/", 1);
	setenv("CKPT", "/build/ckpt", 1);
	setenv("B", "/build", 1);
	setenv("TEST_PATIENCE", "5", 1);
	mount_all();
	link_descriptors();
	load_modules();
	lift_loopback();
	int console = open("/dev/console", O_RDWR);
	for (int fd = 0; console >= 0 && fd < 3; fd++)
		dup2(console, fd);
	if (console > 2)
		close(console);
	setvbuf(stdout, NULL, _IONBF, 0);
	printf("\n@@ckpt-vm begin\n");
	int status = run_command();
	printf("\n@@ckpt-vm end %d\n", status);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
