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
	u32 owner;             /* the descriptor table of who gets its signals; 0: nobody */
	bool is_owned;         /* that, or the signal, or that it sends any, is yet to be set */
	bool at_home, by_others;
	bool in_world; /* nobody else may make it */
	u32 group; /* index of a file that it belongs together with, of lower number; its own: it is the first of its group */
	u32 size;  /* of the group; of the first */
	struct plan_home next; /* where a maker makes the next one of the group; of the first */
};

/* One that needs the other only when that is made. */
struct watch {
	u32 watcher, watched; /* indices */
};

struct uses {
	VECTOR(struct use) list; /* by file */
	struct map place;        /* file -> index + 1 */
	const struct graph *graph;
	VECTOR(struct watch) watches;
	u32 most; /* files that a maker makes */
	bool failed;
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
static struct use use_of_file(const struct graph *g, const struct object *o)
{
	const Ckpt__File *f = o->data;
	const Ckpt__Task *owner = shape_file_owner(g, f);
	return (struct use){ .home.file = o->id,
			     .owner = owner ? owner->fds : 0,
			     .is_owned = f->owner || f->owner_signal || f->flags & O_ASYNC,
			     .by_others = f->external,
			     .in_world = f->external };
}

static int list_files(struct uses *u, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));) {
		struct use *use = vector_add(&u->list);
		if (!use)
			return -ENOMEM;
		*use = use_of_file(g, o);
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

static void note_descriptor(struct use *use, u32 table, const struct fd_entry *e)
{
	struct plan_home *h = &use->home;
	*h = (struct plan_home){
		.file = e->file, .pid = table, .fd = e->fd, .cloexec = e->cloexec, .holder = h->holder, .held = h->held
	};
	if (!h->holder || (table == use->owner && h->holder != table))
		h->holder = table, h->held = e->fd;
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
			note_descriptor(use, o->id, e);
		}
	}
	for (size_t i = 0; i < u->list.n; i++) {
		struct use *use = &u->list.v[i];
		bool within_reach = use->home.holder && (!use->owner || use->home.holder == use->owner);
		use->in_world |= use->is_owned && !within_reach;
		use->by_others |= use->in_world;
	}
}

/* A process takes its own locks, by its own descriptors. */
static void note_locked(const struct uses *u, struct use *use, u32 pid)
{
	const Ckpt__Task *t = shape_task(u->graph, pid);
	const struct object *fds = t ? graph_find(u->graph, &kind_fds, t->fds) : NULL;
	bool has = use->home.pid == pid;
	for (u32 i = 0; !has && fds && i < fds->count; i++)
		has = ((const struct fd_entry *)fds->data)[i].file == use->home.file;
	use->by_others |= use->home.pid != pid;
	use->in_world |= !has;
}

static void note_watch(struct uses *u, const struct use *watcher, const struct use *watched)
{
	struct watch *w = vector_add(&u->watches);
	if (w)
		*w = (struct watch){ (u32)(watcher - u->list.v), (u32)(watched - u->list.v) };
	u->failed |= !w;
}

/* What files tell of each other they tell where all of them are; who maps one can take it from its maker; others refer to what tasks have
 * inherited. */
static bool note_reference(void *arg, const struct object *o, u32 file)
{
	struct use *use = use_of(arg, file), *referring = NULL;
	const struct resource *resource = registry_of_kind(o->kind);
	if (!use)
		return false;
	if (!strcmp(o->kind->name, "locks")) {
		note_locked(arg, use, o->id);
		return false;
	}
	use->by_others = true;
	if (o->kind == &kind_vmas)
		return false;
	if (resource && resource->scope == SCOPE_FILE)
		referring = use_of(arg, o->id);
	if (referring && resource->watches)
		note_watch(arg, referring, use);
	else if (referring)
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

/* How many files the world makes, and each maker, which has both: with all descriptors of the tree ckpt stays far below 4096, and some
 * room is left for one of each maker. */
static u32 portion(const struct compiler *c)
{
	s64 room = (s64)c->survey->nofile - plan_config(c->plan)->first_service_fd - SPARE_FDS - 1;
	return (u32)MIN(MAX(room / 2, 1), 1024);
}

/* What the world watches it makes, too; others watch what it has made, or what they make themselves. */
static void join_watched(struct uses *u)
{
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < u->watches.n; i++) {
			const struct watch *w = &u->watches.v[i];
			const struct use *watcher = first_of_group(u, &u->list.v[w->watcher]);
			struct use *watched = first_of_group(u, &u->list.v[w->watched]);
			more |= watcher->in_world && !watched->in_world;
			watched->in_world |= watcher->in_world;
		}
	}
	for (size_t i = 0; i < u->watches.n; i++) {
		struct use *watcher = &u->list.v[u->watches.v[i].watcher], *watched = &u->list.v[u->watches.v[i].watched];
		if (!first_of_group(u, watched)->in_world)
			join(u, watcher, watched);
	}
}

/* Returns how many of those that are not at home the world has to make. */
static u32 count_groups(struct uses *u)
{
	u32 n = 0;
	for (size_t i = 0; i < u->list.n; i++)
		first_of_group(u, &u->list.v[i])->in_world |= u->list.v[i].in_world;
	join_watched(u);
	for (size_t i = 0; i < u->list.n; i++)
		first_of_group(u, &u->list.v[i])->size += !u->list.v[i].at_home;
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
			use->next = (struct plan_home){
				.pid = maker.tid, .maker = maker.pidfd, .process = maker.process, .fd = (u32)made
			}; /* counted from the first one of all makers */
			made += use->size;
		}
		first->next.file = use->home.file;
		first->next.holder = use->home.holder;
		first->next.held = use->home.held;
		use->home = first->next;
		first->next.fd++;
		u->most = MAX(u->most, first->next.fd);
	}
}

/* Service descriptors are those of the world's files, behind all descriptors of the tree; what makers make, and in the world what leads
 * to each maker, comes behind those. */
static int judge_room(const struct compiler *c, const struct uses *u)
{
	u32 last = u->list.n ? u->list.v[u->list.n - 1].home.file : 0;
	s64 need = plan_fd(c->plan, last + 1) + (c->makers.count ? SPARE_FDS + MAX(c->makers.count, u->most) : 0);
	return need >= 0 && need <= c->survey->nofile
		       ? 0
		       : fail(TOO_MANY_FILES, 0, "%u descriptors are needed, %u allowed", (u32)need, c->survey->nofile);
}

/* Places are known when it is known who makes what. */
static void add_homes(struct uses *u, struct compiler *c)
{
	u32 elsewhere = 0, last = u->list.n ? u->list.v[u->list.n - 1].home.file : 0;
	for (size_t i = 0; i < u->list.n; i++)
		elsewhere += u->list.v[i].at_home || u->list.v[i].home.maker;
	u32 first = plan_config(c->plan)->first_service_fd + last + SPARE_FDS - elsewhere;
	for (size_t i = 0; i < u->list.n; i++) {
		struct use *use = &u->list.v[i];
		use->home.fd += use->home.maker ? first : 0;
		if (use->at_home || use->home.maker)
			plan_add_home(c->plan, &use->home);
	}
	compile_makers_end(c, first);
}

int compile_homes(struct compiler *c)
{
	static const char *const but[] = { "fds", NULL };
	struct uses u = { .graph = c->graph };
	int r = list_files(&u, c->graph);
	if (r == 0) {
		list_descriptors(&u, c);
		graph_references(c->graph, but, note_reference, &u);
		ask_resources(&u, c->graph);
		share_world(&u, portion(c));
		share_makers(&u, c, portion(c));
		r = u.failed ? -ENOMEM : 0;
	}
	if (r == 0) {
		add_homes(&u, c);
		r = judge_room(c, &u);
	}
	map_free(&u.place);
	vector_free(&u.list);
	vector_free(&u.watches);
	return r;
}
