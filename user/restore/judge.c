// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the refusals of a restore: what the image asks of this host that it cannot give. All at once, before anything is
 * made. An image is untrusted: what the plan relies on is checked here. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "resource/registry.h"
#include "restore/compile.h"
#include <signal.h>

/* One root, and no thread that belongs to nobody: such a one would be waited for for ever. */
static int judge_membership(const struct graph *g, u32 root)
{
	size_t members = 0, threads = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		members += t->n_tid;
		if (!t->ppid && t->pid != root)
			return fail(IMAGE_INCONSISTENT, 0, "process %u has no parent", t->pid);
	}
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));)
		threads++;
	return members == threads ? 0
				  : fail(IMAGE_INCONSISTENT, 0, "%zu threads, of which processes name %zu", threads, members);
}

static int judge_host(const struct graph *g, const struct survey *s)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	if (!host || !host->arch)
		return fail(IMAGE_INCONSISTENT, 0, "it does not say where it was made");
	if (strcmp(host->arch, arch_name()))
		return fail(OTHER_ARCH, 0, "made on %s, this is %s", host->arch, arch_name());
	const Ckpt__Task *root = graph_data(g, &kind_task, host->root_pid);
	if (!root || root->ppid)
		return fail(IMAGE_INCONSISTENT, 0, "process %u is not the root of its tree", host->root_pid);
	if (judge_membership(g, host->root_pid) < 0)
		return -EINVAL;
	if (host->monotonic > s->now_monotonic || host->boottime > s->now_boottime)
		return fail(CLOCK_BEHIND, 0, "CLOCK_MONOTONIC was %llu s, here it is %llu s",
			    (unsigned long long)(host->monotonic / 1000000000u),
			    (unsigned long long)(s->now_monotonic / 1000000000u));
	return 0;
}

static int judge_vmas(const struct object *o)
{
	const struct vma *v = o->data;
	u64 last = 0;
	WORKING_ON_TASK(o->id);
	for (u32 i = 0; i < o->count; i++) {
		if (v[i].start < last || v[i].end <= v[i].start || v[i].end > arch_task_size() ||
		    (v[i].start | v[i].end) & (PAGE_BYTES - 1))
			return fail(IMAGE_INCONSISTENT, 0, "mapping %llx-%llx", (unsigned long long)v[i].start,
				    (unsigned long long)v[i].end);
		last = v[i].end;
	}
	return 0;
}

static int judge_pages(const struct object *o)
{
	const struct page_run *run = o->data;
	u64 last = 0;
	WORKING_ON("%s %u", o->kind->name, o->id);
	for (u32 i = 0; i < o->count; i++) {
		if (run[i].start < last || !run[i].len || run[i].start + run[i].len < run[i].start ||
		    (run[i].start | run[i].len) & (PAGE_BYTES - 1))
			return fail(IMAGE_INCONSISTENT, 0, "pages at %llx", (unsigned long long)run[i].start);
		last = run[i].start + run[i].len;
	}
	return 0;
}

/* Everything that a plan looks up must be there, and the tree must be one. */
/* The kernel sets the flag only when it has really written a core file. */
static int judge_core(const Ckpt__Task *t, const struct survey *s)
{
	if (!(t->exit_code & 0x80) || s->core_dir)
		return 0;
	return fail(ZOMBIE_CORE, 0, "it was ended by signal %u", t->exit_code & 0x7f);
}

static int judge_zombie(const Ckpt__Task *t)
{
	u32 signal = t->exit_code & 0x7f;
	bool known = signal ? signal <= 64 && !(t->exit_code >> 8) : !(t->exit_code & ~0xff00u);
	if (t->n_tid || !t->ppid || !known || t->exit_signal > 64)
		return fail(IMAGE_INCONSISTENT, 0, "exit status %#x and exit signal %u of a zombie", t->exit_code,
			    t->exit_signal);
	return 0;
}

static u32 owner(bool shared, u32 of, u32 pid) { return shared ? of : pid; }

/* What is not its own is its parent's; the kernel shares signal actions only with memory. */
static int judge_shared(const Ckpt__Task *t, const Ckpt__Task *parent)
{
	const u32 owns[] = { t->mm, t->fds, owner(t->has_fs, t->fs, t->pid), owner(t->has_sighand, t->sighand, t->pid) };
	const u32 has[] = { parent ? parent->mm : 0, parent ? parent->fds : 0,
			    parent ? owner(parent->has_fs, parent->fs, parent->pid) : 0,
			    parent ? owner(parent->has_sighand, parent->sighand, parent->pid) : 0 };
	for (size_t i = 0; i < ARRAY_SIZE(owns); i++)
		if (owns[i] != t->pid && owns[i] != has[i])
			return -EINVAL;
	return owns[3] != t->pid && owns[0] == t->pid ? -EINVAL : 0;
}

static int judge_task(const struct graph *g, const struct object *o, const struct survey *s)
{
	const Ckpt__Task *t = o->data, *parent = shape_task(g, t->ppid);
	WORKING_ON_TASK(o->id);
	if (t->pid != o->id || (t->ppid && (!parent || shape_is_zombie(parent))))
		return fail(IMAGE_INCONSISTENT, 0, "its ids");
	if (shape_is_zombie(t))
		return judge_zombie(t) < 0 ? -EINVAL : judge_core(t, s);
	if (!t->n_tid || t->tid[0] != t->pid)
		return fail(IMAGE_INCONSISTENT, 0, "its ids");
	if (t->stop_unseen && (t->stop_unseen < SIGSTOP || t->stop_unseen > SIGTTOU))
		return fail(IMAGE_INCONSISTENT, 0, "it was stopped by signal %u", t->stop_unseen);
	for (size_t i = 0; i < t->n_tid; i++) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, t->tid[i]);
		if (i && (t->tid[i] == t->pid || (i > 1 && t->tid[i] <= t->tid[i - 1])))
			return fail(IMAGE_INCONSISTENT, 0, "the order of its threads");
		if (!thread || thread->tid != t->tid[i] || thread->pid != t->pid || !thread->comm)
			return fail(IMAGE_INCONSISTENT, 0, "its thread %u", t->tid[i]);
	}
	if (judge_shared(t, parent) < 0)
		return fail(IMAGE_INCONSISTENT, 0, "it shares what its parent does not have, or cannot give");
	const Ckpt__Task *at = t;
	for (size_t steps = 0; at && at->ppid; steps++, at = graph_data(g, &kind_task, at->ppid))
		if (steps > g->objects.n)
			return fail(IMAGE_INCONSISTENT, 0, "it is its own ancestor");
	const Ckpt__Mm *m = graph_data(g, &kind_mm, t->mm);
	if (!m || !graph_find(g, &kind_vmas, t->mm) || !graph_find(g, &kind_fds, t->fds) || m->auxv.len > 4096 ||
	    !graph_find(g, &kind_file, m->exe))
		return fail(IMAGE_INCONSISTENT, 0, "its memory or its descriptors");
	return 0;
}

static bool same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static int judge_vdso(const struct object *o, const struct survey *s)
{
	const Ckpt__Vdso *v = o->data;
	bool same = same_bytes(&v->build_id, &s->vdso->build_id) && v->n_part == s->vdso->n_part;
	for (size_t i = 0; same && i < v->n_part; i++)
		same = !strcmp(v->part[i]->name, s->vdso->part[i]->name) && v->part[i]->size == s->vdso->part[i]->size;
	return same ? 0 : fail(VDSO_DIFFERS, 0, "the build-id or the layout of [vdso] and [vvar]");
}

static int judge_file_refs(const struct graph *g, const struct object *o)
{
	int r = 0;
	for (u32 i = 0; i < o->count; i++) {
		u32 file = o->kind == &kind_vmas ? ((const struct vma *)o->data)[i].file
						 : ((const struct fd_entry *)o->data)[i].file;
		if ((file || o->kind == &kind_fds) && !graph_find(g, &kind_file, file))
			r = fail(IMAGE_INCONSISTENT, 0, "file %u of process %u", file, o->id);
	}
	return r;
}

static int judge_structure(const struct graph *g, const struct survey *s)
{
	int r = 0;
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		int one = 0;
		if (o->kind == &kind_task)
			one = judge_task(g, o, s);
		else if (o->kind == &kind_vmas)
			one = judge_vmas(o) < 0 ? -EINVAL : judge_file_refs(g, o);
		else if (o->kind == &kind_fds)
			one = judge_file_refs(g, o);
		else if (o->kind == &kind_pages || o->kind == &kind_memory)
			one = judge_pages(o);
		else if (o->kind == &kind_vdso)
			one = judge_vdso(o, s);
		r = one < 0 ? one : r;
	}
	return r;
}

static int judge_resources(const struct graph *g)
{
	int r = 0;
	for (const struct resource *const *res = registry; *res; res++)
		for (struct object *o = NULL; (*res)->judge && (o = graph_next(g, (*res)->kind, o));) {
			WORKING_ON("%s %u", (*res)->name, o->id);
			if ((*res)->scope == SCOPE_FILE && file_is_external(g, o->id))
				continue;
			if ((*res)->judge(g, o, DIRECTION_RESTORE) < 0)
				r = -EINVAL;
		}
	return r;
}

int judge_restore(const struct graph *g, const struct survey *s)
{
	int r = judge_host(g, s);
	if (r == 0)
		r = judge_structure(g, s);
	if (r < 0) /* what follows relies on it */
		return r;
	r = shape_judge(g);
	int resources = judge_resources(g);
	u32 files = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));)
		files = MAX(files, o->id);
	if (compile_first_fd(g) + files + 1 > s->nofile)
		r = fail(TOO_MANY_FILES, 0, "%u descriptors are needed, %u allowed", compile_first_fd(g) + files + 1,
			 s->nofile);
	return r < 0 ? r : resources;
}
