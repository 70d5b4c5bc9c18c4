// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns images of another kernel's vDSO: its code becomes an ordinary mapping where programs know it, whose entries lead to
 * this kernel's, which is put where there is room. Its data go: nothing reads them any more. Pure. */
#include "arch/arch.h"
#include "collect/vdso.h"
#include "diag/diag.h"
#include "model/vma.h"
#include "restore/compile.h"
#include <sys/mman.h>

#define STACK_ROOM (16ull << 20) /* that a stack may grow, and a heap */
#define HEAP_ROOM (1ull << 30)
#define LOWEST (1ull << 20)

static bool is_part(const char *name) { return !strcmp(name, "[vdso]") || !strncmp(name, "[vvar", 5); }

static const struct vma *find_code(const struct object *vmas)
{
	const struct vma *v = vmas->data;
	for (u32 i = 0; i < vmas->count; i++)
		if (!strcmp(v[i].name, "[vdso]"))
			return &v[i];
	return NULL;
}

/* The vDSO of an address space when it is not the one of this kernel. */
static const Ckpt__Vdso *foreign_vdso(const struct graph *g, const struct survey *s, const Ckpt__Mm *m)
{
	const Ckpt__Vdso *v = graph_data(g, &kind_vdso, m->vdso);
	return v && !(s->vdso && vdso_same(v, s->vdso)) ? v : NULL;
}

/* Can all of its entries be led elsewhere? */
static int judge_code(const Ckpt__Vdso *v, const struct survey *s, const struct vma *code)
{
	if (!v->code.len || v->code.len != code->end - code->start)
		return fail(VDSO_DIFFERS, 0, "the image holds no copy of it");
	_cleanup_free_ u8 *copy = malloc(v->code.len);
	const char *symbol = NULL;
	if (!copy)
		return fail_memory();
	memcpy(copy, v->code.data, v->code.len);
	int r = vdso_redirect(copy, v, s->own_vdso ? s->vdso : NULL, 0, &symbol);
	return r < 0 ? fail(VDSO_DIFFERS, r, "no jump fits over %s", symbol) : 0;
}

/* A pc at an entry is as good as a call of it. */
static bool is_inside(const Ckpt__Vdso *v, const struct vma *code, u64 pc)
{
	if (pc < code->start || pc >= code->end)
		return false;
	for (size_t i = 0; i < v->n_symbol; i++)
		if (v->symbol[i]->value == pc - code->start)
			return false;
	return true;
}

static int judge_threads(const struct graph *g, u32 mm, const Ckpt__Vdso *v, const struct vma *code)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));) {
		const Ckpt__Thread *t = o->data;
		const Ckpt__Task *task = graph_data(g, &kind_task, t->pid);
		arch_regs regs;
		if (!task || task->mm != mm || t->registers.len != sizeof regs)
			continue;
		memcpy(&regs, t->registers.data, sizeof regs);
		WORKING_ON_TASK(t->pid);
		WORKING_ON_THREAD(t->tid);
		if (is_inside(v, code, arch_pc(&regs)))
			r = fail(VDSO_BUSY, 0, "its pc is %#llx", (unsigned long long)arch_pc(&regs));
	}
	return r;
}

static bool is_own_part(const struct survey *s, const struct vma *v)
{
	for (size_t i = 0; i < s->own.n; i++)
		if (!strcmp(s->own.v[i].name, v->name) && s->own.v[i].end - s->own.v[i].start == v->end - v->start)
			return true;
	return false;
}

/* What is left of a vDSO whose code its process has unmapped: it is this kernel's, or nothing that could be made. */
static int judge_rest(const struct object *vmas, const struct survey *s)
{
	const struct vma *v = vmas->data;
	for (u32 i = 0; i < vmas->count; i++)
		if (is_part(v[i].name) && !is_own_part(s, &v[i]))
			return fail(VDSO_DIFFERS, 0, "its code is gone, and %s of %llu bytes is not what the kernel here has",
				    v[i].name, (unsigned long long)(v[i].end - v[i].start));
	return 0;
}

int judge_vdso(const struct graph *g, const struct survey *s)
{
	int r = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_mm, o));) {
		const struct object *vmas = graph_find(g, &kind_vmas, o->id);
		const Ckpt__Vdso *v = foreign_vdso(g, s, o->data);
		const struct vma *code = vmas ? find_code(vmas) : NULL;
		WORKING_ON_TASK(o->id);
		if (vmas && !code && judge_rest(vmas, s) < 0)
			r = -EINVAL;
		if (!v || !code)
			continue;
		if (judge_code(v, s, code) < 0 || judge_threads(g, o->id, v, code) < 0)
			r = -EINVAL;
	}
	return r;
}

/* --- room for this kernel's --- */

struct gap {
	u64 low, high;
};

/* What lies before mapping i (behind the last for i == count) and may be taken. */
static struct gap gap_before(const struct object *vmas, const Ckpt__Mm *m, u32 i)
{
	const struct vma *v = vmas->data;
	struct gap gap = { i ? v[i - 1].end : LOWEST, i < vmas->count ? v[i].start : arch_task_size() };
	if (i < vmas->count && v[i].flags & VMA_GROWSDOWN)
		gap.high -= MIN(gap.high, STACK_ROOM);
	if (m->brk && gap.high > m->brk && gap.low < m->brk + HEAP_ROOM)
		gap.low = m->brk + HEAP_ROOM;
	return gap;
}

/* The free place that is nearest to an address, 0: none. */
static u64 find_room(const struct object *vmas, const Ckpt__Mm *m, u64 near, u64 len)
{
	u64 best = 0, best_distance = ~0ull;
	for (u32 i = 0; i <= vmas->count; i++) {
		struct gap gap = gap_before(vmas, m, i);
		if (gap.high < gap.low || gap.high - gap.low < len)
			continue;
		u64 at = near < gap.low ? gap.low : MIN(near, gap.high - len);
		u64 distance = at > near ? at - near : near - at;
		if (distance < best_distance)
			best = at, best_distance = distance;
	}
	return best;
}

/* Old data go, old code becomes the process's own. */
static u64 make_ordinary(struct object *vmas)
{
	struct vma *v = vmas->data;
	u32 n = 0;
	u64 address = 0;
	for (u32 i = 0; i < vmas->count; i++) {
		if (!strncmp(v[i].name, "[vvar", 5))
			continue;
		v[n] = v[i];
		if (!strcmp(v[n].name, "[vdso]")) {
			u32 sealed = v[n].flags & VMA_SEALED;
			address = v[n].start;
			v[n] = (struct vma){ .start = v[n].start,
					     .end = v[n].end,
					     .prot = PROT_READ | PROT_EXEC,
					     .flags = VMA_ANONYMOUS | VMA_ACCOUNT | VMA_MAYWRITE | sealed };
		}
		n++;
	}
	vmas->count = n;
	return address;
}

/* The distances between the parts are in the code. */
static int add_parts(struct object *vmas, const struct survey *s, u64 at)
{
	u64 first = 0;
	for (size_t i = 0; i < s->own.n; i++) {
		const struct record_vma *own = &s->own.v[i];
		if (!is_part(own->name))
			continue;
		first = first ?: own->start;
		struct vma *place = object_append(vmas);
		if (!place)
			return fail_memory();
		*place = (struct vma){ .start = at + (own->start - first),
				       .end = at + (own->end - first),
				       .prot = own->prot,
				       .flags = VMA_SPECIAL };
		memcpy(place->name, own->name, sizeof place->name);
	}
	vma_sort(vmas);
	return 0;
}

static u64 parts_size(const struct survey *s)
{
	u64 start = 0, end = 0;
	for (size_t i = 0; i < s->own.n; i++)
		if (is_part(s->own.v[i].name)) {
			start = start ?: s->own.v[i].start;
			end = s->own.v[i].end;
		}
	return end - start;
}

static int adapt(struct survey *s, struct object *vmas, Ckpt__Mm *m, const Ckpt__Vdso *v)
{
	struct redirect *r = vector_add(&s->redirects);
	if (!r)
		return fail_memory();
	*r = (struct redirect){ .mm = vmas->id, .vdso = v, .address = make_ordinary(vmas) };
	m->has_vdso_address = false;
	if (!s->own_vdso)
		return 0;
	u64 at = find_room(vmas, m, r->address, parts_size(s));
	if (!at || add_parts(vmas, s, at) < 0)
		return at ? -ENOMEM : fail(VDSO_DIFFERS, 0, "its address space has no room for the one of this kernel");
	r->base = find_code(vmas)->start;
	SET(m, vdso_address, r->base);
	return 0;
}

int adapt_vdso(struct graph *g, struct survey *s)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(g, &kind_mm, o));) {
		struct object *vmas = graph_find(g, &kind_vmas, o->id);
		const Ckpt__Vdso *v = foreign_vdso(g, s, o->data);
		WORKING_ON_TASK(o->id);
		if (v && vmas && find_code(vmas))
			r = adapt(s, vmas, o->data, v);
	}
	return r;
}

void compile_vdso(struct compiler *c, const Ckpt__Task *task)
{
	const char *symbol;
	for (size_t i = 0; i < c->survey->redirects.n; i++) {
		const struct redirect *r = &c->survey->redirects.v[i];
		if (r->mm != task->mm || task->mm != task->pid)
			continue;
		plan_for(c->plan, "entries of the former vDSO of process %u", task->pid);
		size_t len = r->vdso->code.len;
		u32 code = plan_data(c->plan, r->vdso->code.data, len, 8);
		u8 *copy = plan_bytes(c->plan, code);
		if (copy)
			vdso_redirect(copy, r->vdso, r->base ? c->survey->vdso : NULL, r->base, &symbol); /* judged */
		plan_write_memory(c->plan, AT(task->pid, STAGE_FILL), r->address, code, len);
	}
}
