// SPDX-License-Identifier: LGPL-2.1-or-later
/* procfiles DIR: files of /proc that tell of itself, of a child, of a grandchild, of a zombie and of processes that have ended, and
 * files of /proc and /sys that tell of none: they tell of the same processes, and of the dead that they are dead. A child has some of
 * them too. */
#include "judge.h"

static struct shared {
	pid_t grandchild;
	int checked;
} * shared;
static int own, cwd, child_status, child_dir, child_score, grandchild_stat, zombie_stat, dead_stat, dead_read, dead_dir,
	dead_net, host_net, tunable, from_sys, load, to_child[2];
static pid_t child, zombie;
static char dead_name[64];

static int open_of(pid_t pid, const char *name, int flags)
{
	char path[96];
	snprintf(path, sizeof path, "/proc/%d%s", (int)pid, name);
	int fd = open(path, flags);
	MUST(fd >= 0);
	return fd;
}

static const char *text_of(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static pid_t pid_in_stat(int fd) { return atoi(text_of(fd)); }

static pid_t pid_in_status(int fd)
{
	const char *at = strstr(text_of(fd), "\nPid:");
	return at ? atoi(at + 5) : 0;
}

static const char *name_of(int fd)
{
	static char path[96], name[128];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, name, sizeof name - 1);
	name[n > 0 ? n : 0] = 0;
	return name;
}

/* A child has what its parent has opened: its parent's status and its sister's. */
static void run_child(void)
{
	char c;
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	shared->grandchild = pid;
	while (read(to_child[0], &c, 1) != 1)
		MUST_EQ(errno, EINTR);
	MUST_EQ(pid_in_status(own), getppid());
	MUST_EQ(pid_in_stat(zombie_stat), zombie);
	MUST_EQ(lseek(own, 0, SEEK_CUR), 17); /* set by the parent, in what is shared */
	shared->checked = 1;
	for (;;)
		pause();
}

static pid_t make_zombie(int status)
{
	siginfo_t info;
	pid_t pid = fork();
	if (pid == 0)
		_exit(status);
	MUST_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	return pid;
}

static void make(void)
{
	char bytes[8];
	int end[2];
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(shared != MAP_FAILED && pipe(to_child) == 0);
	own = open("/proc/self/status", O_RDONLY);
	zombie = make_zombie(5);
	zombie_stat = open_of(zombie, "/stat", O_RDONLY);
	child = fork();
	if (child == 0)
		run_child();
	while (!__atomic_load_n(&shared->grandchild, __ATOMIC_SEQ_CST))
		judge_nap(2);
	judge_settled(child);
	judge_settled(shared->grandchild);
	child_status = open_of(child, "/status", O_RDONLY | O_CLOEXEC);
	child_dir = open_of(child, "", O_RDONLY | O_DIRECTORY);
	child_score = open_of(child, "/oom_score_adj", O_RDWR);
	grandchild_stat = open_of(shared->grandchild, "/stat", O_RDONLY);
	MUST_EQ(read(grandchild_stat, bytes, 4), 4);
	cwd = open_of(getpid(), "/cwd", O_PATH | O_NOFOLLOW);
	MUST_EQ(pipe(end), 0);
	pid_t dead = fork();
	if (dead == 0)
		_exit((int)read(end[0], bytes, 1));
	dead_stat = open_of(dead, "/stat", O_RDONLY);
	dead_read = open_of(dead, "/status", O_RDONLY);
	while (read(dead_read, bytes, sizeof bytes) > 0)
		;
	dead_dir = open_of(dead, "", O_RDONLY | O_DIRECTORY);
	dead_net = open_of(dead, "/net/dev", O_RDONLY);
	MUST_EQ(write(end[1], "", 1), 1);
	MUST_EQ(waitpid(dead, NULL, 0), dead);
	snprintf(dead_name, sizeof dead_name, "%s", name_of(dead_stat));
	host_net = open("/proc/net/dev", O_RDONLY);
	tunable = open("/proc/sys/kernel/pid_max", O_RDONLY);
	from_sys = open("/sys/kernel/mm", O_RDONLY | O_DIRECTORY);
	load = open("/proc/loadavg", O_RDONLY);
	MUST(host_net >= 0 && tunable >= 0 && load >= 0 && own >= 0);
}

static void judge_dead(void)
{
	char c;
	errno = 0;
	MUST(read(dead_stat, &c, 1) == -1 && errno == ESRCH);
	ssize_t n = read(dead_read, &c, 1);
	MUST(n == 0 || (n == -1 && errno == ESRCH)); /* after a restore the kernel may not know that it has told all */
	MUST_EQ(lseek(dead_read, 0, SEEK_SET), 0);
	MUST(read(dead_read, &c, 1) == -1 && errno == ESRCH);
	MUST(faccessat(dead_dir, "stat", F_OK, 0) == -1);
	MUST(strstr(text_of(dead_net), "lo:"));
	if (strcmp(dead_name, name_of(dead_stat)) != 0)
		judge_fail("%s is called %s", dead_name, name_of(dead_stat));
}

static void judge_living(void)
{
	char c = 0;
	MUST_EQ(pid_in_status(own), getpid());
	MUST_EQ(pid_in_status(child_status), child);
	MUST_EQ(fcntl(child_status, F_GETFD), FD_CLOEXEC);
	MUST_EQ(pid_in_stat(grandchild_stat), shared->grandchild);
	MUST_EQ(lseek(grandchild_stat, 0, SEEK_CUR), 4);
	MUST_EQ(pid_in_stat(zombie_stat), zombie);
	int status = openat(child_dir, "status", O_RDONLY | O_CLOEXEC);
	MUST_EQ(pid_in_status(status), child);
	close(status);
	MUST_EQ(write(child_score, "777", 3), 3);
	int score = openat(child_dir, "oom_score_adj", O_RDONLY | O_CLOEXEC);
	MUST_EQ(atoi(text_of(score)), 777);
	close(score);
	MUST(strstr(name_of(cwd), "/cwd"));
	MUST(strstr(text_of(host_net), "lo:") && atoi(text_of(tunable)) > 0);
	MUST(from_sys < 0 || faccessat(from_sys, ".", F_OK, 0) == 0);
	MUST_EQ(pread(load, &c, 1, 0), 1);
	MUST_EQ(lseek(own, 17, SEEK_SET), 17);
	MUST_EQ(write(to_child[1], "", 1), 1);
	while (!__atomic_load_n(&shared->checked, __ATOMIC_SEQ_CST))
		judge_nap(2);
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	make();
	judge_wait();
	judge_dead();
	judge_living();
	MUST_EQ(waitpid(zombie, &status, 0), zombie);
	MUST_EQ(status, 5 << 8);
	MUST_EQ(pid_in_stat(zombie_stat), 0);
	return judge_pass();
}
