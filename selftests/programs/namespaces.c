// SPDX-License-Identifier: LGPL-2.1-or-later
/* namespaces DIR: descriptors of every namespace that the program is in, of its own, of a child's and those that the kernel gives on
 * asking: they are the same namespaces, and can be entered. */
#include "judge.h"
#include <sys/ioctl.h>

#ifndef NS_GET_USERNS
#define NS_GET_USERNS _IO(0xb7, 0x1)
#define NS_GET_NSTYPE _IO(0xb7, 0x3)
#endif

static const struct {
	const char *name;
	int type;
} kinds[] = {
	{ "cgroup", CLONE_NEWCGROUP }, { "ipc", CLONE_NEWIPC },   { "mnt", CLONE_NEWNS },  { "net", CLONE_NEWNET },
	{ "pid", CLONE_NEWPID },       { "user", CLONE_NEWUSER }, { "uts", CLONE_NEWUTS }, { "time", 0x80 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static int own[KINDS], of_child[KINDS], handle[KINDS], owner;

static int open_of(const char *process, const char *name, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%s/ns/%s", process, name);
	return open(path, flags);
}

static bool is_the_same(int fd, const char *name)
{
	struct stat a, b;
	int there = open_of("self", name, O_RDONLY | O_CLOEXEC);
	MUST(fstat(fd, &a) == 0 && fstat(there, &b) == 0);
	close(there);
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int main(int argc, char **argv)
{
	char name[16];
	judge_start(argc, argv);
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	snprintf(name, sizeof name, "%d", (int)child);
	for (int i = 0; i < KINDS; i++) {
		own[i] = open_of("self", kinds[i].name, O_RDONLY | O_CLOEXEC);
		of_child[i] = open_of(name, kinds[i].name, O_RDONLY);
		handle[i] = open_of("self", kinds[i].name, O_PATH);
	}
	owner = ioctl(own[1], NS_GET_USERNS);
	judge_settled(child);
	judge_wait();
	for (int i = 0; i < KINDS; i++) {
		if (own[i] < 0) /* a kernel without it */
			continue;
		MUST(is_the_same(own[i], kinds[i].name) && is_the_same(of_child[i], kinds[i].name));
		MUST(is_the_same(handle[i], kinds[i].name));
		MUST_EQ(ioctl(own[i], NS_GET_NSTYPE), kinds[i].type);
		MUST(ioctl(handle[i], NS_GET_NSTYPE) == -1 && errno == EBADF);
		MUST_EQ(fcntl(own[i], F_GETFD), FD_CLOEXEC);
	}
	MUST(owner < 0 || is_the_same(owner, "user"));
	MUST_EQ(setns(own[6], CLONE_NEWUTS), 0);
	MUST_EQ(setns(of_child[3], CLONE_NEWNET), 0);
	return judge_pass();
}
