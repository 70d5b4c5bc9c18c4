// SPDX-License-Identifier: LGPL-2.1-or-later
/* rseq_cs DIR: almost always inside of a restartable sequence. Whatever interrupts one must abort it: it may never be resumed in
 * the middle, and after a checkpoint that is seen by the clock jumping inside of a sequence that did not abort. */
#include "judge.h"
#include <linux/rseq.h>

#if defined(__x86_64__)
#define SIGNATURE 0x53053053

static struct rseq area __attribute__((aligned(32))) = { .cpu_id = (uint32_t)-1 };

/* Runs rounds inside of a sequence; 0: committed, 1: aborted, 2: its protection vanished, 3: time jumped inside of it. */
static long sequence(uint64_t rounds, uint64_t jump)
{
	long outcome;
	__asm__ volatile(".pushsection __rseq_cs, \"aw\"\n"
			 ".balign 32\n"
			 "77: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "lea 77b(%%rip), %%rax\n"
			 "rdtsc\n"
			 "shl $32, %%rdx\n"
			 "or %%rdx, %%rax\n"
			 "mov %%rax, %%r8\n"
			 "lea 77b(%%rip), %%rax\n"
			 "mov %%rax, %[cs]\n"
			 "1: cmpq $0, %[cs]\n"
			 "je 5f\n"
			 "rdtsc\n"
			 "shl $32, %%rdx\n"
			 "or %%rdx, %%rax\n"
			 "mov %%rax, %%r9\n"
			 "sub %%r8, %%rax\n"
			 "cmp %[jump], %%rax\n"
			 "ja 6f\n"
			 "mov %%r9, %%r8\n"
			 "dec %[rounds]\n"
			 "jnz 1b\n"
			 "2: movq $0, %[cs]\n"
			 "xor %%eax, %%eax\n"
			 "jmp 9f\n"
			 ".byte 0x0f, 0xb9, 0x3d\n"
			 ".long 0x53053053\n"
			 "4: mov $1, %%eax\n"
			 "jmp 9f\n"
			 "5: mov $2, %%eax\n"
			 "jmp 9f\n"
			 "6: mov $3, %%eax\n"
			 "9:\n"
			 : "=&a"(outcome), [rounds] "+r"(rounds), [cs] "+m"(area.rseq_cs)
			 : [jump] "r"(jump)
			 : "rdx", "r8", "r9", "memory", "cc");
	return outcome;
}

static uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#else
#define SIGNATURE 0xd428bc00

static struct rseq area __attribute__((aligned(32))) = { .cpu_id = (uint32_t)-1 };

static uint64_t ticks(void)
{
	uint64_t now;
	__asm__ volatile("isb\n mrs %0, cntvct_el0" : "=r"(now));
	return now;
}

/* As above. */
static long sequence(uint64_t rounds, uint64_t jump)
{
	long outcome;
	__asm__ volatile(".pushsection __rseq_cs, \"aw\"\n"
			 ".balign 32\n"
			 "77: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "adrp x9, 77b\n"
			 "add x9, x9, :lo12:77b\n"
			 "mrs x10, cntvct_el0\n"
			 "str x9, [%[cs]]\n"
			 "1: ldr x11, [%[cs]]\n"
			 "cbz x11, 5f\n"
			 "mrs x11, cntvct_el0\n"
			 "sub x12, x11, x10\n"
			 "cmp x12, %[jump]\n"
			 "b.hi 6f\n"
			 "mov x10, x11\n"
			 "subs %[rounds], %[rounds], #1\n"
			 "b.ne 1b\n"
			 "2: str xzr, [%[cs]]\n"
			 "mov %[outcome], #0\n"
			 "b 9f\n"
			 ".inst 0xd428bc00\n"
			 "4: mov %[outcome], #1\n"
			 "b 9f\n"
			 "5: mov %[outcome], #2\n"
			 "b 9f\n"
			 "6: mov %[outcome], #3\n"
			 "9:\n"
			 : [outcome] "=&r"(outcome), [rounds] "+r"(rounds)
			 : [cs] "r"(&area.rseq_cs), [jump] "r"(jump)
			 : "x9", "x10", "x11", "x12", "memory", "cc");
	return outcome;
}
#endif

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execv("/proc/self/exe", argv);
	}
	MUST_EQ(syscall(SYS_rseq, &area, sizeof area, 0, SIGNATURE), 0);
	uint64_t start = ticks();
	judge_nap(100);
	uint64_t jump = (ticks() - start) * 4; /* 0.4 seconds */
	unsigned long count[4] = { 0 };
	for (bool ready = false; !judge_asked() || count[1] == 0;) {
		long outcome = sequence(1 << 14, jump);
		if (outcome == 3 && !judge_gap())
			outcome = 1; /* it never was away: the machine itself stood still */
		count[outcome]++;
		if (outcome > 1)
			judge_fail("after %lu whole and %lu aborted sequences, one was resumed in the middle%s", count[0],
				   count[1], outcome == 2 ? ", unprotected" : "");
		if (!ready && count[0] > 2) {
			judge_ready();
			ready = true;
		}
	}
	return judge_pass();
}
