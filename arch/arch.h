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
/* Offset of a system call instruction in code, or -1. */
s64 arch_find_syscall(const void *code, size_t len);
/* First address above what a task of this address space size may map. */
u64 arch_task_size(void);
/* The extended register set: note type for PTRACE_GETREGSET, and the largest size it can have here. */
int arch_extended_note(void);
size_t arch_extended_size(void);
const char *arch_name(void);
