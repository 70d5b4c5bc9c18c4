// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way into the arena of a ckpt that restores. */
#include "harness/spoil.h"
#include "harness/test.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

static u64 find_arena(pid_t pid)
{
	char path[32], line[512];
	unsigned long long start = 0, begin, end;
	char rights[5];
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	CHECK(maps);
	while (fgets(line, sizeof line, maps))
		if (strstr(line, "memfd:ckpt-arena") && sscanf(line, "%llx-%llx %4s", &begin, &end, rights) == 3 &&
		    rights[1] == 'w')
			start = begin;
	fclose(maps);
	CHECK(start);
	return start;
}

static void change(struct spoil *spoil, struct step *step)
{
	static const u16 calls[] = { 0xfff0, SYS_sched_yield, SYS_exit_group };
	spoil->done = true;
	spoil->nr = step->nr;
	memcpy(spoil->arg, step->a, sizeof spoil->arg);
	step->op = OP_CALL;
	step->nr = calls[spoil->how];
	if (spoil->how == SPOIL_FAILS)
		return;
	step->arg_kinds = 0;
	step->a[0] = 0;
	step->expect_kind = EXPECT_ANY;
}

void spoil_step(pid_t pid, void *arg)
{
	struct spoil *spoil = arg;
	struct arena arena;
	struct array world;
	struct step step;
	char path[32];
	u64 base = find_arena(pid);
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	_cleanup_close_ int memory = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
	CHECK_EQ(pread(memory, &arena, sizeof arena, (off_t)base), sizeof arena);
	CHECK_EQ(pread(memory, &world, sizeof world, (off_t)(base + arena.arrays)), sizeof world);
	spoil->steps = arena.nsteps - world.count;
	spoil->done = false;
	off_t at = (off_t)(base + arena.steps + (world.count + spoil->step) * sizeof step);
	if (spoil->step >= spoil->steps)
		return;
	CHECK_EQ(pread(memory, &step, sizeof step, at), sizeof step);
	if (spoil->wanted && !spoil->wanted(&step))
		return;
	change(spoil, &step);
	CHECK_EQ(pwrite(memory, &step, sizeof step, at), sizeof step);
}
