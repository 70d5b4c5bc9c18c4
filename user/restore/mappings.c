// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what mappings of an image become on a kernel that does not have their kind, where programs cannot tell the difference. Pure. */
#include "diag/diag.h"
#include "model/kinds.h"
#include "restore/restore.h"

/* Memory that the kernel may throw away, not kept by children and not in core files (state of getrandom(3)): such that it keeps. */
static void keep_droppable(struct vma *v)
{
	v->flags = (v->flags & ~(u32)VMA_DROPPABLE) | VMA_WIPEONFORK | VMA_DONTDUMP | VMA_NORESERVE;
}

/* Names are for people. */
static void forget_name(struct vma *v)
{
	if (!strncmp(v->name, "[anon:", 6))
		v->name[0] = 0;
}

void adapt_mappings(struct graph *g, const struct survey *s)
{
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
}
