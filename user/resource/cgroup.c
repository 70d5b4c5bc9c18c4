// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the control groups of a process (cgroups(7)). A restored process enters those that are still there; those that are gone are made
 * again with what was set in them, but for those that who dumped it was in himself: these are not the tree's. */
#include "collect/collect.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "resource/cgroup_make.h"
#include <unistd.h>

static const struct kind kind_cgroup = { .name = "cgroup", .desc = &ckpt__cgroup__descriptor };

/* --- collect --- */

static int cgroup_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	if (subject->task->tgid == (u32)getpid()) /* where ckpt is, a choice asks */
		return 0;
	int proc = collector_proc(collector, subject->task->tgid);
	return proc < 0 ? proc : read_places(proc, "cgroup", false, object->data);
}

/* With one object are the groups themselves: only an image needs them. */
static int cgroup_settle(struct collector *collector, struct object *object)
{
	const struct graph *graph = collector_graph(collector);
	if (!collector_storing(collector) || graph_next(graph, object->kind, NULL) != object)
		return 0;
	_cleanup_hierarchies_ struct hierarchies here = { 0 };
	int r = hierarchies_read(&here);
	for (size_t i = 0; r == 0 && i < here.list.n; i++)
		r = describe_hierarchy(graph, object, &here.list.v[i],
				       cgroup_root_of(collector_cgroup_roots(collector), here.list.v[i].name));
	return r;
}

/* --- choose: where it can be at this restore --- */

static bool file_says(int dir, const char *name, const char *words)
{
	_cleanup_text_ struct text text = { 0 };
	return file_read(dir, name, &text) == 0 && strstr(text.data, words);
}

/* Who enters a frozen one stands still, and one that hands controllers on to others takes no processes (no internal processes). */
static bool takes_processes(int dir)
{
	_cleanup_text_ struct text handed_on = { 0 };
	if (file_says(dir, "cgroup.events", "frozen 1") || file_says(dir, "freezer.state", "FR") ||
	    file_says(dir, "cgroup.type", "invalid"))
		return false;
	if (file_read(dir, "cgroup.subtree_control", &handed_on) == 0 && handed_on.len > 1)
		return false;
	return faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

static bool can_enter(struct hierarchy *h, const char *path)
{
	_cleanup_free_ char *directory = directory_of(h, path);
	_cleanup_close_ int dir = directory ? open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir >= 0 && takes_processes(dir);
}

static bool is_made(const struct choice *c, const char *hierarchy, const char *path)
{
	const Ckpt__CgroupGroup *g = c->holder ? cgroup_find_group(c->holder, hierarchy, path) : NULL;
	return g && g->make;
}

static int enter(Ckpt__Cgroup *m, const char *hierarchy, const char *mount)
{
	Ckpt__CgroupMount *entered = MESSAGE_NEW(Ckpt__CgroupMount, ckpt__cgroup_mount);
	if (!entered || !MESSAGE_APPEND(&m->n_entered, &m->entered, entered)) {
		free(entered);
		return fail_memory();
	}
	return message_set_string(&entered->hierarchy, hierarchy) && message_set_string(&entered->directory, mount)
		       ? 0
		       : fail_memory();
}

/* It was in `was`, ckpt is in h->own. */
static int choose_place(const struct choice *c, Ckpt__Cgroup *m, struct hierarchy *h, const char *was)
{
	int r = 0;
	if (c->policy == POLICY_DROP || !strcmp(was, h->own))
		was = h->own;
	else if (cgroup_is_path(was) && mount_of(h) && (can_enter(h, was) || is_made(c, h->name, was)))
		r = enter(m, h->name, mount_of(h));
	else {
		r = cgroup_add_place(&m->n_missed, &m->missed, h->name, was);
		was = h->own;
	}
	return r < 0 || cgroup_is_root(was) ? r : cgroup_add_place(&m->n_place, &m->place, h->name, was);
}

/* The hierarchies here may be others than in the image: those of ckpt are gone through. */
static int choose_places(struct choice *c, Ckpt__Cgroup *m)
{
	Ckpt__Cgroup was = *m, *chosen = MESSAGE_NEW(Ckpt__Cgroup, ckpt__cgroup);
	int r = chosen ? 0 : fail_memory();
	for (size_t i = 0; r == 0 && i < c->here.list.n; i++)
		r = choose_place(c, chosen, &c->here.list.v[i], cgroup_path(&was, c->here.list.v[i].name));
	if (r == 0) {
		m->n_place = chosen->n_place, m->place = chosen->place;
		m->n_entered = chosen->n_entered, m->entered = chosen->entered;
		m->n_missed = chosen->n_missed, m->missed = chosen->missed;
		chosen->n_place = was.n_place, chosen->place = was.place;
		chosen->n_entered = was.n_entered, chosen->entered = was.entered;
		chosen->n_missed = was.n_missed, chosen->missed = was.missed;
		SET(m, required, c->policy != POLICY_KEEP && c->policy != POLICY_ENTER);
	}
	ckpt__cgroup__free_unpacked(chosen, NULL);
	return r;
}

/* With the first of them all are chosen: groups before those who are to enter them. */
static int cgroup_choose(const struct graph *graph, struct object *first, const struct policies *policies)
{
	if (graph_next(graph, first->kind, NULL) != first)
		return 0;
	struct choice c = { .graph = graph, .policy = policy_of(policies, POLICY_CGROUP) };
	_cleanup_hierarchies_ struct hierarchies here = { 0 };
	int r = hierarchies_read(&here);
	c.here = here;
	for (struct object *o = NULL; (o = graph_next(graph, first->kind, o));) {
		Ckpt__Cgroup *m = o->data;
		c.holder = c.holder ?: m->n_group ? m : NULL;
		forget_choice(m);
	}
	for (size_t i = 0; r == 0 && c.holder && c.policy != POLICY_DROP && i < c.holder->n_group; i++)
		r = choose_group(&c, c.holder->group[i]);
	for (struct object *o = NULL; r == 0 && (o = graph_next(graph, first->kind, o));)
		r = choose_places(&c, o->data);
	return r;
}

/* --- judge, plan --- */

/* A tree that was in one control group is told of once. */
static bool is_told(const struct graph *graph, const struct object *o, const Ckpt__CgroupPlace *missed)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, o->id);
	const Ckpt__Cgroup *parent = task ? graph_data(graph, o->kind, task->ppid) : NULL;
	return parent && !strcmp(cgroup_place(parent->n_missed, parent->missed, missed->hierarchy), missed->path);
}

static int cgroup_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Cgroup *m = object->data;
	WORKING_ON_TASK(object->id);
	for (size_t i = 0; i < m->n_place; i++)
		if (!m->place[i]->hierarchy || !m->place[i]->path)
			return fail(IMAGE_VALUE, 0, "a control group without a name");
	int r = judge_groups(m);
	for (size_t i = 0; direction == DIRECTION_RESTORE && i < m->n_missed; i++)
		if (m->required && !is_told(graph, object, m->missed[i]))
			r = fail(CGROUP_REQUIRED, 0, "%s:%s", m->missed[i]->hierarchy, m->missed[i]->path);
		else if (!is_told(graph, object, m->missed[i]))
			warn(CGROUP_MISSED, 0, "%s:%s", m->missed[i]->hierarchy, m->missed[i]->path);
	return r;
}

static bool is_first(const struct graph *graph, const struct object *object, const char *hierarchy)
{
	for (struct object *o = NULL; (o = graph_next(graph, object->kind, o)) && o != object;) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; i < m->n_entered; i++)
			if (!strcmp(m->entered[i]->hierarchy, hierarchy))
				return false;
	}
	return true;
}

/* Before a process has memory of its own: that is charged to where it is then. Children are born where their parents are by then, so
 * where one process is elsewhere than ckpt all say where they belong. */
static int cgroup_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Cgroup *m = object->data;
	int r = plan_groups(plan, m);
	for (size_t i = 0; r == 0 && i < m->n_entered; i++) {
		const char *hierarchy = m->entered[i]->hierarchy;
		bool first = is_first(graph, object, hierarchy);
		for (struct object *o = NULL; first && (o = graph_next(graph, object->kind, o));) {
			const Ckpt__Cgroup *other = o->data;
			char path[2 * PATH_MAX];
			snprintf(path, sizeof path, "%s%s/cgroup.procs", m->entered[i]->directory,
				 cgroup_path(other, hierarchy));
			plan_for(plan, "control groups of process %u", o->id);
			plan_write(plan, AT(o->id, STAGE_UNMAP), ARG(AT_FDCWD), path, "0");
		}
	}
	return r;
}

const struct resource resource_cgroup = {
	.name = "cgroup",
	.scope = SCOPE_TASK,
	.kind = &kind_cgroup,
	.collect = cgroup_collect,
	.settle = cgroup_settle,
	.judge = cgroup_judge,
	.choose = cgroup_choose,
	.plan = cgroup_plan,
};
