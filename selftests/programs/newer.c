// SPDX-License-Identifier: LGPL-2.1-or-later
/* newer DIR: memory of kinds that older kernels do not have: droppable (6.11), as getrandom(3) has it, with a name (5.17), and with
 * guards in it (6.13), as threads have them below their stacks. On those it is ordinary memory from the start. */
#include "judge.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#define PAGE 4096ul

static char *map(int flags) { return mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0); }

static char *map_droppable(void)
{
	char *at = map(MAP_DROPPABLE);
	if (at != MAP_FAILED)
		return at;
	at = map(MAP_PRIVATE);
	MUST(at != MAP_FAILED && madvise(at, 4 * PAGE, MADV_WIPEONFORK) == 0);
	return at;
}

/* Is the page one that faults? */
static bool is_guard(int pipe, const char *page) { return write(pipe, page, 1) == -1 && errno == EFAULT; }

/* The first page of all, and one in the middle. */
static char *map_guarded(int pipe)
{
	char *at = map(MAP_PRIVATE);
	MUST(at != MAP_FAILED);
	for (unsigned long i = 0; i < 4; i++)
		at[i * PAGE] = 'g';
	for (unsigned long i = 0; i < 4; i += 2)
		if (madvise(at + i * PAGE, PAGE, 102 /* MADV_GUARD_INSTALL */))
			MUST_EQ(mprotect(at + i * PAGE, PAGE, PROT_NONE), 0);
	MUST(is_guard(pipe, at) && is_guard(pipe, at + 2 * PAGE));
	return at;
}

int main(int argc, char **argv)
{
	int status, ends[2];
	judge_start(argc, argv);
	MUST_EQ(pipe(ends), 0);
	char *secret = map_droppable(), *named = map(MAP_PRIVATE), *guarded = map_guarded(ends[1]);
	MUST(named != MAP_FAILED);
	prctl(0x53564d41 /* PR_SET_VMA */, 0, named, 4 * PAGE, "of a newer kernel");
	strcpy(secret, "secret");
	strcpy(named + PAGE, "named");
	judge_wait();
	MUST(!*secret || !strcmp(secret, "secret"));
	strcpy(secret + PAGE, "again");
	MUST(!strcmp(named + PAGE, "named"));
	MUST(is_guard(ends[1], guarded) && is_guard(ends[1], guarded + 2 * PAGE));
	MUST(guarded[PAGE] == 'g' && guarded[3 * PAGE] == 'g');
	guarded[PAGE] = guarded[3 * PAGE] = 'h';
	pid_t child = fork();
	if (child == 0)
		_exit(secret[0] || secret[PAGE] || strcmp(named + PAGE, "named") != 0);
	MUST(waitpid(child, &status, 0) == child && status == 0);
	MUST(!strcmp(secret + PAGE, "again"));
	return judge_pass();
}
