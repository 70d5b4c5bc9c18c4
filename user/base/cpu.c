// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice of the CPU that ckpt runs on. */
#include "base/cpu.h"
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static void keep_here(struct cpu_stay *stay, pid_t tid)
{
	u64 here[CPU_ROOM / 64] = { 0 };
	unsigned cpu;
	stay->len = 0;
	if (getcpu(&cpu, NULL) < 0 || cpu >= CPU_ROOM)
		return;
	long len = syscall(SYS_sched_getaffinity, tid, sizeof stay->before, stay->before);
	here[cpu / 64] = 1ull << cpu % 64;
	if (len > 0 && syscall(SYS_sched_setaffinity, tid, sizeof here, here) == 0)
		stay->len = len;
}

void cpu_stay(struct cpu_stay *stay) { keep_here(stay, 0); }

void cpu_bring(struct cpu_stay *stay, pid_t tid, const struct cpu_stay *own)
{
	stay->len = 0;
	if (own->len)
		keep_here(stay, tid);
}

int cpu_release(struct cpu_stay *stay, pid_t tid)
{
	long r = stay->len ? syscall(SYS_sched_setaffinity, tid, stay->len, stay->before) : 0;
	stay->len = 0;
	return r < 0 ? neg_errno() : 0;
}
