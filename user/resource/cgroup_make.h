/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups themselves at restore: which are made again, what is set in them. A part of cgroup.c. */
#pragma once
#include "model/policy.h"
#include "plan/plan.h"
#include "resource/cgroup_group.h"
#include <sys/syscall.h>

/* What is chosen for all processes at once. */
struct choice {
	const struct graph *graph;
	enum policy_choice policy;
	struct hierarchies here;
	Ckpt__Cgroup *holder; /* has the groups of all; NULL: the image has none */
};

/* --- choose --- */

static inline bool makes_groups(enum policy_choice policy)
{
	return policy == POLICY_KEEP || policy == POLICY_FULL || policy == POLICY_STRICT;
}

static inline Ckpt__CgroupGroup *group_above(const Ckpt__Cgroup *m, const Ckpt__CgroupGroup *g)
{
	_cleanup_free_ char *above = strndup(g->path, (size_t)(strrchr(g->path, '/') - g->path));
	return above && *above ? cgroup_find_group(m, g->hierarchy, above) : NULL;
}

static inline bool take_lack(Ckpt__CgroupGroup *g, const char *controllers, const char *name, size_t len)
{
	if (g->lacks || text_lists(controllers, ' ', name, len))
		return true;
	g->lacks = strndup(name, len);
	return g->lacks;
}

/* A group of version 2 has the files of controllers that the one above it enables. */
static inline int find_lack(Ckpt__CgroupGroup *g, const char *above)
{
	_cleanup_text_ struct text enabled = { 0 };
	_cleanup_close_ int dir = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || read_value(dir, "cgroup.subtree_control", WHOLE, &enabled) < 0)
		return 0;
	const char *controllers = enabled.data ?: "";
	bool ok = true;
	for (size_t i = 0; i < g->n_file; i++) {
		const char *name = g->file[i]->name, *value = g->file[i]->value;
		if (!name || !value)
			continue;
		if (strncmp(name, "cgroup.", 7) != 0)
			ok &= take_lack(g, controllers, name, strcspn(name, "."));
		for (const char *at = strcmp(name, "cgroup.subtree_control") ? "" : value; *at;
		     at += strcspn(at, " "), at += *at == ' ')
			ok &= take_lack(g, controllers, at, strcspn(at, " "));
	}
	return ok ? 0 : fail_memory();
}

/* It is gone, or ckpt may not look. */
static inline int choose_missing(const struct choice *c, Ckpt__CgroupGroup *g)
{
	const Ckpt__CgroupGroup *parent = group_above(c->holder, g);
	_cleanup_free_ char *above = strndup(g->directory, (size_t)(strrchr(g->directory, '/') - g->directory));
	if (!above)
		return fail_memory();
	bool made = parent && parent->make;
	if (!makes_groups(c->policy) || (!made && faccessat(AT_FDCWD, above, W_OK, AT_EACCESS) < 0))
		return 0;
	SET(g, make, true);
	SET(g, set, true);
	return made || *g->hierarchy ? 0 : find_lack(g, above);
}

static inline Ckpt__CgroupFile *file_of(const Ckpt__CgroupGroup *g, const char *name)
{
	for (size_t i = 0; i < g->n_file; i++)
		if (g->file[i]->name && !strcmp(g->file[i]->name, name))
			return g->file[i];
	return NULL;
}

/* What is set in a group that is here, and was as in a new one, becomes so again. */
static inline int add_initial(Ckpt__CgroupGroup *g)
{
	Ckpt__CgroupGroup *now = MESSAGE_NEW(Ckpt__CgroupGroup, ckpt__cgroup_group);
	DIR *dir = opendir(g->directory);
	int r = now ? dir ? describe_files(dir, now) : 0 : fail_memory();
	for (size_t i = 0; r == 0 && i < now->n_file; i++) {
		const struct group_file *row = group_file_of(now->file[i]->name);
		Ckpt__CgroupFile *f = file_of(g, now->file[i]->name);
		if (!row->initial || !now->file[i]->value || (f && f->value) || row->how == FREEZE)
			continue;
		f = f ?: cgroup_add_file(g, now->file[i]->name);
		r = f ? message_set_string(&f->value, row->initial) ? 0 : fail_memory() : -ENOMEM;
	}
	if (dir)
		closedir(dir);
	ckpt__cgroup_group__free_unpacked(now, NULL);
	return r;
}

static inline int choose_present(const struct choice *c, Ckpt__CgroupGroup *g)
{
	if (g->above)
		return 0;
	if (c->policy == POLICY_STRICT)
		return cgroup_add_place(&c->holder->n_present, &c->holder->present, g->hierarchy, g->path);
	if (c->policy != POLICY_SET && c->policy != POLICY_FULL)
		return 0;
	SET(g, set, true);
	return add_initial(g);
}

/* An image says nothing of this host. */
static inline void forget_choice(Ckpt__Cgroup *m)
{
	for (size_t i = 0; i < m->n_group; i++) {
		Ckpt__CgroupGroup *g = m->group[i];
		g->make = g->set = false;
		free(take_ptr(g->directory));
		free(take_ptr(g->lacks));
	}
	for (size_t i = 0; i < m->n_present; i++)
		ckpt__cgroup_place__free_unpacked(m->present[i], NULL);
	m->n_present = 0;
}

/* New ones are ckpt's anyway. */
static inline void leave_own(Ckpt__CgroupGroup *g)
{
	if (g->uid == geteuid())
		g->has_uid = false;
	if (g->gid == getegid())
		g->has_gid = false;
}

/* Only what an image says in a way that can be followed; the rest is judged. */
static inline int choose_group(struct choice *c, Ckpt__CgroupGroup *g)
{
	struct hierarchy *h = g->hierarchy ? hierarchy_of(&c->here, g->hierarchy) : NULL;
	if (!h || !cgroup_is_path(g->path) || cgroup_is_within(h->own, g->path) || !mount_of(h))
		return 0;
	g->directory = directory_of(h, g->path);
	if (!g->directory)
		return fail_memory();
	leave_own(g);
	return access(g->directory, F_OK) == 0 ? choose_present(c, g) : choose_missing(c, g);
}

/* --- judge --- */

static inline bool is_file_name(const char *name) { return name && group_file_of(name); }

static inline bool is_sound(const Ckpt__CgroupGroup *g)
{
	bool ok = g->hierarchy && cgroup_is_path(g->path) && !cgroup_is_root(g->path) && g->mode <= 07777;
	for (size_t i = 0; ok && i < g->n_file; i++)
		ok = is_file_name(g->file[i]->name) && !strchr(g->file[i]->name, '/') && g->file[i]->mode <= 07777;
	return ok;
}

static inline int judge_group(const Ckpt__Cgroup *m, const Ckpt__CgroupGroup *g)
{
	if (!is_sound(g))
		return fail(IMAGE_VALUE, 0, "a control group that cannot be");
	if (!g->make)
		return 0;
	const Ckpt__CgroupGroup *parent = group_above(m, g);
	if (g->programs)
		return fail(CGROUP_PROGRAMS, 0, "%s (%u)", g->directory, g->programs);
	if (g->lacks)
		return fail(CGROUP_CONTROLLER, 0, "%s: %s", g->directory, g->lacks);
	return parent && parent->make ? 0 : note(CGROUP_MADE, "%s", g->directory);
}

static inline int judge_groups(const Ckpt__Cgroup *m)
{
	int r = 0;
	for (size_t i = 0; i < m->n_group; i++)
		if (judge_group(m, m->group[i]) < 0)
			r = -EINVAL;
	for (size_t i = 0; i < m->n_present; i++)
		r = fail(CGROUP_PRESENT, 0, "%s:%s", m->present[i]->hierarchy, m->present[i]->path);
	return r;
}

/* --- plan --- */

#define GROUPS AT(PLAN_WORLD, STAGE_CREATE)

static inline void plan_owner(struct plan *plan, const char *path, bool has_uid, u32 uid, bool has_gid, u32 gid)
{
	if (has_uid || has_gid)
		plan_call(plan, GROUPS, SYS_fchownat, ARG(AT_FDCWD), ARG_OF_DATA(plan_string(plan, path)),
			  ARG(has_uid ? (s64)uid : -1), ARG(has_gid ? (s64)gid : -1));
}

static inline void plan_mode(struct plan *plan, const char *path, bool has_mode, u32 mode)
{
	if (has_mode)
		plan_call(plan, GROUPS, SYS_fchmodat, ARG(AT_FDCWD), ARG_OF_DATA(plan_string(plan, path)), ARG(mode));
}

/* The parts of a value between these characters, each in a write of its own behind `before`. */
static inline int plan_parts(struct plan *plan, const char *path, const char *value, const char *between, const char *before)
{
	_cleanup_free_ char *copy = strdup(value);
	if (!copy)
		return fail_memory();
	for (char *part, *rest = copy; (part = strsep(&rest, between));) {
		_cleanup_free_ char *text = NULL;
		if (!*part)
			continue;
		if (asprintf(&text, "%s%s", before, part) < 0)
			return fail_memory();
		plan_write(plan, GROUPS, ARG(AT_FDCWD), path, text);
	}
	return 0;
}

/* Documentation/admin-guide/cgroup-v1/devices.rst: lists are written to other files than they are read from. */
static inline int plan_devices(struct plan *plan, const char *directory, const char *value)
{
	char path[2 * PATH_MAX];
	snprintf(path, sizeof path, "%s/devices.deny", directory);
	plan_write(plan, GROUPS, ARG(AT_FDCWD), path, "a");
	snprintf(path, sizeof path, "%s/devices.allow", directory);
	return plan_parts(plan, path, value, "\n", "");
}

static inline int plan_value(struct plan *plan, const char *directory, const char *path, enum group_how how, const char *value)
{
	const char *last = strrchr(value, ' ');
	switch (how) {
	case LINES:
		return plan_parts(plan, path, value, "\n", "");
	case ENABLE:
		return plan_parts(plan, path, value, " ", "+");
	case DEVICES:
		return plan_devices(plan, directory, value);
	case FREEZE: /* not before its processes are all made */
	case OWNER:
		return 0;
	default:
		plan_write(plan, GROUPS, ARG(AT_FDCWD), path, how == LINE && last ? last + 1 : value);
		return 0;
	}
}

static inline int plan_file(struct plan *plan, const char *directory, const struct group_file *row, const Ckpt__CgroupFile *f)
{
	char path[2 * PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", directory, f->name);
	int r = f->value ? plan_value(plan, directory, path, row->how, f->value) : 0;
	plan_owner(plan, path, f->has_uid, f->uid, f->has_gid, f->gid);
	plan_mode(plan, path, f->has_mode, f->mode);
	return r;
}

/* Files in the order of their table. */
static inline int plan_group(struct plan *plan, const Ckpt__CgroupGroup *g)
{
	int r = 0;
	plan_for(plan, "control group %s", g->directory);
	if (g->make) {
		plan_call(plan, GROUPS, SYS_mkdirat, ARG(AT_FDCWD), ARG_OF_DATA(plan_string(plan, g->directory)),
			  ARG(GROUP_MODE));
		plan_owner(plan, g->directory, g->has_uid, g->uid, g->has_gid, g->gid);
		plan_mode(plan, g->directory, g->has_mode, g->mode);
	}
	for (size_t row = 0; row < ARRAY_SIZE(group_files); row++)
		for (size_t i = 0; r == 0 && i < g->n_file; i++)
			if (group_file_of(g->file[i]->name) == &group_files[row])
				r = plan_file(plan, g->directory, &group_files[row], g->file[i]);
	return r;
}

static inline int plan_groups(struct plan *plan, const Ckpt__Cgroup *m)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < m->n_group; i++)
		if (m->group[i]->set)
			r = plan_group(plan, m->group[i]);
	return r;
}
