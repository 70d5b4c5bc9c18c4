// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what userfaultfd(2) has to do with the memory of a process: which of its mappings it answers for, and what it has done to their
 * pages. All of it is made again when the pages have their contents and every child has been born: a fork is an event, too. */
#include "memory/memory.h"
#include "model/vma.h"
#include "plan/plan.h"
#include "resource/mapping_walk.h"
#include "resource/userfault.h"
#include "userfaultfd.pb-c.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static const struct kind kind_userfaults = { .name = "userfaults", .desc = &ckpt__userfaults__descriptor };

static u64 length(const struct vma *v) { return v->end - v->start; }

static bool is_registered(const struct vma *v) { return v->flags & VMA_UFFD; }

/* --- collect --- */

static int add_range(Ckpt__Userfaults *m, const struct vma *v, u32 file)
{
	Ckpt__RegisteredRange *last = m->n_range ? m->range[m->n_range - 1] : NULL;
	if (last && last->start + last->len == v->start && last->file == file) {
		last->len += length(v);
		return 0;
	}
	Ckpt__RegisteredRange *range = MESSAGE_NEW(Ckpt__RegisteredRange, ckpt__registered_range);
	if (!range || !MESSAGE_APPEND(&m->n_range, &m->range, range)) {
		free(range);
		return fail_memory();
	}
	SET(range, start, v->start);
	SET(range, len, length(v));
	SET(range, file, file);
	return 0;
}

static int add_pages(void *arg, enum userfault_pages what, u64 start, u64 end)
{
	Ckpt__Userfaults *m = arg;
	size_t *count = what == PAGES_ZERO ? &m->n_zero : what == PAGES_PROTECTED ? &m->n_write_protected : &m->n_mapped;
	Ckpt__PageRange ***list = what == PAGES_ZERO ? &m->zero : what == PAGES_PROTECTED ? &m->write_protected : &m->mapped;
	Ckpt__PageRange *last = *count ? (*list)[*count - 1] : NULL;
	if (last && last->start + last->len == start) {
		last->len += end - start;
		return 0;
	}
	Ckpt__PageRange *range = MESSAGE_NEW(Ckpt__PageRange, ckpt__page_range);
	if (!range || !MESSAGE_APPEND(count, list, range)) {
		free(range);
		return fail_memory();
	}
	SET(range, start, start);
	SET(range, len, end - start);
	return 0;
}

static u32 pages_wanted(const struct vma *v)
{
	return (v->flags & VMA_SHARED ? 0 : PAGES_ZERO) | (v->flags & VMA_UFFD_WP ? PAGES_PROTECTED : 0) |
	       (v->flags & VMA_UFFD_MINOR ? PAGES_MAPPED : 0);
}

/* Before PAGEMAP_SCAN (Linux 6.7) some kernels write-protect pages without telling in pagemap (5.7 to 5.12); zero pages and what only
 * marks a page (PTE_MARKER_UFFD_WP) are known by their frames. */
static bool can_read_pages(const struct caps *caps, const struct vma *v, Ckpt__Userfaults *m)
{
	bool frames = !caps_lacks(caps, CAN_PAGEMAP_PFN),
	     protection = !(v->flags & VMA_UFFD_WP) || !caps_lacks(caps, CAN_PAGEMAP_SCAN);
	if (!frames)
		SET(m, hidden, true);
	if (!protection)
		SET(m, hidden_protection, true);
	return frames && protection;
}

static int collect_mapping(struct collector *c, void *data, u32 pid, int pagemap, const struct vma *v)
{
	Ckpt__Userfaults *m = data;
	u64 identity = collector_userfault(c, pid, v->start);
	int r = add_range(m, v, identity ? collector_recall(c, userfault_key(identity)) : 0);
	if (r < 0 || collector_live(c))
		return r;
	if (!can_read_pages(collector_caps(c), v, m))
		return 0;
	return memory_scan_userfault(collector_caps(c), pagemap, v->start, v->end, pages_wanted(v), add_pages, m);
}

static int userfaults_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	return each_mapping(c, subject->task->tgid, is_registered, collect_mapping, o->data);
}

/* --- judge --- */

/* The file that answers for an address; 0: none. */
static u32 file_at(const Ckpt__Userfaults *m, u64 address)
{
	for (size_t i = 0; i < m->n_range; i++)
		if (address >= m->range[i]->start && address - m->range[i]->start < m->range[i]->len)
			return m->range[i]->file;
	return 0;
}

static bool is_userfaultfd(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	return f && f->kind && !strcmp(f->kind, "userfaultfd");
}

/* mlock(2) makes all pages, also those whose faults are waited for; which pages of hugetlbfs are there, nothing tells. */
static int judge_mapping(const struct graph *graph, const Ckpt__Userfaults *m, const struct vma *v)
{
	WORKING_ON_VMA(v->start, v->end);
	if (!is_userfaultfd(graph, file_at(m, v->start)))
		return fail(FD_USERFAULT, 0, "nobody in the tree has the userfaultfd open that answers for it");
	if (v->flags & VMA_HUGETLB)
		return fail(FD_USERFAULT, 0, "it answers for huge pages of hugetlbfs");
	return v->flags & VMA_UFFD_MISSING && v->flags & VMA_LOCKED && !(v->flags & VMA_LOCKONFAULT)
		       ? fail(FD_USERFAULT, 0, "it answers for pages that are not there, and the memory is locked (mlock(2))")
		       : 0;
}

static int judge_hidden(const Ckpt__Userfaults *m)
{
	int r = m->hidden ? fail(USERFAULT_FACTS, 0, "which pages are there") : 0;
	return m->hidden_protection ? fail(USERFAULT_PROTECTED, 0, "ioctl PAGEMAP_SCAN (Linux 6.7) is missing") : r;
}

static int judge_pages(Ckpt__PageRange *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u64 start = list[i]->start, len = list[i]->len;
		if (!len || (start | len) % PAGE_BYTES || start + len < start)
			return fail(IMAGE_VALUE, 0, "pages %llx, %llu bytes", (unsigned long long)start,
				    (unsigned long long)len);
	}
	return 0;
}

static int userfaults_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Userfaults *m = o->data;
	const struct object *vmas = graph_find(graph, &kind_vmas, o->id);
	int r = direction == DIRECTION_DUMP ? judge_hidden(m) : 0;
	for (u32 i = 0; vmas && i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		if (is_registered(v) && judge_mapping(graph, m, v) < 0)
			r = -EINVAL;
	}
	if (judge_pages(m->zero, m->n_zero) < 0 || judge_pages(m->write_protected, m->n_write_protected) < 0 ||
	    judge_pages(m->mapped, m->n_mapped) < 0)
		r = -EINVAL;
	return r;
}

/* --- plan --- */

/* All of these ioctls take a range and a mode, and some give an answer behind them. */
static void plan_range(struct plan *plan, struct place at, u32 file, unsigned long request, u64 start, u64 end, u64 mode)
{
	u64 words[4] = { start, end - start, mode };
	plan_call(plan, at, SYS_ioctl, ARG(plan_fd(plan, file)), ARG(request),
		  ARG_OF_DATA(plan_data(plan, words, sizeof words, 8)));
}

/* For the parts of the pages that lie in the mapping: a call takes those of one. */
static void plan_pages(struct plan *plan, struct place at, u32 file, const struct vma *v, unsigned long request, u64 mode,
		       Ckpt__PageRange *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u64 from = MAX(list[i]->start, v->start), to = MIN(list[i]->start + list[i]->len, v->end);
		if (from < to)
			plan_range(plan, at, file, request, from, to, mode);
	}
}

static void plan_mapping(struct plan *plan, struct place at, const Ckpt__Userfaults *m, const struct vma *v)
{
	u32 file = file_at(m, v->start);
	u64 mode = (v->flags & VMA_UFFD_MISSING ? UFFDIO_REGISTER_MODE_MISSING : 0) |
		   (v->flags & VMA_UFFD_WP ? UFFDIO_REGISTER_MODE_WP : 0) |
		   (v->flags & VMA_UFFD_MINOR ? UFFDIO_REGISTER_MODE_MINOR : 0);
	plan_range(plan, at, file, UFFDIO_REGISTER, v->start, v->end, mode);
	plan_pages(plan, at, file, v, UFFDIO_ZEROPAGE, 0, m->zero, m->n_zero);
	plan_pages(plan, at, file, v, UFFDIO_CONTINUE, 0, m->mapped, m->n_mapped);
	plan_pages(plan, at, file, v, UFFDIO_WRITEPROTECT, UFFDIO_WRITEPROTECT_MODE_WP, m->write_protected,
		   m->n_write_protected);
}

static int userfaults_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Userfaults *m = o->data;
	const struct object *vmas = graph_find(graph, &kind_vmas, o->id);
	for (u32 i = 0; vmas && i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		if (is_registered(v))
			plan_mapping(plan, AT(o->id, STAGE_TIMERS), m, v);
	}
	return 0;
}

const struct resource resource_userfaults = {
	.name = "userfaults",
	.scope = SCOPE_TASK,
	.kind = &kind_userfaults,
	.collect = userfaults_collect,
	.judge = userfaults_judge,
	.plan = userfaults_plan,
};
