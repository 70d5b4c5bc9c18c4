// SPDX-License-Identifier: LGPL-2.1-or-later
/* large DIR: memory that comes back as huge pages, in mappings of several rights and with holes; a child has some of it for itself.
 * Contents, and what the kernel says of the mappings, stay as they were. */
#include "judge.h"

#define HUGE ((size_t)2 << 20)

/* Blocks of 2 MiB, and one page behind them, so that neither end of the memory is one of a huge page. */
static struct area {
	const char *name;
	size_t blocks;
	int prot;
	size_t hole; /* one page in each so many blocks is not there; 0: all are */
	char *at;
} areas[] = {
	{ "plain memory", 24, PROT_READ | PROT_WRITE, 0, NULL },
	{ "memory with holes", 8, PROT_READ | PROT_WRITE, 3, NULL },
	{ "read-only memory", 3, PROT_READ, 0, NULL },
	{ "memory without access", 2, PROT_NONE, 0, NULL },
	{ "code", 2, PROT_READ | PROT_WRITE | PROT_EXEC, 0, NULL },
};
enum { AREAS = sizeof areas / sizeof *areas };
static char flags_before[1 << 16], flags_after[1 << 16];

static size_t size_of(const struct area *a) { return a->blocks * HUGE + 4096; }

static bool is_hole(const struct area *a, size_t page) { return a->hole && page % (a->hole * 512) == 5; }

static uint64_t word(size_t i, uint64_t seed) { return (i + seed) * 0x9e3779b97f4a7c15u; }

static void fill(const struct area *a, uint64_t seed)
{
	for (size_t page = 0; page < size_of(a) / 4096; page++)
		for (size_t i = 0; i < 512 && !is_hole(a, page); i++)
			((uint64_t *)(a->at + page * 4096))[i] = word(page * 512 + i, seed);
}

static void judge_fill(const struct area *a, uint64_t seed)
{
	for (size_t page = 0; page < size_of(a) / 4096; page++)
		for (size_t i = 0; i < 512; i++)
			if (((uint64_t *)(a->at + page * 4096))[i] != (is_hole(a, page) ? 0 : word(page * 512 + i, seed)))
				judge_fail("%s differs in page %zu", a->name, page);
}

static void make(struct area *a)
{
	char *room = mmap(NULL, size_of(a) + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(room != MAP_FAILED);
	size_t before = HUGE - 4096 * 3 - (uintptr_t)room % HUGE % (HUGE - 4096 * 3);
	a->at = room + before;
	MUST(mmap(a->at, size_of(a), PROT_READ | PROT_WRITE | (a->prot & PROT_EXEC), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		  -1, 0) == a->at);
	fill(a, (uint64_t)(a - areas));
	MUST_EQ(mprotect(a->at, size_of(a), a->prot), 0);
}

/* Addresses, rights and flags of all mappings but those of files, which had another flag before Linux 5.15 (VM_DENYWRITE). */
static void read_flags(char *text)
{
	char line[512];
	bool of_file = false;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	while (fgets(line, sizeof line, smaps)) {
		unsigned long from, to;
		char *dirty = strstr(line, " sd");
		if (dirty)
			memmove(dirty, dirty + 3, strlen(dirty + 3) + 1);
		bool begins = sscanf(line, "%lx-%lx", &from, &to) == 2;
		if (begins)
			of_file = strchr(line, '/');
		if (!of_file && (begins || !strncmp(line, "VmFlags", 7)))
			text = stpcpy(text, line);
	}
	fclose(smaps);
}

static void judge_all(uint64_t seed)
{
	for (size_t i = 0; i < AREAS; i++) {
		MUST_EQ(mprotect(areas[i].at, size_of(&areas[i]), PROT_READ | PROT_WRITE), 0);
		judge_fill(&areas[i], i == 0 ? seed : i);
		fill(&areas[i], 99);
		judge_fill(&areas[i], 99);
	}
}

int main(int argc, char **argv)
{
	int status, told[2], asked[2];
	char byte;
	judge_start(argc, argv);
	for (size_t i = 0; i < AREAS; i++)
		make(&areas[i]);
	MUST_EQ(pipe(told), 0);
	MUST_EQ(pipe(asked), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(asked[1]);
		fill(&areas[0], 77);
		MUST_EQ(write(told[1], "", 1), 1);
		MUST_EQ(read(asked[0], &byte, 1), 0);
		judge_all(77);
		_exit(7);
	}
	MUST_EQ(read(told[0], &byte, 1), 1);
	read_flags(flags_before);
	judge_wait();
	read_flags(flags_after);
	if (strcmp(flags_before, flags_after)) {
		size_t same = 0;
		while (flags_before[same] == flags_after[same])
			same++;
		judge_write("flags.before", flags_before);
		judge_write("flags.after", flags_after);
		judge_fail("mappings differ behind \"%.60s\": \"%.120s\" became \"%.120s\"",
			   flags_before + (same > 60 ? same - 60 : 0), flags_before + same, flags_after + same);
	}
	judge_all(0);
	close(asked[1]);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 7 << 8);
	return judge_pass();
}
