// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the interval timers and the POSIX timers of a process. What was left when it was frozen is left again. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "task/queue.h"
#include "timers.pb-c.h"
#include <linux/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
#define PEEK_BATCH 16
#define SECOND 1000000000ull
/* On a kernel that only counts ids up, that many create-and-delete rounds (about 1 us each) are made at most. */
#define ID_ROUNDS 20000000u

static const struct kind kind_timers = { .name = "timers", .desc = &ckpt__timers__descriptor };

static int add_timer(Ckpt__Timers *m, const struct record_timer *r)
{
	Ckpt__PosixTimer *t = MESSAGE_NEW(Ckpt__PosixTimer, ckpt__posix_timer);
	if (!t || !MESSAGE_APPEND(&m->n_timer, &m->timer, t)) {
		free(t);
		return fail_memory();
	}
	SET(t, id, r->id);
	SET(t, clock, r->clock);
	SET(t, notify, (u32)r->notify);
	if (r->notify != SIGEV_NONE) {
		SET(t, signal, (u32)r->signo);
		SET(t, value, r->sigev_value);
	}
	if (r->notify & SIGEV_THREAD_ID)
		SET(t, tid, r->notify_tid);
	SET(t, interval, r->interval);
	SET(t, left, r->value);
	SET(t, overrun, r->overrun);
	return 0;
}

static void collect_itimers(const struct record_task *t, Ckpt__Timers *m)
{
	SET(m, real_interval, t->itimer_interval[ITIMER_REAL]);
	SET(m, virtual_interval, t->itimer_interval[ITIMER_VIRTUAL]);
	SET(m, prof_interval, t->itimer_interval[ITIMER_PROF]);
	SET(m, real_left, t->itimer_value[ITIMER_REAL]);
	SET(m, virtual_left, t->itimer_value[ITIMER_VIRTUAL]);
	SET(m, prof_left, t->itimer_value[ITIMER_PROF]);
}

/* Finds the timers whose signals wait in this queue. */
static int mark_queued(Ckpt__Timers *m, u32 tid, bool of_process)
{
	siginfo_t infos[PEEK_BATCH];
	int n = PEEK_BATCH;
	for (u64 at = 0; n == PEEK_BATCH; at += (u64)n) {
		n = queue_peek((pid_t)tid, of_process, at, infos, PEEK_BATCH);
		for (int i = 0; i < n; i++)
			for (size_t k = 0; infos[i].si_code == SI_TIMER && k < m->n_timer; k++)
				if (m->timer[k]->id == infos[i].si_timerid)
					SET(m->timer[k], queued, true);
	}
	return n < 0 ? n : 0;
}

/* A thread that has ended has no queue, and its id may be another's. */
static int collect_queued(const struct graph *graph, Ckpt__Timers *m, u32 pid)
{
	int err = m->n_timer ? mark_queued(m, shape_first(graph, pid), true) : 0;
	for (size_t i = 0; err >= 0 && i < m->n_timer; i++) {
		const Ckpt__Thread *t = m->timer[i]->tid ? graph_data(graph, &kind_thread, m->timer[i]->tid) : NULL;
		if (t && t->pid == pid)
			err = mark_queued(m, t->tid, false);
	}
	return err;
}

static int timers_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *task = subject->task;
	Ckpt__Timers *m = object->data;
	size_t count = 0;
	const struct record_timer *timers = collector_timers(collector, task->tgid, &count);
	int err = 0;
	if (task->known & KNOWN_ITIMERS)
		collect_itimers(task, m);
	if (timers)
		SET(m, timers, (u32)count);
	for (size_t i = 0; err >= 0 && timers && i < count; i++)
		err = add_timer(m, &timers[i]);
	if (collector_live(collector))
		SET(m, live, true);
	else if (err >= 0)
		err = collect_queued(collector_graph(collector), m, task->tgid);
	return err;
}

/* --- clocks: the plain ones, and those of a process or thread that is named in the number (clock_getcpuclockid(3)) --- */

enum clock_kind { CLOCK_PLAIN, CLOCK_PROCESS, CLOCK_THREAD, CLOCK_DEVICE };

static enum clock_kind clock_kind(s32 clock, u32 *ret_pid)
{
	*ret_pid = 0;
	if (clock >= 0)
		return clock == CLOCK_PROCESS_CPUTIME_ID  ? CLOCK_PROCESS
		       : clock == CLOCK_THREAD_CPUTIME_ID ? CLOCK_THREAD
							  : CLOCK_PLAIN;
	*ret_pid = ~((u32)(clock >> 3));
	return (clock & 3) == 3 ? CLOCK_DEVICE : clock & 4 ? CLOCK_THREAD : CLOCK_PROCESS;
}

static bool has_thread(const Ckpt__Task *task, u32 tid)
{
	for (size_t i = 0; i < task->n_tid; i++)
		if (task->tid[i] == tid)
			return true;
	return false;
}

static int judge_clock(const Ckpt__Task *task, const Ckpt__PosixTimer *t)
{
	u32 pid;
	enum clock_kind kind = clock_kind(t->clock, &pid);
	if (kind == CLOCK_DEVICE)
		return fail(TIMER_CLOCK, 0, "timer %d runs on the clock of a device", t->id);
	if (kind == CLOCK_PROCESS && pid && pid != task->pid)
		return fail(TIMER_CLOCK, 0, "timer %d runs on the CPU time of process %u", t->id, pid);
	if (kind == CLOCK_THREAD && pid && !has_thread(task, pid))
		return fail(TIMER_CLOCK, 0, "timer %d runs on the CPU time of thread %u", t->id, pid);
	if (kind == CLOCK_THREAD && !pid && (task->n_tid > 1 || task->has_leader_exit))
		return fail(TIMER_CLOCK, 0, "timer %d runs on the CPU time of one of %zu threads, and none tells which", t->id,
			    task->n_tid);
	return 0;
}

static int judge_timer(const Ckpt__Task *task, const Ckpt__PosixTimer *t, s32 above)
{
	if (t->id <= above || (t->notify != SIGEV_NONE && (!t->signal || t->signal > 64)))
		return fail(IMAGE_VALUE, 0, "timer %d with signal %u", t->id, t->signal);
	if (t->notify & SIGEV_THREAD_ID && !has_thread(task, t->tid))
		return fail(TIMER_THREAD, 0, "timer %d notifies thread %u", t->id, t->tid);
	return judge_clock(task, t);
}

static int timers_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Timers *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	int err = 0;
	s32 last = -1;
	WORKING_ON_TASK(object->id);
	if (!m->live && (!m->has_real_interval || !m->has_timers))
		err = fail(TIMERS, 0, "%s", m->has_real_interval ? "those of timer_create" : "those of setitimer");
	for (size_t i = 0; task && i < m->n_timer; last = m->timer[i++]->id)
		if (judge_timer(task, m->timer[i], last) < 0)
			err = -EINVAL;
	return err;
}

/* --- plan --- */

static struct timespec timespec_of(u64 ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };
}

/* A timer that had expired but for an instant must not be disarmed by rounding to 0 us. */
static struct timeval timeval_of(u64 ns)
{
	u64 us = ns / 1000 + (ns && ns < 1000);
	return (struct timeval){ .tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000) };
}

/* With an interval a timer that is not armed has just expired: its signal is pending, and the timer goes on when that is
 * delivered. */
static void plan_itimer(struct plan *plan, struct place at, int which, u64 left, u64 interval)
{
	struct itimerval v = { .it_interval = timeval_of(interval), .it_value = timeval_of(MAX(left, 1ul)) };
	if (left || interval)
		plan_call(plan, at, SYS_setitimer, ARG(which), ARG_OF_DATA(plan_data(plan, &v, sizeof v, 8)), ARG(0));
}

/* What timer_create reads and writes: the id comes behind the struct sigevent. */
struct creation {
	struct sigevent event;
	s32 id;
};

/* timer_create into the word at data offset `creation`; returns the slot of the id that it gave. */
static u32 plan_create(struct plan *plan, struct place at, s32 clock, u32 creation, s32 wanted)
{
	u32 id = creation + offsetof(struct creation, id);
	plan_op(plan, at, OP_STORE, 0, (struct arg[6]){ ARG(id), ARG((u32)wanted) });
	plan_call(plan, at, SYS_timer_create, ARG(clock), ARG_OF_DATA(creation), ARG_OF_DATA(id));
	struct plan_step *load = plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(id) });
	return step_result(plan, load);
}

/* From Linux 6.15 on, and after PR_TIMER_CREATE_RESTORE_IDS, timer_create takes the id that it is given. Before, ids count
 * up by one with each creation in a process: timers are made and deleted until the id before the wanted one was met. The
 * same steps do both. */
static void plan_id(struct plan *plan, struct place at, s32 wanted, u32 creation)
{
	u32 got = plan_create(plan, at, CLOCK_MONOTONIC, creation, wanted - 1);
	plan_call(plan, at, SYS_timer_delete, ARG_OF_SLOT(got));
	plan_op(plan, at, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(got), ARG(wanted - 1), ARG(4), ARG(ID_ROUNDS) });
}

static void plan_timer(struct plan *plan, struct place at, const Ckpt__PosixTimer *t, s32 *next)
{
	struct creation c = { .event = { .sigev_notify = (int)t->notify, .sigev_signo = (int)t->signal } };
	/* One whose signal waits expires at once: the signal in the queue must be the timer's own, or there would be two. */
	u64 left = t->queued ? 1 : MAX(t->left, 1ul);
	struct itimerspec v = { .it_interval = timespec_of(t->interval), .it_value = timespec_of(left) };
	c.event.sigev_value.sival_ptr = (void *)t->value;
	c.event._sigev_un._tid = (pid_t)t->tid;
	u32 creation = plan_data(plan, &c, sizeof c, 8);
	if (t->id != *next)
		plan_id(plan, at, t->id, creation);
	*next = t->id + 1;
	u32 got = plan_create(plan, at, t->clock, creation, t->id);
	step_expect(plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(creation + offsetof(struct creation, id)) }), t->id);
	if (t->left || t->interval || t->queued)
		plan_call(plan, at, SYS_timer_settime, ARG_OF_SLOT(got), ARG(0), ARG_OF_DATA(plan_data(plan, &v, sizeof v, 8)));
}

static int timers_plan(struct plan *plan, const struct graph *graph _unused_, const struct object *object)
{
	const Ckpt__Timers *m = object->data;
	struct place at = AT(object->id, STAGE_TIMERS);
	s32 next = 0;
	plan_for(plan, "interval timers of process %u", object->id);
	plan_itimer(plan, at, ITIMER_REAL, m->real_left, m->real_interval);
	plan_itimer(plan, at, ITIMER_VIRTUAL, m->virtual_left, m->virtual_interval);
	plan_itimer(plan, at, ITIMER_PROF, m->prof_left, m->prof_interval);
	bool by_id = m->n_timer && !(plan_config(plan)->caps && caps_lacks(plan_config(plan)->caps, CAN_TIMER_RESTORE_IDS));
	if (by_id)
		step_any(plan_call(plan, at, SYS_prctl, ARG(PR_TIMER_CREATE_RESTORE_IDS), ARG(1)));
	for (size_t i = 0; i < m->n_timer; i++) {
		plan_for(plan, "timer %d of process %u", m->timer[i]->id, object->id);
		plan_timer(plan, at, m->timer[i], &next);
	}
	if (by_id)
		step_any(plan_call(plan, at, SYS_prctl, ARG(PR_TIMER_CREATE_RESTORE_IDS), ARG(0)));
	return 0;
}

const struct resource resource_timers = {
	.name = "timers",
	.scope = SCOPE_TASK,
	.kind = &kind_timers,
	.collect = timers_collect,
	.judge = timers_judge,
	.plan = timers_plan,
};
