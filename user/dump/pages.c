// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice of pages: private contents of every mapping; shared-by-fork pages once. */
#include "dump/pages.h"
#include "base/file.h"
#include "diag/diag.h"
#include "memory/memory.h"
#include "model/shape.h"
#include "model/vma.h"
#include <fcntl.h>
#include <sys/stat.h>

#define LARGE (64ull << 20)

static bool is_large(const struct object *pages)
{
	u64 bytes = 0;
	for (u32 i = 0; i < pages->count; i++)
		bytes += ((const struct page_run *)pages->data)[i].len;
	return bytes >= LARGE;
}

static int scan_process(const struct caps *caps, struct tree *tree, struct graph *g, struct tree_process *p)
{
	WORKING_ON_TASK(p->pid);
	const Ckpt__Task *parent_task = shape_task(g, (u32)p->ppid);
	const struct object *parent_vmas = parent_task ? graph_find(g, &kind_vmas, parent_task->mm) : NULL;
	const struct object *vmas = graph_find(g, &kind_vmas, (u32)p->pid);
	struct object *pages = graph_add(g, &kind_pages, (u32)p->pid);
	struct tree_process *parent = p->ppid ? tree_find(tree, p->ppid) : NULL;
	if (!pages)
		return fail_memory();
	_cleanup_close_ int own = openat(p->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int inherit = parent ? openat(parent->proc, "pagemap", O_RDONLY | O_CLOEXEC) : -1;
	if (own < 0)
		return fail(PROC_READ, neg_errno(), "/proc/%d/pagemap", p->pid);
	const struct vma *v = vmas->data;
	_cleanup_free_ bool *untouched = NULL;
	int r = memory_untouched(caps, p->proc, vmas, &untouched);
	for (u32 i = 0; r == 0 && i < vmas->count; i++) {
		int from = inherit >= 0 && vma_inherited(&v[i], parent_vmas) ? inherit : 0;
		if (untouched && untouched[i])
			continue;
		if (vma_stored(&v[i]))
			r = memory_scan(caps, own, from, v[i].start, v[i].end, pages);
		else if (v[i].flags & VMA_SHARED)
			r = memory_scan_guards(caps, own, v[i].start, v[i].end, pages);
	}
	p->large = is_large(pages);
	return r;
}

int dump_scan_pages(const struct caps *caps, struct tree *tree, struct graph *g)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < tree->processes.n; i++)
		if (graph_find(g, &kind_vmas, (u32)tree->processes.v[i].pid)) /* the owner of its memory */
			r = scan_process(caps, tree, g, &tree->processes.v[i]);
	return r;
}

/* Contents of memory objects: what is no hole. */
static int scan_memory(struct graph *g, const struct memory_source *source, struct memory_job *job)
{
	WORKING_ON("memory object %u", source->file);
	struct object *pages = graph_add(g, &kind_memory, source->file);
	if (!pages)
		return fail_memory();
	struct stat st;
	_cleanup_close_ int own = source->fd < 0 ? file_open_unnoticed(source->holder, source->place) : -1;
	int fd = source->fd < 0 ? own : source->fd;
	if (fd < 0)
		return fail(MEMORY_READ, fd, "open of what its descriptor leads to");
	if (fstat(fd, &st) < 0)
		return fail(MEMORY_READ, neg_errno(), "fstat");
	*job = (struct memory_job){ .fd = source->fd, .holder = source->holder, .place = source->place, .pages = pages };
	return memory_scan_file(fd, (u64)st.st_size, pages);
}

int dump_pages(struct image_writer *writer, const struct caps *caps, struct tree *tree, struct graph *g,
	       const struct memory_sources *memory, u64 *ret_bytes)
{
	int r = dump_scan_pages(caps, tree, g);
	if (r < 0)
		return r;
	_cleanup_free_ struct memory_job *jobs = calloc(tree->processes.n + memory->list.n, sizeof *jobs);
	if (!jobs)
		return fail_memory();
	size_t n = 0;
	for (size_t i = 0; i < memory->list.n; i++)
		if ((r = scan_memory(g, &memory->list.v[i], &jobs[n++])) < 0)
			return r;
	for (size_t i = 0; i < tree->processes.n; i++) {
		struct object *pages = graph_find(g, &kind_pages, (u32)tree->processes.v[i].pid);
		if (pages)
			jobs[n++] = (struct memory_job){ .pid = tree_first(&tree->processes.v[i]), .fd = -1, .pages = pages };
	}
	struct memory_stats stats = { 0 };
	r = memory_store(writer, jobs, n, &stats);
	*ret_bytes = stats.bytes;
	return r;
}
