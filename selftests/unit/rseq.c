// SPDX-License-Identifier: LGPL-2.1-or-later
/* A thread that is stopped inside of a restartable sequence leaves it by the abort handler; areas that a kernel would refuse are
 * refused, or left off where that does no harm. */
#include "harness/target.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "model/kinds.h"
#include "restore/restore.h"
#include "task/rseq.h"
#include <elf.h>
#include <linux/rseq.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/wait.h>

extern const char section_start[], section_end[], section_abort[];
static volatile int *aborted;
static struct rseq_cs section;

/* Stays in the section for ever; the abort handler returns. The kernel is not told that it is one: it would take the thread out of
 * it as soon as another one runs. */
static __attribute__((noinline)) void stay_in_section(void)
{
#if defined(__x86_64__)
	__asm__ volatile(".globl section_start, section_end, section_abort\n"
			 "section_start: jmp section_start\n"
			 "section_end: ud2\n"
			 ".long 0x53053053\n" /* RSEQ_SIG of glibc */
			 "section_abort:\n" ::
				 : "memory");
#else
	__asm__ volatile(".globl section_start, section_end, section_abort\n"
			 "section_start: b section_start\n"
			 "section_end: udf #0\n"
			 ".inst 0xd428bc00\n"
			 "section_abort:\n" ::
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
		stay_in_section();
		*aborted = 1;
		for (;;)
			pause();
	}
	return pid;
}

/* Where the child will stand, once it runs. */
static void wait_for_section(pid_t pid, arch_regs *regs)
{
	for (int i = 0; i < 10000; i++) {
		CHECK_OK(remote_interrupt(pid, false));
		CHECK_OK(remote_get_regs(pid, regs));
		if (arch_pc(regs) == section.start_ip)
			return;
		CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
		usleep(1000);
	}
	FAIL("it never comes to the section");
}

static void stop_in_section(pid_t pid, arch_regs *regs, struct rseq_area *area)
{
	CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	wait_for_section(pid, regs);
	int r = rseq_get_area(pid, area);
	if (r == -EIO)
		SKIP("this kernel has no PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13)");
	CHECK_OK(r);
	CHECK(area->address != 0);
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
	WAIT_UNTIL(*aborted);
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

/* --- areas of another kernel --- */

#define PROCESS 100

/* A process whose kernel has told it that an area has so many bytes, with a thread that has registered others. */
static Ckpt__Rseq *make_thread(struct graph *g, u64 told, u64 address, u32 length, u32 signature)
{
	Elf64_auxv_t auxv[] = { { AT_PAGESZ, { PAGE_BYTES } }, { AUXV_RSEQ_BYTES, { told } }, { AT_NULL, { 0 } } };
	Ckpt__Task *task = graph_add(g, &kind_task, PROCESS)->data;
	Ckpt__Mm *mm = graph_add(g, &kind_mm, PROCESS)->data;
	Ckpt__Thread *thread = graph_add(g, &kind_thread, PROCESS)->data;
	SET(task, pid, PROCESS);
	SET(task, mm, PROCESS);
	SET(thread, pid, PROCESS);
	SET(thread, tid, PROCESS);
	mm->has_auxv = message_set_bytes(&mm->auxv, auxv, sizeof auxv);
	thread->rseq = MESSAGE_NEW(Ckpt__Rseq, ckpt__rseq);
	CHECK(mm->has_auxv && thread->rseq);
	SET(thread->rseq, address, address);
	SET(thread->rseq, length, length);
	SET(thread->rseq, signature, signature);
	return thread->rseq;
}

TEST(areas_that_a_kernel_does_not_take_are_refused)
{
	static const struct {
		u64 bytes, align, told, address;
		u32 length, signature;
		bool taken, left_off;
	} cases[] = {
		{ 0, 0, 0, 0x1000, 32, 7, true, false },           /* as it was at first: anywhere */
		{ 33, 64, 28, 0x1020, 32, 7, true, false },        /* and its alignment as well */
		{ 0, 0, 33, 0x1000, 64, 7, false, false },         /* of the program's own, before 6.3 */
		{ 0, 0, 33, 0x1000, 33, RSEQ_SIG, true, true },    /* of the C library */
		{ 0, 0, 33, 0x1000, 48, RSEQ_SIG, false, false },  /* which registers what it was told */
		{ 0, 0, 33, 0x1000, 33, 7, false, false },         /* with its signature */
		{ 0, 0, 28, 0x1000, 28, RSEQ_SIG, false, false },  /* no kernel takes so few */
		{ 28, 32, 33, 0x1000, 33, RSEQ_SIG, true, false }, /* from 6.3 on: longer than what it writes */
		{ 28, 32, 33, 0x1020, 36, 7, true, false },        /* and aligned as it says */
		{ 33, 64, 28, 0x1020, 36, 7, false, false },       /* which changed */
		{ 41, 64, 36, 0x1000, 36, 7, false, false },       /* shorter than what it writes */
		{ 41, 64, 36, 0x1000, 36, RSEQ_SIG, true, true },  /* of the C library again */
	};
	CHECK_OK(diag_begin("restore", "rseq"));
	size_t start = diag_mark();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_graph_ struct graph g = { 0 };
		struct survey s = { .rseq_bytes = cases[i].bytes, .rseq_align = cases[i].align };
		diag_forget(start);
		const Ckpt__Rseq *r = make_thread(&g, cases[i].told, cases[i].address, cases[i].length, cases[i].signature);
		if ((judge_rseq(&g, &s) == 0) != cases[i].taken || diag_has(DIAG_RSEQ_LENGTH) == cases[i].taken)
			FAIL("case %zu is judged wrong", i);
		if (!cases[i].taken)
			continue;
		CHECK_OK(adapt_rseq(&g, &s));
		if (s.left_off.n != cases[i].left_off || (r->address == 0) != cases[i].left_off ||
		    diag_has(DIAG_RSEQ_LEFT_OFF) != cases[i].left_off)
			FAIL("case %zu is adapted wrong", i);
		vector_free(&s.left_off);
	}
}
