// SPDX-License-Identifier: LGPL-2.1-or-later
/* nodes DIR: devices without state, files of /proc and /sys, those of /proc that tell of the program itself, also in a child; and
 * mappings of ordinary files. */
#include "judge.h"
#include <sys/sysmacros.h>

static const struct device {
	const char *path;
	unsigned major, minor;
	int flags;
	bool rare; /* not everywhere */
} devices[] = {
	{ "/dev/null", 1, 3, O_RDWR, false },       { "/dev/zero", 1, 5, O_RDWR, false },
	{ "/dev/full", 1, 7, O_RDWR, false },       { "/dev/random", 1, 8, O_RDWR, false },
	{ "/dev/urandom", 1, 9, O_RDWR, false },    { "/dev/kmsg", 1, 11, O_WRONLY, true },
	{ "/dev/kvm", 10, 232, O_RDWR, true },      { "/dev/btrfs-control", 10, 234, O_RDWR, true },
	{ "/dev/autofs", 10, 235, O_RDONLY, true }, { "/dev/loop-control", 10, 237, O_RDWR, true },
};
#define DEVICES (int)(sizeof devices / sizeof *devices)

static int fds[DEVICES], uptime, hostname, thp, status_fd, maps, own_dir, score, memory, mounts, thread_dir;
static char *shared, *readonly;

static void make(void)
{
	for (int i = 0; i < DEVICES; i++)
		MUST((fds[i] = open(devices[i].path, devices[i].flags | O_CLOEXEC)) >= 0 || devices[i].rare);
	uptime = open("/proc/uptime", O_RDONLY);
	hostname = open("/proc/sys/kernel/hostname", O_RDONLY);
	thp = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	maps = open("/proc/self/maps", O_RDONLY);
	own_dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
	score = open("/proc/self/oom_score_adj", O_RDWR);
	memory = open("/proc/self/mem", O_RDWR);
	mounts = open("/proc/self/mountinfo", O_RDONLY);
	thread_dir = open("/proc/thread-self/stat", O_RDONLY);
	MUST(uptime >= 0 && hostname >= 0 && status_fd >= 0 && maps >= 0 && own_dir >= 0 && score >= 0 && memory >= 0);
	MUST(mounts >= 0 && thread_dir >= 0);
	char text[8];
	MUST(read(maps, text, 8) == 8 && read(status_fd, text, 5) == 5);
}

static void map_files(void)
{
	static char page[4096];
	int fd = open(judge_path("data"), O_RDWR | O_CREAT, 0600);
	memset(page, 'd', sizeof page);
	MUST_EQ(write(fd, page, sizeof page), sizeof page);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	fd = open(judge_path("data"), O_RDONLY);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0); /* may never be written */
	close(fd);
	MUST(shared != MAP_FAILED && readonly != MAP_FAILED);
	shared[0] = 'D'; /* dirty: nobody has written it to the file yet */
}

static void judge_devices(void)
{
	struct stat st;
	char text[16];
	for (int i = 0; i < DEVICES; i++)
		if (fds[i] >= 0) {
			MUST(fstat(fds[i], &st) == 0 && S_ISCHR(st.st_mode));
			MUST_EQ(st.st_rdev, makedev(devices[i].major, devices[i].minor));
			MUST_EQ(judge_flags(fds[i]), devices[i].flags);
		}
	MUST_EQ(read(fds[0], text, 1), 0);
	MUST(write(fds[2], text, 1) == -1 && errno == ENOSPC);
	MUST_EQ(read(fds[4], text, 16), 16);
	MUST(read(uptime, text, 16) > 0 && read(hostname, text, 16) > 0);
	MUST(thp < 0 || read(thp, text, 4) == 4);
}

/* The file of /proc/self says that it is about this process. */
static void judge_own(int fd, int dir)
{
	char text[4096] = "", want[32];
	MUST(pread(fd, text, sizeof text - 1, 0) > 0);
	snprintf(want, sizeof want, "\nPid:\t%d\n", getpid());
	if (!strstr(text, want))
		judge_fail("/proc/self/status of %d: %.100s", getpid(), text);
	fd = openat(dir, "comm", O_RDONLY);
	MUST(fd >= 0 && read(fd, text, sizeof text) > 0);
	close(fd);
}

static void judge_proc(void)
{
	char text[64] = "", line[64] = "", c = 0;
	int fresh = open("/proc/self/maps", O_RDONLY);
	MUST_EQ(lseek(maps, 0, SEEK_CUR), 8);
	MUST_EQ(lseek(status_fd, 0, SEEK_CUR), 5);
	MUST_EQ(fcntl(status_fd, F_GETFD), FD_CLOEXEC);
	MUST(pread(maps, text, 25, 0) == 25 && read(fresh, line, 25) == 25 && !memcmp(text, line, 25));
	judge_own(status_fd, own_dir);
	MUST(pread(score, text, sizeof text, 0) > 0 && write(score, "500", 3) == 3);
	MUST(pread(memory, &c, 1, (off_t)(uintptr_t)shared) == 1 && c == 'D');
	MUST(pread(mounts, text, sizeof text, 0) > 0);
	MUST(pread(thread_dir, text, sizeof text, 0) > 0 && atoi(text) == getpid());
}

static void judge_maps(void)
{
	char text[2];
	int fd = open(judge_path("data"), O_RDONLY);
	MUST(pread(fd, text, 2, 0) == 2 && !memcmp(text, "Dd", 2));
	shared[1] = 'E';
	MUST(pread(fd, text, 2, 0) == 2 && !memcmp(text, "DE", 2) && readonly[1] == 'E');
	MUST(mprotect(readonly, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
}

int main(int argc, char **argv)
{
	int up[2], down[2], status;
	char c;
	judge_start(argc, argv);
	MUST(pipe2(up, O_CLOEXEC) == 0 && pipe2(down, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		char of_parent[64];
		snprintf(of_parent, sizeof of_parent, "/proc/%d/stat", (int)getppid());
		int parent = open(of_parent, O_RDONLY);
		int own = open("/proc/self/status", O_RDONLY), dir = open("/proc/self", O_PATH | O_DIRECTORY);
		MUST(write(up[1], "r", 1) == 1 && read(down[0], &c, 1) == 1);
		judge_own(own, dir);
		MUST(pread(parent, of_parent, sizeof of_parent, 0) > 0 && atoi(of_parent) == getppid());
		_exit(6);
	}
	MUST_EQ(read(up[0], &c, 1), 1);
	make();
	map_files();
	char path[64], text[4096] = "";
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int of_child = open(path, O_RDONLY | O_CLOEXEC);
	judge_settled(pid);
	judge_wait();
	MUST(pread(of_child, text, sizeof text - 1, 0) > 0 && atoi(text) == pid);
	judge_devices();
	judge_proc();
	judge_maps();
	MUST(write(down[1], "g", 1) == 1 && waitpid(pid, &status, 0) == pid);
	MUST_EQ(WEXITSTATUS(status), 6);
	return judge_pass();
}
