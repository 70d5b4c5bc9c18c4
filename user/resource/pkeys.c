// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns protection keys (pkeys(7)): which ones a process has been given, and the mappings that they protect. What a thread may do by each
 * is in its extended registers. Which keys there are only the process can tell; whoever uses none is not asked. */
#include "arch/arch.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "infect/hijack.h"
#include "model/shape.h"
#include "pkeys.pb-c.h"
#include "plan/plan.h"
#include <sys/mman.h>
#include <sys/syscall.h>

static const struct kind kind_pkeys = { .name = "pkeys", .desc = &ckpt__pkeys__descriptor };

#define KEYS 16u /* 0: of all memory that has no other */

static u32 key_of(const struct vma *v) { return v->flags >> VMA_PKEY_SHIFT; }

/* The kernel takes a key of its own for what may be executed alone (arch/x86/mm/pkeys.c, __execute_only_pkey()). */
static bool is_kernels(const struct vma *v) { return key_of(v) && v->prot == PROT_EXEC; }

/* --- collect --- */

/* Sets of keys have a bit for each. */
static u32 visible_keys(const struct graph *g, const struct object *vmas, const Ckpt__Task *task)
{
	u32 keys = 0;
	for (u32 i = 0; vmas && i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		keys |= is_kernels(v) ? 0 : 1u << key_of(v);
	}
	for (size_t i = 0; task && i < task->n_tid; i++) {
		const Ckpt__Thread *t = graph_data(g, &kind_thread, task->tid[i]);
		keys |= t && t->extended.len ? arch_open_keys(t->extended.data, t->extended.len) : 0;
	}
	return keys & ~1u;
}

/* Where nothing is mapped, a key that there is not is EINVAL, and one that there is ENOMEM (mm/mprotect.c, do_mprotect_pkey()). */
static int ask(struct collector *c, u32 pid, u32 *keys)
{
	struct hijack_call calls[KEYS - 1];
	for (u32 key = 1; key < KEYS; key++)
		calls[key - 1] = (struct hijack_call){ .nr = SYS_pkey_mprotect, .arg = { 0, PAGE_BYTES, PROT_NONE, key } };
	int r = collector_run(c, pid, calls, KEYS - 1, NULL, 0);
	if (r < 0)
		return r;
	*keys = 0;
	for (u32 key = 1; key < KEYS; key++)
		*keys |= calls[key - 1].result == -ENOMEM ? 1u << key : 0;
	return 0;
}

static int pkeys_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	const u32 pid = subject->task->tgid;
	const struct graph *g = collector_graph(c);
	const Ckpt__Task *task = graph_data(g, &kind_task, pid);
	Ckpt__Pkeys *m = o->data;
	u32 keys = visible_keys(g, graph_find(g, &kind_vmas, pid), task);
	if (!keys || !task || task->mm != pid)
		return 0;
	if (collector_live(c) || ask(c, pid, &keys) < 0)
		SET(m, unasked, true);
	for (u32 key = 1; key < KEYS; key++)
		if (keys >> key & 1 && !MESSAGE_APPEND(&m->n_key, &m->key, key))
			return fail_memory();
	return 0;
}

/* --- judge --- */

static bool are_there(void)
{
	int key = pkey_alloc(0, 0);
	return key > 0 && pkey_free(key) == 0;
}

static int pkeys_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Pkeys *m = o->data;
	WORKING_ON_TASK(o->id);
	if (direction == DIRECTION_DUMP) {
		if (m->unasked && !shape_is_live(graph))
			warn(PKEYS_UNASKED, 0, "pkey_mprotect");
		return 0;
	}
	for (size_t i = 0; i < m->n_key; i++)
		if (m->key[i] >= KEYS || m->key[i] <= (i ? m->key[i - 1] : 0))
			return fail(IMAGE_VALUE, 0, "protection key %u", m->key[i]);
	return m->n_key && !are_there() ? fail(CPU_FEATURE, 0, "protection keys (PKU)") : 0;
}

/* --- plan --- */

static u32 keys_of(const struct graph *graph, u32 pid)
{
	const Ckpt__Pkeys *m = graph_data(graph, &kind_pkeys, pid);
	u32 keys = 0;
	for (size_t i = 0; m && i < m->n_key; i++)
		keys |= 1u << m->key[i];
	return keys;
}

static u32 kernels_key(const struct graph *graph, u32 pid)
{
	const struct object *vmas = graph_find(graph, &kind_vmas, pid);
	for (u32 i = 0; vmas && i < vmas->count; i++)
		if (is_kernels((const struct vma *)vmas->data + i))
			return key_of((const struct vma *)vmas->data + i);
	return 0;
}

/* All up to the highest that it, or whom its memory is a copy of, has: a new key is the lowest that is free. */
static u32 keys_held(const struct graph *graph, const Ckpt__Task *task)
{
	u32 highest = 0;
	for (; task; task = shape_task(graph, task->ppid)) {
		u32 keys = keys_of(graph, task->mm) | 1u << kernels_key(graph, task->mm);
		highest = MAX(highest, 31 - (u32)__builtin_clz(keys | 1));
	}
	return (2u << highest) - 2;
}

static void protect(struct plan *plan, u32 pid, const struct object *vmas)
{
	for (u32 i = 0; i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		if (key_of(v) && !is_kernels(v))
			plan_call(plan, AT(pid, STAGE_MM), SYS_pkey_mprotect, ARG(v->start), ARG(v->end - v->start),
				  ARG(v->prot), ARG(key_of(v)));
	}
}

/* A new process may do nothing by a key, so its memory is protected when all of it is there and every child has its copy. */
static int pkeys_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, o->id), *parent = task ? shape_task(graph, task->ppid) : NULL;
	const struct object *vmas = graph_find(graph, &kind_vmas, o->id);
	if (!task || task->mm != o->id || !vmas)
		return 0;
	u32 before = parent ? keys_held(graph, parent) : 0, held = keys_held(graph, task), own = keys_of(graph, o->id),
	    kernels = kernels_key(graph, o->id);
	plan_for(plan, "protection keys of process %u", o->id);
	for (u32 key = 1; key < KEYS; key++)
		if (held & ~before & 1u << key)
			step_expect(plan_call(plan, AT(o->id, STAGE_UNMAP), SYS_pkey_alloc, ARG(0), ARG(0)), key);
	if (kernels && held & 1u << kernels && !(before & 1u << kernels)) /* it takes the lowest, too */
		plan_call(plan, AT(o->id, STAGE_UNMAP), SYS_pkey_free, ARG(kernels));
	protect(plan, o->id, vmas);
	for (u32 key = 1; key < KEYS; key++)
		if (held & ~own & 1u << key && key != kernels)
			plan_call(plan, AT(o->id, STAGE_MM), SYS_pkey_free, ARG(key));
	return 0;
}

const struct resource resource_pkeys = {
	.name = "pkeys",
	.scope = SCOPE_TASK,
	.kind = &kind_pkeys,
	.collect = pkeys_collect,
	.judge = pkeys_judge,
	.plan = pkeys_plan,
};
