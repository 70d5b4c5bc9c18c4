// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the constants of the way home (stub.S) and how a thread is led into it. */
#include "arch/arch.h"
#include <elf.h>
#include <signal.h>
#include <sys/syscall.h>

extern const char arch_stub_begin[], arch_stub_call[], arch_stub_loop[], arch_stub_mark[], arch_stub_slots[], arch_stub_end[];
extern const char arch_stub_hold[], arch_stub_ppoll[], arch_stub_sigreturn[], arch_stub_mask[], arch_stub_batch[];
extern const char arch_stub_gettid[], arch_stub_getpid[];

#define SVC_BYTES 4
#define PSTATE_MODE32 (1ull << 4)
#define BAD_FLAGS 0x1000 /* of sigaltstack(2): the kernel leaves the stack as it is (kernel/signal.c, restore_altstack) */
#define FPSIMD_RECORD 0x46508001u

/* NT_PRFPREG, and NT_ARM_SVE behind its header when no more is in use (asm/ptrace.h). */
struct fpsimd {
	u8 vectors[512];
	u32 status, control, unused[2];
};
#define VECTOR_HEADER 16 /* bytes; at 12 the flags, of which 1 means that there is more than FPSIMD */

/* What the kernel reads of struct rt_sigframe behind the siginfo (arch/arm64/kernel/signal.c, restore_sigframe). */
struct stub_frame {
	u64 flags, link, stack, stack_flags, stack_size, sigmask, unused[16];
	u64 fault, registers[31], sp, pc, pstate, pad;
	u32 magic, size, status, control;
	u8 vectors[512];
	u64 end[2];
};
_Static_assert(sizeof(struct stub_frame) == 126 * 8, "as in stub.S");
_Static_assert(offsetof(struct stub_frame, registers) == 184, "struct sigcontext is aligned to 16");
_Static_assert(offsetof(struct stub_frame, magic) == 464, "and so is what follows it");

/* As in stub.S. */
struct stub_slots {
	struct arch_stub_words words;
	u64 mask, mask2, all, zero[2];
	u64 restart_block; /* where the call is made that goes on as restart_syscall; 0: none does */
	u64 registers[31];
	struct stub_frame restart, eintr;
};

static u32 offset_of(const char *at) { return (u32)(at - arch_stub_begin); }

struct arch_stub arch_stub(void)
{
	return (struct arch_stub){ .code = arch_stub_begin,
				   .size = offset_of(arch_stub_end),
				   .needs_extended = true,
				   .call = offset_of(arch_stub_call),
				   .batch = offset_of(arch_stub_batch) + SVC_BYTES,
				   .mark = offset_of(arch_stub_mark),
				   .words = offset_of(arch_stub_slots) };
}

/* A call leaves of vector registers what FPSIMD has (Documentation/arch/arm64/sve.rst), and so does the frame: NULL when there is
 * more, or ZA is on. */
static const char *find_fpsimd(const struct arch_stub_home *home)
{
	const char *found = NULL, *end = (const char *)home->extended + home->extended_len;
	u32 head[2], flags;
	for (const char *at = home->extended; at && at + sizeof head <= end; at += sizeof head + head[1]) {
		const char *data = at + sizeof head;
		memcpy(head, at, sizeof head);
		if (head[0] == NT_PRFPREG && head[1] >= sizeof(struct fpsimd))
			found = data;
		if (head[0] == 0x40b /* NT_ARM_SSVE */ || (head[0] == 0x40c /* NT_ARM_ZA */ && head[1] > VECTOR_HEADER))
			return NULL;
		if (head[0] != NT_ARM_SVE || head[1] < VECTOR_HEADER + sizeof(struct fpsimd))
			continue;
		memcpy(&flags, data + 12, sizeof flags);
		if (flags & 1)
			return NULL;
		found = data + VECTOR_HEADER;
	}
	return found;
}

bool arch_stub_can(const struct arch_stub_home *home) { return find_fpsimd(home) != NULL; }

static void fill_frame(struct stub_frame *frame, const struct arch_stub_home *home, u64 pc, u64 x0)
{
	struct fpsimd fpsimd = { 0 };
	const char *from = find_fpsimd(home);
	if (from)
		memcpy(&fpsimd, from, sizeof fpsimd);
	*frame = (struct stub_frame){ .stack_flags = BAD_FLAGS,
				      .sigmask = home->sigmask,
				      .sp = home->regs.sp,
				      .pc = pc,
				      .pstate = home->regs.pstate,
				      .magic = FPSIMD_RECORD,
				      .size = 16 + sizeof frame->vectors,
				      .status = fpsimd.status,
				      .control = fpsimd.control };
	memcpy(frame->registers, home->regs.regs, sizeof frame->registers);
	memcpy(frame->vectors, fpsimd.vectors, sizeof frame->vectors);
	frame->registers[0] = x0;
}

/* Two ends: the thread's call begins again (a restart block as restart_syscall), or it ends with EINTR. Signals that a
 * handler would let end the call are taken before it begins again. */
void arch_stub_fill(void *copy, const struct arch_stub_home *home, const struct arch_stub_words *words)
{
	const struct arch_call *call = &home->call;
	u64 pc = home->regs.pc, x0 = home->regs.regs[0];
	struct stub_slots s = { .words = *words, .mask = home->sigmask, .all = ~0ull };
	s.mask2 = call->interrupted && call->code == 513 ? ~0ull : home->sigmask;
	s.restart_block = call->interrupted && call->code == 516 ? pc - SVC_BYTES : 0;
	memcpy(s.registers, home->regs.regs, sizeof s.registers);
	fill_frame(&s.restart, home, call->interrupted ? pc - SVC_BYTES : pc, x0);
	fill_frame(&s.eintr, home, pc, call->interrupted ? (u64)-EINTR : x0);
	memcpy((char *)copy + offset_of(arch_stub_slots), &s, sizeof s);
}

/* At an exit stop the kernel takes the first argument of the call to come from the one that ended there: deciding takes getpid alone. */
void arch_stub_aim(arch_regs *r, const struct arch_stub_home *home, u64 stub, bool deciding, long nr, const u64 args[6])
{
	u64 pc = stub + offset_of(arch_stub_call);
	*r = home->regs;
	arch_aim_call(r, pc, nr, args);
	if (!deciding || !home->call.interrupted)
		return;
	r->pc = pc + SVC_BYTES;
	arch_restart_call(r, nr, home->call.code == 516 ? 514 : home->call.code);
}

void arch_stub_aim_batch(arch_regs *r, const struct arch_stub_home *home, u64 stub, u64 batch, u64 count, int signal)
{
	*r = home->regs;
	r->pc = stub + offset_of(arch_stub_loop);
	r->pstate &= ~(3ull << 10);
	r->regs[0] = 0;
	r->regs[20] = batch;
	r->regs[21] = count;
	r->regs[22] = (u64)signal;
}

size_t arch_stub_calls(u64 stub, int signal, struct arch_stub_call ret[ARCH_STUB_CALLS])
{
	u64 slots = stub + offset_of(arch_stub_slots), at = stub + SVC_BYTES;
	u64 mask = slots + offsetof(struct stub_slots, mask), mask2 = slots + offsetof(struct stub_slots, mask2);
	u64 all = slots + offsetof(struct stub_slots, all), zero = slots + offsetof(struct stub_slots, zero);
	const struct arch_stub_call calls[] = {
		{ SYS_getpid, at + offset_of(arch_stub_call), { 0 } },
		{ SYS_rt_sigprocmask, at + offset_of(arch_stub_hold), { SIG_SETMASK, all, 0, 8 } },
		{ SYS_ppoll, at + offset_of(arch_stub_ppoll), { 0, 0, zero, mask2, 8 } },
		{ SYS_rt_sigreturn, at + offset_of(arch_stub_sigreturn), { 0 } },
		{ SYS_rt_sigprocmask, at + offset_of(arch_stub_mask), { SIG_SETMASK, mask, 0, 8 } },
		{ SYS_gettid, at + offset_of(arch_stub_gettid), { 0 } },
		{ SYS_getpid, at + offset_of(arch_stub_getpid), { 0 } },
		{ SYS_tgkill, stub + offset_of(arch_stub_mark), { 0, 0, (u64)signal } },
	};
	memcpy(ret, calls, sizeof calls);
	return ARRAY_SIZE(calls);
}

bool arch_is_compat(const arch_regs *r) { return r->pstate & PSTATE_MODE32; }
