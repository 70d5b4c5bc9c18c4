// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the registers of arm64: what a stopped thread was doing, and how it is made to do something. */
#include "arch/arch.h"
#include <sys/syscall.h>

#define SVC 0xd4000001u
#define PSTATE_BTYPE 0xc00ull
#define PSTATE_SS (1ull << 21)
#define NUMBER 8 /* the register of the call number */

const char *arch_name(void) { return "aarch64"; }
u64 arch_pc(const arch_regs *r) { return r->pc; }
u64 arch_sp(const arch_regs *r) { return r->sp; }
void arch_set_pc(arch_regs *r, u64 pc) { r->pc = pc; }

/* At an event stop the kernel has already decided (arch/arm64/kernel/signal.c): nothing is seen. */
struct arch_call arch_interrupted(const arch_regs *r _unused_) { return (struct arch_call){ 0 }; }

bool arch_decides_at_exit(void) { return true; }

void arch_restart_call(arch_regs *r, long nr, int code)
{
	r->regs[NUMBER] = (u64)nr;
	r->regs[0] = (u64)-code;
}

/* The calls that a freeze can find waiting, and that change nothing else when they are entered again. */
bool arch_before_waiting_call(const arch_regs *r, u32 instruction)
{
	if (instruction != SVC)
		return false;
	switch (r->regs[NUMBER]) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_restart_syscall:
	case SYS_futex:
	case SYS_ppoll:
	case SYS_pselect6:
	case SYS_epoll_pwait:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_mq_timedreceive:
	case SYS_flock:
		return true;
	}
	return false;
}

/* The kernel ends these with EINTR whatever interrupted them (signal(7)). */
static bool never_restarts(u64 nr)
{
	switch (nr) {
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
		return true;
	}
	return false;
}

/* A call changes nothing but x0; what the exit stop shows as x7 is not the thread's (ptrace(2), arch/arm64). The number
 * there is that of restart_syscall when it was entered through a restart block. */
struct arch_call arch_call_at_exit(const arch_regs *entered, const arch_regs *at_exit, arch_regs *ret_home)
{
	struct arch_call call = { .nr = (long)entered->regs[NUMBER] };
	s64 result = (s64)at_exit->regs[0];
	if (result == -EINTR && never_restarts(entered->regs[NUMBER]))
		result = -514; /* ERESTARTNOHAND: again, unless a handler really runs */
	*ret_home = *entered;
	ret_home->pc = at_exit->pc;
	if (result != -512 && result != -513 && result != -514 && result != -516) {
		ret_home->regs[0] = at_exit->regs[0];
		return call;
	}
	call.interrupted = true;
	call.code = (int)-result;
	memcpy(call.arg, entered->regs, sizeof call.arg);
	return call;
}

u64 arch_call_site(const arch_regs *r) { return r->pc - 4; }
void arch_call_arguments(const arch_regs *r, u64 ret[6]) { memcpy(ret, r->regs, 6 * sizeof *ret); }
void arch_set_argument(arch_regs *r, u64 first) { r->regs[0] = first; }
void arch_set_call_number(arch_regs *r, long nr) { r->regs[8] = (u64)nr; }

void arch_finish_call(arch_regs *r, s64 result) { r->regs[0] = (u64)result; }

void arch_abort_rseq(arch_regs *r, u64 abort_pc)
{
	r->pc = abort_pc;
	r->pstate &= ~PSTATE_BTYPE;
}

/* The result is where the first argument was: only what was seen before the stop still tells it. The call begins again. */
bool arch_cure_eintr(arch_regs *r, const struct arch_seen_call *seen)
{
	if (!seen || (s64)r->regs[0] != -EINTR || seen->nr != (long)r->regs[NUMBER] || !never_restarts(r->regs[NUMBER]))
		return false;
	if (seen->pc != r->pc || seen->sp != r->sp || memcmp(&seen->arg[1], &r->regs[1], 5 * sizeof *r->regs))
		return false;
	r->regs[0] = seen->arg[0];
	r->pc -= 4;
	return true;
}

void arch_aim_call(arch_regs *r, u64 pc, long nr, const u64 args[6])
{
	r->pc = pc;
	memcpy(r->regs, args, 6 * sizeof *args);
	r->regs[NUMBER] = (u64)nr;
	r->pstate &= ~(PSTATE_BTYPE | PSTATE_SS);
}

s64 arch_call_result(const arch_regs *r) { return (s64)r->regs[0]; }

s64 arch_find_syscall(const void *code, size_t len)
{
	u32 word;
	for (size_t at = 0; at + sizeof word <= len; at += sizeof word) {
		memcpy(&word, (const char *)code + at, sizeof word);
		if (word == SVC)
			return (s64)at;
	}
	return -1;
}

/* Documentation/arch/arm64/memory.rst: 48 bits; more only by hint, which ckpt refuses. */
u64 arch_task_size(void) { return 1ull << 48; }
