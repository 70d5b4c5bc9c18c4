// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns signals: the 64 actions of a process, and what is pending for it and for each of its threads. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "signals.pb-c.h"
#include "task/queue.h"
#include <signal.h>
#include <sys/syscall.h>

#define SIGNAL_COUNT 64
#define SIGNAL_BIT(signal) (1ull << ((signal)-1))
#define PEEK_BATCH 16

static const struct kind kind_signals = { .name = "signals", .desc = &ckpt__signals__descriptor };

/* No action can be set for these two. */
static bool has_action(unsigned signal) { return signal != SIGKILL && signal != SIGSTOP; }

static bool is_default(const struct record_sigaction *a) { return !a->handler && !a->flags && !a->mask; }

/* Flags are an int of which the C library extends the sign (SA_RESETHAND): kernels before Linux 5.11 keep that, later ones clear it. */
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
	SET(action, flags, (u32)a->flags);
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

static int add_signal(size_t *count, Ckpt__QueuedSignal ***v, unsigned signal, const siginfo_t *info)
{
	Ckpt__QueuedSignal *q = MESSAGE_NEW(Ckpt__QueuedSignal, ckpt__queued_signal);
	if (!q || !MESSAGE_APPEND(count, v, q)) {
		free(q);
		return fail_memory();
	}
	SET(q, signal, signal);
	SET(q, code, info->si_code);
	q->has_info = message_set_bytes(&q->info, info, sizeof *info);
	return q->has_info ? 0 : fail_memory();
}

/* A queue that is being read. */
struct queue {
	struct collector *collector;
	const struct record_task *task;
	Ckpt__Signals *m;
	bool of_process;
	u64 seen;
};

static bool is_of_timer(const struct queue *queue, const siginfo_t *info)
{
	size_t count = 0;
	const struct record_timer *timers = collector_timers(queue->collector, queue->task->tgid, &count);
	if (info->si_code == SI_KERNEL)
		return info->si_signo == SIGALRM || info->si_signo == SIGVTALRM || info->si_signo == SIGPROF;
	for (size_t i = 0; info->si_code == SI_TIMER && timers && i < count; i++)
		if (timers[i].id == info->si_timerid)
			return true;
	return false;
}

static int queue_add(struct queue *queue, unsigned signal, const siginfo_t *info)
{
	static const siginfo_t stop = { .si_signo = SIGSTOP };
	Ckpt__Signals *m = queue->m;
	queue->seen |= SIGNAL_BIT(signal);
	if (signal == SIGSTOP) /* nobody can ask who sent it */
		info = &stop;
	if (is_of_timer(queue, info))
		return add_signal(&m->n_expired, &m->expired, signal, info);
	return queue->of_process ? add_signal(&m->n_shared, &m->shared, signal, info)
				 : add_signal(&m->n_pending, &m->pending, signal, info);
}

/* A signal that came when there was no room for its entry has its bit only: the kernel makes up {SI_USER, pid 0, uid 0} when it
 * delivers it (kernel/signal.c, collect_signal()), which are zeroes. */
static int queue_collect(struct queue *queue)
{
	u64 set = queue->of_process ? queue->task->shared_pending : queue->task->pending;
	if (!set && queue->task->known & KNOWN_PENDING) /* every entry has its bit */
		return 0;
	siginfo_t infos[PEEK_BATCH];
	int n = PEEK_BATCH, err = 0;
	for (u64 at = 0; n == PEEK_BATCH; at += (u64)n) {
		n = queue_peek((pid_t)queue->task->tid, queue->of_process, at, infos, PEEK_BATCH);
		for (int i = 0; err >= 0 && i < n; i++)
			err = queue_add(queue, (unsigned)infos[i].si_signo, &infos[i]);
		if (n < 0 || err < 0)
			return MIN(n, err);
	}
	for (unsigned signal = 1; err >= 0 && signal <= SIGNAL_COUNT; signal++)
		if (set & ~queue->seen & SIGNAL_BIT(signal))
			err = queue_add(queue, signal, &(siginfo_t){ .si_signo = (int)signal });
	return err;
}

static int signals_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	Ckpt__Signals *m = object->data;
	const struct record_task *task = subject->task;
	bool leads = task->tid == shape_first(collector_graph(collector), task->tgid);
	const struct record_sighand *sighand = leads ? collector_sighand(collector, task->tgid) : NULL;
	int err = sighand ? collect_actions(m, sighand) : 0;
	if (err < 0)
		return err;
	if (collector_live(collector)) {
		SET(m, live, true);
		return 0;
	}
	struct queue queue = { .collector = collector, .task = task, .m = m };
	err = queue_collect(&queue);
	if (err < 0 || !leads)
		return err;
	queue = (struct queue){ .collector = collector, .task = task, .m = m, .of_process = true };
	return queue_collect(&queue);
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
	if (graph_find(graph, &kind_task, shape_maker(graph, object->id)) && !m->has_handled && !m->live)
		return fail(SIGNAL_ACTIONS, 0, "no source told them");
	for (size_t i = 0; i < m->n_action; i++)
		if (!m->action[i]->signal || m->action[i]->signal > SIGNAL_COUNT || !has_action(m->action[i]->signal))
			return fail(IMAGE_VALUE, 0, "action of signal %u", m->action[i]->signal);
	int err = queue_judge(m->n_pending, m->pending);
	if (err >= 0)
		err = queue_judge(m->n_expired, m->expired);
	return err < 0 ? err : queue_judge(m->n_shared, m->shared);
}

/* CLONE_CLEAR_SIGHAND keeps what ckpt's own parent made it ignore: the root begins with defaults for that too. Its descendants
 * are forked before they or it get their own actions, so they inherit these defaults. */
static void reset_actions(struct plan *plan, u32 pid)
{
	u64 ignored = plan_config(plan)->ignored;
	u32 data = ignored ? plan_data(plan, NULL, sizeof(struct record_sigaction), 8) : 0;
	for (unsigned signal = 1; signal <= SIGNAL_COUNT; signal++)
		if (has_action(signal) && ignored & SIGNAL_BIT(signal))
			plan_call(plan, AT(pid, STAGE_UNMAP), SYS_rt_sigaction, ARG(signal), ARG_OF_DATA(data), ARG(0), ARG(8));
}

static void set_action(struct plan *plan, u32 pid, const Ckpt__Action *a)
{
	struct record_sigaction action = { a->handler, a->flags, a->restorer, a->mask };
	u32 data = plan_data(plan, &action, sizeof action, 8);
	plan_call(plan, AT(pid, STAGE_TASK), SYS_rt_sigaction, ARG(a->signal), ARG_OF_DATA(data), ARG(0), ARG(8));
}

static u32 info_data(struct plan *plan, const Ckpt__QueuedSignal *q)
{
	siginfo_t info = { .si_signo = (int)q->signal };
	if (q->has_info)
		memcpy(&info, q->info.data, sizeof info);
	return plan_data(plan, &info, sizeof info, 8);
}

/* SIGSTOP cannot be blocked: it is sent when all are held (restore/stopped.c). */
static void send_signal(struct plan *plan, u32 pid, u32 tid, const Ckpt__QueuedSignal *q, bool to_process)
{
	struct place at = AT(to_process ? pid : tid, STAGE_TIMERS);
	if (q->signal == SIGSTOP)
		return;
	u32 info = info_data(plan, q);
	if (to_process)
		plan_call(plan, at, SYS_rt_sigqueueinfo, ARG(pid), ARG(q->signal), ARG_OF_DATA(info));
	else
		plan_call(plan, at, SYS_rt_tgsigqueueinfo, ARG(pid), ARG(tid), ARG(q->signal), ARG_OF_DATA(info));
}

/* A thread may send itself any si_code (rt_sigqueueinfo(2)), so every thread fills its own queue, the leader that of the
 * process, also the one that is to end (restore/leaders.c). Every signal is blocked while the plan runs: none is delivered, and none dropped because it is ignored. POSIX
 * timers send theirs themselves, and those of setitimer are not queued twice. */
static int signals_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Signals *m = object->data;
	u32 tid = object->id, maker = shape_maker(graph, tid);
	const Ckpt__Task *task = graph_data(graph, &kind_task, maker);
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, tid);
	u32 pid = thread ? thread->pid : tid;
	plan_for(plan, "signals of thread %u", tid);
	if (task && !task->ppid)
		reset_actions(plan, maker);
	bool shared = task && task->has_sighand && task->sighand != task->pid; /* their owner sets them */
	for (size_t i = 0; i < m->n_action && !shared; i++)
		set_action(plan, maker, m->action[i]);
	for (size_t i = 0; i < m->n_shared; i++)
		send_signal(plan, pid, tid, m->shared[i], true);
	for (size_t i = 0; i < m->n_pending; i++)
		send_signal(plan, pid, tid, m->pending[i], false);
	for (size_t i = 0; i < m->n_expired; i++)
		if (m->expired[i]->code == SI_KERNEL)
			send_signal(plan, pid, tid, m->expired[i], true);
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
