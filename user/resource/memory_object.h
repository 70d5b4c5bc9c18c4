/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What memory objects share whose contents the world fills: each is mapped in one window for that. Inline, since resources do not
 * use each other. */
#pragma once
#include "base/map.h"
#include "resource/file_scope.h"
#include <linux/magic.h>
#include <sys/mman.h>

/* Far from programs, and inside of small address spaces too; one object at a time. */
#ifdef __SANITIZE_ADDRESS__ /* has its shadow there */
#define WINDOW 0x300000000000ull
#else
#define WINDOW 0x6000000000ull
#endif

/* Key of graph_remember(): the huge pages of the file's object are here already, so a restore takes none for it. */
static inline u64 huge_pages_here(const Ckpt__File *f) { return map_mix(map_mix(0x48554745, f->device), f->inode); }

/* Keeps the size of the pages of an object of hugetlbfs, to which fd leads, with its file object. */
static inline void note_huge_page(struct graph *graph, u32 file, int fd)
{
	Ckpt__File *f = graph_data(graph, &kind_file, file);
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		fail(SYSCALL, neg_errno(), "fstatfs");
	else if (f && fs.f_type == HUGETLBFS_MAGIC)
		SET(f, huge_page, (u64)fs.f_bsize);
}

/* Another file of the same object has the same pages. */
static inline void share_huge_page(struct graph *graph, u32 first, u32 other)
{
	const Ckpt__File *from = graph_data(graph, &kind_file, first);
	Ckpt__File *to = graph_data(graph, &kind_file, other);
	if (from && to && from->huge_page)
		SET(to, huge_page, from->huge_page);
}

/* Bytes of a page of hugetlbfs that the object consists of; 0: it has ordinary ones. */
static inline u64 huge_page_of(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	return f ? f->huge_page : 0;
}

/* Bytes of the pages that the object consists of. */
static inline u64 page_of(const struct graph *graph, u32 file) { return huge_page_of(graph, file) ?: PAGE_BYTES; }

/* May the image's object have pages of this size? */
static inline bool page_is_sane(u64 page) { return page >= PAGE_BYTES && page <= 1ull << 40 && !(page & (page - 1)); }

/* The size of huge pages as flags of mmap(2), memfd_create(2) and shmget(2) have it. */
static inline u32 huge_page_bits(u64 page) { return (u32)__builtin_ctzll(page) << MAP_HUGE_SHIFT; }

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
