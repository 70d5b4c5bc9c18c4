// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the pure step from a model to a plan: the arena's site, then process by process. */
#include "diag/diag.h"
#include "model/holes.h"
#include "model/reflect.h"
#include "resource/registry.h"
#include "restore/compile.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#define SITE_CODE PAGE_BYTES

/* Are there pages that make a huge one? */
static bool has_huge(const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_pages, o));)
		for (u32 i = 0; i < o->count; i++)
			if (((const struct page_run *)o->data)[i].len >= HUGE_BYTES)
				return true;
	return false;
}

/* Mappings in the order of their addresses; a heap may consist of several. */
static void note_own(struct site *site, const struct record_vma *v)
{
	struct hole_range *last = site->nown ? &site->own[site->nown - 1] : NULL;
	if (v->flags & (VMA_SHARED | VMA_SPECIAL))
		return;
	if (!strcmp(v->name, "[heap]"))
		site->heap = site->heap ?: v->start;
	else if (last && last->end == v->start)
		last->end = v->end;
	else if (site->nown < SITE_OWN)
		site->own[site->nown++] = (struct hole_range){ v->start, v->end };
}

/* Room for huge pages is left out where there is none, but none that mappings need. */
int compile_site(struct site *ret, const struct graph *g, const struct survey *survey, u64 data_size)
{
	u64 arena = SITE_CODE + data_size + VDSO_SLOT, bench = registry_map_room(g), needed = arena + bench, at = 0;
	u64 room = caps_has(survey->caps, CAN_UFFD_MOVE) && has_huge(g) ? HUGE_BYTES + 2 * SITE_ROOM : 0;
	_cleanup_free_ struct hole_range *own = calloc(survey->own.n + 1, sizeof *own);
	if (!own)
		return fail_memory();
	for (size_t i = 0; i < survey->own.n; i++)
		own[i] = (struct hole_range){ survey->own.v[i].start, survey->own.v[i].end };
	int r = holes_find(&at, g, own, survey->own.n, needed + room);
	if (r == -ENOSPC && room) {
		room = 0;
		r = holes_find(&at, g, own, survey->own.n, needed);
	}
	if (r < 0)
		return r == -ENOSPC ? fail(ARENA_ROOM, 0, "%llu bytes are needed", (unsigned long long)needed) : r;
	*ret = (struct site){ .code = at, .data = at + SITE_CODE, .slot = at + SITE_CODE + data_size, .end = at + arena };
	ret->bench = (struct hole_range){ ret->end, ret->end + bench };
	ret->room = room ? ALIGN_UP(ret->bench.end, HUGE_BYTES) : 0;
	for (size_t i = 0; i < survey->own.n; i++)
		note_own(ret, &survey->own.v[i]);
	return 0;
}

/* Service descriptors begin above every descriptor of the tree. */
u32 compile_first_fd(const struct graph *g)
{
	u32 first = 64;
	for (struct object *o = NULL; (o = graph_next(g, &kind_fds, o));)
		for (u32 i = 0; i < o->count; i++)
			first = MAX(first, ((const struct fd_entry *)o->data)[i].fd + 1);
	return ALIGN_UP(first, 64u);
}

static u32 table_word(struct compiler *c, const char *what, u32 table)
{
	char name[48];
	snprintf(name, sizeof name, "%s %u", what, table);
	return plan_word(c->plan, name);
}

/* Who shares another's table takes nothing by number before it is filled, and is done with it before service descriptors go. */
static void share_files(struct compiler *c, const Ckpt__Task *task)
{
	plan_for(c->plan, "descriptors of process %u, which are those of %u", task->pid, task->fds);
	plan_wait(c->plan, AT(task->pid, STAGE_FILES), table_word(c, "filled table", task->fds), 1);
	plan_post(c->plan, AT(task->pid, STAGE_CLOSE), table_word(c, "done with table", task->fds));
}

/* Descriptors go from their service places to their own. id: of a process or thread, and of its table. */
static void fill_table(struct compiler *c, const char *what, u32 id)
{
	const struct object *fds = graph_find(c->graph, &kind_fds, id);
	const struct fd_entry *e = fds ? fds->data : NULL;
	struct place place = AT(id, STAGE_FILES);
	plan_for(c->plan, "descriptors of %s %u", what, id);
	plan_call(c->plan, place, SYS_close_range, ARG(0), ARG(plan_config(c->plan)->first_service_fd - 1));
	for (u32 i = 0; fds && i < fds->count; i++) {
		const struct plan_home *home = plan_home(c->plan, e[i].file);
		if (home && !home->maker)
			continue;
		plan_for(c->plan, "fd %u of %s %u", e[i].fd, what, id);
		if (home) {
			compile_take(c, place, home, &e[i]);
			continue;
		}
		step_expect(plan_call(c->plan, place, SYS_dup3, ARG(plan_fd(c->plan, e[i].file)), ARG(e[i].fd),
				      ARG(e[i].cloexec ? O_CLOEXEC : 0)),
			    e[i].fd);
	}
	plan_for(c->plan, "service descriptors of %s %u", what, id);
}

static void close_service(struct compiler *c, u32 id)
{
	plan_call(c->plan, AT(id, STAGE_CLOSE), SYS_close_range, ARG(plan_config(c->plan)->first_service_fd), ARG(~0u));
}

int compile_files(struct compiler *c, const Ckpt__Task *task)
{
	u32 sharers = map_get(&c->table_sharers, task->pid);
	if (task->fds != task->pid)
		return share_files(c, task), 0;
	fill_table(c, "process", task->pid);
	if (sharers) {
		plan_post(c->plan, AT(task->pid, STAGE_FILES), table_word(c, "filled table", task->pid));
		plan_wait(c->plan, AT(task->pid, STAGE_CLOSE), table_word(c, "done with table", task->pid), sharers);
	}
	close_service(c, task->pid);
	return 0;
}

void compile_table(struct compiler *c, u32 tid)
{
	fill_table(c, "thread", tid);
	close_service(c, tid);
}

/* Every task begins as ckpt is: all are made before any of them changes what its threads are like. Who enters a user
 * namespace begins anew there. */
static bool is_inherited(const struct compiler *c, const struct object *o)
{
	const struct object *own = graph_next(&c->survey->self, o->kind, NULL);
	const Ckpt__Thread *thread = graph_data(c->graph, &kind_thread, o->id);
	return own && thread && !plan_has_steps(c->plan, thread->pid, STAGE_NAMESPACE) && object_equal(own, o);
}

static int compile_objects(struct compiler *c, const struct resource *resource)
{
	for (struct object *o = NULL; (o = graph_next(c->graph, resource->kind, o));) {
		if (resource->scope == SCOPE_THREAD && is_inherited(c, o))
			continue;
		if (resource->scope == SCOPE_FILE && file_is_external(c->graph, o->id))
			continue;
		plan_for(c->plan, "%s %u", resource->name, o->id);
		if (resource->scope == SCOPE_FILE)
			plan_world_of(c->plan, o->id);
		int err = resource->plan(c->plan, c->graph, o);
		plan_world_of(c->plan, PLAN_PAGES);
		if (err < 0)
			return err;
	}
	return 0;
}

/* What takes the place of external files is open already. */
static void compile_handed(struct compiler *c)
{
	const struct handed_files *handed = c->survey->handed;
	for (size_t i = 0; handed && i < handed->list.n; i++) {
		const Ckpt__File *f = graph_data(c->graph, &kind_file, handed->list.v[i].file);
		plan_for(c->plan, "file %u (for %s)", handed->list.v[i].file, f && f->link ? f->link : "?");
		plan_call(c->plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_dup3, ARG(handed->list.v[i].fd),
			  ARG(plan_fd(c->plan, handed->list.v[i].file)), ARG(O_CLOEXEC));
	}
}

/* Threads come last: what they inherit depends on what their process does. */
int compile_resources(struct compiler *c)
{
	int err = 0;
	for (const struct resource *const *r = registry; *r && err == 0; r++)
		if ((*r)->plan && (*r)->scope != SCOPE_THREAD)
			err = compile_objects(c, *r);
	for (const struct resource *const *r = registry; *r && err == 0; r++)
		if ((*r)->plan && (*r)->scope == SCOPE_THREAD)
			err = compile_objects(c, *r);
	return err;
}

#define MOVE_BYTES 1024 /* steps and data */

/* An iovec per run, and for huge pages one for each of them, or the steps by which a room full of them is read and moved. */
static u64 page_bytes(const struct object *o)
{
	u64 bytes = 0;
	for (u32 i = 0; i < o->count; i++) {
		u64 len = ((const struct page_run *)o->data)[i].len;
		bytes += 32 + len / HUGE_BYTES * 16 + (len >= HUGE_BYTES ? (2 + len / SITE_ROOM) * MOVE_BYTES : 0);
	}
	return bytes;
}

/* The place of the slot depends on the size of the data part, some steps on the slot: so the data part gets a generous size
 * first, by what there is to plan. */
static u64 estimate(const struct graph *g, const struct survey *survey)
{
	u64 steps = 4096, bytes = 1u << 20;
	for (size_t i = 0; i < survey->redirects.n; i++)
		bytes += survey->redirects.v[i].vdso->code.len;
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		const struct resource *resource = registry_of_kind(o->kind);
		bytes += resource && resource->room ? resource->room(o) : 0;
		steps += o->kind == &kind_vmas ? 8ull * o->count : o->kind == &kind_fds ? 6ull * o->count : 64;
		bytes += o->kind == &kind_pages ? page_bytes(o) : o->kind == &kind_thread ? 4096 : 2048;
		for (u32 k = 0; o->kind == &kind_memory && k < o->count; k++)
			steps += 4 + 2 * (((const struct page_run *)o->data)[k].len >> 30);
		if (!o->kind->record_size &&
		    o->kind != &kind_vdso) /* strings may be long; in a socket every byte may be a message */
			bytes += 512 * protobuf_c_message_get_packed_size(o->data);
	}
	return ALIGN_UP(steps * sizeof(struct step) + bytes, (u64)PAGE_BYTES);
}

int compile(struct plan **ret, struct site *ret_site, struct tells *ret_tells, const struct graph *g,
	    const struct survey *survey)
{
	u64 room = estimate(g, survey);
	struct plan_config config = { .first_service_fd = compile_first_fd(g),
				      .caps = survey->caps,
				      .ignored = survey->ignored,
				      .self = survey->root_parent };
	for (size_t i = 0; survey->handed && i < survey->handed->list.n; i++)
		config.first_service_fd = MAX(config.first_service_fd, ALIGN_UP((u32)survey->handed->list.v[i].fd + 1, 64u));
	if (survey->terminal && survey->terminal->fd >= 0) {
		config.terminal = survey->terminal->fd;
		config.terminal_is_own = survey->terminal->is_own;
	}
	_cleanup_plan_ struct plan *plan = plan_new(&config);
	if (!plan)
		return fail_memory();
	struct compiler c = { .graph = g, .survey = survey, .plan = plan };
	int r = compile_site(&c.site, g, survey, room);
	if (r == 0)
		r = compile_tree(&c);
	if (r == 0) {
		compile_handed(&c);
		r = compile_resources(&c);
	}
	if (r == 0)
		r = compile_owners(&c);
	if (r == 0 && ret_tells)
		r = compile_tells(&c, ret_tells);
	if (r == 0)
		r = compile_interrupted(&c);
	shape_stand_ins_free(&c.stand_ins);
	map_free(&c.members);
	map_free(&c.table_sharers);
	map_free(&c.makers.creators);
	if (r == 0)
		r = plan_seal(plan);
	if (r < 0)
		return r;
	if (plan_size(plan) > room)
		return fail(PLAN_TOO_LARGE, 0, "%zu bytes, %llu were reserved", plan_size(plan), (unsigned long long)room);
	*ret_site = c.site;
	*ret = take_ptr(plan);
	return 0;
}
