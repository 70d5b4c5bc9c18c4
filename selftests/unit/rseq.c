// SPDX-License-Identifier: LGPL-2.1-or-later
/* A thread that is stopped inside of a restartable sequence leaves it by the abort handler. */
#include "harness/test.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "task/rseq.h"
#include <linux/rseq.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/wait.h>

extern const char section_start[], section_end[], section_abort[];
static volatile int *aborted;
static struct rseq_cs section;

/* Stays in the section for ever; the abort handler returns. */
static __attribute__((noinline)) void stay_in_section(u64 *where, const struct rseq_cs *cs)
{
#if defined(__x86_64__)
	__asm__ volatile("mov %1, (%0)\n"
			 ".globl section_start, section_end, section_abort\n"
			 "section_start: jmp section_start\n"
			 "section_end: ud2\n"
			 ".long 0x53053053\n" /* RSEQ_SIG of glibc */
			 "section_abort:\n" ::"r"(where),
			 "r"(cs)
			 : "memory");
#else
	__asm__ volatile("str %1, [%0]\n"
			 ".globl section_start, section_end, section_abort\n"
			 "section_start: b section_start\n"
			 "section_end: udf #0\n"
			 ".inst 0xd428bc00\n"
			 "section_abort:\n" ::"r"(where),
			 "r"(cs)
			 : "memory");
#endif
}

static pid_t start_in_section(u64 abort_offset)
{
	aborted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	section = (struct rseq_cs){ .start_ip = (u64)(uintptr_t)section_start,
				    .post_commit_offset = (u64)(section_end - section_start),
				    .abort_ip = (u64)(uintptr_t)section_abort + abort_offset };
	if (!__rseq_size)
		SKIP("glibc registers no rseq");
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
		stay_in_section((u64 *)&area->rseq_cs, &section);
		*aborted = 1;
		for (;;)
			pause();
	}
	return pid;
}

/* A busy section is aborted by the kernel whenever the thread is preempted: it is stopped right at its start. */
static void stop_in_section(pid_t pid, arch_regs *regs, struct rseq_area *area)
{
	CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	CHECK_OK(remote_interrupt(pid, false));
	CHECK_OK(remote_get_regs(pid, regs));
	int r = rseq_get_area(pid, area);
	if (r == -EIO)
		SKIP("this kernel has no PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13)");
	CHECK_OK(r);
	CHECK(area->address != 0);
	arch_set_pc(regs, section.start_ip);
	u64 descriptor = (u64)(uintptr_t)&section;
	CHECK_OK(ptrace(PTRACE_POKEDATA, pid, area->address + offsetof(struct rseq, rseq_cs), descriptor));
}

TEST(a_section_is_left_by_its_abort_handler)
{
	CHECK_OK(diag_begin("test", "rseq"));
	pid_t pid = start_in_section(0);
	arch_regs regs;
	struct rseq_area area;
	u64 from;
	stop_in_section(pid, &regs, &area);
	CHECK_OK(rseq_abort_fix(pid, &regs, &area, &from));
	CHECK_EQ(from, section.start_ip);
	CHECK_EQ(arch_pc(&regs), section.abort_ip);
	CHECK_OK(remote_set_regs(pid, &regs));
	CHECK_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
	for (int i = 0; i < 1000 && !*aborted; i++)
		usleep(1000);
	CHECK_EQ(*aborted, 1);
}

TEST(outside_of_a_section_nothing_changes)
{
	CHECK_OK(diag_begin("test", "rseq"));
	pid_t pid = start_in_section(0);
	arch_regs regs;
	struct rseq_area area;
	u64 from = 1;
	stop_in_section(pid, &regs, &area);
	arch_set_pc(&regs, section.start_ip + section.post_commit_offset);
	CHECK_OK(rseq_abort_fix(pid, &regs, &area, &from));
	CHECK_EQ(from, 0);
	CHECK_EQ(arch_pc(&regs), section.start_ip + section.post_commit_offset);
}

TEST(a_wrong_signature_is_refused)
{
	CHECK_OK(diag_begin("test", "rseq"));
	pid_t pid = start_in_section(1);
	arch_regs regs;
	struct rseq_area area;
	u64 from;
	stop_in_section(pid, &regs, &area);
	CHECK(rseq_abort_fix(pid, &regs, &area, &from) < 0);
	CHECK(diag_has(DIAG_RSEQ_SECTION));
}
