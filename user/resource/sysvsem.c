// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the kernel undoes at the end of a thread: System V semaphores outlive it, and get back what it took from them with
 * SEM_UNDO (semop(2)). Only eBPF tells whether the list of that is empty (task_struct.sysvsem, ipc/sem.c), and nobody what is in it. */
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "resource/sysv.h"
#include "sysvsem.pb-c.h"

#define SETS "/proc/sysvipc/sem"

static const struct kind kind_sysvsem = { .name = "sysvsem", .desc = &ckpt__sysvsem__descriptor };

static int sysvsem_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Sysvsem *m = object->data;
	u32 first = shape_first(collector_graph(collector), t->tgid);
	bool known = t->known & KNOWN_IDENTITY, leads = t->tid == first;
	const Ckpt__Sysvsem *leader = leads ? NULL : graph_data(collector_graph(collector), &kind_sysvsem, first);
	if (known ? !t->sysvsem_id || (leader && leader->undo) : !leads)
		return 0;
	if (!sysv_are_sets()) /* what is undone belongs to a set */
		return 0;
	if (known)
		SET(m, undo, true);
	else
		SET(m, unknown, true);
	return 0;
}

static int sysvsem_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Sysvsem *m = object->data;
	if (direction != DIRECTION_DUMP)
		return 0;
	WORKING_ON_THREAD(object->id);
	if (m->unknown && !shape_is_live(graph))
		warn(SYSVSEM_UNKNOWN, 0, SETS " has some");
	return m->undo ? fail(SYSVSEM_UNDO, 0, "semop(2), SEM_UNDO") : 0;
}

const struct resource resource_sysvsem = {
	.name = "sysvsem",
	.scope = SCOPE_THREAD,
	.kind = &kind_sysvsem,
	.collect = sysvsem_collect,
	.judge = sysvsem_judge,
};
