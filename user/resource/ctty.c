// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the fact which terminal controls a process. Terminals themselves make it so (tty.c): here it is proved, and refused
 * when the terminal is not in the tree. */
#include "base/file.h"
#include "collect/collect.h"
#include "ctty.pb-c.h"
#include "diag/diag.h"
#include "tty.pb-c.h"
#include <stdio.h>
#include <sys/sysmacros.h>

#define SLAVE_MAJOR 136

/* tty_nr of /proc/PID/stat: the fifth field behind the name, which may hold anything. */
static int read_device(struct collector *c, u32 pid, u32 *ret)
{
	_cleanup_text_ struct text stat = { 0 };
	int r = file_readf(&stat, collector_proc(c, pid), "stat");
	const char *end = r < 0 || !stat.data ? NULL : strrchr(stat.data, ')');
	int device = 0;
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %d", &device) != 1)
		return fail(PROC_READ, r < 0 ? r : -EBADMSG, "/proc/%u/stat", pid);
	*ret = (u32)device;
	return 0;
}

static int ctty_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Ctty *t = o->data;
	const Ckpt__Task *task = graph_data(collector_graph(c), &kind_task, o->id);
	u32 device = 0;
	int r = read_device(c, subject->task->tgid, &device);
	if (r < 0)
		return r;
	if (task && task->sid)
		SET(t, device, device);
	else
		SET(t, device_outside, device);
	return 0;
}

static int ctty_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Ctty *t = o->data;
	if (!t->device || direction != DIRECTION_DUMP)
		return 0;
	for (size_t i = 0; i < graph->objects.n; i++) {
		const struct object *other = graph->objects.v[i];
		const Ckpt__Tty *terminal = other->data;
		if (other->kind->desc == &ckpt__tty__descriptor && terminal->session && major(t->device) == SLAVE_MAJOR &&
		    terminal->index == minor(t->device))
			return 0;
	}
	const Ckpt__Task *task = graph_data(graph, &kind_task, o->id);
	if (task && task->sid != o->id && graph_find(graph, &kind_task, task->sid))
		return 0; /* its session leader says it */
	return fail(TTY_EXTERNAL, 0, "controlling terminal %u:%u of session %u", major(t->device), minor(t->device),
		    task ? task->sid : 0);
}

static const struct kind kind_ctty = { .name = "ctty", .desc = &ckpt__ctty__descriptor };

const struct resource resource_ctty = {
	.name = "ctty",
	.scope = SCOPE_TASK,
	.kind = &kind_ctty,
	.collect = ctty_collect,
	.judge = ctty_judge,
};
