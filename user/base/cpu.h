/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Staying on one CPU: two tasks that wait for each other by turns hand over without an interrupt of another CPU, which costs
 * more than the work of a small restore wherever CPUs are virtual. */
#pragma once
#include "base/base.h"

#define CPU_ROOM 8192
struct cpu_stay {
	u64 before[CPU_ROOM / 64];
	long len; /* bytes of it that sched_setaffinity(2) takes back; 0: nothing was changed */
};
/* Keeps the calling thread, and what it makes from now on, on the CPU where it runs. Where that is not permitted nothing is
 * changed. */
void cpu_stay(struct cpu_stay *);
void cpu_leave(struct cpu_stay *); /* as before; may be called again */
#define _cleanup_cpu_ _cleanup_(cpu_leave)
