// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the steps that say who gets the signals of files: they need ids that exist, so tasks make them. */
#include "model/shape.h"
#include "restore/compile.h"
#include <fcntl.h>
#include <sys/syscall.h>

/* All that F_SETFL can set: it replaces what is set already. */
#define STATUS_FLAGS ((u32)(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC))

static const struct fd_entry *first_entry(const struct object *fds, u32 file)
{
	for (u32 i = 0; fds && i < fds->count; i++) {
		const struct fd_entry *e = (const struct fd_entry *)fds->data + i;
		if (e->file == file)
			return e;
	}
	return NULL;
}

/* The signal tells the number by which O_ASYNC was set (si_fd): the first one that the file has with its owner, else with another.
 * A file that is only on its way through a socket has none. */
static void set_async(struct compiler *c, struct place at, u32 id, const Ckpt__File *f)
{
	const struct plan_home *home = plan_home(c->plan, id);
	if (home) {
		plan_call(c->plan, AT(home->holder, STAGE_TIMERS), SYS_fcntl, ARG(home->held), ARG(F_SETFL),
			  ARG(f->flags & STATUS_FLAGS));
		return;
	}
	const Ckpt__Task *owner = shape_file_owner(c->graph, f);
	const struct object *table = owner ? graph_find(c->graph, &kind_fds, owner->fds) : NULL;
	const struct fd_entry *e = first_entry(table, id);
	for (struct object *o = NULL; !e && (o = graph_next(c->graph, &kind_fds, o));)
		if ((e = first_entry(o, id)))
			table = o;
	plan_call(c->plan, e ? AT(table->id, STAGE_TIMERS) : at, SYS_fcntl, ARG(e ? (s64)e->fd : plan_fd(c->plan, id)),
		  ARG(F_SETFL), ARG(f->flags & STATUS_FLAGS));
}

static void set_owner(struct compiler *c, struct place at, u32 id, const Ckpt__File *f)
{
	const struct plan_home *home = plan_home(c->plan, id);
	struct arg fd = ARG(home ? (s64)home->held : plan_fd(c->plan, id));
	struct f_owner_ex owner = { (enum __pid_type)f->owner_type, f->owner };
	plan_for(c->plan, "owner of file %u (%s)", id, f->link ? f->link : "?");
	if (f->owner)
		plan_call(c->plan, at, SYS_fcntl, fd, ARG(F_SETOWN_EX),
			  ARG_OF_DATA(plan_data(c->plan, &owner, sizeof owner, 4)));
	if (f->owner_signal)
		plan_call(c->plan, at, SYS_fcntl, fd, ARG(F_SETSIG), ARG(f->owner_signal));
	if (f->flags & O_ASYNC)
		set_async(c, at, id, f);
}

int compile_owners(struct compiler *c)
{
	for (struct object *o = NULL; (o = graph_next(c->graph, &kind_file, o));) {
		const Ckpt__File *f = o->data;
		const Ckpt__Task *task = shape_file_owner(c->graph, f);
		const struct plan_home *home = plan_home(c->plan, o->id);
		if (f->external) /* others may have it too */
			continue;
		if (task)
			set_owner(c, AT(task->pid, STAGE_TIMERS), o->id, f);
		else if (f->owner_signal || f->flags & O_ASYNC)
			set_owner(c, home ? AT(home->holder, STAGE_TIMERS) : AT(PLAN_WORLD, STAGE_LINK), o->id, f);
	}
	return 0;
}
