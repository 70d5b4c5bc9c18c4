// SPDX-License-Identifier: LGPL-2.1-or-later
/* userns DIR: a process, its child in a user namespace with mapped ids, and that one's child in a nested one: ids, maps, rights
 * and the identity of the namespaces stay. */
#include "judge.h"
#include <grp.h>
#include <linux/capability.h>

static char *board; /* what each level saw before */
enum { ROOM = 1024 };

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void describe(char *text)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	uid_t r, e, s;
	gid_t gr, ge, gs;
	char map[2][256] = { "", "" };
	memset(text, 0, ROOM);
	MUST_EQ(getresuid(&r, &e, &s), 0);
	MUST_EQ(getresgid(&gr, &ge, &gs), 0);
	MUST_EQ(syscall(SYS_capget, &header, caps), 0);
	for (int i = 0; i < 2; i++) {
		int fd = open(i ? "/proc/self/gid_map" : "/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
		MUST(read(fd, map[i], sizeof map[i] - 1) >= 0);
		close(fd);
	}
	snprintf(text, ROOM, "uid %u %u %u gid %u %u %u caps %08x%08x uid_map %s gid_map %s", r, e, s, gr, ge, gs,
		 caps[1].effective, caps[0].effective, map[0], map[1]);
}

static void judge_level(int level)
{
	char now[ROOM];
	describe(now);
	if (strcmp(now, board + ROOM * level) != 0)
		judge_fail("level %d was \"%s\" and is \"%s\"", level, board + ROOM * level, now);
}

/* The three levels: parents write the maps of their children. */
static void live(int level)
{
	int ready[2], mapped[2], status;
	char path[64], c;
	struct stat mine, inner;
	if (level < 2) {
		MUST_EQ(pipe(ready), 0);
		MUST_EQ(pipe(mapped), 0);
		pid_t child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			MUST_EQ(unshare(CLONE_NEWUSER), 0);
			MUST_EQ(write(ready[1], "r", 1), 1);
			MUST_EQ(read(mapped[0], &c, 1), 1);
			for (int i = 0; i < 2; i++) {
				close(ready[i]);
				close(mapped[i]);
			}
			MUST_EQ(setgid(level ? 3 : 0), 0);
			MUST_EQ(setuid(level ? 5 : 0), 0);
			/* Changed ids made /proc/PID the global root's. */
			MUST_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
			live(level + 1);
			_exit(30 + level);
		}
		MUST_EQ(read(ready[0], &c, 1), 1);
		snprintf(path, sizeof path, "/proc/%d/uid_map", child);
		write_file(path, level ? "0 1000 10\n" : "0 100000 2000\n5000 5000 1\n");
		snprintf(path, sizeof path, "/proc/%d/gid_map", child);
		write_file(path, level ? "0 500 10\n" : "0 200000 3000\n");
		MUST_EQ(write(mapped[1], "m", 1), 1);
		for (int i = 0; i < 2; i++) {
			close(ready[i]);
			close(mapped[i]);
		}
		describe(board + ROOM * level);
		if (level == 0) {
			while (!*(volatile char *)(board + ROOM * 2) || !*(volatile char *)(board + ROOM))
				judge_nap(2);
			judge_nap(20);
			judge_ready();
		}
		while (!judge_asked())
			judge_nap(10);
		judge_level(level);
		while (level == 1 && !*(volatile char *)(board + ROOM * 3))
			judge_nap(2);
		snprintf(path, sizeof path, "/proc/%d/ns/user", child);
		MUST_EQ(stat("/proc/self/ns/user", &mine), 0);
		MUST_EQ(stat(path, &inner), 0);
		MUST(mine.st_ino != inner.st_ino);
		*(volatile char *)(board + ROOM * 3 + level) = 1;
		MUST_EQ(waitpid(child, &status, 0), child);
		MUST_EQ(WEXITSTATUS(status), 30 + level);
		return;
	}
	describe(board + ROOM * level);
	while (!judge_asked())
		judge_nap(10);
	judge_level(level);
	MUST_EQ(getuid(), 5);
	MUST_EQ(getgid(), 3);
	/* The parent looks at this namespace first. */
	while (!*(volatile char *)(board + ROOM * 3 + 1))
		judge_nap(2);
	/* It was nobody before and so kept its rights over the ten ids of its namespace. */
	MUST(setuid(10) == -1 && errno == EINVAL);
	MUST_EQ(setuid(7), 0);
	MUST_EQ(getuid(), 7);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	board = mmap(NULL, ROOM * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* The inner levels are other users: they may look into the directory and write their verdict. */
	MUST_EQ(chmod(judge_dir, 0777), 0);
	live(0);
	return judge_pass();
}
