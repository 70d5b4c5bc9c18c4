/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptrace of one seized thread, told in stops: registers, masks, system calls made by the thread, and the way an
 * interrupted call goes on. Threads are seized with PTRACE_O_TRACESYSGOOD. Never single-steps. Everything returns 0 or a
 * negative errno and reports nothing itself but for what is said; -ESRCH: the thread is gone. */
#pragma once
#include "arch/arch.h"
#include "record.h"

#define REMOTE_PATIENCE 5000000000ull /* ns that a stop may take before it is -ETIMEDOUT */

/* --- what a stopped thread is made of --- */
int remote_get_regs(pid_t tid, arch_regs *ret);
int remote_set_regs(pid_t tid, const arch_regs *);
/* The extended registers (arch_extended_notes()); room: arch_extended_size() is enough. Who asks for many threads keeps `known`. */
int remote_get_extended(pid_t tid, void *ret, size_t room, size_t *ret_len, struct arch_components *known);
int remote_set_extended(pid_t tid, const void *data, size_t len);
/* The tags of memory from address on (arm64), a byte for each ARCH_TAG_BYTES; returns how many were told, at least 1. Pages must be there,
 * or they are made. -EOPNOTSUPP: the first page has none (Documentation/arch/arm64/memory-tagging-extension.rst). */
int remote_get_tags(pid_t tid, u64 address, u8 *ret, size_t room);
/* The mask that goes on holding after the call at hand: of sigsuspend and ppoll the saved one. */
int remote_get_sigmask(pid_t tid, u64 *ret);
int remote_set_sigmask(pid_t tid, u64 mask);

/* --- stops --- */
enum remote_stop_kind {
	STOP_EVENT,   /* PTRACE_EVENT_STOP: interrupted, or group-stop (signal is then not SIGTRAP) */
	STOP_SYSCALL, /* entry or exit of a system call */
	STOP_SIGNAL,  /* before a signal is delivered */
	STOP_OTHER,   /* another PTRACE_EVENT_*, in event */
};
struct remote_stop {
	enum remote_stop_kind kind;
	int signal, event;
};
/* The next stop of the thread, at most patience ns away. */
int remote_wait_stop(pid_t tid, u64 patience, struct remote_stop *ret);
/* From running, or (resume) from another ptrace stop, to the event stop; executes no instruction in the latter case.
 * Signals that are met on the way are delivered. */
int remote_interrupt(pid_t tid, bool resume);
/* PTRACE_CONT or PTRACE_SYSCALL, with a signal or 0. */
int remote_continue(pid_t tid, bool to_syscall, int signal);
/* On to the next entry or exit of a system call. */
int remote_to_syscall_stop(pid_t tid);
/* A trap is pending from now on: the next sleep, or return to user code, ends in an event stop. Any stop swallows it. */
int remote_set_trap(pid_t tid);

/* --- system calls made by the thread --- */
/* From an event stop to the event stop behind nr(args), which runs at the `syscall` instruction at pc with these registers
 * otherwise. The registers are left as the call leaves them. Block all signals of the thread before. */
int remote_call(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], s64 *ret);
/* The same for a call that ignores pending signals (mmap, munmap, prctl) or that shall be interrupted at once: it
 * starts with the trap already pending, which saves a round trip. */
int remote_call_trapped(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], s64 *ret);
/* The same, ending at the exit stop; trapped: the call starts with a trap pending. */
int remote_call_to_exit(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], bool trapped, s64 *ret);

/* --- how a thread goes on --- */
/* Where a thread goes on. regs: as NT_PRSTATUS, pc behind the call. x86-64: result and orig_rax are those of the stop.
 * arm64: x0 is the call's first argument when call.interrupted. */
struct remote_home {
	arch_regs regs;
	struct arch_call call;
	bool at_exit; /* arm64: the thread is at the syscall-exit stop where the kernel still has to decide */
};
/* Of a thread at its event stop: brings it to where an interrupted call is seen, turns a call that the freeze ended with
 * EINTR into one that goes on, and says where the thread is. Call it for every thread before memory is read. Signals that
 * wait may be delivered on the way, as if the thread ran; they go on waiting when it is held (see struct tree_thread). */
int remote_freeze_point(pid_t tid, bool held, struct remote_home *ret);
/* Makes a thread at an event stop (or, at_exit, at its freeze point) ready to be detached: it goes on at home, and the
 * kernel decides how an interrupted call does. The signal mask is set before. */
int remote_resume(pid_t tid, struct remote_home *, u64 sigmask);

/* --- ERESTART_RESTARTBLOCK: calls that go on with the time that was left --- */
#define REARM_SCRATCH 64u /* bytes */
struct rearm {
	bool known;   /* is left known? */
	bool endless; /* poll without a timeout */
	u64 left;     /* ns */
	s32 clock;    /* of nanosleep */
};
/* The call that a restart block belongs to, as a record tells it, and the registers: needed when call.nr is
 * restart_syscall. -1 when not known. */
long rearm_call_number(enum restart_call, const struct arch_call *);
/* Arguments that make an interrupted call wait for what was left of it; *ret_time_at: the one that must be the address of
 * *ret_left, -1: none. -ENODATA: what was left is not known; -EOPNOTSUPP: not a call that ckpt knows. */
struct timespec;
int remote_rest(const struct arch_call *, const struct rearm *, u64 ret_args[6], struct timespec *ret_left, int *ret_time_at);
/* What the call gave that was entered again, so that home says how the thread goes on: with it, or with its result. */
void remote_take_rest(struct remote_home *, s64 result);
/* home->call.code is 516, the thread at an event stop with all signals blocked: gives the thread a restart block of its
 * own by letting it enter the same call for the time left, at the `syscall` instruction at pc. scratch: address in the
 * target of REARM_SCRATCH bytes that ckpt sees at scratch_here. Afterwards home says how the thread goes on: with the
 * call, with its result, or, where the call cannot be rearmed, with EINTR (warned). Ends at an event stop. */
int remote_rearm(pid_t tid, struct remote_home *home, const struct rearm *, u64 pc, u64 scratch, void *scratch_here);
