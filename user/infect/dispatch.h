/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Syscall user dispatch of a stopped thread: the kernel hands its system calls to a handler of its own
 * (PR_SET_SYSCALL_USER_DISPATCH(2const), Linux 5.11). */
#pragma once
#include "base/base.h"
#include <sys/types.h>

struct dispatch {
	bool on;
	bool inside;       /* calls from the range are handed over; else those from anywhere but the range (Linux 6.16) */
	u64 start, length; /* addresses of the range */
	u64 selector;      /* address of the byte that says whether any are; 0: always */
};

/* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG; -EIO or -EINVAL where the kernel lacks it. */
int dispatch_get(pid_t tid, struct dispatch *ret);
/* PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG: from then on the thread makes no call for its tracer. -EINVAL: not a range, or one
 * of a kind that this kernel does not have. */
int dispatch_set(pid_t tid, const struct dispatch *);
/* Does prctl(2) take such a range? */
bool dispatch_is_range(bool inside, u64 start, u64 length);
/* Does the kernel here have ranges that are handed over? */
bool dispatch_knows_inside(void);
