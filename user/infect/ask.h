/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts that only a process itself can tell, where eBPF is not permitted: its threads are hijacked one after the other. */
#pragma once
#include "infect/hijack.h"
#include "record.h"

#define ASK_CALLS 256

/* The questions to one thread as data, with where their answers are: a hijack runs them, or a plan. Pointers are
 * HIJACK_ARENA + offset into data. */
struct ask_of_thread {
	size_t altstack, clear_tid, securebits, pdeath, subreaper, slack, dumpable, personality;
	size_t tsc, speculation[3]; /* of PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH */
	size_t mempolicy;
	u64 altstack_at, clear_tid_at, pdeath_at, subreaper_at, tsc_at, mempolicy_at;
};
struct ask_of_process {
	size_t thp, mdwe, merge, brk, membarrier, ldt, itimer[3], action[64];
	u64 itimer_at[3], action_at;
};
/* How a new mapping is. */
struct ask_of_page {
	size_t map, cold, resident;
	u64 resident_at;
};
struct ask_sheet {
	struct hijack_call calls[ASK_CALLS];
	size_t count, used; /* bytes of data that are given away */
	size_t needed;      /* so many calls are made or none; a filter may refuse those behind them */
	struct ask_of_thread thread;
	struct ask_of_process process;
	struct ask_of_page page; /* hijacks only */
	bool of_process;
	_Alignas(8) char data[HIJACK_ARENA_DATA];
};
void ask_sheet_fill(struct ask_sheet *, bool of_process);
/* What the results and the data say, for groups that are not known; sighand may be NULL. The record has its ids. */
void ask_sheet_take(const struct ask_sheet *, struct record_task *, struct record_sighand *sighand);

/* What is asked about one frozen process. */
struct ask {
	struct tree_process *process;
	struct record_task *tasks;      /* one per thread of the process, in its order; groups that are not known are asked */
	struct record_sighand *sighand; /* to be filled; NULL: known already */
	bool want_timers;               /* shall timers be asked? */
	struct record_timer *timers;    /* out: malloc'ed, by id */
	size_t timer_count;
};

/* Fills in KNOWN_ALTSTACK, CLEAR_TID, PRCTL, SECUREBITS, CONTROLS, NUMA of every thread and KNOWN_ITIMERS, MM_BRK, THP_MDWE, MEMBARRIER (in
 * every thread's record), the signal actions and the timers of the process. When everything is known already, no code is
 * run. A process that must not be hijacked: negative errno, warned, nothing changed. What a kernel cannot tell stays
 * unknown. */
int ask_process(struct ask *);
