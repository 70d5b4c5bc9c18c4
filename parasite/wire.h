/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine that a plan runs on: shared by the blob inside of targets, ckpt and the simulator. Everything lies in one
 * arena, a memory object that all of them map shared at the same address: code (r-x) first, data (rw-) behind it.
 * Data offsets count from the start of the data part. */
#ifndef CKPT_WIRE_H
#define CKPT_WIRE_H
#include <stdint.h>

enum step_op {
	OP_CALL,      /* system call nr(a0..a5) */
	OP_LOAD,      /* result = the 32-bit word at data offset a0 */
	OP_STORE,     /* the 32-bit word at data offset a0 = a1 */
	OP_SPAWN,     /* clone3(a0: clone_args, a1: size); the child runs array a2 */
	OP_WAIT,      /* until the 32-bit word at data offset a0 is at least a1 */
	OP_POST,      /* adds 1 to the 32-bit word at data offset a0 and wakes its waiters */
	OP_BRANCH,    /* if a0 != a1 go back a2 steps, at most a3 times, then fail */
	OP_EXIT,      /* the thread ends with status a0 */
	OP_SKIP,      /* if a1 <= a0 <= a2 (signed) the next a3 steps are left out */
	OP_LOAD_LONG, /* result = the 64-bit word at data offset a0 */
	OP_TAG,       /* the tags of the page at a0 = those at a1, four bits for each 16 bytes, the lower four first (arm64) */
};

enum step_expect {
	EXPECT_OK,    /* no error: not in -4095..-1 */
	EXPECT_EQUAL, /* result == expect */
	EXPECT_ANY,
};

enum arg_kind { ARG_CONST, ARG_SLOT, ARG_DATA }; /* value; slots[value]; address of data offset value */

struct step {
	uint8_t op, expect_kind;
	uint16_t nr;
	uint16_t arg_kinds; /* 2 bits each, a0 lowest */
	uint16_t stage;     /* for people */
	uint32_t slot;      /* where the result goes, 0: nowhere */
	uint32_t object;    /* index of the name of what it is for */
	uint64_t a[6];
	int64_t expect, result;
};

enum array_state { ARRAY_RUNNING, ARRAY_PARKED, ARRAY_FAILED };

/* One thread's program. */
struct array {
	uint32_t first, count; /* steps */
	uint32_t pc;           /* steps done, or the failed one */
	uint32_t state;        /* enum array_state; futex word */
	int64_t error;         /* negative errno or the unexpected result of the failed step */
	uint64_t stack_top;    /* data offset */
	uint32_t loops;
	uint32_t parks; /* 1: the step behind the others is the call that the thread sleeps in when it is done */
	uint32_t ends;  /* who stops before step number `ends` ends instead of parking: all ones for a helper process */
};

struct arena {
	uint64_t data_base; /* address of the data part, where this struct lies */
	uint64_t data_size;
	uint32_t arrays, steps, slots, narrays, nsteps, nslots; /* data offsets and counts */
};

/* What begins at this offset of the code (blob.lds): ckpt calls it to make a task, which runs array `index` on the stack that args
 * name, and needs nothing of ckpt's memory but the arena. args: address of struct clone_args, of `size` bytes. An id, or a negative
 * errno. */
#define BLOB_BIRTH 32
typedef int64_t blob_birth_function(struct arena *, uint64_t args, uint64_t size, uint32_t index);
static inline int64_t blob_call_birth(uintptr_t code, struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	return ((blob_birth_function *)(code + BLOB_BIRTH))(arena, args, size, index);
}
#endif
