// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the moving of an image's control groups below other roots. */
#include "diag/diag.h"
#include "resource/registry.h"
#include "restore/groups.h"
#include <stdio.h>

struct move {
	const char *hierarchy, *to;
	char *from;
};

static bool is_of(const struct move *m, const char *hierarchy, const char *path)
{
	return hierarchy && cgroup_is_path(path) && !strcmp(hierarchy, m->hierarchy);
}

/* Of a path that is not below, nothing becomes of it. */
static int move_path(const struct move *m, char **path)
{
	char *moved = NULL;
	const char *rest = *path + (cgroup_is_root(m->from) ? 0 : strlen(m->from));
	if (!cgroup_is_within(*path, m->from))
		return 0;
	if (asprintf(&moved, "%s%s", cgroup_is_root(m->to) ? "" : m->to, cgroup_is_root(rest) ? "" : rest) < 0)
		return fail_memory();
	free(*path);
	*path = moved;
	return *moved || message_set_string(path, "/") ? 0 : fail_memory();
}

static int move_places(const struct move *m, Ckpt__Cgroup *process)
{
	int r = 0;
	bool found = false;
	for (size_t i = 0; r == 0 && i < process->n_place; i++)
		if (is_of(m, process->place[i]->hierarchy, process->place[i]->path)) {
			found = true;
			r = move_path(m, &process->place[i]->path);
		}
	if (r < 0 || found || !cgroup_is_root(m->from))
		return r;
	/* what is in no list is in the root */
	return cgroup_add_place(&process->n_place, &process->place, m->hierarchy, m->to);
}

/* Those above are the new root's. */
static int move_groups(const struct move *m, Ckpt__Cgroup *holder)
{
	size_t kept = 0;
	int r = 0;
	for (size_t i = 0; i < holder->n_group; i++) {
		Ckpt__CgroupGroup *g = holder->group[i];
		bool moves = is_of(m, g->hierarchy, g->path);
		if (moves && r == 0)
			r = move_path(m, &g->path);
		if (moves && (g->above || cgroup_is_root(g->path)))
			ckpt__cgroup_group__free_unpacked(g, NULL);
		else
			holder->group[kept++] = g;
	}
	holder->n_group = kept;
	return r;
}

static void take_word(struct text *t, const char *word, size_t len)
{
	if (!text_lists(t->data ?: "", ' ', word, len))
		text_addf(t, "%s%.*s", t->len ? " " : "", (int)len, word);
}

/* The controllers that groups of version 2 have something set of, or hand on. */
static void used_controllers(struct text *t, const struct move *m, const Ckpt__Cgroup *holder)
{
	for (size_t i = 0; i < holder->n_group; i++) {
		const Ckpt__CgroupGroup *g = holder->group[i];
		for (size_t k = 0; is_of(m, g->hierarchy, g->path) && k < g->n_file; k++) {
			const char *name = g->file[k]->name ?: "", *value = g->file[k]->value;
			if (value && strncmp(name, "cgroup.", 7) != 0)
				take_word(t, name, strcspn(name, "."));
			for (const char *at = value && !strcmp(name, "cgroup.subtree_control") ? value : ""; *at;
			     at += strcspn(at, " "), at += *at == ' ')
				take_word(t, at, strcspn(at, " "));
		}
	}
}

static int set_file(Ckpt__CgroupGroup *g, const char *name, const char *value)
{
	Ckpt__CgroupFile *f = cgroup_add_file(g, name);
	return f ? message_set_string(&f->value, value) ? 0 : fail_memory() : -ENOMEM;
}

/* A cpuset of version 1 without processors and nodes takes no process. */
static int set_as_below(Ckpt__CgroupGroup *g, const Ckpt__CgroupGroup *below)
{
	int r = 0;
	for (size_t i = 0; below && r == 0 && i < below->n_file; i++) {
		const Ckpt__CgroupFile *f = below->file[i];
		if (f->name && f->value && (!strcmp(f->name, "cpuset.cpus") || !strcmp(f->name, "cpuset.mems")))
			r = set_file(g, f->name, f->value);
	}
	return r;
}

/* A group that leads to the new root, or is that. */
static int add_leading(const struct move *m, Ckpt__Cgroup *holder, size_t at, const char *path, const char *controllers)
{
	const Ckpt__CgroupGroup *top = at < holder->n_group ? holder->group[at] : NULL;
	Ckpt__CgroupGroup *g = cgroup_add_group(holder, m->hierarchy, path);
	if (!g)
		return -ENOMEM;
	memmove(&holder->group[at + 1], &holder->group[at], (holder->n_group - at - 1) * sizeof *holder->group);
	holder->group[at] = g;
	SET(g, above, true);
	if (*m->hierarchy)
		return set_as_below(g, top && is_of(m, top->hierarchy, top->path) ? top : NULL);
	return *controllers && strcmp(path, m->to) != 0 ? set_file(g, "cgroup.subtree_control", controllers) : 0;
}

/* Before the first group of its hierarchy: those above come first. */
static int add_leading_all(const struct move *m, Ckpt__Cgroup *holder)
{
	_cleanup_text_ struct text controllers = { 0 };
	size_t at = 0;
	int r = 0;
	used_controllers(&controllers, m, holder);
	if (text_failed(&controllers))
		return fail_memory();
	while (at < holder->n_group && !is_of(m, holder->group[at]->hierarchy, holder->group[at]->path))
		at++;
	for (const char *end = m->to; r == 0 && *end && !cgroup_is_root(m->to);) {
		end += strcspn(end + 1, "/") + 1;
		_cleanup_free_ char *path = strndup(m->to, (size_t)(end - m->to));
		if (path && cgroup_find_group(holder, m->hierarchy, path))
			continue;
		r = path ? add_leading(m, holder, at++, path, controllers.data ?: "") : fail_memory();
	}
	return r;
}

/* The shallowest group that is the tree's own. */
static char *top_of(const struct graph *g, const char *hierarchy, Ckpt__Cgroup **holder)
{
	char *top = cgroup_common(g, resource_cgroup.kind, hierarchy);
	for (struct object *o = NULL; top && (o = graph_next(g, resource_cgroup.kind, o));) {
		Ckpt__Cgroup *m = o->data;
		*holder = !*holder || m->n_group ? m : *holder;
		for (size_t i = 0; i < m->n_group; i++) {
			const Ckpt__CgroupGroup *group = m->group[i];
			if (group->hierarchy && !strcmp(group->hierarchy, hierarchy) && !group->above &&
			    cgroup_is_path(group->path))
				cgroup_cut_to_common(top, group->path);
		}
	}
	return top;
}

static int move_hierarchy(const struct graph *g, const char *hierarchy, const char *to)
{
	Ckpt__Cgroup *holder = NULL;
	_cleanup_free_ char *from = top_of(g, hierarchy, &holder);
	const struct move m = { hierarchy, to, from };
	int r = 0;
	if (!from)
		return fail_memory();
	if (!holder || !strcmp(from, to))
		return 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(g, resource_cgroup.kind, o));)
		r = move_places(&m, o->data);
	if (r == 0)
		r = move_groups(&m, holder);
	return r == 0 ? add_leading_all(&m, holder) : r;
}

/* Is it told of by a process before? */
static bool is_known(const struct graph *g, const struct object *until, size_t place, const char *hierarchy)
{
	for (struct object *o = NULL; (o = graph_next(g, resource_cgroup.kind, o));) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; i < (o == until ? place : m->n_place); i++)
			if (m->place[i]->hierarchy && !strcmp(m->place[i]->hierarchy, hierarchy))
				return true;
		if (o == until)
			break;
	}
	return false;
}

/* A tree that is in the roots of version 2 moves as well; of other hierarchies an image knows those that it is below the root of. */
int groups_move(const struct graph *g, const struct cgroup_roots *roots)
{
	const char *to = cgroup_root_of(roots, "");
	int r = to ? move_hierarchy(g, "", to) : 0;
	for (struct object *o = NULL; r == 0 && roots->list.n && (o = graph_next(g, resource_cgroup.kind, o));) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; r == 0 && i < m->n_place; i++) {
			const char *hierarchy = m->place[i]->hierarchy;
			to = hierarchy && *hierarchy && !is_known(g, o, i, hierarchy) ? cgroup_root_of(roots, hierarchy) : NULL;
			r = to ? move_hierarchy(g, hierarchy, to) : 0;
		}
	}
	return r;
}
