// SPDX-License-Identifier: LGPL-2.1-or-later
/* reserved DIR: address space that is reserved and hardly used: not at all, some pages far from each other, pages that were only read; and
 * a child that uses other pages of it. */
#include "judge.h"

#define GIB (1ul << 30)
#define NOTHING (256 * GIB)
#define SPARSE (64 * GIB)
#define ZEROS (8 * GIB)

static const size_t used[] = { 0, 4096, 5 * GIB + 12288, SPARSE / 2, SPARSE - 8192 };
static char *nothing, *sparse, *zeros;

static char *reserve(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		judge_fail("skip: %zu GiB of address space: %s", bytes / GIB, strerror(errno));
	MUST_EQ(mprotect(at, 4096, PROT_READ), 0); /* neighbours are no mapping of one */
	return at + 4096;
}

static void judge_pages(char childs)
{
	for (size_t i = 0; i < sizeof used / sizeof *used; i++)
		MUST_EQ(sparse[used[i]], (char)('a' + i));
	MUST_EQ(sparse[6 * GIB], childs);
	MUST_EQ(nothing[32 * GIB], childs);
	MUST_EQ(sparse[7 * GIB], childs ? 0 : 'p');
	for (size_t at = GIB; at < ZEROS; at += GIB)
		MUST(!zeros[at] && !nothing[at] && !nothing[NOTHING - at]);
}

static void be_child(int asked, int answers)
{
	char c = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sparse[6 * GIB] = nothing[32 * GIB] = 'c';
	MUST_EQ(write(answers, &c, 1), 1);
	MUST_EQ(read(asked, &c, 1), 1);
	judge_pages('c');
	_exit(0);
}

int main(int argc, char **argv)
{
	int asked[2], answered[2], status;
	char c = 0;
	judge_start(argc, argv);
	nothing = reserve(NOTHING);
	sparse = reserve(SPARSE);
	zeros = reserve(ZEROS);
	for (size_t i = 0; i < sizeof used / sizeof *used; i++)
		sparse[used[i]] = (char)('a' + i);
	for (size_t at = GIB; at < ZEROS; at += GIB)
		MUST_EQ(((volatile char *)zeros)[at], 0);
	MUST(pipe(asked) == 0 && pipe(answered) == 0);
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		be_child(asked[0], answered[1]);
	MUST_EQ(read(answered[0], &c, 1), 1);
	sparse[7 * GIB] = 'p';
	judge_wait();
	judge_pages(0);
	MUST_EQ(write(asked[1], &c, 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	return judge_pass();
}
