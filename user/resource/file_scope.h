/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What FILE-scope resources share: their file object and its status flags. Inline, since resources do not use each other. */
#pragma once
#include "base/map.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/resource.h"
#include "plan/plan.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* Flags that fcntl(F_SETFL) changes; the others are given when the file is opened. */
#define FILE_SETTABLE_FLAGS ((u32)(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME))

/* What a recorded file may be opened with again; nothing that creates, empties or acquires. */
#define FILE_REOPEN_FLAGS                                                                                                      \
	((u32)(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_PATH))

/* Files without a name of their own whose link looks like a path: memory objects. */
static inline bool is_memory_object(const char *link)
{
	return !strncmp(link, "/memfd:", 7) || !strncmp(link, "/SYSV", 5) || !strcmp(link, "/dev/zero (deleted)") ||
	       !strcmp(link, "/secretmem (deleted)") || !strcmp(link, "/anon_hugepage (deleted)") ||
	       !strcmp(link, "/[aio] (deleted)");
}

/* A file of /proc that tells of a process: "/proc/12/status", be the process dead. */
static inline bool is_process_file(const struct record_file *file, const char *link)
{
	struct stat st;
	if (strncmp(link, "/proc/", 6) || link[6] < '1' || link[6] > '9')
		return false;
	if (stat("/proc", &st) < 0)
		return fail(PROC_READ, neg_errno(), "/proc"), false;
	return major(st.st_dev) == file->dev_major && minor(st.st_dev) == file->dev_minor;
}

/* The device of the message queues of ckpt's IPC namespace, by the file system that is mounted or by one that never is; 0: not
 * known. */
static inline dev_t message_queue_device(void)
{
	struct statfs fs;
	struct stat st = { 0 };
	if (statfs("/dev/mqueue", &fs) == 0 && fs.f_type == 0x19800202 && stat("/dev/mqueue", &st) == 0)
		return st.st_dev;
	_cleanup_close_ int context = (int)syscall(SYS_fsopen, "mqueue", FSOPEN_CLOEXEC);
	if (context < 0 && (errno == EPERM || errno == ENOSYS || errno == ENODEV))
		return 0;
	_cleanup_close_ int mount = context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0
					    ? -1
					    : (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	if (mount < 0 && errno == EPERM) /* in a user namespace that does not own the IPC namespace */
		return 0;
	if (mount < 0 || fstat(mount, &st) < 0)
		return fail(SYSCALL, neg_errno(), "a mount of mqueue"), 0;
	return st.st_dev;
}

/* "/name": a POSIX message queue, where there might be a file in the root directory. */
static inline bool is_message_queue(const struct record_file *file, const char *link)
{
	dev_t device = makedev(file->dev_major, file->dev_minor);
	return link[0] == '/' && link[1] && !strchr(link + 1, '/') && S_ISREG(file->mode) && !file->dev_major &&
	       device == message_queue_device();
}

/* The open(2) flags that the image holds for the object's file; 0 when it holds none. */
static inline u32 file_flags(const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	return f ? f->flags : 0;
}

static inline bool table_has(const struct object *fds, u32 file)
{
	for (u32 i = 0; i < fds->count; i++)
		if (((const struct fd_entry *)fds->data)[i].file == file)
			return true;
	return false;
}

/* The process whose descriptor table a table is, or is made from: that of a thread, from that of its process. */
static inline u32 table_origin(const struct graph *graph, u32 table)
{
	const Ckpt__Thread *thread = graph_data(graph, &kind_thread, table);
	const Ckpt__Task *task = thread && thread->fds == table ? graph_data(graph, &kind_task, thread->pid) : NULL;
	return task ? task->fds : table;
}

static inline u64 holder_key(u32 file) { return map_mix(0x484f4c44, file); }

static inline int note_holders(const struct graph *graph)
{
	int r = 0;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_fds, o));) {
		u32 origin = table_origin(graph, o->id);
		for (u32 i = 0; r == 0 && i < o->count; i++) {
			u64 key = holder_key(((const struct fd_entry *)o->data)[i].file);
			r = graph_recall(graph, key) ? 0 : graph_remember(graph, key, origin);
		}
	}
	return r == 0 ? graph_remember(graph, holder_key(0), 1) : r;
}

/* The first process that has the file at a descriptor of a table of its own, or of one that is made from it; 0: none. Of all files
 * at once, since there may be very many. */
static inline u32 first_holder(const struct graph *graph, u32 file)
{
	if (graph_recall(graph, holder_key(0)) || note_holders(graph) == 0)
		return graph_recall(graph, holder_key(file));
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_fds, o));)
		if (table_has(o, file))
			return table_origin(graph, o->id);
	return 0;
}

/* Those of them that open it again by a path. */
static inline u32 file_reopen_flags(const struct graph *graph, u32 file)
{
	return (file_flags(graph, file) & FILE_REOPEN_FLAGS) | O_NOCTTY | O_CLOEXEC;
}

/* O_ASYNC of a file that tells nobody of anything, as a regular one: there open(2) alone sets it. */
static inline u32 file_async(const struct graph *graph, u32 file) { return file_flags(graph, file) & O_ASYNC; }

static inline u64 mapped_key(u32 file) { return map_mix(0x4d415050, file); }

static inline int note_mapped(const struct graph *graph)
{
	int r = 0;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_mm, o));)
		r = graph_remember(graph, mapped_key(((const Ckpt__Mm *)o->data)->exe), 1);
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; r == 0 && i < o->count; i++) {
			const struct vma *v = (const struct vma *)o->data + i;
			r = v->file && !(v->flags & VMA_SHARED) ? graph_remember(graph, mapped_key(v->file), 1) : 0;
		}
	return r == 0 ? graph_remember(graph, mapped_key(0), 1) : r;
}

/* A program must find what it had mapped for itself: its code, and what it read without a copy. Of all files of an image at once, since
 * there may be very many. -ENOMEM (reported). */
static inline int file_is_mapped(const struct graph *graph, u32 file)
{
	int r = graph_recall(graph, mapped_key(0)) ? 0 : note_mapped(graph);
	return r < 0 ? fail_memory() : (int)graph_recall(graph, mapped_key(file));
}

/* Archives and some file systems keep whole seconds. */
static inline bool file_same_time(s64 a, s64 b)
{
	const s64 second = 1000000000;
	return a == b || (a / second == b / second && (a % second == 0 || b % second == 0));
}

/* Does the file look as it did when it had this size in bytes and this modification time in ns? */
static inline bool file_unchanged(const struct stat *st, u64 size, s64 mtime)
{
	return (u64)st->st_size == size && file_same_time(mtime, st->st_mtim.tv_sec * 1000000000l + st->st_mtim.tv_nsec);
}

/* What the program has mapped, or where it stands, must still be there: 0 or a reported error. */
static inline int file_judge_size(const char *path, const struct stat *st, u64 size)
{
	return (u64)st->st_size >= size ? 0
					: fail(FILE_CHANGED, 0, "%s has %llu bytes, had %llu", path,
					       (unsigned long long)st->st_size, (unsigned long long)size);
}

/* Puts the file in its service place where it stood: what has a position. */
static inline void plan_position(struct plan *plan, const struct graph *graph, u32 file)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, file);
	if (f && f->pos && !(f->flags & O_PATH))
		step_expect(plan_call(plan, plan_at(plan, file, STAGE_CREATE), SYS_lseek, ARG(plan_fd(plan, file)), ARG(f->pos),
				      ARG(SEEK_SET)),
			    (s64)f->pos);
}

/* Gives a file that was made with the flags `made` the flags `want`, as far as fcntl can; the file is in its service place. */
static inline void plan_status_flags(struct plan *plan, struct place at, u32 file, u32 want, u32 made)
{
	if ((want ^ made) & FILE_SETTABLE_FLAGS)
		step_expect(
			plan_call(plan, at, SYS_fcntl, ARG(plan_fd(plan, file)), ARG(F_SETFL), ARG(want & FILE_SETTABLE_FLAGS)),
			0);
}

/* A string in the arena. */
static inline struct arg arg_string(struct plan *plan, const char *string) { return ARG_OF_DATA(plan_string(plan, string)); }

/* Does making a file under a name, or opening it by one, have to be over before somebody is told of such? */
static inline bool names_are_watched(const struct graph *graph)
{
	return graph_kind(graph, "inotify") || graph_kind(graph, "fanotify");
}

/* Where what runs by a clock is set going: late, by the root of the tree. A plan without tasks has only the world. */
static inline struct place plan_late(struct plan *plan, const struct graph *graph)
{
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	bool has_root = host && plan_array(plan, host->root_pid) != UINT32_MAX;
	return has_root ? AT(host->root_pid, STAGE_TIMERS) : AT(PLAN_WORLD, STAGE_WATCH);
}

/* The same for a file, and by which descriptor: what the world does not make, a task does that has it. */
static inline struct place plan_late_of(struct plan *plan, const struct graph *graph, u32 file, struct arg *ret_fd)
{
	const struct plan_home *home = plan_home(plan, file);
	*ret_fd = ARG(home && home->holder ? (s64)home->held : plan_fd(plan, file));
	if (!home)
		return plan_late(plan, graph);
	return home->holder ? AT(home->holder, STAGE_TIMERS) : plan_at(plan, file, STAGE_WATCH);
}

/* Another open file description of what a slot's descriptor leads to, as a program makes it: by its name, or without one
 * through /proc/self/fd. made: the flags of openat; want: those of the image. */
static inline void plan_reopen(struct plan *plan, u32 slot, const char *name, u32 file, u32 made, u32 want)
{
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", plan_fd(plan, file));
	if (!name)
		plan_call(plan, at, SYS_dup3, ARG_OF_SLOT(slot), ARG(plan_fd(plan, file)), ARG(O_CLOEXEC));
	struct plan_step *open =
		plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), arg_string(plan, name ?: path), ARG(made | O_CLOEXEC));
	plan_place_fd(plan, step_result(plan, open), file);
	plan_status_flags(plan, at, file, want, made);
}

/* A short-lived process of the world, for what only a process of a certain id (pid 0: any) or with a descriptor table of its own
 * can make. It is born and waited for at the place `world`; returned is where its own steps go. A name is made once: *ret_new.
 * Its steps must not fail (step_any): it would never end. flags: of clone3. */
static inline struct place plan_helper_with(struct plan *plan, struct place world, const char *name, u32 pid, u64 flags,
					    bool *ret_new)
{
	char own[128]; /* the world's and each maker's have descriptors of their own */
	snprintf(own, sizeof own, "%s of %u", name, plan_world(plan));
	u32 helper = 0x40000000u + plan_word(plan, plan_world(plan) == PLAN_WORLD ? name : own);
	bool is_new = plan_array(plan, helper) == UINT32_MAX;
	if (ret_new)
		*ret_new = is_new;
	if (!is_new || plan_thread(plan, helper) < 0)
		return AT(helper, STAGE_CREATE);
	const u32 stack = 2048;
	struct clone_args args = { .flags = flags, .stack_size = stack, .set_tid_size = pid ? 1 : 0 };
	u32 data = plan_data(plan, &args, sizeof args, 8);
	plan_pointer(plan, data + offsetof(struct clone_args, stack), plan_stack(plan, helper) - stack);
	if (pid)
		plan_pointer(plan, data + offsetof(struct clone_args, set_tid), plan_data(plan, &pid, sizeof pid, 4));
	struct plan_step *spawn =
		plan_op(plan, world, OP_SPAWN, 0,
			(struct arg[6]){ ARG_OF_DATA(data), ARG(sizeof args), ARG(plan_array(plan, helper)) });
	plan_call(plan, world, SYS_wait4, ARG_OF_SLOT(step_result(plan, spawn)), ARG(0), ARG(__WALL), ARG(0));
	plan_op(plan, AT(helper, STAGE_LINK), OP_EXIT, 0, (struct arg[6]){ ARG(0) });
	return AT(helper, STAGE_CREATE);
}

/* One that shares the world's descriptors. */
static inline struct place plan_helper(struct plan *plan, struct place world, const char *name, u32 pid, bool *ret_new)
{
	return plan_helper_with(plan, world, name, pid, CLONE_FILES, ret_new);
}

/* A call by the helper whose result the world sees, and judges, in the returned step. */
static inline struct plan_step *plan_helper_call(struct plan *plan, struct place helper, struct place world, long nr,
						 const struct arg args[6])
{
	u32 word = plan_data(plan, &(s32){ -ECHILD }, sizeof(s32), 4);
	struct plan_step *call = plan_op(plan, helper, OP_CALL, nr, args);
	step_any(call);
	plan_op(plan, helper, OP_STORE, 0, (struct arg[6]){ ARG(word), ARG_OF_SLOT(step_result(plan, call)) });
	return plan_op(plan, world, OP_LOAD, 0, (struct arg[6]){ ARG(word) });
}
