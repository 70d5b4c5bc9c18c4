// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what a thread is to the kernel besides its rights: personality, parent-death signal, syscall user dispatch. */
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "infect/dispatch.h"
#include "model/shape.h"
#include "persona.pb-c.h"
#include "plan/plan.h"
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const struct kind kind_persona = { .name = "persona", .desc = &ckpt__persona__descriptor };

static int collect_personality(int proc, const struct record_task *t, Ckpt__Persona *m)
{
	_cleanup_text_ struct text value = { 0 };
	if (t->known & KNOWN_PERSONALITY) {
		SET(m, personality, t->personality);
		return 0;
	}
	int err = file_readf(&value, proc, "task/%u/personality", t->tid);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/PID/task/%u/personality)", t->tid);
	SET(m, personality, (u32)strtoul(value.data, NULL, 16));
	return 0;
}

/* prctl(2): a kernel without dispatch (before 5.11, or without the generic entry code) does not even turn it off. It is off here. */
static bool kernel_dispatches(void)
{
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0 || errno != EINVAL;
}

/* Between 5.11 and 6.4 only BPF can tell that it is on, and nobody can set it for another. */
static void collect_dispatch(struct collector *collector, const struct record_task *t, Ckpt__Persona *m)
{
	bool told = t->known & KNOWN_SUD, lacks = caps_lacks(collector_caps(collector), CAN_SUD_CONFIG), read = false;
	struct dispatch d = { 0 };
	if ((!told || t->sud_on) && !lacks && !collector_live(collector))
		read = dispatch_get((pid_t)t->tid, &d) == 0;
	if (told || read || !kernel_dispatches())
		SET(m, syscall_dispatch, told ? !!t->sud_on : d.on);
	if (m->syscall_dispatch && lacks)
		SET(m, dispatch_kept, true);
	if (!d.on)
		return;
	SET(m, dispatch_selector, d.selector);
	SET(m, dispatch_start, d.start);
	SET(m, dispatch_length, d.length);
	SET(m, dispatch_inside, d.inside);
}

static int persona_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Persona *m = object->data;
	int proc = collector_proc(collector, t->tgid);
	if (proc < 0)
		return proc;
	if (t->known & KNOWN_PRCTL)
		SET(m, pdeath_signal, t->pdeath_signal);
	collect_dispatch(collector, t, m);
	return collect_personality(proc, t, m);
}

/* The kernel sends it at the end of the thread that has made the process (reparent_leader()): a leader that ends again would. */
static bool is_of_ended_leader(const struct graph *graph, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, tid);
	const Ckpt__Task *task = thread ? shape_task(graph, thread->pid) : NULL,
			 *parent = task ? shape_task(graph, task->ppid) : NULL;
	return parent && parent->has_leader_exit;
}

static int persona_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Persona *m = object->data;
	bool live = direction == DIRECTION_DUMP && shape_is_live(graph);
	int err = 0;
	WORKING_ON_THREAD(object->id);
	if (!m->has_pdeath_signal && !live)
		err = fail(PRCTL, 0, "its parent-death signal");
	if (m->syscall_dispatch && (m->dispatch_kept || (!m->has_dispatch_selector && !live)))
		err = fail(SYSCALL_DISPATCH, 0, "PR_SET_SYSCALL_USER_DISPATCH is on");
	if (!dispatch_is_range(m->dispatch_inside, m->dispatch_start, m->dispatch_length))
		err = fail(IMAGE_VALUE, 0, "dispatch of %llu bytes at %#llx", (unsigned long long)m->dispatch_length,
			   (unsigned long long)m->dispatch_start);
	if (m->pdeath_signal > 64)
		err = fail(IMAGE_VALUE, 0, "parent-death signal %u", m->pdeath_signal);
	if (m->pdeath_signal && is_of_ended_leader(graph, object->id))
		err = fail(LEADER_PDEATH, 0, "signal %u", m->pdeath_signal);
	return err;
}

/* A change of credentials clears the parent-death signal: it comes after them. */
static int persona_plan(struct plan *plan, const struct graph *graph _unused_, const struct object *object)
{
	const Ckpt__Persona *m = object->data;
	plan_for(plan, "attributes of thread %u", object->id);
	plan_call(plan, AT(object->id, STAGE_THREAD), SYS_personality, ARG(m->personality));
	if (m->pdeath_signal)
		plan_call(plan, AT(object->id, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_PDEATHSIG), ARG(m->pdeath_signal));
	return 0;
}

const struct resource resource_persona = {
	.name = "persona",
	.scope = SCOPE_THREAD,
	.kind = &kind_persona,
	.collect = persona_collect,
	.judge = persona_judge,
	.plan = persona_plan,
};
