// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the fact which terminal controls a process. Terminals themselves make it so (tty.c): here it is proved, and refused
 * when the terminal is not in the tree. */
#include "base/file.h"
#include "collect/collect.h"
#include "ctty.pb-c.h"
#include "diag/diag.h"
#include "plan/plan.h"
#include "tty.pb-c.h"
#include <asm/ioctls.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define SLAVE_MAJOR 136

/* tty_nr and tpgid of /proc/PID/stat: the fifth and sixth field behind the name, which may hold anything. */
static int read_terminal(struct collector *c, u32 pid, u32 *ret_device, int *ret_foreground)
{
	_cleanup_text_ struct text stat = { 0 };
	int r = file_readf(&stat, collector_proc(c, pid), "stat");
	const char *end = r < 0 || !stat.data ? NULL : strrchr(stat.data, ')');
	int device = 0;
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %d %d", &device, ret_foreground) != 2)
		return fail(PROC_READ, r < 0 ? r : -EBADMSG, "/proc/%u/stat", pid);
	*ret_device = (u32)device;
	return 0;
}

static const Ckpt__Tty *next_tty(const struct graph *g, size_t *at, u32 *ret_file)
{
	while (*at < g->objects.n) {
		const struct object *o = g->objects.v[(*at)++];
		if (o->kind->desc == &ckpt__tty__descriptor) {
			*ret_file = o->id;
			return o->data;
		}
	}
	return NULL;
}

/* An open file of the terminal; master: its other side. NULL: there is none in the tree. */
static const Ckpt__Tty *find_tty(const struct graph *g, u32 device, bool master, u32 *ret_file)
{
	size_t at = 0;
	for (const Ckpt__Tty *t; (t = next_tty(g, &at, ret_file));) {
		if (master && t->has_index && !t->other && device == (u32)makedev(SLAVE_MAJOR, t->index))
			return t;
		if (!master && t->has_device && t->device == device)
			return t;
	}
	return NULL;
}

static bool has_group(const struct graph *g, u32 group)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));)
		if (((const Ckpt__Task *)o->data)->pgid == group)
			return true;
	return false;
}

static int ctty_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Ctty *t = o->data;
	const struct graph *g = collector_graph(c);
	const Ckpt__Task *task = graph_data(g, &kind_task, o->id);
	u32 device = 0, file;
	int foreground = 0;
	bool none = subject->task->known & KNOWN_TTY && !subject->task->has_tty;
	int r = none ? 0 : read_terminal(c, subject->task->tgid, &device, &foreground);
	if (r < 0)
		return r;
	bool of_tree = task && task->sid;
	if (of_tree && (!device || find_tty(g, device, true, &file))) {
		SET(t, device, device);
		return 0;
	}
	SET(t, device_outside, device);
	if (!device)
		return 0;
	bool in_tree = foreground > 0 && has_group(g, (u32)foreground);
	if (of_tree) {
		SET(t, external, true);
		SET(t, foreground, in_tree ? (u32)foreground : 0);
	} else if (in_tree)
		SET(t, foreground_outside, (u32)foreground);
	return 0;
}

/* Of an external terminal its open files are all that can be handed over. */
static int judge_external(const struct graph *g, const struct object *o, const Ckpt__Ctty *t, enum direction direction)
{
	const Ckpt__Task *task = graph_data(g, &kind_task, o->id);
	u32 file;
	if (!task || task->sid != o->id) /* its session leader says it */
		return 0;
	if (!find_tty(g, t->device_outside, false, &file))
		return fail(TTY_EXTERNAL, 0, "controlling terminal %u:%u of session %u, which no descriptor leads to",
			    major(t->device_outside), minor(t->device_outside), task->sid);
	if (direction == DIRECTION_RESTORE && t->foreground && !has_group(g, t->foreground))
		return fail(IMAGE_INCONSISTENT, 0, "process group %u in the foreground", t->foreground);
	return 0;
}

static int ctty_judge(const struct graph *g, const struct object *o, enum direction direction)
{
	const Ckpt__Ctty *t = o->data;
	u32 file;
	if (t->external)
		return judge_external(g, o, t, direction);
	if (!t->device || direction != DIRECTION_DUMP)
		return 0;
	const Ckpt__Task *task = graph_data(g, &kind_task, o->id);
	const Ckpt__Tty *terminal = find_tty(g, t->device, true, &file);
	if ((terminal && terminal->session) || (task && task->sid != o->id && graph_find(g, &kind_task, task->sid)))
		return 0; /* its session leader says it */
	return fail(TTY_EXTERNAL, 0, "controlling terminal %u:%u of session %u", major(t->device), minor(t->device),
		    task ? task->sid : 0);
}

static const struct kind kind_ctty = { .name = "ctty", .desc = &ckpt__ctty__descriptor };

/* Who is the first process that is in the group, and lives: it says when the group is there. */
static const Ckpt__Task *first_member(const struct graph *g, u32 group)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (t->pgid == group && (!t->state || strcmp(t->state, "zombie")))
			return t;
	}
	return NULL;
}

/* The terminal's foreground is set by a process of its session. */
static void plan_foreground(struct plan *plan, const struct graph *g, u32 pid, u32 group, u32 file)
{
	const Ckpt__Task *member = first_member(g, group);
	char name[40];
	if (!member)
		return;
	snprintf(name, sizeof name, "external foreground %u", group);
	plan_post(plan, AT(member->pid, STAGE_FILES), plan_word(plan, name));
	plan_wait(plan, AT(pid, STAGE_TTY), plan_word(plan, name), 1);
	plan_call(plan, AT(pid, STAGE_TTY), SYS_ioctl, ARG(plan_fd(plan, file)), ARG(TIOCSPGRP),
		  ARG_OF_DATA(plan_data(plan, &group, sizeof group, 4)));
}

/* The leader takes the terminal before it forks: a controlling terminal is inherited. Of a session that is ckpt's, the
 * tree's root puts the tree's group into the foreground. */
static int ctty_plan(struct plan *plan, const struct graph *g, const struct object *o)
{
	const Ckpt__Ctty *t = o->data;
	const Ckpt__Task *task = graph_data(g, &kind_task, o->id);
	u32 file;
	if (!task || !t->device_outside || !find_tty(g, t->device_outside, false, &file))
		return 0;
	if (t->external && task->sid == o->id) {
		bool early = plan_has_steps(plan, o->id, STAGE_BIRTH);
		plan_call(plan, AT(o->id, early ? STAGE_BIRTH_TTY : STAGE_CTTY), SYS_ioctl, ARG(plan_fd(plan, file)),
			  ARG(TIOCSCTTY), ARG(0));
		if (t->foreground && t->foreground != task->sid)
			plan_foreground(plan, g, o->id, t->foreground, file);
	}
	if (!t->external && !task->ppid && t->foreground_outside && plan_config(plan)->terminal_is_own)
		plan_foreground(plan, g, o->id, t->foreground_outside, file);
	return 0;
}

const struct resource resource_ctty = {
	.name = "ctty",
	.scope = SCOPE_TASK,
	.kind = &kind_ctty,
	.collect = ctty_collect,
	.judge = ctty_judge,
	.plan = ctty_plan,
};
