// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the answer to where each file is made: by the only process that needs it (at home), by the world, which all tasks inherit from,
 * or, when the world has no room for all that is left, by a maker. So neither ckpt nor another task ever holds what one process alone
 * has, and ckpt holds but a portion of what several share, however many such files a tree has. */
#include "diag/diag.h"
#include "model/reflect.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/compile.h"
#include <fcntl.h>

/* A file of the image and who needs it. */
struct use {
	struct plan_home home; /* pid: its descriptor table, 0: none so far */
	bool at_home, by_others;
	bool in_world; /* nobody else may make it */
	u32 group; /* index of a file that it belongs together with, of lower number; its own: it is the first of its group */
	u32 size;  /* of the group; of the first */
	struct plan_home next; /* where a maker makes the next one of the group; of the first */
};

struct uses {
	VECTOR(struct use) list; /* by file */
	struct map place;        /* file -> index + 1 */
	u32 most;                /* descriptors up to which a maker needs */
};

static struct use *use_of(struct uses *u, u32 file)
{
	u32 place = map_get(&u->place, file);
	return place ? &u->list.v[place - 1] : NULL;
}

static int by_file(const void *a, const void *b)
{
	u32 x = ((const struct use *)a)->home.file, y = ((const struct use *)b)->home.file;
	return x < y ? -1 : x > y;
}

/* What takes the place of an external file is there already; who gets a file's signals sets that by himself (compile_owners.c). */
static int list_files(struct uses *u, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));) {
		const Ckpt__File *f = o->data;
		struct use *use = vector_add(&u->list);
		if (!use)
			return -ENOMEM;
		bool given = f->external || f->owner || f->owner_signal || f->flags & O_ASYNC;
		*use = (struct use){ .home.file = o->id, .by_others = given, .in_world = given };
	}
	if (u->list.n)
		qsort(u->list.v, u->list.n, sizeof *u->list.v, by_file);
	for (u32 i = 0; i < u->list.n; i++) {
		u->list.v[i].group = i;
		if (map_set(&u->place, u->list.v[i].home.file, i + 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

static struct use *first_of_group(struct uses *u, struct use *use)
{
	while (&u->list.v[use->group] != use) {
		use->group = u->list.v[use->group].group;
		use = &u->list.v[use->group];
	}
	return use;
}

static void join(struct uses *u, struct use *a, struct use *b)
{
	a = first_of_group(u, a), b = first_of_group(u, b);
	if (a < b)
		b->group = a->group;
	else
		a->group = b->group;
}

/* Is it the descriptor table of one process, which makes it itself? */
static bool is_alone(const struct compiler *c, u32 table)
{
	const Ckpt__Task *t = shape_task(c->graph, table);
	return t && !shape_is_zombie(t) && !t->has_leader_exit && t->fds == table && !map_get(&c->table_sharers, table);
}

static void list_descriptors(struct uses *u, const struct compiler *c)
{
	for (struct object *o = NULL; (o = graph_next(c->graph, &kind_fds, o));) {
		bool alone = is_alone(c, o->id);
		for (u32 i = 0; i < o->count; i++) {
			const struct fd_entry *e = (const struct fd_entry *)o->data + i;
			struct use *use = use_of(u, e->file);
			if (!use)
				continue;
			use->by_others |= !alone || use->home.pid;
			use->home = (struct plan_home){ .file = e->file, .pid = o->id, .fd = e->fd, .cloexec = e->cloexec };
		}
	}
}

/* A process takes its own locks, by its own descriptors. What files tell of each other they tell where all of them are; others refer to
 * what tasks have inherited. */
static bool note_reference(void *arg, const struct object *o, u32 file)
{
	struct use *use = use_of(arg, file), *referring = NULL;
	const struct resource *resource = registry_of_kind(o->kind);
	if (!use)
		return false;
	use->by_others |= use->home.pid != o->id || strcmp(o->kind->name, "locks") != 0;
	if (resource && resource->scope == SCOPE_FILE)
		referring = use_of(arg, o->id);
	if (referring)
		join(arg, use, referring);
	else
		use->in_world = true;
	return false;
}

static void ask_resource(struct use *use, const struct resource *r, const struct graph *g, const struct object *o)
{
	if (r->at_home && use->home.pid && !use->by_others)
		use->at_home = r->at_home(g, o);
	if (!use->at_home && !use->in_world)
		use->in_world = !r->apart || !r->apart(g, o);
}

static void ask_resources(struct uses *u, const struct graph *g)
{
	for (const struct resource *const *r = registry; *r; r++)
		for (struct object *o = NULL; (*r)->scope == SCOPE_FILE && (o = graph_next(g, (*r)->kind, o));) {
			struct use *use = use_of(u, o->id);
			if (use)
				ask_resource(use, *r, g, o);
		}
}

/* --- portions --- */

/* How many files the world makes, and each maker: with all descriptors of the tree ckpt stays far below 4096, and some room is left for
 * one of each maker. */
static u32 portion(const struct compiler *c)
{
	s64 room = (s64)c->survey->nofile - plan_config(c->plan)->first_service_fd - SPARE_FDS;
	return (u32)MIN(MAX(room / 2, 1), 1024);
}

/* Returns how many of those that are not at home the world has to make. */
static u32 count_groups(struct uses *u)
{
	u32 n = 0;
	for (size_t i = 0; i < u->list.n; i++) {
		struct use *use = &u->list.v[i], *first = first_of_group(u, use);
		first->size += !use->at_home;
		first->in_world |= use->in_world;
	}
	for (size_t i = 0; i < u->list.n; i++) {
		const struct use *use = &u->list.v[i];
		n += use->in_world && use->group == i ? use->size : 0;
	}
	return n;
}

/* The world makes the first groups, as many as fit. */
static void share_world(struct uses *u, u32 most)
{
	u32 in_world = count_groups(u);
	for (size_t i = 0; i < u->list.n; i++) {
		struct use *use = &u->list.v[i];
		if (use->group != i || use->in_world || use->at_home)
			continue;
		use->in_world = in_world + use->size <= most;
		in_world += use->in_world ? use->size : 0;
	}
}

/* Each maker makes as many of the others as fit; where there is none any more, the world does. */
static void share_makers(struct uses *u, struct compiler *c, u32 most)
{
	struct maker maker = { 0 };
	for (size_t i = 0, made = most; i < u->list.n; i++) {
		struct use *use = &u->list.v[i], *first = first_of_group(u, use);
		if (use->at_home || first->in_world)
			continue;
		if (first == use && made + use->size > most) {
			made = 0;
			use->in_world = compile_maker(c, &maker) < 0;
		}
		if (use->in_world) {
			made = most;
			continue;
		}
		if (first == use) {
			use->next = (struct plan_home){ .pid = maker.tid,
							.maker = maker.pidfd,
							.process = maker.process,
							.fd = maker.first_fd + (u32)made };
			made += use->size;
		}
		first->next.file = use->home.file;
		use->home = first->next;
		first->next.fd++;
		u->most = MAX(u->most, first->next.fd);
	}
}

/* What tells of files that are opened begins when all are open: then the world opens them. */
static bool is_watched(const struct graph *g) { return graph_kind(g, "inotify") || graph_kind(g, "fanotify"); }

/* Service descriptors are those of the world's files, behind all descriptors of the tree. */
static int judge_room(const struct compiler *c, const struct uses *u)
{
	u32 last = u->list.n ? u->list.v[u->list.n - 1].home.file : 0;
	s64 need = plan_fd(c->plan, last + 1) + (c->makers.count ? SPARE_FDS + c->makers.count : 0);
	need = MAX(need, (s64)u->most);
	return need >= 0 && need <= c->survey->nofile
		       ? 0
		       : fail(TOO_MANY_FILES, 0, "%u descriptors are needed, %u allowed", (u32)need, c->survey->nofile);
}

int compile_homes(struct compiler *c)
{
	static const char *const but[] = { "fds", NULL };
	struct uses u = { 0 };
	int r = list_files(&u, c->graph);
	if (r == 0 && !is_watched(c->graph)) {
		list_descriptors(&u, c);
		graph_references(c->graph, but, note_reference, &u);
		ask_resources(&u, c->graph);
		share_world(&u, portion(c));
		share_makers(&u, c, portion(c));
	}
	for (size_t i = 0; r == 0 && i < u.list.n; i++)
		if (u.list.v[i].at_home || u.list.v[i].home.maker)
			plan_add_home(c->plan, &u.list.v[i].home);
	compile_makers_end(c);
	if (r == 0)
		r = judge_room(c, &u);
	map_free(&u.place);
	vector_free(&u.list);
	return r;
}
