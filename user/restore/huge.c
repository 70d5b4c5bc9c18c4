// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question whether the pools of huge pages have what an image takes from them (hugetlbfs, Linux 2.6 on;
 * Documentation/admin-guide/mm/hugetlbpage.rst). A pool is that of one size of pages. */
#include "base/file.h"
#include "diag/diag.h"
#include "model/vma.h"
#include "record.h"
#include "resource/memory_object.h"
#include "restore/restore.h"
#include <stdio.h>
#include <unistd.h>

#define POOLS "/sys/kernel/mm/hugepages"

/* What is taken from one pool. */
struct pool {
	u64 page, count; /* bytes of a page; how many pages */
};

/* Bytes of a shared object that have pages, or have them reserved. */
struct part {
	u64 page, device, inode, from, to;
};

struct demand {
	const struct graph *graph;
	VECTOR(struct pool) pools;
	VECTOR(struct part) parts;
};

static void demand_free(struct demand *d)
{
	vector_free(&d->pools);
	vector_free(&d->parts);
}

static int take(struct demand *d, u64 page, u64 bytes)
{
	struct pool *pool = NULL;
	for (size_t i = 0; i < d->pools.n; i++)
		if (d->pools.v[i].page == page)
			pool = &d->pools.v[i];
	if (!pool && !(pool = vector_add(&d->pools)))
		return fail_memory();
	pool->page = page;
	pool->count += bytes / page;
	return 0;
}

/* The file of an object of hugetlbfs that a restore makes; NULL for others, and for what is here already. */
static const Ckpt__File *huge_file(const struct demand *d, u32 file)
{
	const Ckpt__File *f = graph_data(d->graph, &kind_file, file);
	return f && f->huge_page && page_is_sane(f->huge_page) && !graph_recall(d->graph, huge_pages_here(f)) ? f : NULL;
}

static int add_part(struct demand *d, const Ckpt__File *f, u64 from, u64 len)
{
	struct part *part = vector_add(&d->parts);
	if (!part)
		return fail_memory();
	*part = (struct part){ f->huge_page, f->device, f->inode, ALIGN_DOWN(from, f->huge_page),
			       ALIGN_UP(from + len, f->huge_page) };
	return 0;
}

/* Pages that the process has of its own in a mapping. */
static u64 own_bytes(const struct graph *graph, u32 mm, const struct vma *v)
{
	const struct object *pages = graph_find(graph, &kind_pages, mm);
	u64 bytes = 0;
	for (u32 i = 0; pages && i < pages->count; i++) {
		const struct page_run *run = &((const struct page_run *)pages->data)[i];
		if (run->start >= v->start && run->start < v->end && !(run->flags & PAGES_ELSEWHERE))
			bytes += run->len;
	}
	return bytes;
}

/* mmap(2) reserves pages for all of a mapping, unless it is told not to (MAP_NORESERVE); what fork(2) has given to a child has none
 * reserved. */
static int demand_of_mapping(struct demand *d, u32 mm, const struct object *parent, const struct vma *v)
{
	const Ckpt__File *f = v->flags & VMA_HUGETLB ? huge_file(d, v->file) : NULL;
	bool reserves = !(v->flags & VMA_NORESERVE);
	if (!f)
		return 0;
	if (v->flags & VMA_SHARED)
		return reserves ? add_part(d, f, v->pgoff, v->end - v->start) : 0;
	reserves = reserves && !vma_inherited(v, parent);
	return take(d, f->huge_page, reserves ? v->end - v->start : own_bytes(d->graph, mm, v));
}

static int demand_of_mappings(struct demand *d)
{
	int r = 0;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(d->graph, &kind_vmas, o));) {
		const Ckpt__Task *task = graph_data(d->graph, &kind_task, o->id);
		const Ckpt__Task *parent = task ? graph_data(d->graph, &kind_task, task->ppid) : NULL;
		const struct object *inherited = parent ? graph_find(d->graph, &kind_vmas, parent->mm) : NULL;
		for (u32 i = 0; r == 0 && i < o->count; i++)
			r = demand_of_mapping(d, o->id, inherited, &((const struct vma *)o->data)[i]);
	}
	return r;
}

static int demand_of_contents(struct demand *d)
{
	int r = 0;
	for (const struct object *o = NULL; (o = graph_next(d->graph, &kind_memory, o));) {
		const Ckpt__File *f = huge_file(d, o->id);
		for (u32 i = 0; f && r == 0 && i < o->count; i++) {
			const struct page_run *run = &((const struct page_run *)o->data)[i];
			r = add_part(d, f, run->start, run->len);
		}
	}
	return r;
}

static int by_place(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from;
}

/* Parts of one object that overlap count once. */
static int take_parts(struct demand *d)
{
	int r = 0;
	if (d->parts.n)
		qsort(d->parts.v, d->parts.n, sizeof *d->parts.v, by_place);
	u64 end = 0;
	for (size_t i = 0; r == 0 && i < d->parts.n; i++) {
		const struct part *part = &d->parts.v[i], *before = i ? part - 1 : NULL;
		if (!before || before->device != part->device || before->inode != part->inode)
			end = 0;
		u64 from = MAX(part->from, end);
		if (part->to > from)
			r = take(d, part->page, part->to - from);
		end = MAX(end, part->to);
	}
	return r;
}

static u64 pool_number(u64 page, const char *name)
{
	char path[96];
	snprintf(path, sizeof path, POOLS "/hugepages-%llukB/%s", (unsigned long long)page >> 10, name);
	return file_number(path, 0);
}

/* Free pages that nobody has reserved, and those by which the pool may grow. */
static u64 pool_room(u64 page)
{
	u64 free = pool_number(page, "free_hugepages"), reserved = pool_number(page, "resv_hugepages");
	u64 most = pool_number(page, "nr_overcommit_hugepages"), surplus = pool_number(page, "surplus_hugepages");
	return (free > reserved ? free - reserved : 0) + (most > surplus ? most - surplus : 0);
}

int judge_huge(const struct graph *g)
{
	_cleanup_(demand_free) struct demand d = { .graph = g };
	int r = demand_of_mappings(&d);
	if (r == 0)
		r = demand_of_contents(&d);
	if (r == 0)
		r = take_parts(&d);
	if (!d.pools.n || access(POOLS, F_OK) < 0) /* nothing tells: the plan will */
		return r;
	for (size_t i = 0; i < d.pools.n; i++) {
		const struct pool *pool = &d.pools.v[i];
		u64 room = pool_room(pool->page);
		if (room < pool->count)
			r = fail(HUGE_POOL, -ENOMEM, "%llu pages of %llu KiB are needed, %llu can be had",
				 (unsigned long long)pool->count, (unsigned long long)pool->page >> 10,
				 (unsigned long long)room);
	}
	return r;
}
