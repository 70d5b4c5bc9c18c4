// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what mappings of an image become on a kernel that does not have their kind, or that nobody can make just so, where programs
 * cannot tell the difference. Pure. */
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/vma.h"
#include "restore/restore.h"
#include <sys/mman.h>

/* Memory that the kernel may throw away, not kept by children and not in core files (state of getrandom(3)): such that it keeps. */
static void keep_droppable(struct vma *v)
{
	v->flags = (v->flags & ~(u32)VMA_DROPPABLE) | VMA_WIPEONFORK | VMA_DONTDUMP | VMA_NORESERVE;
}

/* Names are for people. */
static void forget_name(struct vma *v)
{
	if (!strncmp(v->name, "[anon:", 6) || !strncmp(v->name, "[anon_shmem:", 12))
		v->name[0] = 0;
}

/* --- pages that fault though they are mapped (MADV_GUARD_INSTALL): without access they fault, too --- */

static int add_piece(struct object *vmas, const struct vma *of, u64 start, u64 end)
{
	if (start >= end)
		return 0;
	struct vma *piece = object_append(vmas);
	if (!piece)
		return fail_memory();
	*piece = *of;
	piece->start = start;
	piece->end = end;
	piece->pgoff += of->file ? start - of->start : 0;
	return 0;
}

/* Of the mapping with this number the part within [from, to) loses its access, and the others become mappings behind the last. */
static int wall_off(struct object *vmas, u32 number, u64 from, u64 to)
{
	struct vma *v = vmas->data, whole = v[number];
	from = MAX(from, whole.start);
	to = MIN(to, whole.end);
	v[number].start = from;
	v[number].end = to;
	v[number].pgoff += whole.file ? from - whole.start : 0;
	v[number].prot = 0;
	int r = add_piece(vmas, &whole, whole.start, from);
	return r < 0 ? r : add_piece(vmas, &whole, to, whole.end);
}

static int wall_off_run(struct object *vmas, const struct page_run *run)
{
	int r = 0;
	for (u32 i = 0; r == 0 && i < vmas->count; i++) {
		const struct vma *v = &((struct vma *)vmas->data)[i];
		if (v->start < run->start + run->len && v->end > run->start)
			r = wall_off(vmas, i, run->start, run->start + run->len);
	}
	return r;
}

static int make_walls(struct object *vmas, struct object *pages)
{
	struct page_run *run = pages->data;
	u32 n = 0;
	int r = 0;
	for (u32 i = 0; r == 0 && i < pages->count; i++) {
		if (run[i].flags & PAGES_GUARD)
			r = wall_off_run(vmas, &run[i]);
		else
			run[n++] = run[i];
	}
	if (r < 0 || n == pages->count)
		return r;
	pages->count = n;
	vma_sort(vmas);
	return 0;
}

static int adapt_guards(struct graph *g)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(g, &kind_vmas, o));) {
		struct object *pages = graph_find(g, &kind_pages, o->id);
		r = pages ? make_walls(o, pages) : 0;
	}
	return r;
}

/* --- pages that a debugger has written (ptrace(2), /proc/PID/mem), or uprobes, in memory that was never writable --- */

static bool has_contents(const struct object *pages, const struct vma *v)
{
	const struct page_run *run = pages->data;
	for (u32 i = page_run_from(run, pages->count, v->start); i < pages->count && run[i].start < v->end; i++)
		if (!(run[i].flags & PAGES_GUARD))
			return true;
	return false;
}

/* They are written anew where the memory is writable for a moment, and what could be written is accounted from then on. */
static void adapt_written(struct graph *g)
{
	u32 other = VMA_SHARED | VMA_ACCOUNT | VMA_NORESERVE | VMA_HUGETLB | VMA_SPECIAL | VMA_DROPPABLE | VMA_SHADOW_STACK;
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o));) {
		const struct object *pages = graph_find(g, &kind_pages, o->id);
		struct vma *v = o->data;
		for (u32 i = 0; pages && i < o->count; i++)
			if (!(v[i].prot & PROT_WRITE) && !(v[i].flags & other) && vma_stored(&v[i]) &&
			    has_contents(pages, &v[i]))
				v[i].flags |= VMA_ACCOUNT;
	}
}

int adapt_mappings(struct graph *g, const struct survey *s)
{
	adapt_written(g);
	bool drops = !caps_lacks(s->caps, CAN_MAP_DROPPABLE), names = !caps_lacks(s->caps, CAN_ANON_VMA_NAME);
	for (struct object *o = NULL; !(drops && names) && (o = graph_next(g, &kind_vmas, o));) {
		struct vma *v = o->data;
		for (u32 i = 0; i < o->count; i++) {
			if (!drops && v[i].flags & VMA_DROPPABLE)
				keep_droppable(&v[i]);
			if (!names)
				forget_name(&v[i]);
		}
	}
	return caps_lacks(s->caps, CAN_MADV_GUARD) ? adapt_guards(g) : 0;
}
