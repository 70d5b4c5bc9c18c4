// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the plan of an address space: what a new task begins with goes, its mappings come, its pages are read.
 * The root begins as a copy of ckpt, every other process as a copy of its parent after the parent's memory was filled. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "model/vma.h"
#include "resource/registry.h"
#include "restore/compile_memory.h"
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* Linux 6.10 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static struct place at(const struct space *s, enum stage stage) { return AT(s->pid, stage); }

static bool has_runs(const struct space *s, const struct vma *v, u32 wanted_flags)
{
	for (u32 i = page_run_from(s->runs, s->nruns, v->start); i < s->nruns && s->runs[i].start < v->end; i++)
		if ((s->runs[i].flags & PAGES_ELSEWHERE) == wanted_flags)
			return true;
	return false;
}

/* Does the mapping of the parent stay, because pages are shared with it? One of hugetlbfs always does: mapped anew it would reserve
 * pages of the pool for itself, which an inherited one has not (mm/hugetlb.c, hugetlb_dup_vma_private()). */
bool space_keeps(const struct space *s, const struct vma *v)
{
	return s->parent && vma_inherited(v, s->parent) && (v->flags & VMA_HUGETLB || has_runs(s, v, PAGES_INHERITED));
}

/* --- what the task begins with --- */

static bool is_vdso_part(const char *name) { return !strcmp(name, "[vdso]") || !strncmp(name, "[vvar", 5); }

/* The address of a vDSO part of the process, 0: it has none. */
static u64 part_home(const struct vma *vmas, u32 count, const char *name)
{
	for (u32 i = 0; i < count; i++)
		if (!strcmp(vmas[i].name, name))
			return vmas[i].start;
	return 0;
}

static void move(const struct space *s, enum stage stage, u64 from, u64 len, u64 to)
{
	step_expect(plan_call(s->c->plan, at(s, stage), SYS_mremap, ARG(from), ARG(len), ARG(len),
			      ARG(MREMAP_MAYMOVE | MREMAP_FIXED), ARG(to)),
		    (s64)to);
}

/* vDSO parts wait in the slot while everything else goes, then come home; each moves whole (it cannot be split). */
static void move_part(const struct space *s, u64 from, u64 len, u64 home, u64 *slot)
{
	if (!home) /* the process had none: it goes with the rest */
		return;
	move(s, STAGE_UNMAP, from, len, *slot);
	move(s, STAGE_PROTECT, *slot, len, home);
	*slot += len;
}

/* Returns where the slot is free from. */
static u64 park_vdso(const struct space *s)
{
	u64 slot = s->c->site.slot;
	const struct survey *survey = s->c->survey;
	if (!s->parent) {
		for (size_t i = 0; i < survey->own.n; i++) {
			const struct record_vma *v = &survey->own.v[i];
			if (is_vdso_part(v->name))
				move_part(s, v->start, v->end - v->start, part_home(s->vmas, s->count, v->name), &slot);
		}
		return slot;
	}
	const struct vma *p = s->parent->data;
	for (u32 i = 0; i < s->parent->count; i++)
		if (is_vdso_part(p[i].name))
			move_part(s, p[i].start, p[i].end - p[i].start, part_home(s->vmas, s->count, p[i].name), &slot);
	return slot;
}

static void unmap_in(const struct space *s, enum stage stage, u64 start, u64 end)
{
	if (start < end)
		plan_call(s->c->plan, at(s, stage), SYS_munmap, ARG(start), ARG(end - start));
}

static void unmap(const struct space *s, u64 start, u64 end) { unmap_in(s, STAGE_UNMAP, start, end); }

/* All gaps between the arena, the slot and what is kept. */
static void each_gap(const struct space *s, void (*visit)(const struct space *, u64 start, u64 end))
{
	u64 from = 0;
	bool site_done = false;
	for (u32 i = 0; i <= s->count; i++) {
		const struct vma *v = i < s->count ? &s->vmas[i] : NULL;
		if (!site_done && (!v || v->start >= s->c->site.code)) {
			visit(s, from, s->c->site.code);
			from = s->c->site.end;
			site_done = true;
		}
		if (v && space_keeps(s, v)) {
			visit(s, from, v->start);
			from = v->end;
		}
	}
	visit(s, from, arch_task_size());
}

/* --- mappings that the kernel places --- */

/* The resource of the file that is mapped shared, which may have its own way to map it; or NULL. */
static const struct resource *mapped_by(const struct space *s, const struct vma *v)
{
	return v->file && v->flags & VMA_SHARED ? registry_of_file(s->c->graph, v->file) : NULL;
}

static bool kernel_places(const struct space *s, const struct vma *v)
{
	const struct resource *own = mapped_by(s, v);
	return own && own->kernel_places;
}

static void plug_part(const struct space *s, u64 start, u64 end, bool may_fail)
{
	if (start >= end)
		return;
	struct plan_step *step =
		plan_call(s->c->plan, at(s, STAGE_MAP), SYS_mmap, ARG(start), ARG(end - start), ARG(PROT_NONE),
			  ARG(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE), ARG(-1), ARG(0));
	if (may_fail)
		step_any(step);
	else
		step_expect(step, (s64)start);
}

#define LOWEST 65536u /* vm.mmap_min_addr of most machines; where it is less the kernel may map below */

static void plug(const struct space *s, u64 start, u64 end)
{
	plug_part(s, MAX(start, PAGE_BYTES), MIN(end, LOWEST), true);
	plug_part(s, MAX(start, LOWEST), end, false);
}

/* All of a gap goes but what has been placed there. */
static void unplug(const struct space *s, u64 start, u64 end)
{
	for (u32 i = 0; i < s->count; i++) {
		const struct vma *v = &s->vmas[i];
		if (v->start < start || v->start >= end || !kernel_places(s, v))
			continue;
		unmap_in(s, STAGE_MAP, start, v->start);
		start = v->end;
	}
	unmap_in(s, STAGE_MAP, start, end);
}

/* Before anything else is mapped: all that is free is taken for a moment but the one place, wherever mmap(2) begins to look. */
static void place_mappings(const struct space *s)
{
	bool plugged = false;
	for (u32 i = 0; i < s->count; i++) {
		const struct vma *v = &s->vmas[i];
		if (!kernel_places(s, v))
			continue;
		if (!plugged) {
			each_gap(s, plug);
			plug(s, s->parked, s->c->site.end);
		}
		plugged = true;
		unmap_in(s, STAGE_MAP, v->start, v->end);
		step_expect(plan_call(s->c->plan, at(s, STAGE_MAP), SYS_mmap, ARG(0), ARG(v->end - v->start), ARG(v->prot),
				      ARG(MAP_SHARED), ARG(plan_fd(s->c->plan, v->file)), ARG(v->pgoff)),
			    (s64)v->start);
	}
	if (!plugged)
		return;
	each_gap(s, unplug);
	unplug(s, s->parked, s->c->site.end);
}

/* --- mappings --- */

/* A mapping that holds contents, or tags, but may not be written is made writable first: it had been, when it got them. */
static bool writable_first(const struct space *s, const struct vma *v)
{
	return !(v->prot & PROT_WRITE) && vma_stored(v) &&
	       (has_runs(s, v, 0) || v->flags & VMA_ACCOUNT || v->prot & ARCH_PROT_MTE);
}

/* What is mapped is never at home. */
static struct arg take_for_mapping(const struct space *s, const struct plan_home *home)
{
	return ARG_OF_SLOT(step_result(s->c->plan, plan_call(s->c->plan, at(s, STAGE_MAP), SYS_pidfd_getfd,
							     ARG_OF_SLOT(home->maker), ARG(home->fd), ARG(0))));
}

static void map(const struct space *s, const struct vma *v)
{
	const struct resource *own = mapped_by(s, v);
	if (own && own->kernel_places) /* it is there already */
		return;
	if (own && own->map) {
		own->map(s->c->plan, s->pid, s->c->graph, v, &s->c->site.bench);
		return;
	}
	int flags = MAP_FIXED_NOREPLACE;
	flags |= v->flags & VMA_DROPPABLE ? MAP_DROPPABLE : v->flags & VMA_SHARED ? MAP_SHARED : MAP_PRIVATE;
	flags |= v->file ? 0 : MAP_ANONYMOUS;
	flags |= v->flags & VMA_GROWSDOWN ? MAP_GROWSDOWN : 0;
	flags |= v->flags & VMA_NORESERVE ? MAP_NORESERVE : 0;
	u32 prot = v->prot | (writable_first(s, v) ? PROT_WRITE : 0);
	const struct plan_home *home = v->file ? plan_home(s->c->plan, v->file) : NULL;
	struct arg fd = home ? take_for_mapping(s, home) : ARG(v->file ? plan_fd(s->c->plan, v->file) : -1);
	step_expect(plan_call(s->c->plan, at(s, STAGE_MAP), SYS_mmap, ARG(v->start), ARG(v->end - v->start), ARG(prot),
			      ARG(flags), fd, ARG(v->file ? v->pgoff : 0)),
		    (s64)v->start);
	if (home)
		plan_call(s->c->plan, at(s, STAGE_MAP), SYS_close, fd);
}

/* One mapping at first, which mprotect(2) cut into many: all of it was writable when its memory was accounted. */
static bool is_cut(const struct space *s, const struct vma *v, const struct vma *next)
{
	u32 other = VMA_SHARED | VMA_GROWSDOWN | VMA_DROPPABLE | VMA_SPECIAL | VMA_HUGETLB | VMA_NORESERVE | VMA_SHADOW_STACK;
	bool plain = !v->file && !next->file && v->flags & VMA_ACCOUNT && !(v->flags & other) && v->flags == next->flags;
	return plain && v->end == next->start && !((v->prot | next->prot) & ~(u32)(PROT_READ | PROT_WRITE)) &&
	       !space_keeps(s, next) && !strcmp(v->name, next->name);
}

/* mprotect(2) takes away the account of memory that nobody has touched (mprotect_fixup(), `anon_vma`); what has one was touched. */
static bool is_accounted(const struct space *s, const struct vma *v)
{
	return writable_first(s, v) && v->flags & VMA_ANONYMOUS && v->flags & VMA_ACCOUNT;
}

/* Any system call that writes there will do; huge pages may have come with it, so all of it goes again. */
static void touch(const struct space *s, const struct vma *v)
{
	plan_call(s->c->plan, at(s, STAGE_MAP), SYS_getcpu, ARG(v->start), ARG(0), ARG(0));
	plan_call(s->c->plan, at(s, STAGE_MAP), SYS_madvise, ARG(v->start), ARG(v->end - v->start), ARG(MADV_DONTNEED));
}

/* Maps v and those behind it that are cut from one mapping, writable as it was; the number of them. */
static u32 map_cut(const struct space *s, u32 first)
{
	u32 last = first;
	bool accounted = is_accounted(s, &s->vmas[first]);
	while (last + 1 < s->count && is_cut(s, &s->vmas[last], &s->vmas[last + 1]))
		accounted |= is_accounted(s, &s->vmas[++last]);
	struct vma whole = s->vmas[first];
	if (last > first) {
		whole.end = s->vmas[last].end;
		whole.prot = PROT_READ | PROT_WRITE;
	}
	map(s, &whole);
	if (accounted && !has_runs(s, &whole, 0))
		touch(s, &whole);
	return last - first + 1;
}

static void advise(const struct space *s, const struct vma *v)
{
	static const struct {
		u32 flag;
		int advice;
	} advices[] = {
		{ VMA_DONTFORK, MADV_DONTFORK },     { VMA_WIPEONFORK, MADV_WIPEONFORK }, { VMA_DONTDUMP, MADV_DONTDUMP },
		{ VMA_HUGEPAGE, MADV_HUGEPAGE },     { VMA_NOHUGEPAGE, MADV_NOHUGEPAGE }, { VMA_MERGEABLE, MADV_MERGEABLE },
		{ VMA_SEQUENTIAL, MADV_SEQUENTIAL }, { VMA_RANDOM, MADV_RANDOM },
	};
	/* a droppable mapping has these two by itself */
	u32 flags = v->flags & VMA_DROPPABLE ? v->flags & ~(u32)(VMA_WIPEONFORK | VMA_DONTDUMP) : v->flags;
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (flags & advices[i].flag)
			plan_call(s->c->plan, at(s, STAGE_MAP), SYS_madvise, ARG(v->start), ARG(v->end - v->start),
				  ARG(advices[i].advice));
	const char *begin = v->flags & VMA_SHARED ? "[anon_shmem:" : "[anon:";
	size_t len = strlen(begin);
	if (strncmp(v->name, begin, len) != 0)
		return;
	char name[sizeof v->name];
	snprintf(name, sizeof name, "%.*s", (int)strcspn(v->name + len, "]"), v->name + len);
	u32 data = plan_data(s->c->plan, name, strlen(name) + 1, 8);
	plan_call(s->c->plan, at(s, STAGE_MAP), SYS_prctl, ARG(PR_SET_VMA), ARG(PR_SET_VMA_ANON_NAME), ARG(v->start),
		  ARG(v->end - v->start), ARG_OF_DATA(data));
}

/* MADV_GUARD_INSTALL (6.13): pages that fault without a mapping of their own. */
static void guard(const struct space *s, const struct vma *v)
{
	for (u32 i = page_run_from(s->runs, s->nruns, v->start); i < s->nruns && s->runs[i].start < v->end; i++)
		if (s->runs[i].flags & PAGES_GUARD)
			plan_call(s->c->plan, at(s, STAGE_PROTECT), SYS_madvise, ARG(s->runs[i].start), ARG(s->runs[i].len),
				  ARG(MADV_GUARD_INSTALL));
}

/* mseal(2) forbids changes that children and the last steps need: it comes when everybody has been born. A vDSO is sealed at home. */
static void seal(const struct space *s, const struct vma *v)
{
	if (v->flags & VMA_SEALED)
		plan_call(s->c->plan, at(s, STAGE_CLOSE), SYS_mseal, ARG(v->start), ARG(v->end - v->start), ARG(0));
}

/* Where pages cannot be had (no access, behind the end of a file) mlock(2) tells ENOMEM when the lock is there (mm/gup.c,
 * __mm_populate()): then the proof tells whether it is. */
static void lock(const struct space *s, const struct vma *v)
{
	struct plan_step *step = plan_call(s->c->plan, at(s, STAGE_PROTECT), SYS_mlock2, ARG(v->start), ARG(v->end - v->start),
					   ARG(v->flags & VMA_LOCKONFAULT ? MLOCK_ONFAULT : 0));
	if (!v->prot || v->file)
		step_any(step);
}

static void protect(const struct space *s, const struct vma *v, bool needed)
{
	u64 len = v->end - v->start;
	guard(s, v);
	if (needed)
		plan_call(s->c->plan, at(s, STAGE_PROTECT), SYS_mprotect, ARG(v->start), ARG(len), ARG(v->prot));
	if (v->flags & (VMA_LOCKED | VMA_LOCKONFAULT))
		lock(s, v);
}

/* --- pages of the parent --- */

static void drop(const struct space *s, const struct page_run *foreign, u64 start, u64 end)
{
	if (start < end)
		plan_call(s->c->plan, at(s, STAGE_MAP), SYS_madvise, ARG(start), ARG(end - start),
			  ARG(foreign->flags & PAGES_GUARD ? MADV_GUARD_REMOVE : MADV_DONTNEED));
}

/* Pages that the parent has and the child no more: they would read as the parent's contents. */
static void drop_foreign_pages(const struct space *s, const struct vma *v)
{
	for (u32 i = page_run_from(s->parent_runs, s->nparent_runs, v->start);
	     i < s->nparent_runs && s->parent_runs[i].start < v->end; i++) {
		const struct page_run *foreign = &s->parent_runs[i];
		u64 from = MAX(foreign->start, v->start), end = MIN(foreign->start + foreign->len, v->end);
		for (u32 own = page_run_from(s->runs, s->nruns, from); own < s->nruns && s->runs[own].start < end; own++) {
			drop(s, foreign, from, MIN(s->runs[own].start, end));
			from = MAX(from, s->runs[own].start + s->runs[own].len);
		}
		drop(s, foreign, from, end);
	}
}

/* Kept mappings that are read-only but get contents of their own. */
static void keep(const struct space *s, const struct vma *v)
{
	drop_foreign_pages(s, v);
	const struct vma *p = vma_inherited(v, s->parent);
	bool fill = (has_runs(s, v, 0) || v->prot & ARCH_PROT_MTE) && !(v->prot & PROT_WRITE);
	if (fill || p->prot != v->prot)
		plan_call(s->c->plan, at(s, STAGE_MAP), SYS_mprotect, ARG(v->start), ARG(v->end - v->start),
			  ARG(fill ? v->prot | PROT_WRITE : v->prot));
	protect(s, v, fill);
}

int compile_memory(struct compiler *c, const Ckpt__Task *task)
{
	const struct graph *g = c->graph;
	const struct object *vmas = graph_find(g, &kind_vmas, task->mm), *runs = graph_find(g, &kind_pages, task->mm);
	const Ckpt__Task *parent = shape_task(g, task->ppid);
	const struct object *parent_runs = parent ? graph_find(g, &kind_pages, parent->mm) : NULL;
	struct space s = {
		.c = c,
		.pid = task->pid,
		.own_table = task->fds == task->pid,
		.mm = graph_data(g, &kind_mm, task->mm),
		.vmas = vmas->data,
		.count = vmas->count,
		.parent = parent ? graph_find(g, &kind_vmas, parent->mm) : NULL,
		.runs = runs ? runs->data : NULL,
		.nruns = runs ? runs->count : 0,
		.parent_runs = parent_runs ? parent_runs->data : NULL,
		.nparent_runs = parent_runs ? parent_runs->count : 0,
	};
	plan_for(c->plan, "memory of process %u", task->pid);
	s.parked = park_vdso(&s);
	each_gap(&s, unmap);
	place_mappings(&s);
	u32 first = 0, mapped = 0; /* [first, mapped) are one mapping so far */
	for (u32 i = 0; i < s.count; i++) {
		const struct vma *v = &s.vmas[i];
		if (i < 4096)
			plan_for(c->plan, "mapping %llx-%llx of process %u", (unsigned long long)v->start,
				 (unsigned long long)v->end, task->pid);
		seal(&s, v);
		if (v->flags & VMA_SPECIAL)
			continue;
		if (space_keeps(&s, v)) {
			keep(&s, v);
			continue;
		}
		if (i >= mapped)
			first = i, mapped = i + map_cut(&s, i);
		advise(&s, v);
		bool cut = mapped - first > 1;
		protect(&s, v, cut ? v->prot != (PROT_READ | PROT_WRITE) : writable_first(&s, v));
	}
	plan_for(c->plan, "pages of process %u", task->pid);
	compile_pages(&s);
	compile_vdso(c, task);
	compile_rseq(c, task);
	return 0;
}
