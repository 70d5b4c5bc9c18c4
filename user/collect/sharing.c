// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question who shares memory, descriptors or working directory with whom: clone(2) without CLONE_THREAD, and
 * threads that have unshared. Told by identities where eBPF gives them, else by kcmp(2). */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include "model/shape.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/syscall.h>

#define OUTSIDE_PAIRS 5000 /* kcmp calls that a dump may spend on looking outside of the tree */

enum { THING_MEMORY, THING_FILES, THING_FS, THING_SIGHAND, THINGS };
static const struct {
	const char *name;
	int kcmp; /* linux/kcmp.h */
} things[THINGS] = {
	[THING_MEMORY] = { "memory", 1 /* KCMP_VM */ },
	[THING_FILES] = { "descriptor table", 2 /* KCMP_FILES */ },
	[THING_FS] = { "working directory", 3 /* KCMP_FS */ },
	[THING_SIGHAND] = { "signal actions", 4 /* KCMP_SIGHAND */ },
};

static u64 identity(const struct record_task *t, size_t thing)
{
	const u64 ids[THINGS] = { t->mm_id, t->files_id, t->fs_id, t->sighand_id };
	return t->known & KNOWN_IDENTITY ? ids[thing] : 0;
}

static long ask_kcmp(const struct collector *c, pid_t a, pid_t b, size_t thing)
{
	if (!caps_lacks(c->config->caps, CAN_KCMP))
		return syscall(SYS_kcmp, a, b, things[thing].kcmp, 0, 0);
	errno = ENOSYS;
	return -1;
}

/* 1, 0, or -errno. A running tree changes, or belongs to another user: what is not told is taken for no. */
static int same(const struct collector *c, const struct record_task *a, const struct record_task *b, size_t thing)
{
	u64 x = identity(a, thing), y = identity(b, thing);
	if (x && y)
		return x == y;
	long r = ask_kcmp(c, (pid_t)a->tid, (pid_t)b->tid, thing);
	if (r >= 0 || c->config->live)
		return r == 0;
	WORKING_ON_THREAD(a->tid);
	return fail(SHARING_UNKNOWN, neg_errno(), "kcmp(%s) with thread %u", things[thing].name, b->tid);
}

static int note_sharing(struct collector *c, const struct record_task *t, const char *what, u32 with)
{
	Ckpt__Task *task = graph_data(c->graph, &kind_task, t->tgid);
	if (task->shares)
		return 0;
	SET(task, shares_with, with);
	return message_set_string(&task->shares, what) ? 0 : fail_memory();
}

/* --- inside of the tree --- */

struct sharer {
	const struct record_task *task;
	size_t place; /* in the tree */
};
struct order {
	const struct collector *collector;
	size_t thing;
	bool by_id; /* of all */
	int err;
};

/* kcmp(2) gives an order, too. */
static int compare(const void *left, const void *right, void *order)
{
	const struct sharer *a = left, *b = right;
	struct order *o = order;
	u64 x = identity(a->task, o->thing), y = identity(b->task, o->thing);
	long r = 0;
	if (o->by_id)
		r = x < y ? 1 : x > y ? 2 : 0;
	else if (a != b)
		r = ask_kcmp(o->collector, (pid_t)a->task->tid, (pid_t)b->task->tid, o->thing);
	if (r < 0)
		o->err = neg_errno();
	return r == 1 ? -1 : r == 2 ? 1 : a->place < b->place ? -1 : a->place > b->place;
}

/* Whose thing it is: 0 where nobody else has it. */
static void set_owner(Ckpt__Task *t, size_t thing, u32 owner)
{
	if (thing == THING_MEMORY)
		SET(t, mm, owner);
	else if (thing == THING_FILES)
		SET(t, fds, owner);
	else if (thing == THING_FS)
		SET(t, fs, owner);
	else
		SET(t, sighand, owner);
}

static u32 owner_of(const Ckpt__Task *t, size_t thing)
{
	const u32 owners[THINGS] = { t->mm, t->fds, t->has_fs ? t->fs : t->pid, t->has_sighand ? t->sighand : t->pid };
	return owners[thing];
}

/* Those that have the same thing stand together, the first of the tree at their head. */
static int note_owners(struct collector *c, const struct sharer *v, size_t n, size_t thing)
{
	for (size_t i = 0, end; i < n; i = end) {
		int r = 0;
		for (end = i + 1; end < n && (r = same(c, v[i].task, v[end].task, thing)) > 0; end++)
			set_owner(graph_data(c->graph, &kind_task, v[end].task->tgid), thing, v[i].task->tgid);
		if (r < 0)
			return r;
		if (end > i + 1)
			set_owner(graph_data(c->graph, &kind_task, v[i].task->tgid), thing, v[i].task->tgid);
	}
	return 0;
}

/* A thing is given on by birth: from the parent. */
static int look_at_parent(struct collector *c, const struct record_task *t)
{
	const Ckpt__Task *task = graph_data(c->graph, &kind_task, t->tgid), *parent = shape_task(c->graph, task->ppid);
	int r = 0;
	for (size_t thing = 0; r == 0 && thing < THINGS; thing++)
		if (owner_of(task, thing) != task->pid && (!parent || owner_of(parent, thing) != owner_of(task, thing) ||
							   shape_birth(c->graph, task) == BIRTH_ADOPTED))
			r = note_sharing(c, t, things[thing].name, owner_of(task, thing));
	return r;
}

static int look_inside(struct collector *c)
{
	size_t n = 0, at = 0;
	bool by_id = true;
	if (c->tree->processes.n < 2)
		return 0;
	_cleanup_free_ struct sharer *v = calloc(c->tree->processes.n, sizeof *v);
	if (!v)
		return fail_memory();
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		const struct record_task *t = &c->facts.tasks.v[at];
		at += p->threads.n;
		if (p->state == 'Z')
			continue;
		by_id &= identity(t, THING_MEMORY) && identity(t, THING_SIGHAND);
		v[n++] = (struct sharer){ t, i };
	}
	int r = 0;
	for (size_t thing = 0; r == 0 && n > 1 && thing < THINGS; thing++) {
		struct order order = { c, thing, by_id, 0 };
		qsort_r(v, n, sizeof *v, compare, &order);
		if (order.err < 0 && !c->config->live)
			return fail(SHARING_UNKNOWN, order.err, "kcmp(%s)", things[thing].name);
		r = note_owners(c, v, n, thing);
	}
	for (size_t i = 0; r == 0 && n > 1 && i < n; i++)
		r = look_at_parent(c, v[i].task);
	return r;
}

/* Is it a thread that has this thing for itself, or shares it with other threads than the first? As far as that is known. */
static bool is_apart(const struct collector *c, const struct record_task *t, size_t thing)
{
	const Ckpt__Task *task = graph_data(c->graph, &kind_task, t->tgid);
	const Ckpt__Thread *thread = graph_data(c->graph, &kind_thread, t->tid);
	for (size_t i = 0; thing == THING_FS && i < task->n_own_fs; i++)
		if (task->own_fs[i] == t->tid)
			return true;
	return thing == THING_FILES && thread && thread->has_fds;
}

/* What a thread has for itself came to each process that it has made with CLONE_FS or CLONE_FILES, and to threads of that. */
static int look_at_heirs(struct collector *c, Ckpt__Task *task, const struct record_task *thread, size_t thing)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->facts.tasks.n; i++) {
		const struct record_task *other = &c->facts.tasks.v[i];
		bool may = facts_leads(&c->facts, i) || is_apart(c, other, thing);
		if (may && other->state != 'Z' && other->tgid != thread->tgid)
			r = same(c, thread, other, thing);
	}
	if (r > 0)
		SET(task, unshared_thread, thread->tid);
	return MIN(r, 0);
}

/* Directories that are not those of the leader: of this thread alone? */
static int look_at_directories(struct collector *c, Ckpt__Task *task, const struct record_task *leader,
			       const struct record_task *thread)
{
	for (const struct record_task *other = leader + 1; other < thread; other++) {
		int r = same(c, other, thread, THING_FS);
		if (r > 0)
			SET(task, unshared_thread, thread->tid);
		if (r != 0)
			return MIN(r, 0);
	}
	return MESSAGE_APPEND(&task->n_own_fs, &task->own_fs, thread->tid) ? look_at_heirs(c, task, thread, THING_FS)
									   : fail_memory();
}

/* A descriptor table that is not that of the leader: the first thread that has it. */
static int look_at_table(struct collector *c, Ckpt__Task *task, const struct record_task *leader,
			 const struct record_task *thread)
{
	Ckpt__Thread *t = graph_data(c->graph, &kind_thread, thread->tid);
	WORKING_ON_THREAD(thread->tid);
	if (caps_lacks(c->config->caps, CAN_PIDFD_THREAD) && !c->config->live)
		return fail(THREAD_FILES, 0, "its descriptors are not those of thread %u", leader->tid);
	for (const struct record_task *other = leader + 1; other < thread; other++) {
		int r = is_apart(c, other, THING_FILES) ? same(c, other, thread, THING_FILES) : 0;
		if (r > 0)
			SET(t, fds, other->tid);
		if (r != 0)
			return MIN(r, 0);
	}
	SET(t, fds, thread->tid);
	return look_at_heirs(c, task, thread, THING_FILES);
}

static int look_at_threads(struct collector *c, const struct record_task *leader, size_t count)
{
	Ckpt__Task *task = graph_data(c->graph, &kind_task, leader->tgid);
	int r = 0;
	for (size_t k = 1; r >= 0 && k < count; k++) {
		r = same(c, leader, &leader[k], THING_FILES);
		if (r == 0)
			r = look_at_table(c, task, leader, &leader[k]);
		if (r >= 0)
			r = same(c, leader, &leader[k], THING_FS);
		if (r == 0)
			r = look_at_directories(c, task, leader, &leader[k]);
	}
	return MIN(r, 0);
}

/* --- outside of it --- */

/* leads: it stands for its process; of another thread only what it has for itself is looked at. */
static int look_at_outsider(struct collector *c, const struct record_task *t, bool leads, pid_t pid)
{
	int r = 0;
	for (size_t thing = 0; r == 0 && thing < THINGS; thing++)
		if ((leads || is_apart(c, t, thing)) && ask_kcmp(c, (pid_t)t->tid, pid, thing) == 0)
			r = note_sharing(c, t, things[thing].name, (u32)pid);
	return r;
}

/* Reference counts say who need not be looked for: each thread of a process holds one. Readers of /proc hold one for a
 * moment too, so more references than threads are a hint, not an answer. */
static bool may_share_outside(const struct record_task *t, size_t threads)
{
	if (!(t->known & KNOWN_IDENTITY) || !t->files_users)
		return true;
	return t->mm_users > threads || t->files_users > threads || t->fs_users > threads;
}

static bool has_own_thing(const struct collector *c, const struct record_task *t)
{
	return is_apart(c, t, THING_FS) || is_apart(c, t, THING_FILES);
}

static bool any_may_share(const struct collector *c)
{
	size_t at = 0;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		if (p->state != 'Z' && may_share_outside(&c->facts.tasks.v[at], p->threads.n + p->workers))
			return true;
		for (size_t k = 1; k < p->threads.n; k++)
			if (has_own_thing(c, &c->facts.tasks.v[at + k]))
				return true;
		at += p->threads.n;
	}
	return false;
}

static int look_outside(struct collector *c)
{
	if (!any_may_share(c))
		return 0;
	DIR *proc = opendir("/proc");
	if (!proc)
		return fail(PROC_READ, neg_errno(), "/proc");
	int r = 0, err = 0;
	size_t pairs = 0;
	for (struct dirent *e; r == 0 && (e = file_next(proc, &err));) {
		pid_t pid = atoi(e->d_name);
		if (pid <= 0 || tree_find(c->tree, pid))
			continue;
		for (size_t i = 0; r == 0 && i < c->facts.tasks.n && (i == 0 || pairs < OUTSIDE_PAIRS); i++) {
			const struct record_task *t = &c->facts.tasks.v[i];
			bool leads = facts_leads(&c->facts, i);
			if (t->state == 'Z' || !(leads || has_own_thing(c, t)))
				continue;
			r = look_at_outsider(c, t, leads, pid);
			pairs++;
		}
	}
	closedir(proc);
	return err < 0 ? fail(PROC_READ, err, "/proc") : r;
}

int collect_sharing(struct collector *c)
{
	size_t at = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		if (p->state != 'Z')
			r = look_at_threads(c, &c->facts.tasks.v[at], p->threads.n);
		at += p->threads.n;
	}
	if (r == 0)
		r = look_inside(c);
	bool born_here = c->config->told; /* ckpt has made it: nobody outside has had the time to share anything with it */
	return r == 0 && !born_here ? look_outside(c) : r;
}
