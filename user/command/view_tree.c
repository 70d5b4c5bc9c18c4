// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the drawing of a process tree. */
#include "command/view.h"
#include "model/kinds.h"
#include "model/names.h"
#include <stdio.h>

/* Deeper trees are drawn flat: an image may hold any chain of parents. */
enum { DEEPEST = 60 };

struct drawing {
	struct text *out;
	const struct graph *graph;
	VECTOR(const Ckpt__Task *) tasks; /* by parent, then pid */
};

static int by_parent(const void *a, const void *b)
{
	const Ckpt__Task *x = *(const Ckpt__Task *const *)a, *y = *(const Ckpt__Task *const *)b;
	if (x->ppid != y->ppid)
		return x->ppid < y->ppid ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* Index of the first task whose parent is not less than ppid. */
static size_t first_child(const struct drawing *d, u32 ppid)
{
	size_t low = 0, high = d->tasks.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (d->tasks.v[middle]->ppid < ppid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_name(const struct drawing *d, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(d->graph, &kind_thread, tid);
	text_addf(d->out, "%u ", tid);
	text_add_shown(d->out, thread && thread->comm ? thread->comm : "?");
}

static void add_threads(const struct drawing *d, const Ckpt__Task *task)
{
	size_t shown = 0;
	for (size_t i = 0; i < task->n_tid && shown < 4; i++) {
		if (task->tid[i] == task->pid)
			continue;
		text_adds(d->out, shown++ ? ", " : "  threads: ");
		add_name(d, task->tid[i]);
	}
	if (task->n_tid > shown + 1)
		text_addf(d->out, " and %zu more", task->n_tid - shown - 1);
}

static void add_id(const struct drawing *d, const char *name, u32 id, u32 outside)
{
	text_addf(d->out, "%s %u%s", name, id ? id : outside, id ? "" : " (outside)");
}

static void add_task(const struct drawing *d, const Ckpt__Task *task)
{
	if (task->comm) { /* a zombie has no thread */
		text_addf(d->out, "%u ", task->pid);
		text_add_shown(d->out, task->comm);
	} else {
		add_name(d, task->pid);
	}
	if (task->state && strcmp(task->state, "running")) {
		text_adds(d->out, " ");
		text_add_shown(d->out, task->state);
	}
	add_id(d, "  session", task->sid, task->session_outside);
	add_id(d, " group", task->pgid, task->group_outside);
	add_threads(d, task);
	text_adds(d->out, "\n");
}

static void draw_children(const struct drawing *d, u32 ppid, const char *indent, unsigned depth)
{
	for (size_t i = first_child(d, ppid); ppid && i < d->tasks.n && d->tasks.v[i]->ppid == ppid; i++) {
		bool last = i + 1 == d->tasks.n || d->tasks.v[i + 1]->ppid != ppid;
		char below[DEEPEST * 5 + 8];
		text_addf(d->out, "%s%s ", indent, last ? "└─" : "├─");
		add_task(d, d->tasks.v[i]);
		snprintf(below, sizeof below, "%s%s", indent, last ? "   " : "│  ");
		if (depth < DEEPEST)
			draw_children(d, d->tasks.v[i]->pid, below, depth + 1);
		else
			text_addf(d->out, "%s   ...\n", indent);
	}
}

void view_tree(struct text *t, const struct graph *g)
{
	struct drawing d = { .out = t, .graph = g };
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task **place = vector_add(&d.tasks);
		if (place)
			*place = o->data;
		else
			t->failed = true;
	}
	if (d.tasks.n)
		qsort(d.tasks.v, d.tasks.n, sizeof *d.tasks.v, by_parent);
	for (size_t i = 0; i < d.tasks.n; i++) {
		if (d.tasks.v[i]->ppid && graph_find(g, &kind_task, d.tasks.v[i]->ppid))
			continue;
		add_task(&d, d.tasks.v[i]);
		draw_children(&d, d.tasks.v[i]->pid, "", 1);
	}
	vector_free(&d.tasks);
}
