/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What memory objects share whose contents the world fills: each is mapped in one window for that. Inline, since resources do not
 * use each other. */
#pragma once
#include "resource/file_scope.h"

/* Far from programs, and inside of small address spaces too; one object at a time. */
#ifdef __SANITIZE_ADDRESS__ /* has its shadow there */
#define WINDOW 0x300000000000ull
#else
#define WINDOW 0x6000000000ull
#endif

/* Does what the image has of the object's contents lie within its size in bytes? */
static inline bool contents_fit(const struct graph *graph, u32 file, u64 size)
{
	const struct object *pages = graph_find(graph, &kind_memory, file);
	const struct page_run *last = pages && pages->count ? (const struct page_run *)pages->data + pages->count - 1 : NULL;
	return !last || last->start + last->len <= ALIGN_UP(size, PAGE_BYTES);
}

/* Reads the object's contents into the window, where it is mapped. */
static inline void plan_window(struct plan *plan, const struct graph *graph, u32 file)
{
	const struct object *pages = graph_find(graph, &kind_memory, file);
	for (u32 i = 0; pages && i < pages->count; i++) {
		const struct page_run *run = (const struct page_run *)pages->data + i;
		for (u64 done = 0; done < run->len;) {
			u64 part = MIN(run->len - done, 1ull << 30);
			step_expect(plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_pread64, ARG(plan_fd(plan, PLAN_PAGES)),
					      ARG(WINDOW + run->start + done), ARG(part), ARG(run->offset + done)),
				    (s64)part);
			done += part;
		}
	}
}
