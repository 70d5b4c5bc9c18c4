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
	*stay = (struct cpu_stay){ .len = 0 };
	if (getcpu(&cpu, NULL) < 0 || cpu >= CPU_ROOM)
		return;
	long len = syscall(SYS_sched_getaffinity, tid, sizeof stay->before, stay->before);
	here[cpu / 64] = 1ull << cpu % 64;
	if (len > 0 && syscall(SYS_sched_setaffinity, tid, sizeof here, here) == 0)
		stay->len = len;
}

void cpu_stay(struct cpu_stay *stay) { keep_here(stay, 0); }

/* kernel/sched/fair.c, check_preempt_wakeup_fair(): none of SCHED_BATCH takes the place of who runs. */
void cpu_give_way(struct cpu_stay *stay)
{
	int policy = sched_getscheduler(0);
	if (!stay->len || stay->gives_way || policy < 0 || (policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER)
		return;
	stay->policy = policy;
	stay->gives_way = sched_setscheduler(0, SCHED_BATCH | (policy & SCHED_RESET_ON_FORK), &(struct sched_param){ 0 }) == 0;
}

void cpu_bring(struct cpu_stay *stay, pid_t tid, const struct cpu_stay *own)
{
	*stay = (struct cpu_stay){ .len = 0 };
	if (own->len)
		keep_here(stay, tid);
}

int cpu_release(struct cpu_stay *stay, pid_t tid)
{
	long r = stay->len ? syscall(SYS_sched_setaffinity, tid, stay->len, stay->before) : 0;
	stay->len = 0;
	if (stay->gives_way)
		sched_setscheduler(0, stay->policy, &(struct sched_param){ 0 });
	stay->gives_way = false;
	return r < 0 ? neg_errno() : 0;
}
