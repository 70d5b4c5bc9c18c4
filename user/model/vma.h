/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dump and restore must decide alike about mappings. Pure. */
#pragma once
#include "model/kinds.h"

/* The mapping of the parent whose pages this mapping of the child can keep over fork(2): it covers the child's, at the
 * same place of the same file, with the same flags (userfaultfd(2) is not inherited). NULL when there is none. parent: its vmas object, may be NULL. */
const struct vma *vma_inherited(const struct vma *child, const struct object *parent);
/* Are the contents private to the process, and may they be stored? Files, shared objects, the kernel (special mappings)
 * have the others; VM_DROPPABLE and MADV_WIPEONFORK are secrets that a second copy would betray. */
bool vma_stored(const struct vma *);
/* The mapping that an address belongs to, NULL: none. vmas: sorted by address. */
const struct vma *vma_at(const struct vma *vmas, u32 count, u64 address);
/* The index of the first run of pages that ends above an address. runs: sorted by address. */
u32 page_run_from(const struct page_run *runs, u32 count, u64 address);
/* By address, as they must be. */
void vma_sort(struct object *vmas);
