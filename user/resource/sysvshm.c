// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns segments of System V shared memory that the tree has attached (shmop(2)). They belong to the IPC namespace and outlive
 * processes: at a restore the very segment may still be there. */
#include "collect/collect.h"
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

/* --- judge --- */

static const Ckpt__Sysvshm *segment_of(const struct graph *graph, u32 file)
{
	const Ckpt__Sysvshm *s = file ? graph_data(graph, &kind_sysvshm, file) : NULL;
	return s ? graph_data(graph, &kind_sysvshm, s->memory) : NULL;
}

/* Attachments of the segment by processes of the tree. */
static u64 count_attached(const struct graph *graph, const Ckpt__Sysvshm *segment)
{
	u64 n = 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++)
			n += segment_of(graph, ((const struct vma *)o->data)[i].file) == segment;
	return n;
}

/* Its contents are not the tree's alone: they go on without it. */
static bool is_shared_outside(const struct graph *graph, const Ckpt__Sysvshm *s)
{
	return s->attached > count_attached(graph, s);
}

/* shmat(2) attaches all of a segment. */
static int judge_attachments(const struct graph *graph, u32 file, u64 size)
{
	u64 whole = ALIGN_UP(size, page_of(graph, file));
	int r = 0;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			if (v->file != file || (!v->pgoff && v->end - v->start == whole))
				continue;
			WORKING_ON_TASK(o->id);
			WORKING_ON_VMA(v->start, v->end);
			r = fail(SYSVSHM_PART, 0, "%llu bytes from offset %llu of %llu",
				 (unsigned long long)(v->end - v->start), (unsigned long long)v->pgoff,
				 (unsigned long long)size);
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
		return sysv_judge_absent(&segments, s->id, s->key);
	const Ckpt__File *f = graph_data(graph, &kind_file, o->id);
	return graph_remember(graph, huge_pages_here(f), 1) < 0 ? fail_memory() : judge_present(graph, s, &ds);
}

static int sysvshm_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Sysvshm *s = o->data, *segment = segment_of(graph, o->id);
	if (!segment || segment->memory != s->memory || segment->id != s->id)
		return fail(IMAGE_INCONSISTENT, 0, "segment %u", s->id);
	int r = judge_attachments(graph, o->id, segment->size);
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
		bool has = false;
		for (u32 i = 0; i < o->count; i++)
			has |= segment_of(graph, ((const struct vma *)o->data)[i].file) == s;
		if (has)
			plan_post(plan, AT(o->id, STAGE_PROTECT), plan_word(plan, name));
		count += has;
	}
	plan_wait(plan, AT(host->root_pid, STAGE_IDS), plan_word(plan, name), count);
	control(plan, AT(host->root_pid, STAGE_IDS), s->id, IPC_RMID, ARG(0));
}

static int sysvshm_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Sysvshm *s = o->data;
	if (s->memory != o->id)
		return 0;
	struct plan_step *seen =
		control(plan, CREATE, s->id, IPC_STAT, ARG_OF_DATA(plan_data(plan, NULL, sizeof(struct shmid_ds), 8)));
	step_any(seen);
	bool outside = is_shared_outside(graph, s);
	struct plan_step *there = plan_skip(plan, CREATE, ARG_OF_SLOT(step_result(plan, seen)), 0, 0);
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

/* Attached for what it was attached for; protected since, perhaps. */
static void sysvshm_map(struct plan *plan, u32 pid, const struct graph *graph, const struct vma *v)
{
	struct place at = AT(pid, STAGE_MAP);
	const Ckpt__Sysvshm *s = graph_data(graph, &kind_sysvshm, v->file);
	bool writable = v->flags & VMA_MAYWRITE;
	int prot = PROT_READ | (writable ? PROT_WRITE : 0) | (int)(v->prot & PROT_EXEC);
	int flags = (writable ? 0 : SHM_RDONLY) | (v->prot & PROT_EXEC ? SHM_EXEC : 0);
	step_expect(plan_call(plan, at, SYS_shmat, ARG(s->id), ARG(v->start), ARG(flags)), (s64)v->start);
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
};
