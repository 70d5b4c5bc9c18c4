// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the control groups of a process (cgroups(7)). A restored process enters those that are still there; none is made anew, for what it
 * limits is not its processes' but its manager's. */
#include "base/file.h"
#include "cgroup.pb-c.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/policy.h"
#include "model/shape.h"
#include "plan/plan.h"
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct kind kind_cgroup = { .name = "cgroup", .desc = &ckpt__cgroup__descriptor };

/* --- collect --- */

static int add_place(size_t *count, Ckpt__CgroupPlace ***places, const char *hierarchy, const char *path)
{
	Ckpt__CgroupPlace *place = MESSAGE_NEW(Ckpt__CgroupPlace, ckpt__cgroup_place);
	if (!place || !MESSAGE_APPEND(count, places, place)) {
		free(place);
		return fail_memory();
	}
	return message_set_string(&place->hierarchy, hierarchy) && message_set_string(&place->path, path) ? 0 : fail_memory();
}

static bool is_root(const char *path) { return !strcmp(path, "/"); }

/* The lines of /proc/PID/cgroup: "ID:CONTROLLERS:PATH". */
static int read_places(int proc, const char *file, bool roots, Ckpt__Cgroup *m)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read(proc, file, &text);
	if (r == -ENOENT) /* CONFIG_CGROUPS=n */
		return 0;
	if (r < 0)
		return fail(PROC_READ, r, "%s", file);
	for (char *line, *rest = text.data; r == 0 && (line = strsep(&rest, "\n"));) {
		strsep(&line, ":");
		const char *hierarchy = strsep(&line, ":");
		if (line && (roots || !is_root(line)))
			r = add_place(&m->n_place, &m->place, hierarchy, line);
	}
	return r;
}

static int cgroup_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	if (subject->task->tgid == (u32)getpid()) /* where ckpt is, a choice asks */
		return 0;
	int proc = collector_proc(collector, subject->task->tgid);
	return proc < 0 ? proc : read_places(proc, "cgroup", false, object->data);
}

/* --- choose: where it can be at this restore --- */

/* What is in no list is in the root. */
static const char *path_in(size_t count, Ckpt__CgroupPlace *const *places, const char *hierarchy)
{
	for (size_t i = 0; i < count; i++)
		if (places[i]->hierarchy && places[i]->path && !strcmp(places[i]->hierarchy, hierarchy))
			return places[i]->path;
	return "/";
}

static bool is_mount_of(const struct mntent *mount, const char *hierarchy)
{
	char first[64];
	snprintf(first, sizeof first, "%.*s", (int)strcspn(hierarchy, ","), hierarchy);
	return *hierarchy ? !strcmp(mount->mnt_type, "cgroup") && hasmntopt(mount, first) : !strcmp(mount->mnt_type, "cgroup2");
}

/* Where a hierarchy is mounted; false: nowhere. */
static bool find_mount(const char *hierarchy, char place[PATH_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool found = false;
	for (struct mntent *mount; mounts && !found && (mount = getmntent(mounts));) {
		found = is_mount_of(mount, hierarchy);
		snprintf(place, PATH_MAX, "%s", mount->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

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

static bool can_enter(const char *mount, const char *path)
{
	char directory[2 * PATH_MAX];
	snprintf(directory, sizeof directory, "%s%s", mount, path);
	_cleanup_close_ int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 && takes_processes(dir);
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

/* It was in `was`, ckpt is in `own`. */
static int choose_place(Ckpt__Cgroup *m, const char *hierarchy, const char *was, const char *own, bool keep)
{
	char mount[PATH_MAX];
	int r = 0;
	if (!keep || !strcmp(was, own))
		was = own;
	else if (strstr(was, "/..") || !find_mount(hierarchy, mount) || !can_enter(mount, was)) {
		r = add_place(&m->n_missed, &m->missed, hierarchy, was);
		was = own;
	} else
		r = enter(m, hierarchy, mount);
	return r < 0 || is_root(was) ? r : add_place(&m->n_place, &m->place, hierarchy, was);
}

static int choose_places(Ckpt__Cgroup *chosen, const Ckpt__Cgroup *was, const Ckpt__Cgroup *own, bool keep)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < own->n_place; i++) {
		const char *hierarchy = own->place[i]->hierarchy;
		r = choose_place(chosen, hierarchy, path_in(was->n_place, was->place, hierarchy), own->place[i]->path, keep);
	}
	return r;
}

/* The hierarchies here may be others than in the image: those of ckpt are gone through. */
static int cgroup_choose(struct object *o, const struct policies *policies)
{
	Ckpt__Cgroup *m = o->data, *own = MESSAGE_NEW(Ckpt__Cgroup, ckpt__cgroup),
		     *chosen = MESSAGE_NEW(Ckpt__Cgroup, ckpt__cgroup);
	int r = own && chosen ? read_places(AT_FDCWD, "/proc/self/cgroup", true, own) : fail_memory();
	if (r == 0)
		r = choose_places(chosen, m, own, policy_of(policies, POLICY_CGROUP) == POLICY_KEEP);
	if (r == 0) {
		Ckpt__Cgroup was = *m;
		*m = *chosen, *chosen = was;
	}
	ckpt__cgroup__free_unpacked(own, NULL);
	ckpt__cgroup__free_unpacked(chosen, NULL);
	return r;
}

/* --- judge, plan --- */

/* A tree that was in one control group is told of once. */
static bool is_told(const struct graph *graph, const struct object *o, const Ckpt__CgroupPlace *missed)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, o->id);
	const Ckpt__Cgroup *parent = task ? graph_data(graph, o->kind, task->ppid) : NULL;
	return parent && !strcmp(path_in(parent->n_missed, parent->missed, missed->hierarchy), missed->path);
}

static int cgroup_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Cgroup *m = object->data;
	WORKING_ON_TASK(object->id);
	for (size_t i = 0; i < m->n_place; i++)
		if (!m->place[i]->hierarchy || !m->place[i]->path)
			return fail(IMAGE_VALUE, 0, "a control group without a name");
	for (size_t i = 0; direction == DIRECTION_RESTORE && i < m->n_missed; i++)
		if (!is_told(graph, object, m->missed[i]))
			warn(CGROUP_MISSED, 0, "%s:%s", m->missed[i]->hierarchy, m->missed[i]->path);
	return 0;
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
	for (size_t i = 0; i < m->n_entered; i++) {
		const char *hierarchy = m->entered[i]->hierarchy;
		bool first = is_first(graph, object, hierarchy);
		for (struct object *o = NULL; first && (o = graph_next(graph, object->kind, o));) {
			const Ckpt__Cgroup *other = o->data;
			char path[2 * PATH_MAX];
			snprintf(path, sizeof path, "%s%s/cgroup.procs", m->entered[i]->directory,
				 path_in(other->n_place, other->place, hierarchy));
			plan_for(plan, "control groups of process %u", o->id);
			plan_write(plan, AT(o->id, STAGE_UNMAP), ARG(AT_FDCWD), path, "0");
		}
	}
	return 0;
}

const struct resource resource_cgroup = {
	.name = "cgroup",
	.scope = SCOPE_TASK,
	.kind = &kind_cgroup,
	.collect = cgroup_collect,
	.judge = cgroup_judge,
	.choose = cgroup_choose,
	.plan = cgroup_plan,
};
