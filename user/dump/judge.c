// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the refusals of a dump that no resource can see by itself: all of them at once, before anything is written. */
#include "arch/arch.h"
#include "base/map.h"
#include "diag/diag.h"
#include "dump/dump.h"
#include "model/holes.h"
#include "model/shape.h"
#include "resource/registry.h"

static int judge_thread(const Ckpt__Thread *t)
{
	WORKING_ON_THREAD(t->tid);
	if (!t->altstack || !t->has_clear_child_tid)
		return fail(THREAD_FACTS, 0, "signal stack and clear_child_tid");
	if (t->call && t->call->code == 516 && !t->call->has_left && !t->call->endless)
		warn(RESTART_UNKNOWN, 0, "system call %u", t->call->nr);
	return 0;
}

/* The first of the threads whose area is not known stands for all. */
static int judge_rseq(const struct graph *g, const Ckpt__Task *t)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	size_t unknown = 0;
	u32 first = 0;
	for (size_t i = 0; i < t->n_tid; i++) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, t->tid[i]);
		if (!thread || thread->rseq)
			continue;
		first = unknown++ ? first : thread->tid;
	}
	if (!unknown)
		return 0;
	WORKING_ON_THREAD(first);
	return fail(RSEQ_CONFIG, 0, "Linux %s, %zu of %zu threads; the program was started with rseq on",
		    host && host->kernel ? host->kernel : "?", unknown, t->n_tid);
}

/* No code runs in a process whose rseq areas nothing tells: what else nobody told of it has that one reason. */
static int judge_untold(const struct graph *g)
{
	int r = 0;
	for (const struct object *o = NULL; !shape_is_live(g) && (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		const Ckpt__Mm *mm = graph_data(g, &kind_mm, t->mm);
		WORKING_ON_TASK(t->pid);
		if (mm && !mm->has_brk && judge_rseq(g, t) < 0)
			r = -EINVAL;
	}
	return r;
}

static int judge_task(const struct graph *g, const Ckpt__Task *t)
{
	WORKING_ON_TASK(t->pid);
	int r = 0;
	if (shape_is_zombie(t))
		return 0;
	if (t->leader_apart)
		r = fail(LEADER_APART, 0, "those of its first thread, %u, are others", t->n_tid ? t->tid[0] : 0);
	if (t->leader_hidden)
		r = fail(LEADER_FILES, 0, "its threads have its descriptors");
	if (t->shares) /* with a stranger: what its parent has is given on by birth */
		r = fail(TASK_SHARES, 0, "its %s, with process %u", t->shares, t->shares_with);
	if (t->has_unshared_thread)
		r = fail(THREAD_UNSHARED, 0, "thread %u", t->unshared_thread);
	const Ckpt__Mm *mm = graph_data(g, &kind_mm, t->mm);
	if (mm && !mm->has_brk && !shape_is_live(g))
		r = fail(THREAD_FACTS, 0, "the end of the heap (brk)");
	if (!shape_is_live(g) && judge_rseq(g, t) < 0)
		r = -EINVAL;
	for (size_t i = 0; i < t->n_tid; i++) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, t->tid[i]);
		if (thread && !shape_is_live(g) && judge_thread(thread) < 0)
			r = -EINVAL;
	}
	return r;
}

/* Why a mapping cannot be carried, NULL when it can. */
static const char *vma_refusal(const struct vma *v)
{
	static const struct {
		u32 flag;
		const char *words;
	} reasons[] = {
		{ VMA_IO | VMA_PFNMAP, "memory of a device" },
		{ VMA_SHADOW_STACK, "a shadow stack" },
	};
	if (v->flags & VMA_SPECIAL)
		return !strcmp(v->name, "[vdso]") || !strncmp(v->name, "[vvar", 5) ? NULL : "the kernel made it";
	if (v->end > arch_task_size())
		return "it lies above what programs are given unless they ask for more (page tables of five levels)";
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (v->flags & reasons[i].flag)
			return reasons[i].words;
	return NULL;
}

static int judge_vmas(const struct object *o)
{
	WORKING_ON_TASK(o->id);
	const struct vma *v = o->data;
	int r = 0;
	for (u32 i = 0; i < o->count; i++) {
		WORKING_ON_VMA(v[i].start, v[i].end);
		const char *why = vma_refusal(&v[i]);
		if (why)
			r = fail(VMA_UNSUPPORTED, 0, "%s%s%s", v[i].name, *v[i].name ? ": " : "", why);
	}
	return r;
}

/* Where a file object is mapped first, for the report. */
static const struct vma *first_mapping(const struct graph *g, u32 file, u32 *ret_pid)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			if (v->file == file) {
				*ret_pid = o->id;
				return v;
			}
		}
	return NULL;
}

/* Where file objects are seen first, for the report. */
struct users {
	struct map by_file; /* file -> index + 1 */
	VECTOR(struct first_user {
		const struct fd_entry *entry;
		u32 pid;
	})
	list;
};

static void users_free(struct users *users)
{
	map_free(&users->by_file);
	vector_free(&users->list);
}

static int find_users(struct users *ret, const struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_fds, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct fd_entry *e = &((const struct fd_entry *)o->data)[i];
			struct first_user *user = map_get(&ret->by_file, e->file) ? NULL : vector_add(&ret->list);
			if (!user && !map_get(&ret->by_file, e->file))
				return fail_memory();
			if (!user)
				continue;
			const Ckpt__Thread *thread = graph_data(g, &kind_thread, o->id);
			*user = (struct first_user){ e, thread ? thread->pid : o->id };
			if (map_set(&ret->by_file, e->file, (u32)ret->list.n) < 0)
				return fail_memory();
		}
	return 0;
}

/* What the link of a descriptor that no resource claims begins with, and what is said of it. */
static const struct {
	const char *begins, *words;
	enum diag_code code;
} strangers[] = {
	{ "/dev/", "a device", DIAG_FD_DEVICE },
	{ "/dmabuf:", "a buffer of a device", DIAG_FD_DMABUF },
	{ "/secretmem", "secret memory", DIAG_SHMEM_SECRET },
	{ "anon_inode:[fscontext]", "a file system context", DIAG_FD_MOUNT },
	{ "anon_inode:[landlock-ruleset]", "a Landlock ruleset", DIAG_FD_LANDLOCK },
	{ "anon_inode:[perf_event]", "a perf event", DIAG_FD_PERF },
	{ "anon_inode:bpf", "a BPF object", DIAG_FD_BPF },
	{ "anon_inode:btf", "BTF, the types of BPF", DIAG_FD_BPF },
	{ "anon_inode:kvm", "a virtual machine", DIAG_FD_KVM },
	{ "anon_inode:seccomp notify", "a seccomp listener", DIAG_FD_SECCOMP },
	{ "anon_inode:sync_file", "a fence of a device", DIAG_FD_DMABUF },
};

static int refuse_kind(const char *link)
{
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
		if (!strncmp(link, strangers[i].begins, strlen(strangers[i].begins)))
			return diag_report(DIAG_ERROR, strangers[i].code, 0, "%s (%s)", strangers[i].words, link);
	return fail(FD_UNSUPPORTED, 0, "%s", link);
}

static int judge_file(const struct graph *g, const struct users *users, const struct object *o)
{
	const Ckpt__File *f = o->data;
	u32 seen = map_get(&users->by_file, o->id), pid = seen ? users->list.v[seen - 1].pid : 0;
	const struct fd_entry *e = seen ? users->list.v[seen - 1].entry : NULL;
	const struct vma *v = e ? NULL : first_mapping(g, o->id, &pid);
	WORKING_ON_NAMED(pid ? "%s %u" : "%s", pid ? "process" : "the tree", (int)pid);
	struct diag_scope fd;
	_cleanup_(diag_scope_leave) _unused_ struct diag_scope *p =
		e   ? diag_scope_named(&fd, "fd %2$u (%1$s)", f->link, (int)e->fd)
		: v ? diag_scope_enter(&fd, "mapping %llx-%llx (%s)", (unsigned long long)v->start, (unsigned long long)v->end,
				       f->link)
		    : diag_scope_named(&fd, "file %s", f->link, 0);
	if (v && !f->has_device) /* seen from afar */
		return fail(MAPPED_HIDDEN, 0, "%s", f->link);
	if (!f->kind || !*f->kind)
		return refuse_kind(f->link);
	int owner = f->owner && !shape_file_owner(g, f) ? fail(FILE_OWNER, 0, "process or group %d", f->owner) : 0;
	const struct resource *resource = registry_of_file(g, o->id);
	const struct object *kind = resource && resource->judge ? graph_find(g, resource->kind, o->id) : NULL;
	int judged = kind ? resource->judge(g, kind, DIRECTION_DUMP) : 0;
	return judged < 0 ? judged : owner;
}

static int judge_resource(const struct graph *g, const struct object *o, const struct resource *resource)
{
	const Ckpt__Thread *thread = resource->scope == SCOPE_THREAD ? graph_data(g, &kind_thread, o->id) : NULL;
	WORKING_ON_TASK(thread ? thread->pid : o->id);
	return resource->judge(g, o, DIRECTION_DUMP);
}

/* A restore runs its plan in the address spaces that it makes. */
static int judge_room(const struct graph *g)
{
	int r = holes_judge(g, registry_map_room(g));
	return r == -ENOSPC ? fail(ARENA_ROOM, 0, "in all its processes together, at one address") : r;
}

int judge_dump(const struct graph *g)
{
	_cleanup_(users_free) struct users users = { 0 };
	int r = find_users(&users, g);
	if (r < 0)
		return r;
	r = shape_judge(g);
	int room = judge_room(g);
	r = room < 0 ? room : r;
	if (judge_untold(g) < 0)
		return -EINVAL;
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		const struct resource *resource = registry_of_kind(o->kind);
		int one = 0;
		if (o->kind == &kind_task)
			one = judge_task(g, o->data);
		else if (o->kind == &kind_vmas)
			one = judge_vmas(o);
		else if (o->kind == &kind_file)
			one = judge_file(g, &users, o);
		else if (resource && resource->scope != SCOPE_FILE && resource->judge)
			one = judge_resource(g, o, resource);
		r = one < 0 ? one : r;
	}
	return r;
}
