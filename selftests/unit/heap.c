// SPDX-License-Identifier: LGPL-2.1-or-later
/* The heap of a command that expects much: in huge pages, where the kernel has them. */
#include "base/heap.h"
#include "base/file.h"
#include "harness/test.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MUCH (16u << 20)

/* VmFlags of the mapping that the address lies in: "rd wr mr hg ..." (proc_pid_smaps(5)). */
static void flags_of(const void *address, char flags[256])
{
	char line[512];
	unsigned long from, to;
	bool inside = false;
	FILE *smaps = fopen("/proc/self/smaps", "r");
	CHECK(smaps);
	*flags = 0;
	while (!*flags && fgets(line, sizeof line, smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)address >= from && (unsigned long)address < to;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, 256, "%.250s", line + 8);
	}
	fclose(smaps);
}

TEST(what_is_expected_lies_in_huge_pages)
{
	_cleanup_text_ struct text sizes = { 0 };
	char flags[256];
#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer has a heap of its own");
#endif
	if (file_read(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled", &sizes) < 0)
		SKIP("the kernel has no huge pages");
	heap_expect(MUCH);
	_cleanup_free_ char *first = malloc(MUCH / 4);
	_cleanup_free_ char *second = malloc(MUCH / 4);
	CHECK(first && second);
	memset(first, 1, MUCH / 4);
	__asm__ volatile("" : : "r"(second) : "memory"); /* a compiler may leave out a block that nobody writes */
	flags_of(second, flags);
	CHECK(strstr(flags, " hg"));
}

TEST(little_is_left_to_the_allocator)
{
	char flags[256];
	heap_expect(1 << 20);
	_cleanup_free_ char *some = malloc(1000);
	CHECK(some);
	memset(some, 1, 1000);
	flags_of(some, flags);
	CHECK(*flags && !strstr(flags, " hg"));
}

/* What a small command takes is there at once: a page fault for each of its pages would take longer than to make them. */
TEST(room_is_made_at_the_start)
{
	struct rusage before, after;
	char *blocks[20];
#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer has a heap of its own");
#endif
	if (madvise(NULL, 0, MADV_POPULATE_WRITE) < 0)
		SKIP("the kernel has no MADV_POPULATE_WRITE");
	heap_begin();
	CHECK_OK(getrusage(RUSAGE_SELF, &before));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		blocks[i] = malloc(10000);
		CHECK(blocks[i]);
		memset(blocks[i], 1, 10000);
	}
	CHECK_OK(getrusage(RUSAGE_SELF, &after));
	CHECK(after.ru_minflt - before.ru_minflt < (long)ARRAY_SIZE(blocks));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		free(blocks[i]);
}
