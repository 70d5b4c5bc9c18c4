// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the constants of the way home (stub.S) and how a thread is led into it. */
#include "arch/arch.h"
#include <signal.h>
#include <sys/syscall.h>

extern const char arch_stub_begin[], arch_stub_call[], arch_stub_loop[], arch_stub_mark[], arch_stub_slots[], arch_stub_end[];
extern const char arch_stub_ppoll[], arch_stub_mask_r[], arch_stub_mask_e[], arch_stub_batch[], arch_stub_gettid[];
extern const char arch_stub_getpid[];

#define SYSCALL_BYTES 2
#define USER_CS 0x33 /* asm/segment.h: 64-bit user code */

/* As in stub.S. */
struct stub_slots {
	struct arch_stub_words words;
	u64 mask, mask2, zero[2];
	u64 restart_rip, restart_rax, eintr_rip, eintr_rax;
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rcx, rdx, rsi, rdi;
};

static u32 offset_of(const char *at) { return (u32)(at - arch_stub_begin); }

struct arch_stub arch_stub(void)
{
	return (struct arch_stub){ .code = arch_stub_begin,
				   .size = offset_of(arch_stub_end),
				   .call = offset_of(arch_stub_call),
				   .batch = offset_of(arch_stub_batch) + SYSCALL_BYTES,
				   .mark = offset_of(arch_stub_mark),
				   .words = offset_of(arch_stub_slots) };
}

bool arch_stub_can(const struct arch_stub_home *home _unused_) { return true; } /* it touches no extended registers */

/* Two ends: the thread's call begins again (a restart block as restart_syscall), or it ends with EINTR. Signals that a
 * handler would let end the call are taken before it begins again. */
void arch_stub_fill(void *copy, const struct arch_stub_home *to, const struct arch_stub_words *words)
{
	const arch_regs *home = &to->regs;
	const struct arch_call *call = &to->call;
	struct stub_slots s = { .words = *words,
				.mask = to->sigmask,
				.mask2 = call->code == 513 ? ~0ull : to->sigmask,
				.restart_rip = home->rip,
				.restart_rax = home->rax,
				.eintr_rip = home->rip,
				.eintr_rax = home->rax,
				.r15 = home->r15,
				.r14 = home->r14,
				.r13 = home->r13,
				.r12 = home->r12,
				.rbp = home->rbp,
				.rbx = home->rbx,
				.r11 = home->r11,
				.r10 = home->r10,
				.r9 = home->r9,
				.r8 = home->r8,
				.rcx = home->rcx,
				.rdx = home->rdx,
				.rsi = home->rsi,
				.rdi = home->rdi };
	if (call->interrupted) {
		s.restart_rip -= SYSCALL_BYTES;
		s.restart_rax = call->code == 516 ? SYS_restart_syscall : (u64)call->nr;
		s.eintr_rax = (u64)-EINTR;
	}
	memcpy((char *)copy + offset_of(arch_stub_slots), &s, sizeof s);
}

void arch_stub_aim(arch_regs *r, const struct arch_stub_home *home, u64 stub, bool deciding, long nr, const u64 args[6])
{
	const struct arch_call *call = &home->call;
	u64 pc = stub + offset_of(arch_stub_call);
	*r = home->regs;
	arch_aim_call(r, pc, nr, args);
	r->eflags = home->regs.eflags; /* the stub does not restore it */
	if (!deciding || !call->interrupted)
		return;
	r->rip = pc + SYSCALL_BYTES;
	arch_restart_call(r, nr, call->code == 516 ? 514 : call->code);
}

void arch_stub_aim_batch(arch_regs *r, const struct arch_stub_home *home, u64 stub, u64 batch, u64 count, int signal)
{
	*r = home->regs;
	r->rip = stub + offset_of(arch_stub_loop);
	r->orig_rax = (u64)-1;
	r->rbp = batch;
	r->r12 = count;
	r->r13 = (u64)signal;
}

size_t arch_stub_calls(u64 stub, int signal, struct arch_stub_call ret[ARCH_STUB_CALLS])
{
	u64 slots = stub + offset_of(arch_stub_slots);
	u64 mask = slots + offsetof(struct stub_slots, mask), mask2 = slots + offsetof(struct stub_slots, mask2);
	u64 zero = slots + offsetof(struct stub_slots, zero), at = stub + SYSCALL_BYTES;
	const struct arch_stub_call calls[] = {
		{ SYS_getpid, at + offset_of(arch_stub_call), { 0 } },
		{ SYS_ppoll, at + offset_of(arch_stub_ppoll), { 0, 0, zero, mask2, 8 } },
		{ SYS_rt_sigprocmask, at + offset_of(arch_stub_mask_r), { SIG_SETMASK, mask, 0, 8 } },
		{ SYS_rt_sigprocmask, at + offset_of(arch_stub_mask_e), { SIG_SETMASK, mask, 0, 8 } },
		{ SYS_gettid, at + offset_of(arch_stub_gettid), { 0 } },
		{ SYS_getpid, at + offset_of(arch_stub_getpid), { 0 } },
		{ SYS_tgkill, stub + offset_of(arch_stub_mark), { 0, 0, (u64)signal } },
	};
	memcpy(ret, calls, sizeof calls);
	return ARRAY_SIZE(calls);
}

bool arch_is_compat(const arch_regs *r) { return r->cs != USER_CS; }
