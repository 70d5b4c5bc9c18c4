// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the raw fields of a task mean: ids, states, masks, times left. */
#include "collect/bpf_internal.h"
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <signal.h>

#define SS_AUTODISARM_BIT (1u << 31)

u32 bpf_pid_seen(const struct record_pid *reader, const struct record_pid *pid)
{
	return pid->level >= reader->level && pid->id.ns == reader->id.ns ? pid->id.nr : 0;
}

u32 bpf_process_of(const struct facts *facts, u64 signal_id)
{
	for (size_t i = 0; i < facts->tasks.n; i++) {
		const struct record_task *t = &facts->tasks.v[i];
		if (facts_leads(facts, i) && t->signal_id == signal_id && t->known & KNOWN_IDENTITY)
			return t->tgid;
	}
	return 0;
}

/* TASK_* and EXIT_* of include/linux/sched.h as /proc/PID/stat writes them. */
static u32 state_letter(u32 state, u32 exit_state)
{
	static const struct {
		u32 bits;
		char letter;
	} rows[] = { { 0x402, 'I' }, { 1, 'S' }, { 2, 'D' }, { 4, 'T' }, { 8, 't' } };

	if (exit_state)
		return exit_state & 0x20 ? 'Z' : 'X';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((state & rows[i].bits) == rows[i].bits)
			return (u32)rows[i].letter;
	return state ? 'X' : 'R';
}

/* mm->membarrier_state has two bits per command, "ready" and "registered" (include/linux/sched/mm.h). */
static u32 membarrier_registrations(u32 state)
{
	static const struct {
		u32 state, command;
	} rows[] = {
		{ 1 << 1, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
		{ 1 << 3, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
		{ 1 << 5, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
		{ 1 << 7, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
	};
	u32 commands = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (state & rows[i].state)
			commands |= rows[i].command;
	return commands;
}

/* A timer that is about to expire has 1 ns left: 0 would mean disarmed. */
static u64 time_left(u64 expires, u64 now) { return expires > now ? expires - now : 1; }

static void decode_itimers(const struct record_task_raw *raw, struct record_task *t)
{
	u64 interval = t->itimer_interval[0];

	t->itimer_value[0] = 0;
	if (raw->real_queued)
		t->itimer_value[0] = time_left(raw->real_expires, raw->now);
	else if (interval) /* its signal is queued; the kernel arms it again when that is taken */
		t->itimer_value[0] = interval - (raw->now > raw->real_expires ? (raw->now - raw->real_expires) % interval : 0);
	t->itimer_value[1] = raw->virt_expires ? time_left(raw->virt_expires, raw->cpu_user) : 0;
	t->itimer_value[2] = raw->prof_expires ? time_left(raw->prof_expires, raw->cpu_user + raw->cpu_system) : 0;
}

static void decode_mm(const struct record_task_raw *raw, const struct record_config *config, struct record_task *t)
{
	if (!t->mm_id) { /* a zombie */
		t->known &= ~(u64)(KNOWN_MM | KNOWN_MM_BRK | KNOWN_VDSO | KNOWN_MM_EXTRA | KNOWN_MEMBARRIER | KNOWN_LDT |
				   KNOWN_LOCKS);
		return;
	}
	t->membarrier = membarrier_registrations(t->membarrier);
	t->future_locks = bpf_vma_flags(raw->def_flags) & (VMA_LOCKED | VMA_LOCKONFAULT);
	if (!config->calibrated)
		return;
	t->thp_disable = t->mm_flags & config->thp_advised_mask ? 3 : t->mm_flags & config->thp_disable_mask ? 1 : 0;
	t->mdwe = (t->mm_flags & config->mdwe_mask ? 1 : 0) | (t->mm_flags & config->mdwe_no_inherit_mask ? 2 : 0);
	t->memory_merge = config->merge_mask && (t->mm_flags & config->merge_mask) == config->merge_mask;
	t->known |= KNOWN_THP_MDWE;
}

/* PFA_SPEC_* of include/linux/sched.h, by which the kernel answers PR_GET_SPECULATION_CTRL. */
static void decode_controls(const struct record_task_raw *raw, const struct record_config *config, struct record_task *t)
{
	enum { SSB_DISABLE = 1 << 3, SSB_FORCE = 1 << 4, IB_DISABLE = 1 << 5, IB_FORCE = 1 << 6, SSB_NOEXEC = 1 << 7 };
	u64 f = raw->atomic_flags;
	if (!(t->known & KNOWN_CONTROLS))
		return;
	t->store_bypass = f & SSB_FORCE     ? PR_SPEC_FORCE_DISABLE
			  : f & SSB_NOEXEC  ? PR_SPEC_DISABLE_NOEXEC
			  : f & SSB_DISABLE ? PR_SPEC_DISABLE
					    : PR_SPEC_ENABLE;
	t->indirect_branch = f & IB_FORCE ? PR_SPEC_FORCE_DISABLE : f & IB_DISABLE ? PR_SPEC_DISABLE : PR_SPEC_ENABLE;
	if (config->tsc_mask)
		t->tsc = raw->thread_flags & config->tsc_mask ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
	if (config->l1d_flush_mask)
		t->l1d_flush = raw->thread_flags & config->l1d_flush_mask ? PR_SPEC_ENABLE : PR_SPEC_DISABLE;
}

static void decode_landlock(const struct record_task_raw *raw, const struct record_config *config, struct record_task *t)
{
	bool nowhere = config->landlock_at == LANDLOCK_NOWHERE;
	u32 at = config->landlock_at - 1;
	if (!nowhere && (at >= RECORD_SECURITY_WORDS || raw->security_bad || raw->reader_security_bad))
		return;
	if (nowhere || !raw->security[at])
		t->landlock = LANDLOCK_FREE;
	else
		t->landlock = raw->security[at] == raw->reader_security[at] ? LANDLOCK_OURS : LANDLOCK_CONFINED;
	t->known |= KNOWN_LANDLOCK;
}

static void decode_groups(const struct record_task_raw *raw, struct record_task *t)
{
	if (!(t->known & KNOWN_CREDS) || t->ngroups > RECORD_GROUPS || (t->ngroups && raw->groups_bad))
		return;
	memset(t->groups + t->ngroups, 0, (RECORD_GROUPS - t->ngroups) * sizeof(t->groups[0]));
	t->known |= KNOWN_GROUPS;
}

void bpf_decode_task(const struct record_task_raw *raw, const struct record_config *config, struct record_task *ret)
{
	struct record_task *t = ret;

	*t = raw->task;
	t->tid = bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_SELF]);
	t->tgid = bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_PROCESS]);
	t->ppid = bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_PARENT]);
	t->pgid = bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_GROUP]);
	t->sid = bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_SESSION]);
	t->ns_level = raw->pids[RECORD_PID_SELF].level - raw->reader.level;
	size_t len = strnlen(t->comm, sizeof(t->comm)); /* the kernel leaves an older, longer name behind the end */
	memset(t->comm + len, 0, sizeof(t->comm) - len);
	t->state = state_letter(raw->state, raw->exit_state);
	t->ptraced = t->ptraced ? bpf_pid_seen(&raw->reader, &raw->pids[RECORD_PID_TRACER]) : 0;
	t->has_timers = t->has_timers != 0;
	t->altstack_flags = (t->altstack_size ? 0 : (u32)SS_DISABLE) | (t->altstack_flags & SS_AUTODISARM_BIT);
	t->sud_on = t->sud_selector || t->sud_offset || t->sud_len;
	if (raw->has_restore_sigmask) {
		t->sigmask = raw->restore_sigmask ? raw->saved_sigmask : raw->blocked;
		t->known |= KNOWN_SIGMASK;
	}
	if (!t->fs_id) /* a zombie */
		t->known &= ~(u64)(KNOWN_UMASK | KNOWN_NS);
	decode_itimers(raw, t);
	decode_groups(raw, t);
	decode_controls(raw, config, t);
	decode_landlock(raw, config, t);
	if (raw->session_keyring && raw->session_keyring != raw->reader_session_keyring)
		t->keyrings |= KEYRING_SESSION;
	decode_mm(raw, config, t);
}
