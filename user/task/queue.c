// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the look into signal queues. */
#include "task/queue.h"
#include "diag/diag.h"
#include <sys/ptrace.h>

int queue_peek(pid_t tid, bool of_process, u64 at, siginfo_t *ret, size_t room)
{
	struct __ptrace_peeksiginfo_args args = { .off = at,
						  .flags = of_process ? PTRACE_PEEKSIGINFO_SHARED : 0,
						  .nr = (int)room };
	long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, ret);
	return n < 0 ? fail(SYSCALL, neg_errno(), "ptrace(PTRACE_PEEKSIGINFO, %d)", (int)tid) : (int)n;
}
