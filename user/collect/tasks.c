// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the objects of the tree: processes and threads with their registers. */
#include "arch/arch.h"
#include "base/file.h"
#include "collect/collect_internal.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "task/rseq.h"
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

/* When the call of a restart block ends; false when the record does not tell. The registers have said that there is one. */
static bool restart_end(const struct record_task *t, enum restart_call restart, const struct arch_call *call, s64 *ret_expires,
			clockid_t *ret_clock)
{
	*ret_clock = CLOCK_MONOTONIC;
	switch (restart) {
	case RESTART_NANOSLEEP:
		*ret_expires = (s64)t->restart_nanosleep_expires;
		*ret_clock = t->restart_nanosleep_clock;
		return true;
	case RESTART_POLL:
		*ret_expires = (s64)(t->restart_poll_seconds * 1000000000u + t->restart_poll_nanoseconds);
		return t->restart_poll_has_timeout;
	case RESTART_FUTEX:
		*ret_expires = (s64)t->restart_futex_time;
		/* the block's own flags have other values in every few kernels */
		if (call->arg[1] & FUTEX_CLOCK_REALTIME)
			*ret_clock = CLOCK_REALTIME;
		return true;
	default:
		return false;
	}
}

static enum restart_call restart_of_nr(const struct record_task *t, long nr)
{
	switch (nr) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return RESTART_NANOSLEEP;
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
		return RESTART_POLL;
	case SYS_futex:
		return RESTART_FUTEX;
	case SYS_restart_syscall:
		return t->restart_call;
	}
	return RESTART_UNKNOWN;
}

/* restart_syscall(2) does not say what it restarts: the restart block's function does. */
static long true_call(const struct record_task *t, const struct arch_call *call)
{
	if (call->nr != SYS_restart_syscall)
		return call->nr;
	long nr = rearm_call_number(t->restart_call, call);
	return nr < 0 ? call->nr : nr;
}

static int thread_call(struct collector *c, Ckpt__Thread *m, const struct record_task *t, struct remote_home *home)
{
	struct arch_call call = home->call;
	if (!call.interrupted)
		return 0;
	call.nr = true_call(t, &call);
	arch_set_call_number(&home->regs, call.nr);
	m->call = MESSAGE_NEW(Ckpt__InterruptedCall, ckpt__interrupted_call);
	if (!m->call)
		return fail_memory();
	SET(m->call, nr, (u32)call.nr);
	SET(m->call, code, (u32)call.code);
	s64 expires;
	clockid_t clock;
	enum restart_call restart = restart_of_nr(t, call.nr);
	if (call.code == 516 && restart == RESTART_POLL && t->known & KNOWN_RESTART && !t->restart_poll_has_timeout)
		SET(m->call, endless, true);
	if (call.code != 516 || !(t->known & KNOWN_RESTART) || !restart_end(t, restart, &call, &expires, &clock))
		return 0;
	s64 now, left;
	int r = collect_kernel_clock(c, clock, &now);
	if (r < 0)
		return r;
	left = expires - now;
	SET(m->call, expires, (u64)expires);
	SET(m->call, clock, clock);
	SET(m->call, left, (u64)MAX(left, (s64)0));
	return 0;
}

/* A thread inside a critical section is taken to its abort handler: the section must not go on after a restore. There are no
 * system calls in one (rseq(2)). */
static int thread_abort_rseq(Ckpt__Thread *m, const struct record_task *t, struct remote_home *home)
{
	struct rseq_area area = { t->rseq, t->rseq_len, t->rseq_sig };
	u64 from = 0;
	int r = t->rseq && !home->call.interrupted ? rseq_abort_fix((pid_t)t->tid, &home->regs, &area, &from) : 0;
	if (r == 0 && from) {
		SET(m->rseq, aborted_from, from);
		home->call.interrupted = false;
	}
	return r;
}

static int find_home(const struct tree_thread *thread, struct remote_home *ret)
{
	WORKING_ON_THREAD(thread->tid);
	int r = thread->stopped ? remote_freeze_point(thread->tid, thread->held, ret) : 0;
	return r < 0 ? fail(TASK_RACED, r, "reading its registers") : 0;
}

int collect_homes(struct collector *c)
{
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		for (size_t k = 0; k < p->threads.n; k++) {
			struct remote_home *home = vector_add(&c->homes);
			int r = home ? find_home(&p->threads.v[k], home) : fail_memory();
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int thread_registers(struct collector *c, Ckpt__Thread *m, const struct record_task *t, const struct tree_thread *tt)
{
	struct remote_home home;
	size_t at = (size_t)(t - c->facts.tasks.v);
	int r = at < c->homes.n ? 0 : find_home(tt, &home);
	if (r < 0)
		return r;
	if (at < c->homes.n)
		home = c->homes.v[at];
	r = thread_abort_rseq(m, t, &home);
	if (r == 0)
		r = thread_call(c, m, t, &home);
	if (r < 0)
		return r;
	SET(m, pc, arch_pc(&home.regs));
	SET(m, sp, arch_sp(&home.regs));
	size_t room = arch_extended_size(), len;
	_cleanup_free_ void *extended = malloc(room);
	if (!extended)
		return fail_memory();
	r = remote_get_extended((pid_t)t->tid, extended, room, &len, &c->components);
	if (r < 0)
		return fail(TASK_RACED, r, "reading its extended registers");
	bool done = message_set_bytes(&m->registers, &home.regs, sizeof home.regs) &&
		    message_set_bytes(&m->extended, extended, len);
	m->has_registers = m->has_extended = done;
	return done ? 0 : fail_memory();
}

static int thread_fields(Ckpt__Thread *m, const struct record_task *t)
{
	SET(m, tid, t->tid);
	SET(m, pid, t->tgid);
	if (!message_set_string(&m->comm, t->comm))
		return fail_memory();
	if (t->known & KNOWN_SIGMASK)
		SET(m, sigmask, t->sigmask);
	if (t->known & KNOWN_ROBUST)
		SET(m, robust_list, t->robust_list);
	if (t->known & KNOWN_CLEAR_TID)
		SET(m, clear_child_tid, t->clear_child_tid);
	if (t->known & KNOWN_ALTSTACK) {
		m->altstack = MESSAGE_NEW(Ckpt__Altstack, ckpt__altstack);
		if (!m->altstack)
			return fail_memory();
		SET(m->altstack, sp, t->altstack_sp);
		SET(m->altstack, size, t->altstack_size);
		SET(m->altstack, flags, t->altstack_flags);
	}
	if (t->known & KNOWN_RSEQ) {
		m->rseq = MESSAGE_NEW(Ckpt__Rseq, ckpt__rseq);
		if (!m->rseq)
			return fail_memory();
		SET(m->rseq, address, t->rseq);
		SET(m->rseq, length, t->rseq_len);
		SET(m->rseq, signature, t->rseq_sig);
	}
	return 0;
}

/* Of a thread that runs: nothing tells whether the call that wrote it is over. */
static int thread_restart_block(Ckpt__Thread *m, const struct record_task *t)
{
	static const char *const calls[] = {
		[RESTART_NONE] = "none", [RESTART_NANOSLEEP] = "nanosleep", [RESTART_POLL] = "poll", [RESTART_FUTEX] = "futex"
	};
	const char *call = t->known & KNOWN_RESTART && t->restart_call < ARRAY_SIZE(calls) ? calls[t->restart_call] : NULL;
	if (!call)
		return 0;
	m->restart_block = MESSAGE_NEW(Ckpt__RestartBlock, ckpt__restart_block);
	if (!m->restart_block || !message_set_string(&m->restart_block->call, call))
		return fail_memory();
	s64 expires;
	clockid_t clock;
	if (restart_end(t, t->restart_call, &(struct arch_call){ 0 }, &expires, &clock)) {
		SET(m->restart_block, expires, (u64)expires);
		if (t->restart_call != RESTART_FUTEX) /* its clock is known to the call only */
			SET(m->restart_block, clock, clock);
	}
	return 0;
}

static int add_thread(struct collector *c, const struct record_task *t, const struct tree_thread *tt)
{
	WORKING_ON_THREAD(t->tid);
	struct object *o = graph_add(c->graph, &kind_thread, t->tid);
	if (!o)
		return fail_memory();
	int r = thread_fields(o->data, t);
	if (r < 0)
		return r;
	return tt->stopped ? thread_registers(c, o->data, t, tt) : thread_restart_block(o->data, t);
}

static const char *state_name(const struct tree_process *p)
{
	return p->state == 'Z' ? "zombie" : p->threads.n && p->threads.v[0].stop_signal ? "stopped" : "running";
}

static int read_stat(const struct tree_process *p, struct record_task *ret)
{
	_cleanup_text_ struct text stat = { 0 };
	*ret = (struct record_task){ 0 };
	int r = file_read_once(p->proc, "stat", &stat);
	if (r == 0)
		r = parse_stat(stat.data, ret);
	return r < 0 ? fail(TASK_RACED, r, "reading its state") : 0;
}

/* The kernel keeps the signal of a stop until a wait of the parent has taken it, and shows it where the exit status of a dead
 * process is (kernels before 5.18 do not: there the parent is taken to know). */
static int add_stop(Ckpt__Task *m, const struct tree_process *p)
{
	struct record_task t;
	SET(m, stop_signal, (u32)p->threads.v[0].stop_signal);
	int r = p->ppid ? read_stat(p, &t) : 0;
	if (r == 0 && p->ppid && t.exit_code)
		SET(m, stop_unseen, t.exit_code);
	return r;
}

/* What a parent will see of it; the file of the process, not that of its thread, knows the status of all of its threads. */
static int add_zombie(Ckpt__Task *m, const struct tree_process *p)
{
	_cleanup_text_ struct text status = { 0 };
	struct record_task t;
	int r = read_stat(p, &t);
	if (r < 0)
		return r;
	r = file_read_once(p->proc, "status", &status);
	if (r == 0)
		r = parse_status(status.data, &t);
	if (r < 0)
		return fail(TASK_RACED, r, "reading what it has left");
	SET(m, exit_code, t.exit_code);
	SET(m, uid, t.uid);
	return message_set_string(&m->comm, t.comm) ? 0 : fail_memory();
}

static int read_status(const struct tree_process *p, pid_t tid, struct record_task *ret)
{
	_cleanup_text_ struct text status = { 0 };
	int r = file_readf(&status, p->proc, "task/%d/status", (int)tid);
	return r < 0 ? r : parse_status(status.data, ret);
}

static bool same_rights(const struct record_task *a, const struct record_task *b)
{
	size_t from = offsetof(struct record_task, uid), to = offsetof(struct record_task, cap_ambient) + sizeof a->cap_ambient;
	return !memcmp((const char *)a + from, (const char *)b + from, to - from);
}

/* What is left of a leader that others outlive: nobody is told of its end before theirs. *t, the record of the first thread, gets what
 * the kernel keeps with the leader. */
static int add_ended_leader(const struct collector *c, Ckpt__Task *m, const struct tree_process *p, struct record_task *t)
{
	_cleanup_text_ struct text stat = { 0 };
	struct record_task leader = { 0 }, first = { 0 };
	if (caps_lacks(c->config->caps, CAN_PIDFD_THREAD)) {
		if (!c->config->live)
			return fail(LEADER_FILES, 0, "its threads have its descriptors");
		SET(m, leader_hidden, true);
	}
	int r = file_readf(&stat, p->proc, "task/%d/stat", (int)p->pid);
	if (r == 0)
		r = parse_stat(stat.data, &leader);
	if (r == 0)
		r = read_status(p, p->pid, &leader);
	if (r == 0)
		r = read_status(p, tree_first(p), &first);
	if (r < 0)
		return fail(TASK_RACED, r, "reading what its leader has left");
	SET(m, leader_exit, leader.exit_code);
	if (!same_rights(&leader, &first))
		SET(m, leader_apart, true);
	t->exit_signal = leader.exit_signal;
	t->start_time = leader.start_time;
	return message_set_string(&m->comm, leader.comm) ? 0 : fail_memory();
}

static int add_tids(Ckpt__Task *m, const struct tree_process *p, const struct record_task *t)
{
	SET(m, mm, (u32)p->pid);
	SET(m, fds, (u32)p->pid);
	int r = p->threads.n && p->threads.v[0].stop_signal ? add_stop(m, p) : 0;
	if (r < 0)
		return r;
	for (size_t k = 0; k < p->threads.n; k++)
		if (!MESSAGE_APPEND(&m->n_tid, &m->tid, t[k].tid))
			return fail_memory();
	return 0;
}

static int add_task(struct collector *c, const struct tree_process *p, const struct record_task *t)
{
	struct object *o = graph_add(c->graph, &kind_task, (u32)p->pid);
	if (!o)
		return fail_memory();
	Ckpt__Task *m = o->data;
	SET(m, pid, (u32)p->pid);
	SET(m, ppid, (u32)p->ppid);
	if (!p->ppid)
		SET(m, parent_outside, t->ppid);
	bool group = false, session = false;
	int r = kin_outside(c, t->pgid, &group);
	if (r == 0)
		r = kin_outside(c, t->sid, &session);
	if (r < 0)
		return r;
	SET(m, pgid, group ? 0 : t->pgid);
	SET(m, sid, session ? 0 : t->sid);
	if (group)
		SET(m, group_outside, t->pgid);
	if (session)
		SET(m, session_outside, t->sid);
	struct record_task lead = *t;
	r = p->leader_ended ? add_ended_leader(c, m, p, &lead) : 0;
	if (r < 0)
		return r;
	SET(m, exit_signal, lead.exit_signal);
	SET(m, start_time, lead.start_time);
	if (!message_set_string(&m->state, state_name(p)))
		return fail_memory();
	return p->state == 'Z' ? add_zombie(m, p) : add_tids(m, p, t);
}

int collect_tasks(struct collector *c)
{
	size_t at = 0;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		const struct record_task *t = &c->facts.tasks.v[at];
		at += p->threads.n;
		WORKING_ON_TASK(p->pid);
		int r = add_task(c, p, t);
		for (size_t k = 0; r == 0 && p->state != 'Z' && k < p->threads.n; k++)
			r = add_thread(c, &t[k], &p->threads.v[k]);
		if (r < 0)
			return r;
	}
	return 0;
}
