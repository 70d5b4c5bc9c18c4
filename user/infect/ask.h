/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts that only a process itself can tell, where eBPF is not permitted: its threads are hijacked one after the other. */
#pragma once
#include "infect/hijack.h"
#include "record.h"

/* What is asked about one frozen process. */
struct ask {
	struct tree_process *process;
	struct record_task *tasks;      /* one per thread of the process, in its order; groups that are not known are asked */
	struct record_sighand *sighand; /* to be filled; NULL: known already */
	bool want_timers;               /* shall timers be asked? */
	struct record_timer *timers;    /* out: malloc'ed, by id */
	size_t timer_count;
};

/* Fills in KNOWN_ALTSTACK, CLEAR_TID, PRCTL, SECUREBITS of every thread and KNOWN_ITIMERS, MM_BRK, THP_MDWE, MEMBARRIER (in
 * every thread's record), the signal actions and the timers of the process. When everything is known already, no code is
 * run. A process that must not be hijacked: negative errno, warned, nothing changed. What a kernel cannot tell stays
 * unknown. */
int ask_process(struct ask *);
