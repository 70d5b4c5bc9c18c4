/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What TASK-scope resources share that ask for the pages of some mappings. */
#pragma once
#include "collect/collect.h"
#include "diag/diag.h"
#include <errno.h>
#include <fcntl.h>

/* Calls collect() for each mapping of a process that is wanted, with a descriptor of the process' pagemap, which is opened for the first of
 * them. Ends with the first error. */
static inline int each_mapping(struct collector *c, u32 pid, bool (*wanted)(const struct vma *),
			       int (*collect)(struct collector *, void *data, u32 pid, int pagemap, const struct vma *),
			       void *data)
{
	const struct object *vmas = graph_find(collector_graph(c), &kind_vmas, pid);
	_cleanup_close_ int pagemap = -1;
	int r = 0;
	for (u32 i = 0; r == 0 && vmas && i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		if (!wanted(v))
			continue;
		if (pagemap < 0)
			pagemap = openat(collector_proc(c, pid), "pagemap", O_RDONLY | O_CLOEXEC);
		if (pagemap < 0)
			return fail(PROC_READ, neg_errno(), "/proc/%u/pagemap", pid);
		r = collect(c, data, pid, pagemap, v);
	}
	return r;
}
