// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the options of the commands that show graphs, and the order in which objects are shown. */
#include "command/view.h"
#include "base/map.h"
#include "command/command.h"
#include "resource/registry.h"
#include <getopt.h>

static int split(char *list, const char *ret[VIEW_LIST])
{
	size_t n = 0;
	for (char *rest = list, *word; (word = strsep(&rest, ","));) {
		if (n == VIEW_LIST - 1)
			return fail(USAGE, 0, "more than %d names in one list", VIEW_LIST - 1);
		if (*word)
			ret[n++] = word;
	}
	return 0;
}

/* The names must be those of kinds; with_field: a dot and a field may follow. */
static int check_kinds(const char *const *names, bool with_field)
{
	const struct kind *kinds[REGISTRY_KINDS];
	registry_kinds(kinds);
	for (; *names; names++) {
		size_t len = with_field ? strcspn(*names, ".") : strlen(*names), i = 0;
		while (kinds[i] && (strlen(kinds[i]->name) != len || strncmp(kinds[i]->name, *names, len)))
			i++;
		if (!kinds[i] && (with_field || strcmp(*names, "tree")))
			return fail(USAGE, 0, "there is no kind \"%s\"; see `ckpt docs images`", *names);
	}
	return 0;
}

int view_parse(struct view_options *ret, int argc, char **argv, bool ignores, int want, const char *usage)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "section", required_argument, NULL, 's' },
		{ "ignore", required_argument, NULL, 'i' },
		{ 0 },
	};
	*ret = (struct view_options){ 0 };
	opterr = 0;
	for (int option, r = 0; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			ret->json = true;
		else if (option == 's' && !ignores)
			r = split(optarg, ret->sections);
		else if (option == 'i' && ignores)
			r = split(optarg, ret->ignore);
		else
			return fail(USAGE, 0, "%s", usage);
		if (r < 0)
			return r;
	}
	ret->argc = argc - optind;
	ret->argv = argv + optind;
	if (ret->argc != want)
		return fail(USAGE, 0, "%s", usage);
	int r = check_kinds(ret->sections, false);
	return r < 0 ? r : check_kinds(ret->ignore, true);
}

int view_ignore(struct view_options *options, const char *name)
{
	size_t n = 0;
	while (options->ignore[n])
		n++;
	if (n == VIEW_LIST - 1)
		return fail(USAGE, 0, "more than %d names in one list", VIEW_LIST - 2);
	options->ignore[n] = name;
	return 0;
}

int view_caps(struct caps *ret)
{
	const char *disable = getenv("CKPT_DISABLE");
	int r = caps_load(ret, disable);
	return r < 0 ? fail(USAGE, 0, "CKPT_DISABLE=%s names a capability that there is not", disable ? disable : "") : 0;
}

int view_result(const struct view_options *options, int r)
{
	struct text t = { 0 };
	if (r >= 0 || !options->json)
		return r;
	diag_print_json(&t);
	text_adds(&t, "\n");
	command_output(&t);
	return r;
}

/* --- order --- */

/* Where an object is shown: processes by their place in the tree, threads inside, then files, then what is left. */
struct place {
	u32 group, part;
	size_t index;
	struct object *object;
};
enum { GROUP_FILES = UINT32_MAX - 1, GROUP_REST = UINT32_MAX };

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static enum scope scope_of(const struct kind *kind)
{
	const struct resource *const *r = registry;
	while (*r && (*r)->kind != kind)
		r++;
	if (*r)
		return (*r)->scope;
	return kind == &kind_thread ? SCOPE_THREAD : kind == &kind_file ? SCOPE_FILE : SCOPE_TASK;
}

static struct place place_of(const struct graph *g, const struct map *processes, struct object *o)
{
	struct place place = { .group = GROUP_REST, .object = o };
	enum scope scope = scope_of(o->kind);
	u32 pid = o->id;
	if (o->kind == &kind_vdso || o->kind == &kind_host)
		return place;
	if (scope == SCOPE_FILE) {
		place.group = GROUP_FILES;
		place.part = o->id;
		return place;
	}
	if (scope == SCOPE_THREAD) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, o->id);
		pid = thread ? thread->pid : pid;
		place.part = o->id;
	}
	u32 group = map_get(processes, pid);
	place.group = group ? group : GROUP_REST;
	return place;
}

int view_order(const struct graph *g, struct graph *ret)
{
	struct map processes = { 0 };
	VECTOR(struct place) places = { 0 };
	u32 count = 0;
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(g, &kind_task, o));)
		r = map_set(&processes, o->id, ++count);
	*ret = (struct graph){ .index = g->index };
	for (size_t i = 0; r == 0 && i < g->objects.n; i++) {
		struct place *place = vector_add(&places);
		r = place && vector_add(&ret->objects) ? 0 : -ENOMEM;
		if (r < 0)
			break;
		*place = place_of(g, &processes, g->objects.v[i]);
		place->index = i;
	}
	if (r == 0 && places.n)
		qsort(places.v, places.n, sizeof *places.v, by_place);
	for (size_t i = 0; r == 0 && i < places.n; i++)
		ret->objects.v[i] = places.v[i].object;
	vector_free(&places);
	map_free(&processes);
	return r < 0 ? fail_memory() : 0;
}

int view_graph(const struct graph *g, const struct view_options *options)
{
	struct text t = { 0 };
	kind_filter kinds = options->sections[0] ? options->sections : NULL;
	const struct kind tree = { .name = "tree" };
	struct graph ordered;
	int r = view_order(g, &ordered);
	if (r == 0 && options->json)
		graph_json(&t, &ordered, FIELD_ALL, kinds);
	if (r == 0 && !options->json && kind_wanted(kinds, &tree)) {
		view_tree(&t, g);
		text_adds(&t, "\n");
	}
	if (r == 0 && !options->json)
		graph_print(&t, &ordered, FIELD_ALL, kinds);
	vector_free(&ordered.objects);
	return r < 0 ? r : command_output(&t);
}
