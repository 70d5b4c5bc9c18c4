// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns segments of System V shared memory that the tree has attached (shmop(2)). They belong to the IPC namespace and outlive
 * processes: at a restore the very segment may still be there. */
#include "collect/collect.h"
#include "model/holes.h"
#include "model/vma.h"
#include "resource/memory_object.h"
#include "resource/same_inode.h"
#include "resource/sysv.h"
#include "sysvshm.pb-c.h"
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define NAME "/SYSV"
#ifndef SHM_DEST
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#endif

#define REACH_MAX (1ull << 62) /* bytes, of an offset */

static const struct kind kind_sysvshm = { .name = "sysvshm", .desc = &ckpt__sysvshm__descriptor };
static const struct sysv segments = { "segment", "/proc/sys/kernel/shm_next_id", SYS_shmget };

static bool sysvshm_claims(const struct record_file *file, const char *link)
{
	return S_ISREG(file->mode) && file->fd == UINT32_MAX && !strncmp(link, NAME, sizeof NAME - 1);
}

/* --- collect --- */

/* The inode of a segment has its id as number (ipc/shm.c, newseg()). */
static int sysvshm_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Sysvshm *s = o->data;
	struct shmid_ds ds;
	SET(s, id, (u32)subject->file->ino);
	SET(s, device, (u32)makedev(subject->file->dev_major, subject->file->dev_minor));
	if (same_inode_first(collector_graph(c), &kind_sysvshm, 0, s->id, o->id, &s->memory) < 0)
		return fail_memory();
	s->has_memory = true;
	share_huge_page(collector_graph(c), s->memory, o->id);
	if (s->memory != o->id)
		return 0;
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	note_huge_page(collector_graph(c), o->id, fd);
	if (shmctl((int)s->id, IPC_STAT, &ds) < 0)
		return fail(SYSVSHM_STAT, neg_errno(), "shmctl(%u, IPC_STAT)", s->id);
	SET(s, key, (u32)ds.shm_perm.__key);
	SET(s, size, ds.shm_segsz);
	SET(s, mode, ds.shm_perm.mode & 0777u);
	SET(s, uid, ds.shm_perm.uid);
	SET(s, gid, ds.shm_perm.gid);
	SET(s, creator_uid, ds.shm_perm.cuid);
	SET(s, creator_gid, ds.shm_perm.cgid);
	SET(s, attached, ds.shm_nattch);
	if (ds.shm_perm.mode & SHM_LOCKED)
		SET(s, locked, true);
	if (ds.shm_perm.mode & SHM_DEST)
		SET(s, removed, true);
	return collector_keep_memory(c, o->id);
}

/* --- attachments --- */

/* What one shmat(2) has attached, as far as it is mapped: in parts at the distances from each other that they have in the segment.
 * A part that mremap(2) has put elsewhere is one of its own. */
struct attachment {
	const struct vma *part; /* mappings of the process, from the first part on */
	u32 count;
	u64 page, whole;   /* bytes of the segment's pages, and of the segment */
	u64 mapped, reach; /* bytes of all parts; from the segment's beginning to the end of the last one */
};

static const Ckpt__Sysvshm *segment_of(const struct graph *graph, u32 file)
{
	const Ckpt__Sysvshm *s = file ? graph_data(graph, &kind_sysvshm, file) : NULL;
	return s ? graph_data(graph, &kind_sysvshm, s->memory) : NULL;
}

static u64 whole_of(const struct graph *graph, const struct vma *v)
{
	return ALIGN_UP(segment_of(graph, v->file)->size, page_of(graph, v->file));
}

static u64 reach_of(const struct vma *v) { return v->pgoff + (v->end - v->start); }

static bool is_together(const struct vma *a, const struct vma *b)
{
	return a->file == b->file && a->start - a->pgoff == b->start - b->pgoff;
}

/* Does it go on where the one before it ends, as mprotect(2) cuts them? */
static bool goes_on(const struct vma *v) { return v->start == v[-1].end && is_together(v, v - 1); }

/* The attachment whose first part v is; false: v is another one. longest: no mapping reaches beyond. */
static bool find_attachment(struct attachment *ret, const struct graph *graph, const struct object *vmas, const struct vma *v,
			    u64 longest)
{
	const struct vma *all = vmas->data;
	u32 first = (u32)(vma_at(all, vmas->count, v->start) - all);
	for (u32 i = first; i-- > 0 && all[i].start + v->pgoff >= v->start;)
		if (is_together(&all[i], v))
			return false;
	*ret = (struct attachment){ .part = all + first, .page = page_of(graph, v->file), .whole = whole_of(graph, v) };
	for (u32 i = first; i < vmas->count && all[i].start - v->start + v->pgoff < longest; i++)
		if (is_together(&all[i], v)) {
			ret->count = i - first + 1;
			ret->mapped += all[i].end - all[i].start;
			ret->reach = reach_of(&all[i]);
		}
	return true;
}

/* Is all of it where shmat(2) puts it? */
static bool is_whole(const struct attachment *a) { return a->mapped == a->whole && a->reach == a->whole; }

/* --- judge --- */

/* Key of graph_remember(): how many mappings of the segment a process has; process 0: all of the tree. */
static u64 attached_key(u32 memory, u32 process) { return map_mix(map_mix(0x53484d41, memory), process); }

/* Of all segments at once, since there may be thousands. -ENOMEM (reported). */
static int note_attached(const struct graph *graph)
{
	int r = 0;
	if (graph_recall(graph, attached_key(0, 0)))
		return 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const Ckpt__Sysvshm *s = segment_of(graph, ((const struct vma *)o->data)[i].file);
			u64 all = s ? attached_key(s->memory, 0) : 0, own = s ? attached_key(s->memory, o->id) : 0;
			if (s && (graph_remember(graph, all, graph_recall(graph, all) + 1) < 0 ||
				  graph_remember(graph, own, graph_recall(graph, own) + 1) < 0))
				r = -ENOMEM;
		}
	return r < 0 || graph_remember(graph, attached_key(0, 0), 1) < 0 ? fail_memory() : 0;
}

/* Its contents are not the tree's alone: they go on without it. What is attached has been noted. */
static bool is_shared_outside(const struct graph *graph, const Ckpt__Sysvshm *s)
{
	return s->attached > graph_recall(graph, attached_key(s->memory, 0));
}

/* mremap(2) of a part of huge pages: Linux 5.16. */
static bool moves_huge_pages(u64 page)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB | (int)huge_page_bits(page);
	char *at = mmap(NULL, 4 * page, PROT_NONE, flags, -1, 0);
	if (at == MAP_FAILED)
		return false;
	bool moves = mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at + 2 * page) == at + 2 * page;
	munmap(at, 4 * page);
	return moves;
}

static int judge_part(const struct graph *graph, const struct object *vmas, const struct vma *v, enum direction direction)
{
	u64 page = page_of(graph, v->file), whole = whole_of(graph, v), len = v->end - v->start;
	struct attachment a;
	bool huge = page != PAGE_BYTES;
	if (!page_is_sane(page) || (v->start | len | v->pgoff) & (page - 1) || v->pgoff > REACH_MAX ||
	    (huge && reach_of(v) > whole))
		return fail(IMAGE_VALUE, 0, "%llu bytes from offset %llu of %llu", (unsigned long long)len,
			    (unsigned long long)v->pgoff, (unsigned long long)whole);
	bool stays = !huge || direction == DIRECTION_DUMP || !find_attachment(&a, graph, vmas, v, whole) || is_whole(&a);
	return stays || moves_huge_pages(page)
		       ? 0
		       : fail(SYSVSHM_PART, 0, "%llu bytes from offset %llu of %llu", (unsigned long long)len,
			      (unsigned long long)v->pgoff, (unsigned long long)whole);
}

static int judge_parts(const struct graph *graph, u32 file, enum direction direction)
{
	int r = 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			if (v->file != file)
				continue;
			WORKING_ON_TASK(o->id);
			WORKING_ON_VMA(v->start, v->end);
			if (judge_part(graph, o, v, direction) < 0)
				r = -EINVAL;
		}
	return r;
}

static int judge_present(const struct graph *graph, const Ckpt__Sysvshm *s, const struct shmid_ds *ds)
{
	if ((u32)ds->shm_perm.__key != s->key || ds->shm_segsz != s->size || ds->shm_perm.uid != s->uid ||
	    ds->shm_perm.gid != s->gid)
		return fail(SYSV_TAKEN, -EEXIST, "segment %u has key %#x, %zu bytes and owner %u", s->id,
			    (unsigned)ds->shm_perm.__key, (size_t)ds->shm_segsz, ds->shm_perm.uid);
	if (ds->shm_nattch && !is_shared_outside(graph, s))
		return fail(SYSVSHM_IN_USE, -EBUSY, "segment %u is attached %lu times, last by process %d", s->id,
			    (unsigned long)ds->shm_nattch, (int)ds->shm_lpid);
	return 0;
}

static int judge_restore(const struct graph *graph, const struct object *o, const Ckpt__Sysvshm *s)
{
	struct shmid_ds ds;
	u64 page = page_of(graph, o->id);
	if (s->id > INT32_MAX || !s->size || s->mode > 0777 || !page_is_sane(page) ||
	    !contents_fit(graph, o->id, ALIGN_UP(s->size, page)))
		return fail(IMAGE_VALUE, 0, "segment %u of %llu bytes", s->id, (unsigned long long)s->size);
	if (shmctl((int)s->id, IPC_STAT, &ds) < 0)
		return sysv_is_none(errno) ? sysv_judge_absent(&segments, s->id, s->key)
					   : fail(SYSVSHM_STAT, neg_errno(), "shmctl(%u, IPC_STAT)", s->id);
	const Ckpt__File *f = graph_data(graph, &kind_file, o->id);
	if (graph_remember(graph, huge_pages_here(f), 1) < 0)
		return fail_memory();
	int r = note_attached(graph);
	return r < 0 ? r : judge_present(graph, s, &ds);
}

static int sysvshm_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Sysvshm *s = o->data, *segment = segment_of(graph, o->id);
	if (!segment || segment->memory != s->memory || segment->id != s->id)
		return fail(IMAGE_INCONSISTENT, 0, "segment %u", s->id);
	int r = judge_parts(graph, o->id, direction);
	return r == 0 && s == segment && direction == DIRECTION_RESTORE ? judge_restore(graph, o, s) : r;
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static struct plan_step *control(struct plan *plan, struct place at, u32 id, int command, struct arg data)
{
	return plan_call(plan, at, SYS_shmctl, ARG(id), ARG(command), data);
}

static void plan_segment(struct plan *plan, const struct graph *graph, const Ckpt__Sysvshm *s)
{
	u64 huge = huge_page_of(graph, s->memory);
	u32 flags = IPC_CREAT | IPC_EXCL | s->mode | (huge ? SHM_HUGETLB | huge_page_bits(huge) : 0);
	struct shmid_ds ds = { .shm_perm = { .uid = s->uid, .gid = s->gid, .mode = (unsigned short)s->mode } };
	sysv_plan_id(plan, CREATE, &segments, s->id);
	step_expect(plan_call(plan, CREATE, SYS_shmget, ARG(s->key), ARG(s->size), ARG(flags)), s->id);
	control(plan, CREATE, s->id, IPC_SET, ARG_OF_DATA(plan_data(plan, &ds, sizeof ds, 8)));
}

static void plan_contents(struct plan *plan, const struct graph *graph, const Ckpt__Sysvshm *s)
{
	step_expect(plan_call(plan, CREATE, SYS_shmat, ARG(s->id), ARG(WINDOW), ARG(0)), (s64)WINDOW);
	/* what is still there from before */
	plan_call(plan, CREATE, SYS_madvise, ARG(WINDOW), ARG(ALIGN_UP(s->size, page_of(graph, s->memory))), ARG(MADV_REMOVE));
	plan_window(plan, graph, s->memory);
	plan_call(plan, CREATE, SYS_shmdt, ARG(WINDOW));
}

/* The root removes it when everybody has attached it. */
static void plan_removal(struct plan *plan, const struct graph *graph, const Ckpt__Sysvshm *s)
{
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	char name[32];
	u32 count = 0;
	snprintf(name, sizeof name, "attached %u", s->id);
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));) {
		if (!graph_recall(graph, attached_key(s->memory, o->id)))
			continue;
		plan_post(plan, AT(o->id, STAGE_PROTECT), plan_word(plan, name));
		count++;
	}
	plan_wait(plan, AT(host->root_pid, STAGE_IDS), plan_word(plan, name), count);
	control(plan, AT(host->root_pid, STAGE_IDS), s->id, IPC_RMID, ARG(0));
}

/* Only when nothing has its id: shmget(2) would give another one. */
static void plan_absence(struct plan *plan, u32 id, struct arg stat, struct arg seen)
{
	struct plan_step *none = plan_skip(plan, CREATE, seen, -EINVAL, -EINVAL);
	struct plan_step *other = plan_skip(plan, CREATE, seen, -EIDRM, -EIDRM);
	step_expect(control(plan, CREATE, id, IPC_STAT, stat), -EINVAL);
	plan_land(plan, CREATE, other);
	plan_land(plan, CREATE, none);
}

static int sysvshm_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Sysvshm *s = o->data;
	int r = s->memory == o->id ? note_attached(graph) : 0;
	if (r < 0 || s->memory != o->id)
		return r;
	struct arg stat = ARG_OF_DATA(plan_data(plan, NULL, sizeof(struct shmid_ds), 8));
	struct plan_step *look = control(plan, CREATE, s->id, IPC_STAT, stat);
	step_any(look);
	struct arg seen = ARG_OF_SLOT(step_result(plan, look));
	bool outside = is_shared_outside(graph, s);
	struct plan_step *there = plan_skip(plan, CREATE, seen, 0, 0);
	plan_absence(plan, s->id, stat, seen);
	plan_segment(plan, graph, s);
	if (outside)
		plan_contents(plan, graph, s);
	plan_land(plan, CREATE, there);
	if (!outside)
		plan_contents(plan, graph, s);
	if (s->locked)
		control(plan, CREATE, s->id, SHM_LOCK, ARG(0));
	if (s->removed)
		plan_removal(plan, graph, s);
	return 0;
}

/* Where an attachment is taken to pieces: none is, where all are whole. It begins at a page of its own. */
static u64 sysvshm_map_room(const struct graph *graph)
{
	u64 longest = 0, page = 0;
	bool parts = false;
	if (!graph_next(graph, &kind_sysvshm, NULL))
		return 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			if (!segment_of(graph, v->file))
				continue;
			u64 whole = whole_of(graph, v);
			parts |= v->pgoff || v->end - v->start != whole;
			longest = MAX(longest, MAX(whole, reach_of(v)));
			page = MAX(page, page_of(graph, v->file));
		}
	return parts ? longest + page : 0;
}

static void move(struct plan *plan, struct place at, u64 from, u64 old, u64 len, u64 to)
{
	u64 flags = from == to ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED;
	step_expect(plan_call(plan, at, SYS_mremap, ARG(from), ARG(old), ARG(len), ARG(flags), ARG(to)), (s64)to);
}

/* All of it is attached in the room, and what belongs together goes to its place in one piece. */
static void plan_moves(struct plan *plan, struct place at, const struct attachment *a, u64 room)
{
	const struct vma *end = a->part + a->count;
	if (a->reach > a->whole) /* mremap(2) had made it longer than the segment */
		move(plan, at, room, a->whole, a->reach, room);
	for (const struct vma *v = a->part, *next; v < end; v = next) {
		for (next = v + 1; next < end && goes_on(next);)
			next++;
		if (is_together(v, a->part))
			move(plan, at, room + v->pgoff, next[-1].end - v->start, next[-1].end - v->start, v->start);
	}
	plan_call(plan, at, SYS_munmap, ARG(room), ARG(MAX(a->reach, a->whole)));
}

/* One mapping is one attachment for the kernel (shm_nattch), which never makes one of two: so they are cut while all are alike. */
static void plan_cuts(struct plan *plan, struct place at, const struct attachment *a, int prot)
{
	for (const struct vma *v = a->part + 1; v < a->part + a->count; v++)
		for (int turn = 0; turn < 2 && goes_on(v) && is_together(v, a->part); turn++)
			plan_call(plan, at, SYS_mprotect, ARG(v->start), ARG(v->end - v->start), ARG(turn ? prot : PROT_NONE));
}

/* Attached for what it was attached for; protected since, perhaps. */
static void sysvshm_map(struct plan *plan, u32 pid, const struct graph *graph, const struct vma *v,
			const struct hole_range *room)
{
	struct place at = AT(pid, STAGE_MAP);
	const Ckpt__Sysvshm *s = graph_data(graph, &kind_sysvshm, v->file);
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	u64 longest = MAX(room->end - room->start, whole_of(graph, v));
	int prot = PROT_READ | (v->flags & VMA_MAYWRITE ? PROT_WRITE : 0);
	struct attachment a;
	if (find_attachment(&a, graph, graph_find(graph, &kind_vmas, task->mm), v, longest)) {
		u64 where = is_whole(&a) ? v->start : ALIGN_UP(room->start, a.page);
		step_expect(plan_call(plan, at, SYS_shmat, ARG(s->id), ARG(where), ARG(prot & PROT_WRITE ? 0 : SHM_RDONLY)),
			    (s64)where);
		if (!is_whole(&a))
			plan_moves(plan, at, &a, where);
		plan_cuts(plan, at, &a, prot);
	}
	if ((int)v->prot != prot)
		plan_call(plan, at, SYS_mprotect, ARG(v->start), ARG(v->end - v->start), ARG(v->prot));
}

const struct resource resource_sysvshm = {
	.name = "sysvshm",
	.scope = SCOPE_FILE,
	.kind = &kind_sysvshm,
	.claims = sysvshm_claims,
	.collect = sysvshm_collect,
	.judge = sysvshm_judge,
	.plan = sysvshm_plan,
	.map = sysvshm_map,
	.map_room = sysvshm_map_room,
};
