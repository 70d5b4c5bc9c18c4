// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns auxiliary vectors (getauxval(3)) of which the kernel here keeps less than that of the image, whose program was told more. Pure. */
#include "diag/diag.h"
#include "host/auxv.h"
#include "restore/restore.h"

/* The kernel keeps its copy for others, and ends it with AT_NULL; the program has its own, above its stack, which is memory like any other. */
void adapt_auxv(struct graph *g, const struct survey *s)
{
	for (struct object *o = NULL; s->auxv_room && (o = graph_next(g, &kind_mm, o));) {
		Ckpt__Mm *m = o->data;
		if (m->auxv.len <= s->auxv_room)
			continue;
		WORKING_ON_TASK(o->id);
		warn(AUXV_CUT, 0, "%zu of %zu", s->auxv_room / sizeof(Elf64_auxv_t), m->auxv.len / sizeof(Elf64_auxv_t));
		m->auxv.len = s->auxv_room;
		memset(m->auxv.data + m->auxv.len - sizeof(Elf64_auxv_t), 0, sizeof(Elf64_auxv_t));
	}
}
