// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what the shape of a tree allows. A session is entered by being born into it or by making it, a group by any member
 * of the session while its leader is there, be it dead. */
#include "model/shape.h"
#include "diag/diag.h"
#include <fcntl.h>

const Ckpt__Task *shape_task(const struct graph *g, u32 pid) { return pid ? graph_data(g, &kind_task, pid) : NULL; }

bool shape_is_zombie(const Ckpt__Task *t) { return t->state && !strcmp(t->state, "zombie"); }

u32 shape_first(const struct graph *g, u32 pid)
{
	const Ckpt__Task *t = shape_task(g, pid);
	return t && t->n_tid ? t->tid[0] : pid;
}

u32 shape_maker(const struct graph *g, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(g, &kind_thread, tid);
	return thread && shape_first(g, thread->pid) == tid ? thread->pid : tid;
}

bool shape_is_live(const struct graph *g)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	return host && host->live;
}

static bool leads(const Ckpt__Task *t) { return t->sid == t->pid; }

/* The session that a leader was in before it made its own. */
static u32 first_session(const struct graph *g, const Ckpt__Task *leader)
{
	const Ckpt__Task *parent = shape_task(g, leader->ppid);
	return parent ? parent->sid : 0;
}

/* A leader takes in members by CLONE_PARENT, which gives them its own parent and exit signal. It does so as a copy of that
 * parent, so it has no time to make children in an older session. */
static bool may_adopt(const Ckpt__Task *leader, const Ckpt__Task *t)
{
	return leads(leader) && leader->ppid == t->ppid && leader->exit_signal == t->exit_signal;
}

enum shape_birth shape_birth(const struct graph *g, const Ckpt__Task *t)
{
	const Ckpt__Task *parent = shape_task(g, t->ppid), *leader;
	if (leads(t) || t->sid == (parent ? parent->sid : 0))
		return BIRTH_LATE;
	if (parent && leads(parent) && first_session(g, parent) == t->sid)
		return BIRTH_EARLY;
	leader = shape_task(g, t->sid);
	return t->sid && (!leader || may_adopt(leader, t)) ? BIRTH_ADOPTED : BIRTH_FOREIGN;
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

/* --- stand-ins --- */

static struct shape_stand_in *find_stand_in(struct shape_stand_ins *stand_ins, u32 id)
{
	for (size_t i = 0; i < stand_ins->list.n; i++)
		if (stand_ins->list.v[i].id == id)
			return &stand_ins->list.v[i];
	return NULL;
}

static struct shape_stand_in *add_stand_in(struct shape_stand_ins *stand_ins, u32 id, u32 parent, bool leads_session)
{
	struct shape_stand_in *stand_in = vector_add(&stand_ins->list);
	if (stand_in)
		*stand_in = (struct shape_stand_in){ .id = id, .parent = parent, .leads = leads_session };
	return stand_in;
}

/* A process that lives, whose children are born into the session: its leader, or any member. */
static const Ckpt__Task *living_member(const struct graph *g, u32 sid)
{
	const Ckpt__Task *leader = shape_task(g, sid);
	if (leader && !shape_is_zombie(leader))
		return leader;
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (t->sid == sid && !shape_is_zombie(t))
			return t;
	}
	return NULL;
}

static int session_stand_ins(struct shape_stand_ins *stand_ins, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (shape_birth(g, t) != BIRTH_ADOPTED || shape_task(g, t->sid))
			continue;
		struct shape_stand_in *stand_in = find_stand_in(stand_ins, t->sid);
		WORKING_ON_TASK(t->pid);
		if (stand_in && stand_in->parent != t->ppid)
			return fail(SESSION_FOREIGN, 0, "session %u, of which another member has another parent", t->sid);
		if (!stand_in && !add_stand_in(stand_ins, t->sid, t->ppid, true))
			return fail_memory();
	}
	return 0;
}

static int group_stand_ins(struct shape_stand_ins *stand_ins, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (!t->pgid || t->pgid == t->pid || shape_task(g, t->pgid))
			continue;
		struct shape_stand_in *stand_in = find_stand_in(stand_ins, t->pgid);
		const Ckpt__Task *member = stand_in ? NULL : living_member(g, t->sid);
		WORKING_ON_TASK(t->pid);
		if (!stand_in && !member)
			return fail(GROUP_LEADERLESS, 0, "process group %u", t->pgid);
		if (!stand_in)
			stand_in = add_stand_in(stand_ins, t->pgid, member->pid, false);
		if (!stand_in)
			return fail_memory();
		stand_in->members++;
	}
	return 0;
}

int shape_stand_ins(struct shape_stand_ins *ret, const struct graph *g)
{
	int r = session_stand_ins(ret, g);
	return r < 0 ? r : group_stand_ins(ret, g);
}

/* --- judgement --- */

/* Would a leader have to adopt somebody and to make a child in an older session, too? */
static bool has_adopted(const struct graph *g, const Ckpt__Task *leader)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		if (t->sid == leader->pid && shape_birth(g, t) == BIRTH_ADOPTED)
			return true;
	}
	return false;
}

static u32 root_group_outside(const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));)
		if (!((const Ckpt__Task *)o->data)->ppid)
			return ((const Ckpt__Task *)o->data)->group_outside;
	return 0;
}

int shape_judge(const struct graph *g)
{
	int r = 0;
	u32 group_outside = root_group_outside(g);
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		enum shape_birth birth = shape_birth(g, t);
		WORKING_ON_TASK(t->pid);
		if (birth == BIRTH_FOREIGN || (birth == BIRTH_EARLY && has_adopted(g, shape_task(g, t->ppid))))
			r = fail(SESSION_FOREIGN, 0, "session %u", t->sid ? t->sid : t->session_outside);
		if (!t->pgid && t->group_outside != group_outside)
			r = fail(GROUP_LEADERLESS, 0, "process group %u", t->group_outside);
	}
	_cleanup_stand_ins_ struct shape_stand_ins stand_ins = { 0 };
	return r < 0 ? r : shape_stand_ins(&stand_ins, g);
}

bool shape_wants(const struct graph *g, u32 id)
{
	bool wanted = graph_find(g, &kind_thread, id);
	for (struct object *o = NULL; !wanted && (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		wanted = t->pid == id || t->sid == id || t->pgid == id;
	}
	return wanted;
}
