/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the plans of mappings and of their pages share. Private to compile_memory.c and compile_pages.c. */
#pragma once
#include "restore/compile.h"

/* One process whose memory is planned. */
struct space {
	struct compiler *c;
	u32 pid;
	bool own_table; /* its descriptors are of no other task */
	const Ckpt__Mm *mm;
	const struct vma *vmas;
	u32 count;
	const struct object *parent; /* vmas of the parent in the tree, NULL for the root */
	const struct page_run *runs, *parent_runs;
	u32 nruns, nparent_runs;
	u64 parked; /* the end of what waits in the slot */
};

/* Does the mapping of the parent stay? */
bool space_keeps(const struct space *, const struct vma *);
/* The steps that read all pages of the process, whose mappings are there and may be written. */
void compile_pages(const struct space *);
