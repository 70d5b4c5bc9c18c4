// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns signals: the 64 actions of a process, and what is pending for it and for each of its threads. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "plan/plan.h"
#include "signals.pb-c.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define SIGNAL_COUNT 64
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))
#define PEEK_BATCH 16

static const struct kind kind_signals = { .name = "signals", .desc = &ckpt__signals__descriptor };

/* No action can be set for these two. */
static bool has_action(unsigned signal) { return signal != SIGKILL && signal != SIGSTOP; }

static bool is_default(const struct record_sigaction *a) { return !a->handler && !a->flags && !a->mask; }

static int add_action(Ckpt__Signals *m, unsigned signal, const struct record_sigaction *a)
{
	Ckpt__Action *action = MESSAGE_NEW(Ckpt__Action, ckpt__action);
	if (!action || !MESSAGE_APPEND(&m->n_action, &m->action, action)) {
		free(action);
		return fail_memory();
	}
	m->handled |= SIGNAL_BIT(signal);
	SET(action, signal, signal);
	SET(action, handler, a->handler);
	SET(action, flags, a->flags);
	SET(action, restorer, a->restorer);
	SET(action, mask, a->mask);
	return 0;
}

static int collect_actions(Ckpt__Signals *m, const struct record_sighand *sighand)
{
	SET(m, handled, 0);
	for (unsigned signal = 1; signal <= SIGNAL_COUNT; signal++) {
		const struct record_sigaction *a = &sighand->action[signal - 1];
		int err = has_action(signal) && !is_default(a) ? add_action(m, signal, a) : 0;
		if (err < 0)
			return err;
	}
	return 0;
}

/* A list of pending signals of a message. */
struct queue {
	size_t *count;
	Ckpt__QueuedSignal ***v;
	u64 seen;
};

static int queue_add(struct queue *queue, unsigned signal, const siginfo_t *info)
{
	Ckpt__QueuedSignal *q = MESSAGE_NEW(Ckpt__QueuedSignal, ckpt__queued_signal);
	if (!q || !MESSAGE_APPEND(queue->count, queue->v, q)) {
		free(q);
		return fail_memory();
	}
	queue->seen |= SIGNAL_BIT(signal);
	SET(q, signal, signal);
	if (!info)
		return 0;
	SET(q, code, info->si_code);
	q->has_info = message_set_bytes(&q->info, info, sizeof *info);
	return q->has_info ? 0 : fail_memory();
}

/* set: the bits of pending signals. A signal that came when the queue was full has its bit but no entry. */
static int queue_collect(struct queue *queue, u32 tid, unsigned flags, u64 set)
{
	siginfo_t infos[PEEK_BATCH];
	long n = PEEK_BATCH;
	for (u64 at = 0; n == PEEK_BATCH; at += (u64)n) {
		struct __ptrace_peeksiginfo_args args = { .off = at, .flags = flags, .nr = PEEK_BATCH };
		n = ptrace(PTRACE_PEEKSIGINFO, (pid_t)tid, &args, infos);
		if (n < 0)
			return fail(SYSCALL, neg_errno(), "ptrace(PTRACE_PEEKSIGINFO, %u)", tid);
		for (long i = 0; i < n; i++) {
			int err = queue_add(queue, (unsigned)infos[i].si_signo, &infos[i]);
			if (err < 0)
				return err;
		}
	}
	for (unsigned signal = 1; signal <= SIGNAL_COUNT; signal++) {
		int err = set & ~queue->seen & SIGNAL_BIT(signal) ? queue_add(queue, signal, NULL) : 0;
		if (err < 0)
			return err;
	}
	return 0;
}

static int signals_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	Ckpt__Signals *m = object->data;
	const struct record_task *task = subject->task;
	bool leader = task->tid == task->tgid;
	const struct record_sighand *sighand = leader ? collector_sighand(collector, task->tgid) : NULL;
	int err = sighand ? collect_actions(m, sighand) : 0;
	if (err < 0)
		return err;
	if (collector_live(collector)) {
		SET(m, live, true);
		return 0;
	}
	struct queue pending = { .count = &m->n_pending, .v = &m->pending };
	struct queue shared = { .count = &m->n_shared, .v = &m->shared };
	err = queue_collect(&pending, task->tid, 0, task->pending);
	if (err < 0 || !leader)
		return err;
	return queue_collect(&shared, task->tid, PTRACE_PEEKSIGINFO_SHARED, task->shared_pending);
}

static int queue_judge(size_t count, Ckpt__QueuedSignal **v)
{
	for (size_t i = 0; i < count; i++)
		if (!v[i]->signal || v[i]->signal > SIGNAL_COUNT || (v[i]->has_info && v[i]->info.len != sizeof(siginfo_t)))
			return fail(IMAGE_VALUE, 0, "pending signal %u with %zu bytes", v[i]->signal, v[i]->info.len);
	return 0;
}

static int signals_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Signals *m = object->data;
	WORKING_ON_THREAD(object->id);
	if (graph_find(graph, &kind_task, object->id) && !m->has_handled && !m->live)
		return fail(SIGNAL_ACTIONS, 0, "no source told them");
	for (size_t i = 0; i < m->n_action; i++)
		if (!m->action[i]->signal || m->action[i]->signal > SIGNAL_COUNT || !has_action(m->action[i]->signal))
			return fail(IMAGE_VALUE, 0, "action of signal %u", m->action[i]->signal);
	int err = queue_judge(m->n_pending, m->pending);
	return err < 0 ? err : queue_judge(m->n_shared, m->shared);
}

/* CLONE_CLEAR_SIGHAND keeps what ckpt's own parent made it ignore: the root begins with defaults. Its descendants are
 * forked before they or it get their own actions, so they inherit these defaults. */
static void reset_actions(struct plan *plan, u32 pid)
{
	u32 data = plan_data(plan, NULL, sizeof(struct record_sigaction), 8);
	for (unsigned signal = 1; signal <= SIGNAL_COUNT; signal++)
		if (has_action(signal))
			plan_call(plan, AT(pid, STAGE_UNMAP), SYS_rt_sigaction, ARG(signal), ARG_OF_DATA(data), ARG(0), ARG(8));
}

static void set_action(struct plan *plan, u32 pid, const Ckpt__Action *a)
{
	struct record_sigaction action = { a->handler, a->flags, a->restorer, a->mask };
	u32 data = plan_data(plan, &action, sizeof action, 8);
	plan_call(plan, AT(pid, STAGE_TASK), SYS_rt_sigaction, ARG(a->signal), ARG_OF_DATA(data), ARG(0), ARG(8));
}

/* Without an entry the kernel makes up {SI_USER, pid 0, uid 0} at delivery: the same as zeroes here. */
static u32 info_data(struct plan *plan, const Ckpt__QueuedSignal *q)
{
	siginfo_t info = { .si_signo = (int)q->signal };
	if (q->has_info)
		memcpy(&info, q->info.data, sizeof info);
	return plan_data(plan, &info, sizeof info, 8);
}

/* A thread may send itself any si_code (rt_sigqueueinfo(2)), so every thread fills its own queue, the leader that of the
 * process. Every signal is blocked while the plan runs: none is delivered, and none dropped because it is ignored. */
static int signals_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Signals *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, object->id);
	struct place queues = AT(object->id, STAGE_TIMERS);
	plan_for(plan, "signals of thread %u", object->id);
	if (task && !task->ppid)
		reset_actions(plan, object->id);
	for (size_t i = 0; i < m->n_action; i++)
		set_action(plan, object->id, m->action[i]);
	for (size_t i = 0; i < m->n_shared; i++)
		plan_call(plan, queues, SYS_rt_sigqueueinfo, ARG(object->id), ARG(m->shared[i]->signal),
			  ARG_OF_DATA(info_data(plan, m->shared[i])));
	for (size_t i = 0; i < m->n_pending; i++)
		plan_call(plan, queues, SYS_rt_tgsigqueueinfo, ARG(thread ? thread->pid : object->id), ARG(object->id),
			  ARG(m->pending[i]->signal), ARG_OF_DATA(info_data(plan, m->pending[i])));
	return 0;
}

const struct resource resource_signals = {
	.name = "signals",
	.scope = SCOPE_THREAD,
	.kind = &kind_signals,
	.collect = signals_collect,
	.judge = signals_judge,
	.plan = signals_plan,
};
