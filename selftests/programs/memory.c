// SPDX-License-Identifier: LGPL-2.1-or-later
/* memory DIR: mappings of every simple kind, with their contents, protections and advice, as /proc/self/smaps describes them. */
#include "judge.h"
#include <sys/syscall.h>
#include <setjmp.h>

#define PAGE 4096ul

static unsigned char *anon, *holes, *file_private, *file_shared, *shmem, *locked, *guard, *readonly, *wipe, *dontfork, *huge,
	*none, *rest, *grow;
static char maps_before[1 << 18], maps_after[1 << 18];
static sigjmp_buf back;

/* Address ranges, protections, offsets, names and VmFlags of all mappings; no counters. Neighbours that only the kernel's merging
 * splits would show up here: the program avoids them. */
static void read_maps(char *text)
{
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char *put = text;
	while (fgets(line, sizeof line, smaps)) {
		unsigned long a, b;
		if (sscanf(line, "%lx-%lx", &a, &b) == 2 || !strncmp(line, "VmFlags", 7)) {
			char *zero = strstr(line, "/dev/zero (deleted)");
			if (zero) /* shared anonymous memory is a new object: its inode number is another one */
				sprintf(strstr(line, "00:"), "%s", "/dev/zero\n");
			/* soft-dirty; what exec alone sets (VM_DENYWRITE, until 5.15) */
			static const char *const passing[] = { " sd", " dw" };
			for (int i = 0; i < 2; i++) {
				char *flag = strstr(line, passing[i]);
				if (flag)
					memmove(flag, flag + 3, strlen(flag + 3) + 1);
			}
			put = stpcpy(put, line);
		}
	}
	fclose(smaps);
}

static unsigned char *map(size_t pages, int prot, int flags, int fd)
{
	/* A page of nothing before each, so that neighbours never merge. */
	unsigned char *at = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST_EQ(munmap(at, (pages + 2) * PAGE), 0);
	unsigned char *got = mmap(at + PAGE, pages * PAGE, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
	MUST(got == at + PAGE);
	return got;
}

static void fill(unsigned char *at, size_t pages, int seed)
{
	for (size_t i = 0; i < pages * PAGE; i++)
		at[i] = (unsigned char)(i * 13 + i / PAGE + (size_t)seed);
}

static void judge_fill(unsigned char *at, size_t pages, int seed, const char *what)
{
	for (size_t i = 0; i < pages * PAGE; i++)
		if (at[i] != (unsigned char)(i * 13 + i / PAGE + (size_t)seed))
			judge_fail("%s differs at byte %zu", what, i);
}

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static void must_fault(volatile unsigned char *at, bool writing, const char *what)
{
	if (sigsetjmp(back, 1) == 0) {
		if (writing)
			*at = 1;
		else
			(void)*at;
		judge_fail("%s can be touched", what);
	}
}

static void make_files(int fd)
{
	unsigned char page[PAGE];
	for (int i = 0; i < 16; i++) {
		memset(page, 'a' + i, PAGE);
		MUST_EQ(write(fd, page, PAGE), PAGE);
	}
	file_private = map(16, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	file_private[3 * PAGE] = '!';
	file_shared = map(16, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	file_shared[5 * PAGE] = '?';
}

/* Whole, with holes, shared, and with attributes of its own. */
static void make_anonymous(void)
{
	anon = map(600, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(anon, 600, 1);
	holes = map(512, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	for (size_t i = 0; i < 512; i += 7)
		holes[i * PAGE + 5] = (unsigned char)i | 1;
	shmem = map(64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(shmem, 32, 3);
	locked = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(locked, 8, 4);
	MUST_EQ(mlock(locked, 8 * PAGE), 0);
	readonly = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(readonly, 4, 5);
	MUST_EQ(mprotect(readonly, 4 * PAGE, PROT_READ), 0);
	none = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(none, 4, 6);
	MUST_EQ(mprotect(none, 4 * PAGE, PROT_NONE), 0);
	rest = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(rest + 2 * PAGE, 2, 7);
	MUST_EQ(mprotect(rest, 2 * PAGE, PROT_NONE), 0);
	MUST_EQ(munmap(rest + 2 * PAGE, 2 * PAGE), 0); /* what stays was part of memory in use, and holds nothing */
	wipe = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	MUST_EQ(madvise(wipe, 4 * PAGE, MADV_WIPEONFORK), 0);
	dontfork = map(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(dontfork, 4, 8);
	MUST_EQ(madvise(dontfork, 4 * PAGE, MADV_DONTFORK), 0);
	MUST_EQ(madvise(dontfork, 4 * PAGE, MADV_DONTDUMP), 0);
	huge = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_EQ(madvise(huge, 8 << 20, MADV_HUGEPAGE), 0);
	fill(huge, 2048, 9);
	grow = map(16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1);
	fill(grow, 16, 10);
	guard = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(guard, 8, 11);
}

static void judge_maps(void)
{
	read_maps(maps_after);
	if (!strcmp(maps_before, maps_after))
		return;
	judge_write("maps.before", maps_before);
	judge_write("maps.after", maps_after);
	char *a = maps_before, *b = maps_after;
	while (*a == *b)
		a++, b++;
	while (a > maps_before && a[-1] != '\n')
		a--, b--;
	judge_fail("mappings differ: was \"%.150s\", is \"%.150s\"", a, b);
}

static void judge_files(int fd)
{
	char byte;
	for (int i = 0; i < 16; i++) {
		MUST_EQ(file_private[(size_t)i * PAGE + 9], 'a' + i);
		MUST_EQ(file_shared[(size_t)i * PAGE + 9], 'a' + i);
	}
	MUST_EQ(file_private[3 * PAGE], '!');
	MUST_EQ(file_shared[3 * PAGE], 'd');
	MUST_EQ(file_shared[5 * PAGE], '?');
	file_shared[6 * PAGE] = '+';
	MUST_EQ(pread(fd, &byte, 1, 6 * PAGE), 1);
	MUST_EQ(byte, '+');
	MUST_EQ(file_private[6 * PAGE], '+');
}

static void judge_anonymous(void)
{
	judge_fill(anon, 600, 1, "anonymous memory");
	for (size_t i = 0; i < 512; i++)
		MUST_EQ(holes[i * PAGE + 5], i % 7 ? 0 : (unsigned char)i | 1);
	judge_fill(shmem, 32, 3, "shared memory");
	for (size_t i = 32 * PAGE; i < 64 * PAGE; i++)
		MUST_EQ(shmem[i], 0);
	judge_fill(locked, 8, 4, "locked memory");
	judge_fill(readonly, 4, 5, "read-only memory");
	must_fault(readonly, true, "read-only memory");
	must_fault(none, false, "PROT_NONE memory");
	MUST_EQ(mprotect(none, 4 * PAGE, PROT_READ), 0);
	judge_fill(none, 4, 6, "PROT_NONE memory");
	must_fault(rest, false, "the rest of a mapping");
	MUST_EQ(mprotect(rest, 2 * PAGE, PROT_READ), 0);
	for (size_t i = 0; i < 2 * PAGE; i++)
		MUST_EQ(rest[i], 0);
	judge_fill(dontfork, 4, 8, "DONTFORK memory");
	judge_fill(huge, 2048, 9, "memory of huge pages");
	judge_fill(grow, 16, 10, "growing memory");
}

static void judge_guard(bool guards, unsigned char *in_file)
{
	if (in_file)
		must_fault(in_file + 2 * PAGE, false, "a guard page of a file");
	if (guards) {
		must_fault(guard + 2 * PAGE, false, "a guard page");
		MUST_EQ(guard[1 * PAGE + 1], (unsigned char)(PAGE * 13 + 13 + 1 + 11));
	} else {
		judge_fill(guard, 8, 11, "memory");
	}
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	int fd = open(judge_path("data"), O_RDWR | O_CREAT, 0600);
	make_files(fd);
	make_anonymous();
	bool guards = argc > 2 && madvise(guard + 2 * PAGE, PAGE, 102 /* MADV_GUARD_INSTALL */) == 0;
	unsigned char *in_file = guards ? map(4, PROT_READ | PROT_WRITE, MAP_SHARED, fd) : NULL;
	if (in_file && madvise(in_file + 2 * PAGE, PAGE, 102) < 0) /* Linux 6.15 */
		in_file = NULL;
	read_maps(maps_before);
	judge_wait();
	judge_maps();
	signal(SIGSEGV, on_fault);
	judge_anonymous();
	judge_files(fd);
	judge_guard(guards, in_file);
	return judge_pass();
}
