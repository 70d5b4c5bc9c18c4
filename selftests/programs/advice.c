// SPDX-License-Identifier: LGPL-2.1-or-later
/* advice DIR [onfault]: what a program has told the kernel about all of its memory: pages are merged (PR_SET_MEMORY_MERGE) but for a
 * mapping that was taken out, and what it maps from then on is locked (mlockall(2)). */
#include "judge.h"

#define PAGE 4096
#define GET_MEMORY_MERGE 68
#define SET_MEMORY_MERGE 67

static char *plain, *out, *locked;

/* Does VmFlags in smaps of the mapping at this address have the flag? */
static bool has_flag(const void *at, const char *flag)
{
	char line[512], wanted[8];
	bool inside = false, has = false;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	snprintf(wanted, sizeof wanted, " %s ", flag);
	MUST(smaps != NULL);
	while (fgets(line, sizeof line, smaps)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			inside = start <= (unsigned long)at && (unsigned long)at < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			has = strstr(line, wanted) != NULL;
	}
	fclose(smaps);
	return has;
}

/* The flag has no name in Linux 5.10. */
static bool is_on_fault(const void *at) { return has_flag(at, "lf") || has_flag(at, "??"); }

/* Of its own: neighbours are mapped otherwise. */
static char *map(void)
{
	char *at = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(at != MAP_FAILED);
	at = mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MUST(at != MAP_FAILED);
	return at;
}

static bool is_resident(void *at)
{
	unsigned char there = 0;
	MUST_EQ(mincore(at, PAGE, &there), 0);
	return there & 1;
}

static void judge_memory(bool merge, bool onfault)
{
	char *fresh = map();
	MUST_EQ(prctl(GET_MEMORY_MERGE, 0, 0, 0, 0), merge ? 1 : -1);
	MUST_EQ(has_flag(plain, "mg"), merge);
	MUST_EQ(has_flag(fresh, "mg"), merge);
	MUST(!has_flag(out, "mg"));
	MUST(!has_flag(plain, "lo") && !has_flag(out, "lo"));
	MUST(has_flag(locked, "lo") && has_flag(fresh, "lo"));
	MUST_EQ(is_on_fault(locked), onfault);
	MUST_EQ(is_on_fault(fresh), onfault);
	MUST_EQ(is_resident(fresh), !onfault);
	*fresh = 'f';
	MUST_EQ(munmap(fresh, PAGE), 0);
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	bool onfault = argc > 2;
	plain = map();
	out = map();
	*plain = *out = 'x';
	bool merge = prctl(SET_MEMORY_MERGE, 1, 0, 0, 0) == 0;
	MUST(merge || errno == EINVAL);
	MUST(madvise(out, PAGE, MADV_UNMERGEABLE) == 0 || !merge);
	/* a child has the first, and not the second */
	pid_t child = fork();
	MUST(child >= 0);
	if (!child) {
		prctl(SET_MEMORY_MERGE, 0, 0, 0, 0);
		judge_write("child", "");
		while (!judge_asked())
			judge_nap(10);
		char *fresh = map();
		_exit(has_flag(fresh, "lo") || has_flag(fresh, "mg") || prctl(GET_MEMORY_MERGE, 0, 0, 0, 0) > 0);
	}
	while (access(judge_path("child"), F_OK) < 0)
		judge_nap(1);
	MUST_EQ(mlockall(MCL_FUTURE | (onfault ? MCL_ONFAULT : 0)), 0);
	locked = map();
	judge_memory(merge, onfault);
	judge_wait();
	judge_memory(merge, onfault);
	MUST_EQ(*plain, 'x');
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	return judge_pass();
}
