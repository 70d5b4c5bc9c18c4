/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places of a hijack in a target: the dead bytes behind its vDSO for the way home, a hole in its address space for the
 * arena; and what a killed ckpt left in both. */
#pragma once
#include "arch/arch.h"
#include "task/tree.h"

#define CAVE_LEFTOVERS 8

/* What an arena begins with. */
struct cave_arena {
	char name[8]; /* the stub's */
	u32 left;     /* 1: its thread has gone home, nobody will come back */
	u32 pad;
};

struct cave {
	u64 at;               /* where a stub may be put; 0: no room */
	u64 vdso, tail, end;  /* the vDSO, its dead bytes, its end */
	const char *why;      /* at == 0: for people */
	u64 hole, hole_bytes; /* room for the arena; 0: none */
	/* what earlier hijacks left: stubs [at, at + size) that are of no use any more, and their arenas */
	struct {
		u64 stub, stub_size, arena, arena_size;
	} leftover[CAVE_LEFTOVERS];
	size_t leftovers;
};

/* Looks into a stopped process. A thread may still stand in a stub that is left over: see cave_owns(). Negative errno. */
int cave_find(struct cave *ret, struct tree_process *, size_t arena_bytes);
/* Does the address lie in the dead bytes? A thread there is on its way home. */
static inline bool cave_owns(const struct cave *cave, u64 pc) { return pc >= cave->tail && pc < cave->end; }
/* Writes into the cave; len is a multiple of 8. Works on code that the target itself cannot write. */
int cave_write(pid_t tid, u64 at, const void *bytes, size_t len);
