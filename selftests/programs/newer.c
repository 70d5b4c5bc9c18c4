// SPDX-License-Identifier: LGPL-2.1-or-later
/* newer DIR: memory of kinds that older kernels do not have: droppable (6.11), as getrandom(3) has it, and with a name (5.17). On
 * those it is ordinary memory from the start. */
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

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	char *secret = map_droppable(), *named = map(MAP_PRIVATE);
	MUST(named != MAP_FAILED);
	prctl(0x53564d41 /* PR_SET_VMA */, 0, named, 4 * PAGE, "of a newer kernel");
	strcpy(secret, "secret");
	strcpy(named + PAGE, "named");
	judge_wait();
	MUST(!*secret || !strcmp(secret, "secret"));
	strcpy(secret + PAGE, "again");
	MUST(!strcmp(named + PAGE, "named"));
	pid_t child = fork();
	if (child == 0)
		_exit(secret[0] || secret[PAGE] || strcmp(named + PAGE, "named") != 0);
	MUST(waitpid(child, &status, 0) == child && status == 0);
	MUST(!strcmp(secret + PAGE, "again"));
	return judge_pass();
}
