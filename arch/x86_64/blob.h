/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blob's entry and the birth of its threads on x86-64. Entry: rdi = arena, rsi = array index,
 * rsp = the array's stack. */
#include "syscall.h"
#include "wire.h"

__attribute__((noreturn, used, visibility("hidden"))) void blob_run(struct arena *arena, uint32_t index);
__asm__(".section .text.entry,\"ax\",@progbits\n"
	"xor %ebp, %ebp\n"
	"call blob_run\n"
	"hlt\n"
	".text\n");

/* clone3 (435); the child begins on the stack that clone_args names, with the parent's registers. */
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	register struct arena *child_arena __asm__("r12") = arena;
	register uint64_t child_index __asm__("r13") = index;
	int64_t result;
	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xor %%ebp, %%ebp\n"
			 "mov %%r12, %%rdi\n"
			 "mov %%r13, %%rsi\n"
			 "call blob_run\n"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(435l), "D"(args), "S"(size), "r"(child_arena), "r"(child_index)
			 : "rcx", "r11", "memory");
	return result;
}

static inline int64_t blob_tag(uint64_t page, const uint8_t *tags)
{
	(void)page, (void)tags;
	return -38;
}
static inline void blob_exit(uint64_t status) { blob_syscall(60, status, 0, 0, 0, 0, 0); }
static inline void blob_futex_wait(uint32_t *word, uint32_t value) { blob_syscall(202, (uint64_t)word, 0, value, 0, 0, 0); }
static inline void blob_futex_wake(uint32_t *word) { blob_syscall(202, (uint64_t)word, 1, 0x7fffffff, 0, 0, 0); }
