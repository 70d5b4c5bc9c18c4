// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the shape of a tree allows. A session is entered by being born into it or by making it, a group by any member
 * of the session while its leader lives. */
#include "model/shape.h"
#include "diag/diag.h"
#include <fcntl.h>

const Ckpt__Task *shape_task(const struct graph *g, u32 pid) { return pid ? graph_data(g, &kind_task, pid) : NULL; }

bool shape_is_early(const struct graph *g, const Ckpt__Task *t)
{
	const Ckpt__Task *parent = shape_task(g, t->ppid);
	return parent && parent->sid == parent->pid && t->sid != t->pid && t->sid != parent->sid;
}

const Ckpt__Task *shape_file_owner(const struct graph *g, const Ckpt__File *f)
{
	u32 id = (u32)f->owner;
	const Ckpt__Thread *thread = NULL;
	switch (f->owner_type) {
	case F_OWNER_TID:
		thread = id ? graph_data(g, &kind_thread, id) : NULL;
		return thread ? shape_task(g, thread->pid) : NULL;
	case F_OWNER_PID:
		return shape_task(g, id);
	case F_OWNER_PGRP:
		for (struct object *o = NULL; id && (o = graph_next(g, &kind_task, o));)
			if (((const Ckpt__Task *)o->data)->pgid == id)
				return o->data;
	}
	return NULL;
}

/* The session that a process is born into: its parent's, as it was at that time; 0: that of ckpt. */
static u32 birth_session(const struct graph *g, const Ckpt__Task *t)
{
	const Ckpt__Task *parent = shape_task(g, t->ppid);
	while (parent && shape_is_early(g, t)) {
		t = parent;
		parent = shape_task(g, t->ppid);
	}
	return parent ? parent->sid : 0;
}

int shape_judge(const struct graph *g)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data, *root = t;
		WORKING_ON_TASK(t->pid);
		while (root->ppid)
			root = shape_task(g, root->ppid);
		if (t->sid != t->pid && birth_session(g, t) != t->sid)
			r = fail(SESSION_FOREIGN, 0, "session %u", t->sid ? t->sid : t->session_outside);
		if (!t->pgid && t->group_outside != root->group_outside)
			r = fail(GROUP_LEADERLESS, 0, "process group %u", t->group_outside);
	}
	return r;
}
