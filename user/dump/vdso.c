// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way out of the vDSO: a kernel with another one has no place inside of it. A clock is read within nanoseconds: who
 * is met there runs on for a moment, with all others stopped, and is stopped again. */
#include "diag/diag.h"
#include "dump/dump.h"
#include "infect/remote.h"
#include "model/kinds.h"
#include <time.h>

#define TRIES 400
#define MOMENT 16000 /* ns; the more tries there were the longer: others may have the CPU */
#define DOUBLES 50   /* it after so many tries */

struct range {
	u64 start, end;
};

static struct range range_of(const struct graph *g, u32 mm)
{
	const Ckpt__Mm *m = graph_data(g, &kind_mm, mm);
	const Ckpt__Vdso *v = m ? graph_data(g, &kind_vdso, m->vdso) : NULL;
	return v ? (struct range){ m->vdso_address, m->vdso_address + v->code.len } : (struct range){ 0 };
}

static bool is_inside(struct range r, const arch_regs *regs) { return arch_pc(regs) >= r.start && arch_pc(regs) < r.end; }

/* Marks those of the tree that stand there, by the registers that they have now; returns how many. A thread in group-stop
 * stays where it is. */
static size_t mark_inside(struct tree *tree, const struct graph *g)
{
	size_t n = 0;
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct tree_process *p = &tree->processes.v[i];
		const Ckpt__Task *task = graph_data(g, &kind_task, (u32)p->pid);
		struct range range = task ? range_of(g, task->mm) : (struct range){ 0 };
		for (size_t k = 0; range.end && k < p->threads.n; k++) {
			struct tree_thread *t = &p->threads.v[k];
			arch_regs regs;
			t->runs_on = !t->stop_signal && remote_get_regs(t->tid, &regs) == 0 && is_inside(range, &regs);
			n += t->runs_on;
		}
	}
	return n;
}

bool dump_is_in_vdso(const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		const Ckpt__Task *task = graph_data(g, &kind_task, t->pid);
		arch_regs regs;
		if (!task || t->registers.len != sizeof regs)
			continue;
		memcpy(&regs, t->registers.data, sizeof regs);
		if (is_inside(range_of(g, task->mm), &regs))
			return true;
	}
	return false;
}

/* Who cannot be brought out is told at the restore, if it matters there. */
int dump_leave_vdso(struct tree *tree, const struct graph *g)
{
	int r = 0;
	for (u64 tries = 0; r == 0 && tries < TRIES && mark_inside(tree, g); tries++)
		r = tree_run_on(tree, (u64)MOMENT << tries / DOUBLES);
	return r;
}
