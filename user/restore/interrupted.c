// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns system calls that were interrupted with a restart block: the thread sleeps in the same call again before it is stopped,
 * which leaves it a restart block of its own. Most enter it by themselves, where they would wait for ckpt; the others are led in. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "model/shape.h"
#include "restore/compile.h"
#include "restore/execute_internal.h"
#include <time.h>

#define RESTARTBLOCK 516 /* include/linux/errno.h, ERESTART_RESTARTBLOCK */

static struct rearm rest_of(const Ckpt__InterruptedCall *call)
{
	return (struct rearm){
		.known = call->has_left || call->endless, .endless = call->endless, .left = call->left, .clock = call->clock
	};
}

static int home_of(const Ckpt__Thread *t, struct remote_home *ret)
{
	*ret = (struct remote_home){ 0 };
	if (t->registers.len != sizeof ret->regs)
		return fail(IMAGE_INCONSISTENT, 0, "%zu bytes of registers", t->registers.len);
	memcpy(&ret->regs, t->registers.data, sizeof ret->regs);
	if (!t->call)
		return 0;
	arch_call_arguments(&ret->regs, ret->call.arg);
	ret->call.interrupted = true;
	ret->call.code = (int)t->call->code;
	ret->call.nr = (long)t->call->nr;
	return 0;
}

/* --- the plan --- */

/* A stop by a signal interrupts the call once more, and a filter may refuse it: such threads are led in. */
static bool enters_by_itself(const struct compiler *c, const Ckpt__Thread *t)
{
	const Ckpt__Task *task = shape_task(c->graph, t->pid);
	return t->call && t->call->code == RESTARTBLOCK && !arch_decides_at_exit() && task && task->state &&
	       !strcmp(task->state, "running") && !plan_is_gated(c->plan, t->tid);
}

static int park(struct compiler *c, const Ckpt__Thread *t)
{
	struct remote_home home;
	struct rearm rest;
	struct timespec left;
	u64 args[6];
	int time_at;
	if (!enters_by_itself(c, t))
		return 0;
	int r = home_of(t, &home);
	rest = rest_of(t->call);
	if (r < 0 || remote_rest(&home.call, &rest, args, &left, &time_at) < 0)
		return r;
	struct arg as[6];
	for (int i = 0; i < 6; i++)
		as[i] = i == time_at ? ARG_OF_DATA(plan_data(c->plan, &left, sizeof left, 8)) : ARG(args[i]);
	plan_for(c->plan, "interrupted call of thread %u", t->tid);
	plan_park(c->plan, t->tid, home.call.nr, as);
	return 0;
}

int compile_interrupted(struct compiler *c)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_thread, o));)
		r = park(c, o->data);
	return r;
}

/* --- when all are stopped --- */

bool restore_runs_nothing(const Ckpt__Thread *t)
{
	return !t->call || (t->call->code != RESTARTBLOCK && !arch_decides_at_exit());
}

/* Is the thread in its call, or has it been: then home says how it goes on. */
static int see_parked(struct execution *x, const Ckpt__Thread *t, struct remote_home *home, bool *ret_done)
{
	const struct array *array = execution_array(x, t->tid);
	*ret_done = false;
	if (!array->parks)
		return 0;
	const struct step *step = (const struct step *)(x->map + execution_arena(x)->steps) + array->first + array->count;
	*ret_done = array->pc > array->count; /* its time was up meanwhile */
	if (*ret_done) {
		remote_take_rest(home, step->result);
		return 0;
	}
	arch_regs regs;
	int r = remote_get_regs((pid_t)t->tid, &regs);
	struct arch_call call = arch_interrupted(&regs);
	*ret_done = r == 0 && call.interrupted && call.code == RESTARTBLOCK && call.nr == home->call.nr;
	if (*ret_done)
		remote_take_rest(home, -RESTARTBLOCK);
	return r;
}

static int lead_in(struct execution *x, const Ckpt__Thread *t, struct remote_home *home)
{
	/* the thread's own stack in the arena is free now */
	u32 scratch = plan_stack(x->plan, t->tid) - REARM_SCRATCH;
	struct rearm rest = rest_of(t->call);
	return remote_rearm((pid_t)t->tid, home, &rest, execution_syscall(x), x->site.data + scratch, x->map + scratch);
}

int restore_interrupted(struct execution *x, const Ckpt__Thread *t, struct remote_home *ret)
{
	bool done;
	int r = home_of(t, ret);
	if (r < 0 || !t->call || t->call->code != RESTARTBLOCK)
		return r;
	r = see_parked(x, t, ret, &done);
	if (r == 0 && !done)
		r = lead_in(x, t, ret);
	return r < 0 && !diag_failed() ? fail(REGISTERS, r, "rebuilding the interrupted call") : r;
}
