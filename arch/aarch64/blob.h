/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blob's entry and the birth of its threads on arm64. Entry: x0 = arena, x1 = array index,
 * sp = the array's stack. */
#include "syscall.h"
#include "wire.h"

__attribute__((noreturn, used, visibility("hidden"))) void blob_run(struct arena *arena, uint32_t index);
__asm__(".section .text.entry,\"ax\",@progbits\n"
	"mov x29, xzr\n"
	"mov x30, xzr\n"
	"b blob_run\n"
	".text\n");

/* clone3 (435); the child begins on the stack that clone_args names, with the parent's registers. */
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	register int64_t x8 __asm__("x8") = 435;
	register uint64_t x0 __asm__("x0") = args;
	register uint64_t x1 __asm__("x1") = size;
	register struct arena *child_arena __asm__("x19") = arena;
	register uint64_t child_index __asm__("x20") = index;
	__asm__ volatile("svc #0\n"
			 "cbnz x0, 1f\n"
			 "mov x29, xzr\n"
			 "mov x0, x19\n"
			 "mov x1, x20\n"
			 "bl blob_run\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(child_arena), "r"(child_index)
			 : "x30", "memory");
	return (int64_t)x0;
}

/* By STG, which looks at no tag itself: the tag is that of the pointer. */
static inline int64_t blob_tag(uint64_t page, const uint8_t *tags)
{
	for (uint64_t i = 0; i < 256; i++) {
		uint64_t at = page + 16 * i, tagged = at | (uint64_t)(tags[i / 2] >> i % 2 * 4 & 15) << 56;
		__asm__ volatile(".arch armv8.5-a+memtag\n"
				 "stg %0, [%0]" ::"r"(tagged)
				 : "memory");
	}
	return 0;
}

static inline void blob_exit(uint64_t status) { blob_syscall(93, status, 0, 0, 0, 0, 0); }
static inline void blob_futex_wait(uint32_t *word, uint32_t value) { blob_syscall(98, (uint64_t)word, 0, value, 0, 0, 0); }
static inline void blob_futex_wake(uint32_t *word) { blob_syscall(98, (uint64_t)word, 1, 0x7fffffff, 0, 0, 0); }
