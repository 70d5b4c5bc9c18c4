// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what dump and restore must decide alike about mappings. */
#include "model/vma.h"
#include "arch/arch.h"
#include "record.h"

#define NEVER_INHERITED (VMA_SHARED | VMA_DONTFORK | VMA_WIPEONFORK | VMA_SPECIAL | VMA_DROPPABLE)

const struct vma *vma_inherited(const struct vma *child, const struct object *parent)
{
	if (!parent || child->flags & NEVER_INHERITED)
		return NULL;
	const struct vma *v = parent->data;
	u32 low = 0, high = parent->count; /* the last one that begins at or before the child's */
	while (low < high) {
		u32 mid = (low + high) / 2;
		if (v[mid].start <= child->start)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	const struct vma *p = &v[low - 1];
	bool tagged = (p->prot ^ child->prot) & ARCH_PROT_MTE; /* no mprotect(2) takes tags away */
	bool same = p->end >= child->end && !tagged && !((p->flags ^ child->flags) & ~(u32)VMA_UFFD) &&
		    p->file == child->file && (!p->file || p->pgoff + (child->start - p->start) == child->pgoff) &&
		    !strcmp(p->name, child->name);
	return same ? p : NULL;
}

bool vma_stored(const struct vma *v)
{
	return !(v->flags & (VMA_SHARED | VMA_SPECIAL | VMA_DROPPABLE | VMA_WIPEONFORK | VMA_IO | VMA_PFNMAP));
}

const struct vma *vma_at(const struct vma *vmas, u32 count, u64 address)
{
	u32 low = 0, high = count;
	while (low < high) {
		u32 mid = (low + high) / 2;
		if (vmas[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < count && vmas[low].start <= address ? &vmas[low] : NULL;
}

u32 page_run_from(const struct page_run *runs, u32 count, u64 address)
{
	u32 low = 0, high = count;
	while (low < high) {
		u32 mid = (low + high) / 2;
		if (runs[mid].start + runs[mid].len <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int order(const void *a, const void *b)
{
	u64 x = ((const struct vma *)a)->start, y = ((const struct vma *)b)->start;
	return x < y ? -1 : x > y;
}

void vma_sort(struct object *vmas) { qsort(vmas->data, vmas->count, sizeof(struct vma), order); }
