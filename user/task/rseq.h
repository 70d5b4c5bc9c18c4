/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restartable sequences of stopped threads. */
#pragma once
#include "arch/arch.h"

/* The registration of a thread; address 0: none. */
struct rseq_area {
	u64 address;
	u32 length, signature;
};

/* PTRACE_GET_RSEQ_CONFIGURATION; -EIO or -EINVAL where the kernel lacks it. */
int rseq_get_area(pid_t tid, struct rseq_area *ret);

/* A thread that was stopped inside of a critical section must not go on in it once anything else ran in the thread:
 * the kernel forgets the section then. Moves the registers (not the thread's, the copy) to the abort handler as the kernel
 * would do; *ret_aborted_from: the pc that was left, or 0 when the thread was outside. Call it before any code runs in the
 * thread; then set the registers. Fails (reported) when the section is not a valid one. */
int rseq_abort_fix(pid_t tid, arch_regs *, const struct rseq_area *, u64 *ret_aborted_from);

/* Did GLIBC_TUNABLES turn off rseq when the process of this /proc directory was started? */
bool rseq_is_off(int proc);
