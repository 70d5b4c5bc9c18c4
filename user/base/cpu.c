// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice of the CPU that ckpt runs on. */
#include "base/cpu.h"
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

void cpu_stay(struct cpu_stay *stay)
{
	u64 here[CPU_ROOM / 64] = { 0 };
	unsigned cpu;
	stay->len = 0;
	if (getcpu(&cpu, NULL) < 0 || cpu >= CPU_ROOM)
		return;
	long len = syscall(SYS_sched_getaffinity, 0, sizeof stay->before, stay->before);
	here[cpu / 64] = 1ull << cpu % 64;
	if (len > 0 && syscall(SYS_sched_setaffinity, 0, sizeof here, here) == 0)
		stay->len = len;
}

void cpu_leave(struct cpu_stay *stay)
{
	if (stay->len)
		syscall(SYS_sched_setaffinity, 0, stay->len, stay->before);
	stay->len = 0;
}
