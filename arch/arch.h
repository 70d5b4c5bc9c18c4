/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that names a register; arch/x86_64 and arch/aarch64 implement it with the same file names. */
#pragma once
#include "base/base.h"
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
typedef struct user_regs_struct arch_regs;
#elif defined(__aarch64__)
typedef struct user_regs_struct arch_regs;
#else
#error "ckpt knows x86_64 and aarch64"
#endif

/* A system call that a stopped thread was interrupted in. */
struct arch_call {
	bool interrupted;
	long nr;
	int code; /* 512, 513, 514, 516 */
	u64 arg[6];
};

u64 arch_pc(const arch_regs *);
u64 arch_sp(const arch_regs *);
void arch_set_pc(arch_regs *, u64);
/* What the registers of a thread at a freeze point say. */
struct arch_call arch_interrupted(const arch_regs *);
/* Does the kernel decide how an interrupted call goes on before the event stop (arm64)? Then only a syscall-exit stop
 * shows the restart code and takes one; else the event stop does (x86-64). */
bool arch_decides_at_exit(void);
/* At the stop where the kernel decides: it shall take the call to have ended with -code, and restart it. */
void arch_restart_call(arch_regs *, long nr, int code);
/* arch_decides_at_exit() only. Is a thread at its event stop, with this instruction at its pc, before a call that can wait? */
bool arch_before_waiting_call(const arch_regs *, u32 instruction);
/* What a call that was entered with these registers ended with at its exit stop; regs become those of the thread's home:
 * with the first argument back in place when the call was interrupted. */
struct arch_call arch_call_at_exit(const arch_regs *entered, arch_regs *regs);
/* Where the call that the registers stand behind was made, and its first argument put back. */
u64 arch_call_site(const arch_regs *);
void arch_set_argument(arch_regs *, u64 first);
/* Names another call as the interrupted one: the call behind restart_syscall(2). */
void arch_set_call_number(arch_regs *, long nr);
/* A thread that looks as if the call had ended with result (-errno included). */
void arch_finish_call(arch_regs *, s64 result);
/* Moves a thread out of an rseq critical section to its abort handler. */
void arch_abort_rseq(arch_regs *, u64 abort_pc);
/* Turns a call that the kernel ended with EINTR at the freeze (epoll_wait, semop, sigtimedwait, ...) into one that it
 * restarts; true when it changed the registers. */
bool arch_cure_eintr(arch_regs *);
/* Registers that make a thread at a freeze point run nr(args) at the `syscall` instruction at pc. */
void arch_aim_call(arch_regs *, u64 pc, long nr, const u64 args[6]);
s64 arch_call_result(const arch_regs *);
/* Registers of a thread that enters the blob at entry: blob_run(arena, index) on this stack. */
void arch_aim_entry(arch_regs *, u64 entry, u64 arena, u64 index, u64 stack_top);
/* Leaves this program: the calling task becomes one of the blob, as arch_aim_entry() would make it. */
__attribute__((noreturn)) void arch_enter(u64 entry, u64 arena, u64 index, u64 stack_top);
/* Offset of a system call instruction in code, or -1. */
s64 arch_find_syscall(const void *code, size_t len);
/* First address above what a task of this address space size may map. */
u64 arch_task_size(void);
/* The extended register set: note type for PTRACE_GETREGSET, and the largest size it can have here. */
int arch_extended_note(void);
size_t arch_extended_size(void);
const char *arch_name(void);
