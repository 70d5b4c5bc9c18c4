/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blob's system calls, its entry and the birth of its threads on arm64. Entry: x0 = arena, x1 = array index,
 * sp = the array's stack. */
#include "wire.h"

__attribute__((noreturn, used, visibility("hidden"))) void blob_run(struct arena *arena, uint32_t index);
__asm__(".section .text.entry,\"ax\",@progbits\n"
	"mov x29, xzr\n"
	"mov x30, xzr\n"
	"b blob_run\n"
	".text\n");

static inline int64_t blob_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register int64_t x8 __asm__("x8") = nr;
	register uint64_t x0 __asm__("x0") = a;
	register uint64_t x1 __asm__("x1") = b;
	register uint64_t x2 __asm__("x2") = c;
	register uint64_t x3 __asm__("x3") = d;
	register uint64_t x4 __asm__("x4") = e;
	register uint64_t x5 __asm__("x5") = f;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return (int64_t)x0;
}

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

static inline void blob_exit(uint64_t status) { blob_syscall(93, status, 0, 0, 0, 0, 0); }
static inline void blob_futex_wait(uint32_t *word, uint32_t value) { blob_syscall(98, (uint64_t)word, 0, value, 0, 0, 0); }
static inline void blob_futex_wake(uint32_t *word) { blob_syscall(98, (uint64_t)word, 1, 0x7fffffff, 0, 0, 0); }
