// SPDX-License-Identifier: LGPL-2.1-or-later
/* seals DIR: memory that is sealed by mseal(2): anonymous, read-only, of a file, and shared by copy-on-write with a child that has
 * written to a part of it. Seals keep what they kept. A kernel without mseal(2) has the same memory without seals. */
#include "judge.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define PAGE 4096ul

static bool can_seal = true;
static char *plain, *readonly, *file, *family, *go;

static char *map(int prot, int flags, int fd)
{
	char *at = mmap(NULL, 4 * PAGE, prot, flags, fd, 0);
	MUST(at != MAP_FAILED);
	return at;
}

static void seal(char *at)
{
	if (can_seal && syscall(SYS_mseal, at, 4 * PAGE, 0) < 0) {
		MUST(errno == ENOSYS);
		can_seal = false;
	}
}

static void judge_seal(char *at)
{
	if (!can_seal)
		return;
	MUST(munmap(at, PAGE) == -1 && errno == EPERM);
	MUST(mprotect(at, PAGE, PROT_EXEC) == -1 && errno == EPERM);
	MUST(mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EPERM);
	MUST(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EPERM);
}

static void judge_all(const char *second)
{
	judge_seal(plain);
	judge_seal(readonly);
	judge_seal(file);
	judge_seal(family);
	MUST(!strcmp(plain + PAGE, "plain") && !strcmp(readonly, "readonly") && !strcmp(file + 2 * PAGE, "file"));
	MUST(!can_seal || (madvise(readonly, PAGE, MADV_DONTNEED) == -1 &&
			   errno == EPERM)); /* nobody may throw away what he may not write */
	MUST(!strcmp(family, "family") && !strcmp(family + PAGE, second));
	strcpy(plain, "may be written");
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	int fd = open(judge_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST_EQ(ftruncate(fd, 4 * PAGE), 0);
	plain = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	readonly = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	family = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	file = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	go = map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	strcpy(plain + PAGE, "plain");
	strcpy(readonly, "readonly");
	strcpy(file + 2 * PAGE, "file");
	strcpy(family, "family");
	strcpy(family + PAGE, "of the parent");
	MUST_EQ(mprotect(readonly, 4 * PAGE, PROT_READ), 0);
	seal(plain);
	seal(readonly);
	seal(file);
	seal(family);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		strcpy(family + PAGE, "of the child");
		go[0] = 'r';
		while (go[1] != 'j')
			judge_nap(5);
		judge_all("of the child");
		_exit(42);
	}
	while (go[0] != 'r')
		judge_nap(1);
	judge_wait();
	judge_all("of the parent");
	go[1] = 'j';
	int status;
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	return judge_pass();
}
