// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the tasks of a small tree tell of themselves at the end of their plans: the proof of the restore then needs no eBPF,
 * whose verifier takes longer than all of the plan. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "infect/ask.h"
#include "restore/compile.h"
#include "restore/execute_internal.h"
#include "timers.pb-c.h"

#define FEW_OTHERS 500 /* mappings or descriptors: of more eBPF tells in a fraction of the time */
#define FEW_THREADS 4  /* so many are asked in less time than a program takes to load */

/* A thread of a plan has no mapping of its own to look at. */
static bool has_future_locks(const struct object *o)
{
	return o->kind == &kind_mm && ((const Ckpt__Mm *)o->data)->future_locks;
}

/* POSIX timers take a question each: who has some is looked at. */
static bool may_tell(const struct compiler *c)
{
	u32 threads = 0;
	for (size_t i = 0; i < c->graph->objects.n; i++) {
		const struct object *o = c->graph->objects.v[i];
		threads += o->kind == &kind_thread;
		if ((o->kind == &kind_fds || o->kind == &kind_vmas) && o->count > FEW_OTHERS)
			return false;
		if (has_future_locks(o))
			return false;
		if (o->kind->desc == &ckpt__timers__descriptor && ((const Ckpt__Timers *)o->data)->n_timer)
			return false;
	}
	return threads <= FEW_THREADS;
}

static struct arg tell_arg(u64 value, u32 data)
{
	u64 offset = value - HIJACK_ARENA;
	return value >= HIJACK_ARENA && offset < HIJACK_ARENA_DATA ? ARG_OF_DATA(data + (u32)offset) : ARG(value);
}

static void plan_tell(struct plan *plan, struct tell *t)
{
	const struct ask_sheet *sheet = t->sheet;
	t->data = plan_data(plan, NULL, sheet->used, 8);
	for (size_t i = 0; i < sheet->count; i++) {
		const struct hijack_call *call = &sheet->calls[i];
		struct arg args[6] = { 0 };
		for (unsigned k = 0; k < 6; k++)
			args[k] = tell_arg(call->arg[k], t->data);
		struct plan_step *step = plan_op(plan, AT(t->tid, STAGE_TELL), OP_CALL, (long)call->nr, args);
		step_any(step);
		u32 slot = step_result(plan, step);
		if (i == 0)
			t->first_slot = slot;
	}
}

int compile_tells(struct compiler *c, struct tells *ret)
{
	for (struct object *o = NULL; may_tell(c) && (o = graph_next(c->graph, &kind_thread, o));) {
		const Ckpt__Thread *thread = o->data;
		struct tell *t = vector_add(&ret->list);
		if (!t)
			return fail_memory();
		*t = (struct tell){ .tid = thread->tid, .pid = thread->pid, .sheet = malloc(sizeof *t->sheet) };
		if (!t->sheet)
			return fail_memory();
		t->own_namespaces = plan_has_steps(c->plan, thread->pid, STAGE_NAMESPACE);
		ask_sheet_fill(t->sheet, thread->tid == shape_first(c->graph, thread->pid));
		plan_for(c->plan, "what thread %u tells of itself", thread->tid);
		plan_tell(c->plan, t);
	}
	return 0;
}

/* Nobody has made a namespace where no step enters one. */
#define NAMESPACES (KNOWN_NS | KNOWN_NS_OURS)

static int tell_read(const struct execution *x, const struct tell *t, struct told *told)
{
	const s64 *slots = (const s64 *)(x->map + execution_arena((struct execution *)x)->slots);
	struct record_task *task = vector_add(&told->tasks);
	struct record_sighand *sighand = t->sheet->of_process ? vector_add(&told->sighands) : NULL;
	if (!task || (t->sheet->of_process && !sighand))
		return fail_memory();
	*task = (struct record_task){ .tid = t->tid, .tgid = t->pid, .ns_ours = NS_OURS_USER | NS_OURS_OTHERS };
	for (size_t i = 0; i < t->sheet->count; i++)
		t->sheet->calls[i].result = slots[t->first_slot + i];
	memcpy(t->sheet->data, x->map + t->data, t->sheet->used);
	ask_sheet_take(t->sheet, task, sighand);
	task->known |= t->own_namespaces ? 0 : NAMESPACES;
	return 0;
}

int tells_read(const struct tells *tells, const struct execution *x, struct told *ret)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < tells->list.n; i++)
		r = tell_read(x, &tells->list.v[i], ret);
	return r;
}

void tells_free(struct tells *tells)
{
	for (size_t i = 0; i < tells->list.n; i++)
		free(tells->list.v[i].sheet);
	vector_free(&tells->list);
}
