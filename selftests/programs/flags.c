// SPDX-License-Identifier: LGPL-2.1-or-later
/* flags DIR: every advice and lock that a mapping keeps (VmFlags of smaps), on mappings of every sort: anonymous, private and shared,
 * of files, behind the end of a file, without access. */
#include "judge.h"

#define PAGE 4096ul
#define PAGES 4
#define FLAGS 256

/* What is done to a mapping; those that a kernel does not know are left out. */
static const struct deed {
	const char *name;
	int advice, lock; /* lock: 1 mlock, 2 on fault */
} deeds[] = {
	{ "plain", 0, 0 },
	{ "random", MADV_RANDOM, 0 },
	{ "sequential", MADV_SEQUENTIAL, 0 },
	{ "dontfork", MADV_DONTFORK, 0 },
	{ "dontdump", MADV_DONTDUMP, 0 },
	{ "wipeonfork", MADV_WIPEONFORK, 0 },
	{ "hugepage", MADV_HUGEPAGE, 0 },
	{ "nohugepage", MADV_NOHUGEPAGE, 0 },
	{ "mergeable", MADV_MERGEABLE, 0 },
	{ "locked", 0, 1 },
	{ "locked on fault", 0, 2 },
};
enum { DEEDS = sizeof deeds / sizeof *deeds };

static const struct sort {
	const char *name;
	int prot, flags;
	bool file;
	long offset;
} sorts[] = {
	{ "anonymous", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, false, 0 },
	{ "inaccessible", PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, false, 0 },
	{ "read-only", PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, false, 0 },
	{ "unreserved", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, false, 0 },
	{ "growing", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, false, 0 },
	{ "shared", PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, false, 0 },
	{ "shared inaccessible", PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, false, 0 },
	{ "of a file", PROT_READ | PROT_WRITE, MAP_PRIVATE, true, 0 },
	{ "of a shared file", PROT_READ | PROT_WRITE, MAP_SHARED, true, 0 },
	{ "of a file to read", PROT_READ, MAP_SHARED, true, 0 },
	{ "over the end of a file", PROT_READ | PROT_WRITE, MAP_SHARED, true, PAGES - 1 },
	{ "behind the end of a file", PROT_READ | PROT_WRITE, MAP_PRIVATE, true, PAGES + 1 },
};
enum { SORTS = sizeof sorts / sizeof *sorts };

static struct mapping {
	char *at;
	char before[FLAGS], after[FLAGS];
} mappings[SORTS][DEEDS];

/* With a hole before and behind it, so that nothing merges. */
static void map(struct mapping *m, const struct sort *sort, int fd)
{
	char *at = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(at != MAP_FAILED);
	MUST_EQ(munmap(at, (PAGES + 2) * PAGE), 0);
	m->at = mmap(at + PAGE, PAGES * PAGE, sort->prot, sort->flags | MAP_FIXED_NOREPLACE, sort->file ? fd : -1,
		     sort->offset * (long)PAGE);
	MUST(m->at == at + PAGE);
}

static void treat(struct mapping *m, const struct deed *deed)
{
	if (deed->advice)
		(void)!madvise(m->at, PAGES * PAGE, deed->advice);
	if (deed->lock) /* ENOMEM where no page can be had: the lock is there */
		(void)!mlock2(m->at, PAGES * PAGE, deed->lock == 2 ? MLOCK_ONFAULT : 0);
}

static struct mapping *find(unsigned long start)
{
	for (int s = 0; s < SORTS; s++)
		for (int d = 0; d < DEEDS; d++)
			if ((unsigned long)mappings[s][d].at == start)
				return &mappings[s][d];
	return NULL;
}

static void look(bool after)
{
	char line[512];
	struct mapping *m = NULL;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	while (fgets(line, sizeof line, smaps)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			m = find(start);
		char *dirty = strstr(line, " sd");
		if (m && !strncmp(line, "VmFlags:", 8)) {
			if (dirty)
				memmove(dirty, dirty + 3, strlen(dirty + 3) + 1);
			snprintf(after ? m->after : m->before, FLAGS, "%.*s", FLAGS - 1, line);
		}
	}
	fclose(smaps);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	int fd = open(judge_path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST_EQ(ftruncate(fd, PAGES * PAGE), 0);
	for (int s = 0; s < SORTS; s++)
		for (int d = 0; d < DEEDS; d++) {
			map(&mappings[s][d], &sorts[s], fd);
			treat(&mappings[s][d], &deeds[d]);
		}
	look(false);
	judge_wait();
	look(true);
	for (int s = 0; s < SORTS; s++)
		for (int d = 0; d < DEEDS; d++) {
			MUST(*mappings[s][d].before != 0);
			if (strcmp(mappings[s][d].before, mappings[s][d].after) != 0)
				judge_fail("memory %s, %s: was \"%s\", is \"%s\"", sorts[s].name, deeds[d].name,
					   mappings[s][d].before, mappings[s][d].after);
		}
	return judge_pass();
}
