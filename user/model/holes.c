// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for room that is free in all address spaces of a tree: one sweep over all mappings in the order of addresses. */
#include "model/holes.h"
#include "arch/arch.h"
#include "base/vector.h"
#include "diag/diag.h"
#include <errno.h>
#include <stdlib.h>

/* Where a sweep begins, and how far it stays away from what is used. */
static const struct {
	u64 lowest, margin;
} sweeps[] = {
	{ 0x1000000000ull,
	  0x1000000ull }, /* 64 GiB: above programs that are linked low, below what mmap gives first; below stacks */
	{ 0x10000ull, 0x1000000ull }, /* the least that most machines map (vm.mmap_min_addr) */
	{ 0x10000ull, 0x10000ull },
};

struct ranges {
	VECTOR(struct hole_range) list;
};

static int order_ranges(const void *a, const void *b)
{
	u64 x = ((const struct hole_range *)a)->start, y = ((const struct hole_range *)b)->start;
	return x < y ? -1 : x > y;
}

static int add_range(struct ranges *r, u64 start, u64 end)
{
	struct hole_range *new = vector_add(&r->list);
	if (!new)
		return fail_memory();
	*new = (struct hole_range){ start, end };
	return 0;
}

static int all_ranges(struct ranges *ret, const struct graph *g, const struct hole_range *used, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_range(ret, used[i].start, used[i].end);
	for (struct object *o = NULL; r == 0 && (o = graph_next(g, &kind_vmas, o));)
		for (u32 i = 0; r == 0 && i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			r = add_range(ret, v->start, v->end);
		}
	if (r == 0 && ret->list.n)
		qsort(ret->list.v, ret->list.n, sizeof *ret->list.v, order_ranges);
	return r;
}

int holes_find(u64 *ret, const struct graph *g, const struct hole_range *used, size_t count, u64 bytes)
{
	struct ranges all = { 0 };
	int r = all_ranges(&all, g, used, count);
	bool found = false;
	for (size_t s = 0; r == 0 && !found && s < ARRAY_SIZE(sweeps); s++) {
		u64 at = sweeps[s].lowest, margin = sweeps[s].margin;
		for (size_t i = 0; i < all.list.n; i++)
			if (all.list.v[i].end + margin > at && all.list.v[i].start < at + bytes + margin)
				at = ALIGN_UP(all.list.v[i].end + margin, 0x10000ull);
		found = at + bytes + margin <= arch_task_size();
		*ret = at;
	}
	vector_free(&all.list);
	return r < 0 ? r : found ? 0 : -ENOSPC;
}

#define PLAN_BYTES (128ull << 20)
#define PLAN_BYTES_PER_VMA 1024u

int holes_judge(const struct graph *g, u64 more)
{
	u64 mapped = 0, count = 0, at;
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o)); count += o->count)
		for (u32 i = 0; i < o->count; i++)
			mapped += ((const struct vma *)o->data)[i].end - ((const struct vma *)o->data)[i].start;
	u64 need = PLAN_BYTES + count * PLAN_BYTES_PER_VMA + more, all = arch_task_size() - sweeps[0].lowest;
	/* not all holes can be smaller than they are on average */
	if (mapped < all && (all - mapped) / (count + 1) > need + 3 * sweeps[0].margin)
		return 0;
	return holes_find(&at, g, NULL, 0, need);
}
