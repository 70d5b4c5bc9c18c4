// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what makes an image whole: everything that a plan looks up is there, ids are ids, the tree is one. */
#include "arch/arch.h"
#include "diag/diag.h"
#include "host/auxv.h"
#include "model/shape.h"
#include "restore/compile.h"
#include <signal.h>

#define ID_LIMIT (1u << 22) /* include/linux/threads.h, PID_MAX_LIMIT */
#define FD_LIMIT ((u32)INT32_MAX - 64)

/* An id that a task can have. 0 would be that of the world in a plan. */
static bool is_id(u32 id) { return id && id < ID_LIMIT; }

/* Of a session or a group: 0, a process, or one that has died, whose id no thread can have meanwhile. */
static bool is_group_id(const struct graph *g, u32 id)
{
	return !id || graph_find(g, &kind_task, id) || (is_id(id) && !graph_find(g, &kind_thread, id));
}

/* One root, and no thread that belongs to nobody: such a one would be waited for for ever. */
static int judge_membership(const struct graph *g, u32 root)
{
	size_t members = 0, threads = 0;
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		members += t->n_tid;
		if (!is_id(o->id) || t->pid != o->id || !is_group_id(g, t->sid) || !is_group_id(g, t->pgid))
			return fail(IMAGE_INCONSISTENT, 0, "the ids of process %u", o->id);
		if (!t->ppid && t->pid != root)
			return fail(IMAGE_INCONSISTENT, 0, "process %u has no parent", t->pid);
	}
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o)); threads++)
		if (!is_id(o->id))
			return fail(IMAGE_INCONSISTENT, 0, "the id of thread %u", o->id);
	return members == threads ? 0
				  : fail(IMAGE_INCONSISTENT, 0, "%zu threads, of which processes name %zu", threads, members);
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
	WORKING_ON_OBJECT(o->kind->name, o->id);
	for (u32 i = 0; i < o->count; i++) {
		if (run[i].start < last || !run[i].len || run[i].start + run[i].len < run[i].start ||
		    (run[i].start | run[i].len) & (PAGE_BYTES - 1))
			return fail(IMAGE_INCONSISTENT, 0, "pages at %llx", (unsigned long long)run[i].start);
		last = run[i].start + run[i].len;
	}
	return 0;
}

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

/* A descriptor table that some threads share belongs to one of them; the first thread has that of the process. */
static bool is_table_sound(const struct graph *g, const Ckpt__Task *t, const Ckpt__Thread *thread)
{
	const Ckpt__Thread *owner = graph_data(g, &kind_thread, thread->fds);
	return !thread->has_fds || (thread->tid != t->pid && thread->tid != t->tid[0] && owner && owner->pid == t->pid &&
				    owner->fds == thread->fds && graph_find(g, &kind_fds, thread->fds));
}

static int judge_threads(const struct graph *g, const Ckpt__Task *t)
{
	for (size_t i = 0; i < t->n_tid; i++) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, t->tid[i]);
		bool is_leader = t->tid[i] == t->pid, may_lead = !i && !t->has_leader_exit;
		if (is_leader != may_lead || (i > 1 && t->tid[i] <= t->tid[i - 1]))
			return fail(IMAGE_INCONSISTENT, 0, "the order of its threads");
		if (!thread || thread->tid != t->tid[i] || thread->pid != t->pid || !thread->comm)
			return fail(IMAGE_INCONSISTENT, 0, "its thread %u", t->tid[i]);
		if (!is_table_sound(g, t, thread))
			return fail(IMAGE_INCONSISTENT, 0, "the descriptor table of thread %u", t->tid[i]);
		if (thread->registers.len != sizeof(arch_regs))
			return fail(IMAGE_INCONSISTENT, 0, "%zu bytes of registers of thread %u", thread->registers.len,
				    t->tid[i]);
	}
	if (t->leader_exit & ~0xff00u) /* exit(2) alone ends one thread */
		return fail(IMAGE_INCONSISTENT, 0, "exit status %#x of its leader", t->leader_exit);
	return t->n_tid ? 0 : fail(IMAGE_INCONSISTENT, 0, "it has no thread");
}

static int judge_ancestors(const struct graph *g, const Ckpt__Task *t)
{
	for (size_t steps = 0; t && t->ppid; steps++, t = shape_task(g, t->ppid))
		if (steps > g->objects.n)
			return fail(IMAGE_INCONSISTENT, 0, "it is its own ancestor");
	return 0;
}

static int judge_living(const struct graph *g, const Ckpt__Task *t, const Ckpt__Task *parent)
{
	if (!t->state || (strcmp(t->state, "running") && strcmp(t->state, "stopped")))
		return fail(IMAGE_INCONSISTENT, 0, "its state");
	if (t->stop_unseen && (t->stop_unseen < SIGSTOP || t->stop_unseen > SIGTTOU))
		return fail(IMAGE_INCONSISTENT, 0, "it was stopped by signal %u", t->stop_unseen);
	if (judge_shared(t, parent) < 0)
		return fail(IMAGE_INCONSISTENT, 0, "it shares what its parent does not have, or cannot give");
	const Ckpt__Mm *m = graph_data(g, &kind_mm, t->mm);
	if (!m || !graph_find(g, &kind_vmas, t->mm) || !graph_find(g, &kind_fds, t->fds) || m->auxv.len > AUXV_BYTES_MAX ||
	    !graph_find(g, &kind_file, m->exe))
		return fail(IMAGE_INCONSISTENT, 0, "its memory or its descriptors");
	return 0;
}

static int judge_task(const struct graph *g, const struct object *o, const struct survey *s)
{
	const Ckpt__Task *t = o->data, *parent = shape_task(g, t->ppid);
	WORKING_ON_TASK(o->id);
	if (t->ppid && (!parent || shape_is_zombie(parent)))
		return fail(IMAGE_INCONSISTENT, 0, "its parent %u", t->ppid);
	if (shape_is_zombie(t))
		return judge_zombie(t) < 0 ? -EINVAL : judge_core(t, s);
	int r = judge_threads(g, t);
	if (r == 0)
		r = judge_ancestors(g, t);
	return r == 0 ? judge_living(g, t, parent) : r;
}

static int judge_file(const struct graph *g, u32 owner_id, u32 file)
{
	return graph_find(g, &kind_file, file) ? 0 : fail(IMAGE_INCONSISTENT, 0, "file %u of process %u", file, owner_id);
}

static int judge_mapped_files(const struct graph *g, const struct object *o)
{
	const struct vma *v = o->data;
	const Ckpt__Task *task = shape_task(g, o->id);
	int r = task && task->mm == o->id ? 0 : fail(IMAGE_INCONSISTENT, 0, "mappings %u of no process", o->id);
	for (u32 i = 0; i < o->count; i++)
		if (v[i].file && judge_file(g, o->id, v[i].file) < 0)
			r = -EINVAL;
	return r;
}

static int judge_fds(const struct graph *g, const struct object *o)
{
	const struct fd_entry *e = o->data;
	int r = 0;
	for (u32 i = 0; i < o->count; i++) {
		if (e[i].fd > FD_LIMIT)
			r = fail(IMAGE_INCONSISTENT, 0, "descriptor %u of process %u", e[i].fd, o->id);
		if (judge_file(g, o->id, e[i].file) < 0)
			r = -EINVAL;
	}
	return r;
}

static int judge_object(const struct graph *g, const struct object *o, const struct survey *s)
{
	if (o->kind == &kind_task)
		return judge_task(g, o, s);
	if (o->kind == &kind_vmas)
		return judge_vmas(o) < 0 ? -EINVAL : judge_mapped_files(g, o);
	if (o->kind == &kind_fds)
		return judge_fds(g, o);
	if (o->kind == &kind_pages || o->kind == &kind_memory)
		return judge_pages(o);
	return 0;
}

int judge_structure(const struct graph *g, const struct survey *s)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	int r = judge_membership(g, host->root_pid);
	for (size_t i = 0; i < g->objects.n; i++)
		if (judge_object(g, g->objects.v[i], s) < 0)
			r = -EINVAL;
	return r;
}
