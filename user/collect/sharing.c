// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question who shares memory, descriptors or working directory with whom: clone(2) without CLONE_THREAD, and
 * threads that have unshared. Told by identities where eBPF gives them, else by kcmp(2). */
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/syscall.h>

#define OUTSIDE_PAIRS 5000 /* kcmp calls that a dump may spend on looking outside of the tree */

static const struct {
	const char *name;
	int kcmp; /* linux/kcmp.h */
} things[] = { { "memory", 1 /* KCMP_VM */ },
	       { "descriptor table", 2 /* KCMP_FILES */ },
	       { "working directory", 3 /* KCMP_FS */ } };

static u64 identity(const struct record_task *t, size_t thing)
{
	const u64 ids[] = { t->mm_id, t->files_id, t->fs_id };
	return t->known & KNOWN_IDENTITY ? ids[thing] : 0;
}

static bool same(const struct record_task *a, const struct record_task *b, size_t thing)
{
	u64 x = identity(a, thing), y = identity(b, thing);
	return x && y ? x == y : syscall(SYS_kcmp, a->tid, b->tid, things[thing].kcmp, 0, 0) == 0;
}

static int note_sharing(struct collector *c, const struct record_task *t, const char *what, u32 with)
{
	Ckpt__Task *task = graph_data(c->graph, &kind_task, t->tgid);
	if (task->shares)
		return 0;
	SET(task, shares_with, with);
	return message_set_string(&task->shares, what) ? 0 : fail_memory();
}

/* A thread that has a descriptor table or a working directory of its own. */
static int look_at_threads(struct collector *c, const struct record_task *leader, size_t count)
{
	for (size_t k = 1; k < count; k++)
		for (size_t thing = 1; thing < ARRAY_SIZE(things); thing++)
			if (!same(leader, &leader[k], thing)) {
				Ckpt__Task *task = graph_data(c->graph, &kind_task, leader->tgid);
				SET(task, unshared_thread, leader[k].tid);
			}
	return 0;
}

static int look_at_parent(struct collector *c, const struct record_task *t)
{
	const struct record_task *parent = facts_task(&c->facts, t->ppid);
	int r = 0;
	for (size_t thing = 0; r == 0 && parent && thing < ARRAY_SIZE(things); thing++)
		if (same(t, parent, thing))
			r = note_sharing(c, t, things[thing].name, parent->tgid);
	return r;
}

static int look_at_outsider(struct collector *c, const struct record_task *t, pid_t pid)
{
	int r = 0;
	for (size_t thing = 0; r == 0 && thing < ARRAY_SIZE(things); thing++)
		if (syscall(SYS_kcmp, t->tid, pid, things[thing].kcmp, 0, 0) == 0)
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

static bool any_may_share(const struct collector *c)
{
	size_t at = 0;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		if (p->state != 'Z' && may_share_outside(&c->facts.tasks.v[at], p->threads.n))
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
	int r = 0;
	size_t pairs = 0;
	for (struct dirent *e; r == 0 && (e = readdir(proc));) {
		pid_t pid = atoi(e->d_name);
		if (pid <= 0 || tree_find(c->tree, pid))
			continue;
		size_t at = 0;
		for (size_t i = 0; r == 0 && i < c->tree->processes.n && (i == 0 || pairs < OUTSIDE_PAIRS); i++, pairs++) {
			const struct tree_process *p = &c->tree->processes.v[i];
			if (p->state != 'Z')
				r = look_at_outsider(c, &c->facts.tasks.v[at], pid);
			at += p->threads.n;
		}
	}
	closedir(proc);
	return r;
}

int collect_sharing(struct collector *c)
{
	size_t at = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		if (p->state != 'Z')
			r = look_at_threads(c, &c->facts.tasks.v[at], p->threads.n);
		if (r == 0 && p->state != 'Z' && p->ppid)
			r = look_at_parent(c, &c->facts.tasks.v[at]);
		at += p->threads.n;
	}
	return r == 0 ? look_outside(c) : r;
}
