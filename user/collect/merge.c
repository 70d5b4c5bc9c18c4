// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns merging a task record of one source into that of another, group by group. */
#include "collect/source.h"

struct group_row {
	u64 known;
	size_t from, to;
};
#define FIELDS(bit, first, last)                                                                                               \
	{                                                                                                                      \
		KNOWN_##bit, offsetof(struct record_task, first),                                                              \
			offsetof(struct record_task, last) + sizeof(((struct record_task *)0)->last)                           \
	}
#define ONE(bit, field) FIELDS(bit, field, field)

static const struct group_row groups[] = {
	FIELDS(IDS, tid, exit_signal),
	ONE(PERSONALITY, personality),
	FIELDS(IDS, ptraced, comm),
	ONE(IDS, start_time),
	FIELDS(IDENTITY, mm_id, cred_id),
	FIELDS(IDENTITY, sysvsem_id, fs_users),
	ONE(MM_EXTRA, map_count),
	ONE(IDENTITY, max_fds),
	ONE(SECCOMP_ID, seccomp_id),
	ONE(NS, ns),
	FIELDS(CREDS, uid, cap_ambient),
	FIELDS(CREDS, no_new_privs, keyrings),
	ONE(LANDLOCK, landlock),
	ONE(SECUREBITS, securebits),
	ONE(SIGMASK, sigmask),
	FIELDS(PENDING, pending, shared_pending),
	FIELDS(ALTSTACK, altstack_sp, altstack_flags),
	FIELDS(RSEQ, rseq_len, rseq_sig),
	ONE(RSEQ, rseq),
	ONE(UMASK, umask),
	ONE(ROBUST, robust_list),
	ONE(CLEAR_TID, clear_child_tid),
	FIELDS(RESTART, restart_call, restart_futex_val),
	FIELDS(ITIMERS, itimer_value, itimer_interval),
	FIELDS(MM, start_code, start_brk),
	FIELDS(MM, start_stack, env_end),
	ONE(MM_BRK, brk),
	ONE(VDSO, vdso),
	ONE(MM_EXTRA, mm_flags),
	ONE(PRCTL, dumpable),
	FIELDS(THP_MDWE, thp_disable, memory_merge),
	FIELDS(PRCTL, pdeath_signal, subreaper),
	ONE(PRCTL, timer_slack),
	FIELDS(SECCOMP, seccomp_mode, seccomp_filters),
	FIELDS(SUD, sud_selector, sud_on),
	ONE(OOM, oom_score_adj),
	FIELDS(CONTROLS, tsc, l1d_flush),
	ONE(MEMBARRIER, membarrier),
	ONE(LDT, has_ldt),
	ONE(LOCKS, future_locks),
	FIELDS(MM_EXTRA, has_aio, pkeys),
	ONE(IO_URING, has_io_uring),
	ONE(NUMA, has_mempolicy),
	FIELDS(PORTS, has_port_map, io_level),
	ONE(TTY, has_tty),
	FIELDS(NS_OURS, ns_ours, time_for_children),
	FIELDS(GROUPS, ngroups, groups),
};

void record_merge(struct record_task *to, const struct record_task *from)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (from->known & groups[i].known)
			memcpy((char *)to + groups[i].from, (const char *)from + groups[i].from, groups[i].to - groups[i].from);
	to->known |= from->known;
}

int facts_merge_task(struct facts *facts, const struct record_task *from)
{
	struct record_task *to = facts_task(facts, from->tid);
	if (!to)
		to = facts_add_task(facts, from->tid);
	if (!to)
		return -ENOMEM;
	record_merge(to, from);
	return 0;
}
