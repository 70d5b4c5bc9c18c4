// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns paths of control groups and lists of them: what all that deal with them share. */
#include "model/cgroups.h"
#include "diag/diag.h"

bool cgroup_is_path(const char *path) { return path && *path == '/' && !strstr(path, "/.."); }

bool cgroup_is_within(const char *path, const char *above)
{
	size_t len = cgroup_is_root(above) ? 0 : strlen(above);
	return !strncmp(path, above, len) && (!path[len] || path[len] == '/');
}

void cgroup_cut_to_common(char *top, const char *path)
{
	while (!cgroup_is_within(path, top)) {
		char *slash = strrchr(top, '/');
		slash[slash == top] = 0;
	}
}

const char *cgroup_place(size_t count, Ckpt__CgroupPlace *const *places, const char *hierarchy)
{
	for (size_t i = 0; i < count; i++)
		if (places[i]->hierarchy && places[i]->path && !strcmp(places[i]->hierarchy, hierarchy))
			return places[i]->path;
	return "/";
}

const char *cgroup_path(const Ckpt__Cgroup *m, const char *hierarchy) { return cgroup_place(m->n_place, m->place, hierarchy); }

char *cgroup_common(const struct graph *graph, const struct kind *kind, const char *hierarchy)
{
	char *top = NULL;
	for (struct object *o = NULL; (o = graph_next(graph, kind, o));) {
		const char *path = cgroup_path(o->data, hierarchy);
		if (!cgroup_is_path(path))
			continue;
		if (top)
			cgroup_cut_to_common(top, path);
		else if (!(top = strdup(path)))
			return NULL;
	}
	return top ?: strdup("/");
}

int cgroup_add_place(size_t *count, Ckpt__CgroupPlace ***places, const char *hierarchy, const char *path)
{
	Ckpt__CgroupPlace *place = MESSAGE_NEW(Ckpt__CgroupPlace, ckpt__cgroup_place);
	if (!place || !MESSAGE_APPEND(count, places, place)) {
		free(place);
		return fail_memory();
	}
	return message_set_string(&place->hierarchy, hierarchy) && message_set_string(&place->path, path) ? 0 : fail_memory();
}

Ckpt__CgroupGroup *cgroup_add_group(Ckpt__Cgroup *m, const char *hierarchy, const char *path)
{
	Ckpt__CgroupGroup *g = MESSAGE_NEW(Ckpt__CgroupGroup, ckpt__cgroup_group);
	if (!g || !MESSAGE_APPEND(&m->n_group, &m->group, g)) {
		free(g);
		(void)fail_memory();
		return NULL;
	}
	bool ok = message_set_string(&g->hierarchy, hierarchy) && message_set_string(&g->path, path);
	if (!ok)
		(void)fail_memory();
	return ok ? g : NULL;
}

Ckpt__CgroupFile *cgroup_add_file(Ckpt__CgroupGroup *g, const char *name)
{
	Ckpt__CgroupFile *f = MESSAGE_NEW(Ckpt__CgroupFile, ckpt__cgroup_file);
	if (!f || !MESSAGE_APPEND(&g->n_file, &g->file, f)) {
		free(f);
		(void)fail_memory();
		return NULL;
	}
	bool ok = message_set_string(&f->name, name);
	if (!ok)
		(void)fail_memory();
	return ok ? f : NULL;
}

bool cgroup_makes(const struct graph *graph, const char *path)
{
	for (struct object *o = NULL; cgroup_is_path(path) && (o = graph_next(graph, graph_kind(graph, "cgroup"), o));) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; i < m->n_group; i++)
			if (m->group[i]->make && cgroup_is_within(path, m->group[i]->directory))
				return true;
	}
	return false;
}

Ckpt__CgroupGroup *cgroup_find_group(const Ckpt__Cgroup *m, const char *hierarchy, const char *path)
{
	for (size_t i = 0; i < m->n_group; i++) {
		Ckpt__CgroupGroup *g = m->group[i];
		if (g->hierarchy && g->path && !strcmp(g->hierarchy, hierarchy) && !strcmp(g->path, path))
			return g;
	}
	return NULL;
}

int cgroup_root_add(struct cgroup_roots *roots, const char *text)
{
	const char *path = strchr(text, '/');
	bool ok = cgroup_is_path(path) && (path == text || path[-1] == ':') &&
		  (cgroup_is_root(path) || path[strlen(path) - 1] != '/');
	if (!ok)
		return fail(USAGE, 0, "\"%s\" is no [CONTROLLER:]/PATH of a control group", text);
	const char **place = vector_add(&roots->list);
	if (!place)
		return fail_memory();
	*place = text;
	return 0;
}

/* Is the controller one of the hierarchy, be it "name=" of it? */
static bool is_of(const char *hierarchy, const char *controller, size_t len)
{
	const char *name = strncmp(hierarchy, "name=", 5) ? hierarchy : hierarchy + 5;
	return text_lists(*hierarchy ? hierarchy : CGROUP_VERSION_2, ',', controller, len) ||
	       text_lists(name, ',', controller, len);
}

const char *cgroup_root_of(const struct cgroup_roots *roots, const char *hierarchy)
{
	const char *all = NULL, *own = NULL;
	for (size_t i = 0; roots && i < roots->list.n; i++) {
		const char *text = roots->list.v[i], *path = strchr(text, '/');
		if (path == text)
			all = path;
		else if (is_of(hierarchy, text, (size_t)(path - text) - 1))
			own = path;
	}
	return own ?: all;
}
