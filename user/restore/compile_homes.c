// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the answer to where each file is made: by the only process that needs it (at home), or by the world, which all tasks inherit
 * from. So neither ckpt nor another task ever holds what one process alone has, however many such files a tree has. */
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
};

struct uses {
	VECTOR(struct use) list; /* by file */
	struct map place;        /* file -> index + 1 */
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
		*use = (struct use){ .home.file = o->id,
				     .by_others = f->external || f->owner || f->owner_signal || f->flags & O_ASYNC };
	}
	if (u->list.n)
		qsort(u->list.v, u->list.n, sizeof *u->list.v, by_file);
	for (size_t i = 0; i < u->list.n; i++)
		if (map_set(&u->place, u->list.v[i].home.file, (u32)i + 1) < 0)
			return -ENOMEM;
	return 0;
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
			use->home = (struct plan_home){ e->file, o->id, e->fd, e->cloexec };
		}
	}
}

/* A process takes its own locks, by its own descriptors. */
static bool note_reference(void *arg, const struct object *o, u32 file)
{
	struct use *use = use_of(arg, file);
	if (use)
		use->by_others |= use->home.pid != o->id || strcmp(o->kind->name, "locks") != 0;
	return false;
}

static void ask_resources(struct uses *u, const struct graph *g)
{
	for (const struct resource *const *r = registry; *r; r++)
		for (struct object *o = NULL; (*r)->at_home && (o = graph_next(g, (*r)->kind, o));) {
			struct use *use = use_of(u, o->id);
			if (use && use->home.pid && !use->by_others)
				use->at_home = (*r)->at_home(g, o);
		}
}

/* What tells of files that are opened begins when all are open: then the world opens them. */
static bool is_watched(const struct graph *g) { return graph_kind(g, "inotify") || graph_kind(g, "fanotify"); }

/* Service descriptors are those of the world's files, behind all descriptors of the tree. */
static int judge_room(const struct compiler *c, const struct uses *u)
{
	u32 last = u->list.n ? u->list.v[u->list.n - 1].home.file : 0;
	s64 need = plan_fd(c->plan, last + 1);
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
	}
	for (size_t i = 0; r == 0 && i < u.list.n; i++)
		if (u.list.v[i].at_home)
			plan_add_home(c->plan, &u.list.v[i].home);
	if (r == 0)
		r = judge_room(c, &u);
	map_free(&u.place);
	vector_free(&u.list);
	return r;
}
