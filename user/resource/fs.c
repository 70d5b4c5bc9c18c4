// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the working directory, the root directory and the umask of a process, and those that a thread has of its own. */
#include "base/field.h"
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "fs.pb-c.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct kind kind_fs = { .name = "fs", .desc = &ckpt__fs__descriptor };

/* A directory and the mount that it is seen through. */
static int identify(int dirfd, const char *link, struct statx *ret)
{
	return statx(dirfd, link, AT_NO_AUTOMOUNT, STATX_INO | STATX_MNT_ID, ret) < 0 ? neg_errno() : 0;
}

static int has_own_root(int proc, const char *link, bool *ret)
{
	struct statx theirs, ours;
	int err = identify(proc, link, &theirs);
	if (err < 0)
		return fail(SYSCALL, err, "statx(/proc/PID/%s)", link);
	err = identify(AT_FDCWD, "/", &ours);
	if (err < 0)
		return fail(SYSCALL, err, "statx(/)");
	*ret = theirs.stx_ino != ours.stx_ino || theirs.stx_dev_major != ours.stx_dev_major ||
	       theirs.stx_dev_minor != ours.stx_dev_minor || theirs.stx_mnt_id != ours.stx_mnt_id;
	return 0;
}

static int collect_umask(const struct record_task *task, int proc, Ckpt__Fs *m)
{
	_cleanup_text_ struct text status = { 0 };
	u64 umask = task->umask;
	if (task->known & KNOWN_UMASK) {
		SET(m, umask, (u32)umask);
		return 0;
	}
	int err = file_read_once(proc, "status", &status);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/PID/status)");
	if (field_u64(status.data, "Umask", 8, &umask))
		SET(m, umask, (u32)umask);
	return 0;
}

/* Is it a thread, besides the first, that has directories of its own (unshare(2), CLONE_FS)? */
static bool is_apart(const Ckpt__Task *task, u32 tid)
{
	for (size_t i = 0; task && i < task->n_own_fs; i++)
		if (task->own_fs[i] == tid)
			return true;
	return false;
}

static const Ckpt__Task *process_of(const struct graph *graph, u32 tid)
{
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, tid);
	return thread ? graph_data(graph, &kind_task, thread->pid) : NULL;
}

static int fs_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	Ckpt__Fs *m = object->data;
	u32 pid = subject->task->tgid, tid = subject->task->tid, file;
	char cwd[32], root[32];
	int proc = collector_proc(collector, pid);
	bool own_root = false;
	if (proc < 0)
		return proc;
	if (tid != shape_first(collector_graph(collector), pid) &&
	    !is_apart(graph_data(collector_graph(collector), &kind_task, pid), tid))
		return 0;
	snprintf(cwd, sizeof cwd, "task/%u/cwd", tid);
	snprintf(root, sizeof root, "task/%u/root", tid);
	int err = collect_umask(subject->task, proc, m);
	if (err >= 0)
		err = collector_add_link(collector, pid, cwd, &file);
	if (err < 0)
		return err;
	SET(m, cwd, file);
	err = has_own_root(proc, root, &own_root);
	if (err < 0 || !own_root)
		return err;
	err = collector_add_link(collector, pid, root, &file);
	if (err >= 0)
		SET(m, root, file);
	return err;
}

static int fs_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Fs *m = object->data, *first;
	const Ckpt__Task *task = process_of(graph, object->id);
	bool apart = is_apart(task, object->id);
	WORKING_ON_THREAD(object->id);
	if (task && object->id != task->tid[0] && !apart)
		return 0;
	if (!m->has_umask)
		return fail(UMASK, 0, "/proc/%u/status has no line Umask", object->id);
	if (!m->has_cwd || !graph_find(graph, &kind_file, m->cwd) || (m->has_root && !graph_find(graph, &kind_file, m->root)))
		return fail(IMAGE_VALUE, 0, "the file of the working or the root directory is missing");
	first = apart ? graph_data(graph, object->kind, task->tid[0]) : NULL;
	return first && first->has_root && !m->has_root ? fail(THREAD_UNSHARED, 0, "thread %u", object->id) : 0;
}

/* Shared directories are set once, when nobody who shares them looks up a path any more. */
static bool wait_for_sharers(struct plan *plan, const struct graph *graph, const struct kind *kind, const Ckpt__Task *task)
{
	char name[40];
	u32 sharers = 0;
	if (!task->has_fs)
		return true;
	snprintf(name, sizeof name, "done with directories %u", task->fs);
	if (task->fs != task->pid) {
		plan_post(plan, AT(task->pid, STAGE_TASK), plan_word(plan, name));
		return false;
	}
	for (struct object *o = NULL; (o = graph_next(graph, &kind_task, o));) {
		const Ckpt__Task *other = o->data;
		sharers += other->has_fs && other->fs == task->pid && other != task &&
			   graph_find(graph, kind, shape_first(graph, other->pid));
	}
	plan_wait(plan, AT(task->pid, STAGE_TASK), plan_word(plan, name), sharers);
	return true;
}

/* The root first: chroot(2) leaves the working directory where it is. */
static void plan_directories(struct plan *plan, struct place place, const Ckpt__Fs *m)
{
	if (m->has_root) {
		plan_call(plan, place, SYS_fchdir, ARG(plan_fd(plan, m->root)));
		plan_call(plan, place, SYS_chroot, ARG_OF_DATA(plan_data(plan, ".", 2, 1)));
	}
	plan_call(plan, place, SYS_fchdir, ARG(plan_fd(plan, m->cwd)));
	plan_call(plan, place, SYS_umask, ARG(m->umask));
}

/* The service descriptors of directories are there until such threads have entered theirs. */
static u32 word_of_threads(struct plan *plan, u32 pid)
{
	char name[48];
	snprintf(name, sizeof name, "directories of threads of %u", pid);
	return plan_word(plan, name);
}

static void wait_for_threads(struct plan *plan, const struct graph *graph, const struct kind *kind, const Ckpt__Task *task)
{
	u32 apart = 0;
	for (size_t i = 0; i < task->n_tid; i++)
		apart += is_apart(task, task->tid[i]) && graph_find(graph, kind, task->tid[i]);
	if (apart)
		plan_wait(plan, AT(task->pid, STAGE_IDS), word_of_threads(plan, task->pid), apart);
}

static void plan_apart(struct plan *plan, const Ckpt__Task *task, u32 tid, const Ckpt__Fs *m)
{
	struct place place = AT(tid, STAGE_THREAD);
	plan_for(plan, "directories of thread %u", tid);
	plan_call(plan, place, SYS_unshare, ARG(CLONE_FS));
	plan_directories(plan, place, m);
	plan_post(plan, place, word_of_threads(plan, task->pid));
}

static int fs_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Fs *m = object->data;
	const Ckpt__Task *task = process_of(graph, object->id);
	u32 id = object->id, maker = shape_maker(graph, id);
	if (task && maker != task->pid) {
		if (is_apart(task, id))
			plan_apart(plan, task, id, m);
		return 0;
	}
	plan_for(plan, "directories of process %u", maker);
	if (task)
		wait_for_threads(plan, graph, object->kind, task);
	if (!task || wait_for_sharers(plan, graph, object->kind, task))
		plan_directories(plan, AT(maker, STAGE_TASK), m);
	return 0;
}

const struct resource resource_fs = {
	.name = "fs",
	.scope = SCOPE_THREAD,
	.kind = &kind_fs,
	.collect = fs_collect,
	.judge = fs_judge,
	.plan = fs_plan,
};
