// SPDX-License-Identifier: LGPL-2.1-or-later
/* The machine inside of a target: executes one array of steps and parks. It knows no policy, and it has no data. */
#include "wire.h"
#include "blob.h"
#include "machine.h"

/* For blob.lds to compare with. */
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
__asm__(".globl blob_birth_offset\n"
	".set blob_birth_offset, " TEXT_OF(BLOB_BIRTH));

__attribute__((used, visibility("hidden"), section(".text.birth"))) int64_t blob_birth(struct arena *arena, uint64_t args,
										       uint64_t size, uint32_t index)
{
	return blob_spawn(arena, args, size, index);
}

__attribute__((noreturn, used, visibility("hidden"))) void blob_run(struct arena *arena, uint32_t index)
{
	struct array *array = (struct array *)((char *)arena + arena->arrays) + index;
	machine_run(arena, array);
	if (array->pc < array->ends)
		blob_exit(1);
	if (array->parks && array->state == ARRAY_PARKED)
		machine_park(arena, array);
	for (;;)
		blob_futex_wait(&array->state, array->state);
}
