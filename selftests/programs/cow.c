// SPDX-License-Identifier: LGPL-2.1-or-later
/* cow DIR: memory that parent and children share by copy-on-write, and memory that they share for good, stays shared: contents,
 * and the number of pages that the kernel counts as shared. And what a debugger has written where nobody else may write. */
#include "judge.h"

#define MEGABYTES 16
#define SIZE ((size_t)MEGABYTES << 20)
enum { CHILDREN = 3 };

static unsigned char *region, *poked;
static bool may_poke;
static uint32_t *shared;

/* kB of the region that some other process has as well. */
static long shared_kilobytes(void)
{
	char line[256];
	long clean = 0, sum = 0;
	bool inside = false;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	while (fgets(line, sizeof line, smaps)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from < (unsigned long)region + SIZE && to > (unsigned long)region;
		if (inside &&
		    (sscanf(line, "Shared_Clean: %ld", &clean) == 1 || sscanf(line, "Shared_Dirty: %ld", &clean) == 1))
			sum += clean;
	}
	fclose(smaps);
	return sum;
}

static unsigned char expected(size_t at, int child)
{
	/* Child n has changed page n of every 16. */
	if (child >= 0 && (at >> 12) % 16 == (size_t)child)
		return (unsigned char)(0x80 + child);
	return (unsigned char)((at >> 12) * 31 + 1);
}

static void judge_region(int child)
{
	for (size_t at = 0; at < SIZE; at += 1024)
		MUST_EQ(region[at], expected(at, child));
}

static void change(int child)
{
	for (size_t at = 0; at < SIZE; at += 4096)
		if ((at >> 12) % 16 == (size_t)child)
			memset(region + at, 0x80 + child, 4096);
}

/* A breakpoint that was taken away again, and memory that never was writable. Some kernels permit it to nobody. */
static void poke(void)
{
	unsigned char code;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	off_t in_code = (off_t)(uintptr_t)expected;
	poked = mmap(NULL, 4 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(pread(fd, &code, 1, in_code), 1);
	may_poke = pwrite(fd, &code, 1, in_code) == 1 && pwrite(fd, "poked", 5, (off_t)(uintptr_t)poked + 4096) == 5;
	close(fd);
}

static void judge_poked(void)
{
	if (may_poke)
		MUST(!strcmp((char *)poked + 4096, "poked") && !*poked);
}

int main(int argc, char **argv)
{
	int status, go[2];
	char c;
	pid_t children[CHILDREN];
	judge_start(argc, argv);
	region = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	madvise(region, SIZE, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < SIZE; at += 4096)
		memset(region + at, expected(at, -1), 4096);
	poke();
	MUST_EQ(pipe(go), 0);
	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		change(i);
		__atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
		MUST_EQ(read(go[0], &c, 1), 0);
		judge_region(i);
		judge_poked();
		/* 15 of 16 pages were never changed by this child; a page or two may have been taken along by the kernel. */
		if (shared_kilobytes() < MEGABYTES * 1024 * 14 / 16)
			judge_fail("child %d shares %ld kB of %d only", i, shared_kilobytes(), MEGABYTES * 1024 * 15 / 16);
		__atomic_add_fetch(&shared[1], 1, __ATOMIC_SEQ_CST);
		MUST_EQ(shared[100], 4711);
		while (__atomic_load_n(&shared[2], __ATOMIC_SEQ_CST) == 0)
			judge_nap(5);
		_exit(40 + i);
	}
	close(go[0]);
	while (__atomic_load_n(&shared[0], __ATOMIC_SEQ_CST) < CHILDREN)
		judge_nap(1);
	shared[100] = 4711;
	judge_wait();
	close(go[1]);
	for (int tries = 0; __atomic_load_n(&shared[1], __ATOMIC_SEQ_CST) < CHILDREN; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS / 5);
		judge_nap(5);
	}
	judge_region(-1);
	judge_poked();
	MUST(shared_kilobytes() >= MEGABYTES * 1024 * 14 / 16);
	__atomic_store_n(&shared[2], 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < CHILDREN; i++) {
		MUST_EQ(waitpid(children[i], &status, 0), children[i]);
		MUST_EQ(WEXITSTATUS(status), 40 + i);
	}
	return judge_pass();
}
