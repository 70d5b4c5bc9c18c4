/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Staying on one CPU: two tasks that wait for each other by turns hand over without an interrupt of another CPU, which costs
 * more than the work of a small restore wherever CPUs are virtual. */
#pragma once
#include "base/base.h"
#include <sys/types.h>

#define CPU_ROOM 8192
struct cpu_stay {
	u64 before[CPU_ROOM / 64];
	long len;   /* bytes of it that sched_setaffinity(2) takes back; 0: nothing was changed */
	int policy; /* that the thread had before it gave way, with its flag; 0: SCHED_OTHER */
	bool gives_way;
};
/* Keeps the calling thread, and what it makes from now on, on the CPU where it runs. Where that is not permitted nothing is
 * changed. */
void cpu_stay(struct cpu_stay *);
/* From now on who wakes the calling thread, which stays, goes on until he sleeps himself. What it makes meanwhile does so, too. */
void cpu_give_way(struct cpu_stay *);
/* Brings another thread to this CPU too, when ckpt stays on one. */
void cpu_bring(struct cpu_stay *, pid_t tid, const struct cpu_stay *own);
/* Lets the thread go where it might before; 0: the caller. May be called again. -errno. */
int cpu_release(struct cpu_stay *, pid_t tid);
static inline void cpu_leave(struct cpu_stay *stay) { cpu_release(stay, 0); }
#define _cleanup_cpu_ _cleanup_(cpu_leave)
