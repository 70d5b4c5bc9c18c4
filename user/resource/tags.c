// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the tags of memory (PROT_MTE, arm64): an access by a pointer with another tag is a fault. They belong to the pages, so a child
 * shares them by copy-on-write as it shares the contents. */
#include "arch/arch.h"
#include "memory/pagemap.h"
#include "model/shape.h"
#include "model/vma.h"
#include "plan/plan.h"
#include "resource/mapping_walk.h"
#include "tags.pb-c.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static const struct kind kind_tags = { .name = "tags", .desc = &ckpt__tags__descriptor };

#define PAGE_TAGS (PAGE_BYTES / ARCH_TAG_BYTES)
#define PACKED (PAGE_TAGS / 2)
#define BATCH 64 /* pages */

static bool is_tagged(const struct vma *v) { return v->prot & ARCH_PROT_MTE; }

/* --- collect --- */

static int add_page(Ckpt__Tags *m, u64 address, const u8 *tags)
{
	u8 packed[PACKED], any = 0;
	for (size_t i = 0; i < PACKED; i++) {
		packed[i] = (u8)(tags[2 * i] | tags[2 * i + 1] << 4);
		any |= packed[i];
	}
	if (!any)
		return 0;
	Ckpt__TaggedPage *page = MESSAGE_NEW(Ckpt__TaggedPage, ckpt__tagged_page);
	if (!page || !MESSAGE_APPEND(&m->n_page, &m->page, page)) {
		free(page);
		return fail_memory();
	}
	SET(page, address, address);
	page->has_tags = message_set_bytes(&page->tags, packed, sizeof packed);
	return page->has_tags ? 0 : fail_memory();
}

/* Pages that are there: asking for the tags of another would make it. */
static int read_pages(struct collector *c, Ckpt__Tags *m, u32 pid, u64 start, u64 end)
{
	u8 tags[BATCH * PAGE_TAGS];
	while (start < end) {
		size_t room = MIN((end - start) / ARCH_TAG_BYTES, sizeof tags);
		int n = collector_tags(c, pid, start, tags, room);
		if (n == -EOPNOTSUPP)
			n = 0; /* nothing has ever been tagged there */
		else if (n < (int)PAGE_TAGS)
			return fail(TAGS_READ, MIN(n, 0), "at %llx", (unsigned long long)start);
		int r = 0;
		for (size_t at = 0; r == 0 && at + PAGE_TAGS <= (size_t)n; at += PAGE_TAGS)
			r = add_page(m, start + at * ARCH_TAG_BYTES, tags + at);
		if (r < 0)
			return r;
		start += MAX((u64)n / PAGE_TAGS, (u64)1) * PAGE_BYTES;
	}
	return 0;
}

static bool is_there(u64 entry) { return entry & (PM_PRESENT | PM_SWAPPED) && !(entry & PM_GUARD); }

static int collect_mapping(struct collector *c, void *data, u32 pid, int pagemap, const struct vma *v)
{
	Ckpt__Tags *m = data;
	u64 entry[BATCH], from = 0; /* of pages that are there; 0: none yet */
	int r = 0;
	WORKING_ON_VMA(v->start, v->end);
	for (u64 at = v->start; r == 0 && at < v->end; at += sizeof entry / sizeof *entry * PAGE_BYTES) {
		size_t count = MIN((v->end - at) / PAGE_BYTES, ARRAY_SIZE(entry));
		ssize_t n = pread(pagemap, entry, count * sizeof *entry, (off_t)(at / PAGE_BYTES * sizeof *entry));
		if (n != (ssize_t)(count * sizeof *entry))
			return fail(MEMORY_PAGEMAP, n < 0 ? neg_errno() : -EIO, "entries from %llx on", (unsigned long long)at);
		for (size_t i = 0; r == 0 && i < count; i++) {
			u64 page = at + i * PAGE_BYTES;
			if (is_there(entry[i])) {
				from = from ?: page;
				continue;
			}
			if (from)
				r = read_pages(c, m, pid, from, page);
			from = 0;
		}
	}
	return r == 0 && from ? read_pages(c, m, pid, from, v->end) : r;
}

static int tags_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	if (collector_live(c))
		return 0;
	return each_mapping(c, subject->task->tgid, is_tagged, collect_mapping, o->data);
}

/* --- judge --- */

static const struct vma *vma_of(const struct object *vmas, u64 address)
{
	return vmas ? vma_at(vmas->data, vmas->count, address) : NULL;
}

static int tags_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Tags *m = o->data;
	const struct object *vmas = graph_find(graph, &kind_vmas, o->id);
	u64 before = 0;
	WORKING_ON_TASK(o->id);
	for (size_t i = 0; direction == DIRECTION_RESTORE && i < m->n_page; i++) {
		const Ckpt__TaggedPage *page = m->page[i];
		const struct vma *v = vma_of(vmas, page->address);
		bool good = v && is_tagged(v) && page->address % PAGE_BYTES == 0 && page->address > before;
		if (!good || page->tags.len != PACKED)
			return fail(IMAGE_VALUE, 0, "%zu bytes of tags at %llx", page->tags.len,
				    (unsigned long long)page->address);
		before = page->address;
	}
	return 0;
}

/* --- plan --- */

struct space {
	struct plan *plan;
	u32 pid;
	const struct object *vmas, *runs;
};

static const struct page_run *run_at(const struct object *runs, u64 address)
{
	const struct page_run *run = runs ? runs->data : NULL;
	u32 at = runs ? page_run_from(run, runs->count, address) : 0;
	return runs && at < runs->count && run[at].start <= address ? &run[at] : NULL;
}

/* A page that is shared with the parent has the parent's tags. One that may only be read somebody else has tagged: it has to be there, to be
 * asked for it. */
static void tag(const struct space *s, u64 address, const u8 *tags)
{
	const struct page_run *run = run_at(s->runs, address);
	const struct vma *v = vma_of(s->vmas, address);
	bool read_only = v->flags & VMA_SHARED && !(v->prot & PROT_WRITE);
	if (run && run->flags & PAGES_INHERITED)
		return;
	if (read_only) {
		step_any(plan_call(s->plan, AT(s->pid, STAGE_FILL), SYS_madvise, ARG(address), ARG(PAGE_BYTES),
				   ARG(MADV_POPULATE_READ)));
		return;
	}
	plan_op(s->plan, AT(s->pid, STAGE_FILL), OP_TAG, 0,
		(struct arg[6]){ ARG(address), ARG_OF_DATA(plan_data(s->plan, tags, PACKED, 8)) });
}

/* A page that the parent has tagged, and that the child has written since, came with the parent's tags. */
static void untag(const struct space *s, const Ckpt__Tags *parent, const Ckpt__Tags *own)
{
	static const u8 none[PACKED];
	size_t at = 0;
	for (size_t i = 0; i < parent->n_page; i++) {
		u64 address = parent->page[i]->address;
		while (at < own->n_page && own->page[at]->address < address)
			at++;
		const struct vma *v = vma_of(s->vmas, address);
		bool has = at < own->n_page && own->page[at]->address == address;
		if (!has && v && is_tagged(v) && run_at(s->runs, address))
			tag(s, address, none);
	}
}

static int tags_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tags *m = o->data, *parents = NULL;
	const Ckpt__Task *task = graph_data(graph, &kind_task, o->id), *parent = task ? shape_task(graph, task->ppid) : NULL;
	struct space s = { plan, o->id, graph_find(graph, &kind_vmas, o->id), graph_find(graph, &kind_pages, o->id) };
	if (!task || task->mm != o->id || !s.vmas)
		return 0;
	plan_for(plan, "tags of process %u", o->id);
	if (parent)
		parents = graph_data(graph, &kind_tags, parent->mm);
	if (parents)
		untag(&s, parents, m);
	for (size_t i = 0; i < m->n_page; i++)
		tag(&s, m->page[i]->address, m->page[i]->tags.data);
	return 0;
}

const struct resource resource_tags = {
	.name = "tags",
	.scope = SCOPE_TASK,
	.kind = &kind_tags,
	.collect = tags_collect,
	.judge = tags_judge,
	.plan = tags_plan,
};
