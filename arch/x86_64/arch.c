// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the registers of x86-64: what a stopped thread was doing, and how it is made to do something. */
#include "arch/arch.h"
#include <cpuid.h>
#include <elf.h>
#include <sys/syscall.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif
#define FLAG_TRAP 0x100ull
#define FLAG_DIRECTION 0x400ull

const char *arch_name(void) { return "x86_64"; }
u64 arch_pc(const arch_regs *r) { return r->rip; }
u64 arch_sp(const arch_regs *r) { return r->rsp; }
void arch_set_pc(arch_regs *r, u64 pc) { r->rip = pc; }

struct arch_call arch_interrupted(const arch_regs *r)
{
	struct arch_call call = { .nr = (long)r->orig_rax, .arg = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 } };
	s64 result = (s64)r->rax;
	if ((s64)r->orig_rax >= 0 && ((result <= -512 && result >= -514) || result == -516)) {
		call.interrupted = true;
		call.code = (int)-result;
	}
	return call;
}

void arch_set_call_number(arch_regs *r, long nr) { r->orig_rax = (u64)nr; }

void arch_finish_call(arch_regs *r, s64 result)
{
	r->rax = (u64)result;
	r->orig_rax = (u64)-1;
}

bool arch_decides_at_exit(void) { return false; }

void arch_restart_call(arch_regs *r, long nr, int code)
{
	r->orig_rax = (u64)nr;
	r->rax = (u64)-code;
}

bool arch_before_waiting_call(const arch_regs *r _unused_, u32 instruction _unused_) { return false; }
struct arch_call arch_call_at_exit(const arch_regs *entered _unused_, const arch_regs *at_exit, arch_regs *ret_home)
{
	*ret_home = *at_exit;
	return arch_interrupted(at_exit);
}
u64 arch_call_site(const arch_regs *r) { return r->rip - 2; }
void arch_call_arguments(const arch_regs *r, u64 ret[6])
{
	const u64 arg[6] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };
	memcpy(ret, arg, sizeof arg);
}
void arch_set_argument(arch_regs *r, u64 first) { r->rdi = first; }

void arch_abort_rseq(arch_regs *r, u64 abort_pc)
{
	r->rip = abort_pc;
	r->orig_rax = (u64)-1;
}

/* The kernel ends these with EINTR whatever interrupted them (signal(7), "Interruption of system calls"); only a freeze
 * can be seen here, since a handler would have moved rip. */
bool arch_cure_eintr(arch_regs *r, const struct arch_seen_call *seen _unused_)
{
	if ((s64)r->rax != -EINTR)
		return false;
	switch ((long)r->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	/* with SO_RCVTIMEO or SO_SNDTIMEO */
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
		r->rax = (u64)-514; /* ERESTARTNOHAND: again, unless a handler really runs */
		return true;
	}
	return false;
}

void arch_aim_call(arch_regs *r, u64 pc, long nr, const u64 args[6])
{
	r->rip = pc;
	r->rax = (u64)nr;
	r->orig_rax = (u64)-1;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
	r->eflags &= ~(FLAG_TRAP | FLAG_DIRECTION);
}

s64 arch_call_result(const arch_regs *r) { return (s64)r->rax; }

s64 arch_find_syscall(const void *code, size_t len)
{
	const u8 *p = memmem(code, len, "\x0f\x05", 2);
	return p ? p - (const u8 *)code : -1;
}

/* Documentation/arch/x86/x86_64/mm.rst: 47 bits less a guard page; more only by hint, which ckpt refuses. */
u64 arch_task_size(void) { return (1ull << 47) - PAGE_BYTES; }

size_t arch_extended_notes(struct arch_note ret[ARCH_NOTES_MAX])
{
	ret[0] = (struct arch_note){ NT_X86_XSTATE };
	return 1;
}

size_t arch_note_used(int note _unused_, const void *data _unused_, size_t len) { return len; }

/* AMX makes it about 11 KiB. CPUID would tell, but it traps where CPUs are virtual: ten microseconds a time. */
/* Intel SDM volume 1, 13.4: the header of an XSAVE area says which components are not in their initial state, and a processor may
 * or may not notice that one has come back to it (13.6, "init optimization"). */
#define XSTATE_HEADER 512
#define XSTATE_EXTENDED 576

enum { XSTATE_X87, XSTATE_SSE };

static bool is_zero(const u8 *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i])
			return false;
	return true;
}

/* As after FNINIT. */
static bool is_initial_x87(const u8 *area)
{
	return area[0] == 0x7f && area[1] == 0x03 && is_zero(area + 2, 22) && is_zero(area + 32, 128);
}

/* MXCSR is part of it: with the bit the kernel takes its value, and sets this one without (copy_uabi_to_xstate()). */
static bool is_initial_sse(const u8 *area)
{
	return area[24] == 0x80 && area[25] == 0x1f && is_zero(area + 26, 2) && is_zero(area + 160, 256);
}

static void ask_component(struct arch_components *known, u32 i)
{
	u32 unused_c, unused_d;
	if (!(known->asked >> i & 1))
		__cpuid_count(0xd, i, known->at[i].size, known->at[i].offset, unused_c, unused_d);
	known->asked |= 1ull << i;
}

/* Where nothing lies but zeros, nobody needs to know where each component does: to ask the processor traps where it is virtual. */
static bool is_initial(u32 component, const u8 *area, size_t len, bool all_zero, struct arch_components *known)
{
	if (component == XSTATE_X87)
		return is_initial_x87(area);
	if (component == XSTATE_SSE)
		return is_initial_sse(area);
	if (all_zero)
		return true;
	ask_component(known, component); /* who has the note has the leaf */
	u32 size = known->at[component].size, offset = known->at[component].offset;
	return offset >= XSTATE_EXTENDED && offset <= len && size <= len - offset && is_zero(area + offset, size);
}

void arch_note_settle(int note, void *data, size_t len, struct arch_components *known)
{
	u8 *area = data;
	u64 used;
	if (note != NT_X86_XSTATE || len < XSTATE_EXTENDED)
		return;
	memcpy(&used, area + XSTATE_HEADER, sizeof used);
	bool all_zero = is_zero(area + XSTATE_EXTENDED, len - XSTATE_EXTENDED);
	for (u32 i = 0; i < 63; i++)
		if (used >> i & 1 && is_initial(i, area, len, all_zero, known))
			used &= ~(1ull << i);
	memcpy(area + XSTATE_HEADER, &used, sizeof used);
}

size_t arch_extended_size(void) { return 16384; }
