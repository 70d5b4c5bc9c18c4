// SPDX-License-Identifier: LGPL-2.1-or-later
/* usage: leg PROGRAM FIRST LAST   one leg of a journey from kernel to kernel, inside of a test machine: starts the program (FIRST
 * is 1) or restores what the leg before has left in /carried, as soon as this machine has been up as long as that one; then
 * asks for its verdict (LAST is 1) or dumps it, and prints all files of /carried for the leg to come. Returns 0 when all was well. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE "/carried"
#define IMAGE "/carried/image"
#define NEXT "/carried/next"
#define PID "20001"
#define SECONDS 240 /* until the clock has caught up */
#define RESTORE_LATER 3

static int run(const char *const *argv)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int exists(const char *path) { return access(path, F_OK) == 0; }

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("leg: %s: %m\n", path);
	close(fd);
}

/* With an id that no process of another machine has. */
static int start(const char *program)
{
	char path[256];
	mkdir(PLACE, 0700);
	write_file("/proc/sys/kernel/ns_last_pid", "20000");
	snprintf(path, sizeof(path), "/build/selftests/programs/%s", program);
	if (fork() == 0) {
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
		setsid();
		execl(path, program, PLACE, NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && !exists(PLACE "/ready"); i++)
		usleep(20000);
	if (exists(PLACE "/ready"))
		return 0;
	printf("leg: %s did not become ready\n", path);
	return 1;
}

static int restore(void)
{
	const char *const argv[] = { "/build/ckpt", "restore", IMAGE, "-d", NULL };
	int status = RESTORE_LATER;
	for (int i = 0; i < SECONDS && status == RESTORE_LATER; i++) {
		status = run(argv);
		if (status == RESTORE_LATER)
			sleep(1);
	}
	return status;
}

static int dump(void)
{
	const char *const away[] = { "/build/ckpt", "dump", PID, NEXT, NULL };
	if (run(away))
		return 1;
	rename(IMAGE, PLACE "/old");
	return rename(NEXT, IMAGE);
}

static int judge(void)
{
	char text[1024] = "no verdict";
	write_file(PLACE "/stop", "");
	for (int i = 0; i < 1000 && !exists(PLACE "/verdict"); i++)
		usleep(20000);
	usleep(100000);
	int fd = open(PLACE "/verdict", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n >= 0)
		text[n] = 0;
	printf("leg: %s\n", text);
	return strcmp(text, "ok") != 0;
}

/* "@@file NAME", then lines of hexadecimal digits with "@@" before. */
static void print_file(const char *path)
{
	unsigned char bytes[512];
	char line[2 * sizeof(bytes) + 1];
	int fd = open(path, O_RDONLY);
	printf("@@file %s\n", path);
	for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;) {
		for (ssize_t i = 0; i < n; i++)
			snprintf(line + 2 * i, 3, "%02x", bytes[i]);
		printf("@@%s\n", line);
	}
	close(fd);
}

static void print_files(const char *dir)
{
	char path[512];
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_type == DT_REG)
			print_file(path);
	}
	if (d)
		closedir(d);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	int status = atoi(argv[2]) ? start(argv[1]) : restore();
	usleep(300000);
	if (status == 0)
		status = atoi(argv[3]) ? judge() : dump();
	if (status == 0 && !atoi(argv[3])) {
		print_files(PLACE);
		print_files(IMAGE);
	}
	return status;
}
