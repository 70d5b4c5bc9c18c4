// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the working directory, the root directory and the umask of a process. */
#include "base/field.h"
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "fs.pb-c.h"
#include "model/kinds.h"
#include "plan/plan.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct kind kind_fs = { .name = "fs", .desc = &ckpt__fs__descriptor };

/* A directory and the mount that it is seen through. */
static int identify(int dirfd, const char *link, struct statx *ret)
{
	return statx(dirfd, link, AT_NO_AUTOMOUNT, STATX_INO | STATX_MNT_ID, ret) < 0 ? neg_errno() : 0;
}

static int has_own_root(int proc, bool *ret)
{
	struct statx theirs, ours;
	int err = identify(proc, "root", &theirs);
	if (err < 0)
		return fail(SYSCALL, err, "statx(/proc/PID/root)");
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

static int fs_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	Ckpt__Fs *m = object->data;
	u32 pid = subject->task->tgid, file;
	int proc = collector_proc(collector, pid);
	bool own_root = false;
	if (proc < 0)
		return proc;
	int err = collect_umask(subject->task, proc, m);
	if (err >= 0)
		err = collector_add_link(collector, pid, "cwd", &file);
	if (err < 0)
		return err;
	SET(m, cwd, file);
	err = has_own_root(proc, &own_root);
	if (err < 0 || !own_root)
		return err;
	err = collector_add_link(collector, pid, "root", &file);
	if (err >= 0)
		SET(m, root, file);
	return err;
}

static int fs_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Fs *m = object->data;
	WORKING_ON_TASK(object->id);
	if (!m->has_umask)
		return fail(UMASK, 0, "/proc/%u/status has no line Umask", object->id);
	if (!m->has_cwd || !graph_find(graph, &kind_file, m->cwd) || (m->has_root && !graph_find(graph, &kind_file, m->root)))
		return fail(IMAGE_VALUE, 0, "the file of the working or the root directory is missing");
	return 0;
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
		sharers += other->has_fs && other->fs == task->pid && other != task && graph_find(graph, kind, other->pid);
	}
	plan_wait(plan, AT(task->pid, STAGE_TASK), plan_word(plan, name), sharers);
	return true;
}

/* The root first: chroot(2) leaves the working directory where it is. */
static int fs_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Fs *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	struct place place = AT(object->id, STAGE_TASK);
	plan_for(plan, "directories of process %u", object->id);
	if (task && !wait_for_sharers(plan, graph, object->kind, task))
		return 0;
	if (m->has_root) {
		plan_call(plan, place, SYS_fchdir, ARG(plan_fd(plan, m->root)));
		plan_call(plan, place, SYS_chroot, ARG_OF_DATA(plan_data(plan, ".", 2, 1)));
	}
	plan_call(plan, place, SYS_fchdir, ARG(plan_fd(plan, m->cwd)));
	plan_call(plan, place, SYS_umask, ARG(m->umask));
	return 0;
}

const struct resource resource_fs = {
	.name = "fs",
	.scope = SCOPE_TASK,
	.kind = &kind_fs,
	.collect = fs_collect,
	.judge = fs_judge,
	.plan = fs_plan,
};
