// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns seccomp: the mode of a thread and its filters. They are installed before rights are given up (a thread may have
 * filters without no_new_privs), by a thread that is seized with PTRACE_O_SUSPEND_SECCOMP: the rest of the plan is not
 * subject to them, and they hold from the moment when ckpt lets the thread go. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "seccomp.pb-c.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define PROGRAM_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))
#define FILTERS_MAX 8192 /* the kernel allows 32768 instructions with four more for each filter */

/* linux/ptrace.h, which cannot be included together with sys/ptrace.h. */
#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif
#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA 0x420d
#endif
struct metadata {
	u64 index, flags;
};

static const struct kind kind_seccomp = { .name = "seccomp", .desc = &ckpt__seccomp__descriptor };

static const char *const modes[] = { "off", "strict", "filter" };

/* --- collect --- */

static int add_filter(Ckpt__Seccomp *m, const void *program, long len, bool log)
{
	Ckpt__SeccompFilter *f = MESSAGE_NEW(Ckpt__SeccompFilter, ckpt__seccomp_filter);
	if (!f || !MESSAGE_APPEND(&m->n_filter, &m->filter, f)) {
		free(f);
		return fail_memory();
	}
	f->has_program = message_set_bytes(&f->program, program, (size_t)len * sizeof(struct sock_filter));
	SET(f, log, log);
	return f->has_program ? 0 : fail_memory();
}

static int read_filter(u32 tid, u64 index, Ckpt__Seccomp *m)
{
	struct sock_filter program[BPF_MAXINSNS];
	struct metadata meta = { .index = index };
	long len = ptrace(PTRACE_SECCOMP_GET_FILTER, (pid_t)tid, index, program);
	if (len >= 0 && ptrace(PTRACE_SECCOMP_GET_METADATA, (pid_t)tid, sizeof meta, &meta) < 0)
		len = -1;
	if (len < 0)
		return errno == ENOENT ? -ENOENT : fail(SECCOMP_READ, neg_errno(), "filter %llu", (unsigned long long)index);
	return add_filter(m, program, len, meta.flags & SECCOMP_FILTER_FLAG_LOG);
}

static bool same_filters(const Ckpt__Seccomp *a, const Ckpt__Seccomp *b)
{
	if (a->n_filter != b->n_filter)
		return false;
	for (size_t i = 0; i < a->n_filter; i++) {
		const Ckpt__SeccompFilter *f = a->filter[i], *g = b->filter[i];
		if (f->log != g->log || f->program.len != g->program.len ||
		    memcmp(f->program.data, g->program.data, f->program.len))
			return false;
	}
	return true;
}

static void forget_filters(Ckpt__Seccomp *m)
{
	while (m->n_filter)
		ckpt__seccomp_filter__free_unpacked(m->filter[--m->n_filter], NULL);
	free(take_ptr(m->filter));
}

static int read_filters(struct collector *collector, const struct record_task *t, Ckpt__Seccomp *m)
{
	int err = 0;
	while ((err = read_filter(t->tid, m->n_filter, m)) >= 0)
		if (m->n_filter > FILTERS_MAX)
			return fail(SECCOMP_READ, -E2BIG, "more than %u filters", FILTERS_MAX);
	if (err != -ENOENT)
		return err;
	SET(m, filters, (u32)m->n_filter);
	u32 first = shape_first(collector_graph(collector), t->tgid);
	const Ckpt__Seccomp *leader = t->tid == first ? NULL : graph_data(collector_graph(collector), &kind_seccomp, first);
	if (!leader || !same_filters(leader, m))
		return 0;
	SET(m, as_leader, true);
	forget_filters(m);
	return 0;
}

static int seccomp_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Seccomp *m = object->data;
	WORKING_ON_THREAD(t->tid);
	if (!(t->known & KNOWN_SECCOMP))
		return 0;
	if (t->seccomp_mode >= ARRAY_SIZE(modes))
		return fail(SECCOMP_READ, -EPROTO, "mode %u", t->seccomp_mode);
	if (!message_set_string(&m->mode, modes[t->seccomp_mode]))
		return fail_memory();
	if (t->seccomp_mode != SECCOMP_MODE_FILTER)
		return 0;
	if (!collector_live(collector))
		return read_filters(collector, t, m);
	SET(m, filters, t->seccomp_filters);
	SET(m, live, true);
	return 0;
}

/* --- judge --- */

static bool is_mode(const Ckpt__Seccomp *m, unsigned mode) { return m->mode && !strcmp(m->mode, modes[mode]); }

static const Ckpt__Seccomp *leader_of(const struct graph *graph, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, tid);
	return thread ? graph_data(graph, &kind_seccomp, shape_first(graph, thread->pid)) : NULL;
}

/* A filter that answers SECCOMP_RET_USER_NOTIF asks a process that holds its listener, which cannot be made again. */
static int judge_filter(const Ckpt__SeccompFilter *f)
{
	const struct sock_filter *insn = (const void *)f->program.data;
	size_t n = f->program.len / sizeof *insn;
	if (!n || n > BPF_MAXINSNS || f->program.len % sizeof *insn)
		return fail(IMAGE_VALUE, 0, "seccomp filter of %zu bytes", f->program.len);
	for (size_t i = 0; i < n; i++)
		if (insn[i].code == (BPF_RET | BPF_K) && (insn[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return fail(SECCOMP_LISTENER, 0, "SECCOMP_RET_USER_NOTIF");
	return 0;
}

static int seccomp_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Seccomp *m = object->data, *leader = leader_of(graph, object->id);
	int err = 0;
	WORKING_ON_THREAD(object->id);
	if (!m->mode)
		return fail(SECCOMP_READ, 0, "its mode is not known");
	for (size_t i = 0; i < m->n_filter; i++)
		if (judge_filter(m->filter[i]) < 0)
			err = -EINVAL;
	size_t count = m->as_leader && leader ? leader->n_filter : m->n_filter;
	if ((m->as_leader && (!leader || leader == m)) || (!m->live && is_mode(m, SECCOMP_MODE_FILTER) && count != m->filters))
		err = fail(IMAGE_VALUE, 0, "%zu of %u seccomp filters", count, m->filters);
	return err;
}

/* --- plan --- */

static u32 plan_program(struct plan *plan, const Ckpt__SeccompFilter *f)
{
	struct sock_fprog prog = { .len = (unsigned short)(f->program.len / sizeof(struct sock_filter)) };
	u32 filter = plan_data(plan, f->program.data, f->program.len, 8);
	u32 data = plan_data(plan, &prog, sizeof prog, 8);
	plan_pointer(plan, data + offsetof(struct sock_fprog, filter), filter);
	return data;
}

/* SECCOMP_FILTER_FLAG_SPEC_ALLOW: what each thread was protected against is set for itself, and only that. */
static void plan_filters(struct plan *plan, struct place at, const Ckpt__Seccomp *m, u64 flags)
{
	for (size_t i = 0; i < m->n_filter; i++) {
		u64 log = m->filter[i]->log ? SECCOMP_FILTER_FLAG_LOG : 0;
		struct plan_step *step = plan_call(plan, at, SYS_seccomp, ARG(SECCOMP_SET_MODE_FILTER),
						   ARG(flags | log | SECCOMP_FILTER_FLAG_SPEC_ALLOW),
						   ARG_OF_DATA(plan_program(plan, m->filter[i])));
		step_expect(step, 0);
	}
}

/* Threads that share their filters must share them again: a later SECCOMP_FILTER_FLAG_TSYNC of the program demands it. */
static bool all_as_leader(const struct graph *graph, u32 pid)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	for (size_t i = 0; task && i < task->n_tid; i++) {
		const Ckpt__Seccomp *m = graph_data(graph, &kind_seccomp, task->tid[i]);
		if (i > 0 && !(m && m->as_leader))
			return false;
	}
	return task && task->n_tid > 1;
}

static int seccomp_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Seccomp *m = object->data;
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, object->id);
	struct place at = AT(object->id, STAGE_CREDS);
	u32 pid = thread ? thread->pid : object->id, maker = shape_maker(graph, object->id);
	if (is_mode(m, SECCOMP_MODE_DISABLED))
		return 0;
	plan_for(plan, "seccomp of thread %u", object->id);
	plan_gate(plan, at);
	if (is_mode(m, SECCOMP_MODE_STRICT))
		plan_call(plan, AT(object->id, STAGE_SECCOMP), SYS_seccomp, ARG(SECCOMP_SET_MODE_STRICT));
	else if (!all_as_leader(graph, pid))
		plan_filters(plan, at, m->as_leader ? leader_of(graph, object->id) : m, 0);
	else if (maker == pid) {
		plan_filters(plan, at, m, SECCOMP_FILTER_FLAG_TSYNC);
		if (maker != object->id) /* it gets them, too */
			plan_gate(plan, AT(maker, STAGE_CREDS));
	}
	return 0;
}

const struct resource resource_seccomp = {
	.name = "seccomp",
	.scope = SCOPE_THREAD,
	.kind = &kind_seccomp,
	.collect = seccomp_collect,
	.judge = seccomp_judge,
	.plan = seccomp_plan,
};
