/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interpreter, used by the blob in new tasks and by ckpt for the world. The includer defines
 * blob_syscall(), blob_spawn(), blob_tag(), blob_futex_wait() and blob_futex_wake(). */
#include "wire.h"
#include <asm/unistd.h>

static inline char *machine_data(struct arena *arena, uint64_t offset) { return (char *)arena + offset; }

static inline int64_t *machine_slot(struct arena *arena, uint64_t slot)
{
	return (int64_t *)machine_data(arena, arena->slots) + slot;
}

/* Is [offset, offset + 4) inside of the data part? */
static inline int machine_word_ok(struct arena *arena, uint64_t offset)
{
	return offset % 4 == 0 && offset < arena->data_size && arena->data_size - offset >= 4;
}

static inline uint64_t machine_arg(struct arena *arena, struct step *step, unsigned i)
{
	unsigned kind = step->arg_kinds >> 2 * i & 3;
	if (kind == ARG_DATA)
		return (uint64_t)machine_data(arena, step->a[i]);
	if (kind == ARG_SLOT)
		return step->a[i] < arena->nslots ? (uint64_t)*machine_slot(arena, step->a[i]) : 0;
	return step->a[i];
}

static inline void machine_state(struct array *array, uint32_t state)
{
	__atomic_store_n(&array->state, state, __ATOMIC_SEQ_CST);
	blob_futex_wake(&array->state);
}

/* CLOCK_MONOTONIC */
static inline int64_t machine_seconds(void)
{
	int64_t time[2] = { 0 };
	blob_syscall(__NR_clock_gettime, 1, (uint64_t)time, 0, 0, 0, 0);
	return time[0];
}

#define SPAWN_PATIENCE 3 /* seconds */
/* An id that survey found free may be that of a task which is gone but not forgotten: the kernel gives it back a little after
 * the task is out of sight (release_task(), free_pid()). */
static inline int64_t machine_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	int64_t r = blob_spawn(arena, args, size, index);
	if (r != -17 /* EEXIST */)
		return r;
	for (int64_t end = machine_seconds() + SPAWN_PATIENCE; r == -17 && machine_seconds() < end;) {
		blob_syscall(__NR_sched_yield, 0, 0, 0, 0, 0, 0);
		r = blob_spawn(arena, args, size, index);
	}
	return r;
}

static inline int64_t machine_step(struct arena *arena, struct array *array, struct step *step)
{
	uint64_t a[6];
	for (unsigned i = 0; i < 6; i++)
		a[i] = machine_arg(arena, step, i);
	uint32_t *word = (uint32_t *)machine_data(arena, a[0]);
	switch (step->op) {
	case OP_CALL:
		return blob_syscall(step->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	case OP_LOAD:
		return machine_word_ok(arena, a[0]) ? (int64_t) * (int32_t *)word : -14;
	case OP_LOAD_LONG:
		return machine_word_ok(arena, a[0]) && machine_word_ok(arena, a[0] + 4) ? *(int64_t *)word : -14;
	case OP_STORE:
		if (!machine_word_ok(arena, a[0]))
			return -14;
		*word = (uint32_t)a[1];
		return 0;
	case OP_SPAWN:
		if (a[2] >= arena->narrays)
			return -22;
		return machine_spawn(arena, a[0], a[1], (uint32_t)a[2]);
	case OP_WAIT:
		if (!machine_word_ok(arena, a[0]))
			return -14;
		for (uint32_t now; (now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < a[1];)
			blob_futex_wait(word, now);
		return 0;
	case OP_POST:
		if (!machine_word_ok(arena, a[0]))
			return -14;
		__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
		blob_futex_wake(word);
		return 0;
	case OP_BRANCH:
		if (a[0] == a[1]) {
			array->loops = 0;
			return 0;
		}
		if (++array->loops > a[3] || a[2] > array->pc)
			return -34;
		array->pc -= (uint32_t)a[2] + 1;
		return 0;
	case OP_SKIP:
		if ((int64_t)a[0] < (int64_t)a[1] || (int64_t)a[0] > (int64_t)a[2])
			return 0;
		if (a[3] >= array->count - array->pc)
			return -34;
		array->pc += (uint32_t)a[3];
		return 0;
	case OP_TAG:
		return blob_tag(a[0], (const uint8_t *)a[1]);
	case OP_EXIT:
		for (;;)
			blob_exit(a[0]);
	}
	return -38;
}

/* Runs the array from its pc to its end or to the first step that does not give what it must, and says so in state. */
static inline void machine_run(struct arena *arena, struct array *array)
{
	struct step *steps = (struct step *)machine_data(arena, arena->steps) + array->first;
	if (array->first > arena->nsteps || array->count > arena->nsteps - array->first) {
		array->error = -22;
		machine_state(array, ARRAY_FAILED);
		return;
	}
	for (; array->pc < array->count; array->pc++) {
		struct step *step = &steps[array->pc];
		int64_t result = machine_step(arena, array, step);
		step->result = result;
		if (step->slot && step->slot < arena->nslots)
			*machine_slot(arena, step->slot) = result;
		int error = result < 0 && result > -4096;
		if (step->expect_kind == EXPECT_EQUAL ? result != step->expect : error && step->expect_kind != EXPECT_ANY) {
			array->error = result;
			machine_state(array, ARRAY_FAILED);
			return;
		}
	}
	machine_state(array, ARRAY_PARKED);
}

/* What a thread does when it is done, until it is stopped; pc tells that the call has ended. */
static inline void machine_park(struct arena *arena, struct array *array)
{
	struct step *step = (struct step *)machine_data(arena, arena->steps) + array->first + array->count;
	if (array->count >= arena->nsteps - array->first)
		return;
	step->result = machine_step(arena, array, step);
	array->pc++;
}
