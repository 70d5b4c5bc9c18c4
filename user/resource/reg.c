// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns files that a path leads to: regular files, directories, memory devices, whatever is opened with O_PATH. */
#include "collect/collect.h"
#include "reg.pb-c.h"
#include "resource/file_scope.h"
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define PROC_MAGIC 0x9fa0
/* What a recorded file may be opened with again; nothing that creates, empties or acquires. */
#define REOPEN_FLAGS                                                                                                           \
	((u32)(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_PATH))

static const char *const types[16] = {
	[S_IFIFO >> 12] = "fifo",    [S_IFCHR >> 12] = "character", [S_IFDIR >> 12] = "directory", [S_IFBLK >> 12] = "block",
	[S_IFREG >> 12] = "regular", [S_IFLNK >> 12] = "link",      [S_IFSOCK >> 12] = "socket",
};

static const char *type_of(u32 mode) { return types[mode >> 12 & 15] ?: "unknown"; }

/* Null, zero, full, random, urandom: devices without state. */
static bool is_memory_device(u32 major, u32 minor)
{
	return major == 1 && (minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9);
}

/* Files without a name of their own whose link looks like a path: memory objects are another resource's. */
static bool is_memory_object(const char *link)
{
	return !strncmp(link, "/memfd:", 7) || !strncmp(link, "/SYSV", 5) || !strcmp(link, "/dev/zero (deleted)") ||
	       !strcmp(link, "/secretmem (deleted)") || !strcmp(link, "/anon_hugepage (deleted)") ||
	       !strcmp(link, "/[aio] (deleted)");
}

static bool reg_claims(const struct record_file *file, const char *link)
{
	if (link[0] != '/' || is_memory_object(link))
		return false;
	return (file->flags & O_PATH) || S_ISREG(file->mode) || S_ISDIR(file->mode) ||
	       (S_ISCHR(file->mode) && is_memory_device(file->rdev_major, file->rdev_minor));
}

/* --- collect --- */

/* Does the path lead to this very file? What a descriptor of it does not tell is taken from there. */
static void look_at_path(Ckpt__Reg *f, struct stat *st)
{
	static const char suffix[] = " (deleted)";
	struct stat there;
	size_t len = strlen(f->path), suffix_len = sizeof suffix - 1;
	if (fstatat(AT_FDCWD, f->path, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_dev == st->st_dev &&
	    there.st_ino == st->st_ino)
		*st = there;
	else if (st->st_nlink == 0 || (len > suffix_len && !strcmp(f->path + len - suffix_len, suffix)))
		SET(f, deleted, true);
	else
		SET(f, moved, true);
}

/* Mapped files, cwd and the like have no descriptor: then the record tells which file it is. */
static int identify(struct collector *c, const struct record_file *file, struct stat *st)
{
	int fd = collector_fd(c);
	if (fd >= 0)
		return fstat(fd, st) < 0 ? fail(SYSCALL, neg_errno(), "fstat") : 0;
	if (fd != -EBADF)
		return fail(FD_DUPLICATE, fd, "pidfd_getfd");
	*st = (struct stat){ .st_dev = makedev(file->dev_major, file->dev_minor),
			     .st_ino = file->ino,
			     .st_mode = file->mode,
			     .st_rdev = makedev(file->rdev_major, file->rdev_minor),
			     .st_nlink = 1 };
	return 0;
}

static int reg_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Reg *f = o->data;
	struct stat st;
	struct statfs fs;
	int r = identify(c, subject->file, &st);
	if (r < 0)
		return r;
	const char *lock = collector_fdinfo(c, "lock");
	if (!message_set_string(&f->path, subject->link) || !message_set_string(&f->type, type_of(st.st_mode)) ||
	    (lock && !message_set_string(&f->lock, lock)))
		return fail_memory();
	look_at_path(f, &st);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		SET(f, rdev, (u32)st.st_rdev);
	SET(f, size, (u64)st.st_size);
	SET(f, mode, st.st_mode);
	SET(f, mtime, st.st_mtim.tv_sec * 1000000000l + st.st_mtim.tv_nsec);
	if (statfs(f->path, &fs) == 0)
		SET(f, filesystem, (u32)fs.f_type);
	return 0;
}

/* --- judge --- */

static bool is_of_a_process(const Ckpt__Reg *f)
{
	return f->filesystem == PROC_MAGIC && !strncmp(f->path, "/proc/", 6) && f->path[6] >= '0' && f->path[6] <= '9';
}

static int judge_dump(const Ckpt__Reg *f)
{
	int r = 0;
	if (f->deleted)
		r = fail(FILE_DELETED, 0, "%s", f->path);
	if (f->moved)
		r = fail(FILE_MOVED, 0, "%s", f->path);
	if (f->lock)
		r = fail(FILE_LOCKED, 0, "%s: %s", f->path, f->lock);
	if (is_of_a_process(f))
		r = fail(FILE_OF_PROCESS, 0, "%s", f->path);
	return r;
}

/* Looks at what is there now: a file that cannot be the recorded one is refused before anything is made. */
static int judge_restore(const Ckpt__Reg *f)
{
	struct stat st;
	if (fstatat(AT_FDCWD, f->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", f->path);
	if (strcmp(type_of(st.st_mode), f->type) || (f->has_rdev && (u32)st.st_rdev != f->rdev))
		return fail(FILE_CHANGED, 0, "%s is now of type %s, was %s", f->path, type_of(st.st_mode), f->type);
	if (S_ISREG(st.st_mode) && (u64)st.st_size < f->size)
		return fail(FILE_CHANGED, 0, "%s has %llu bytes, had %llu", f->path, (unsigned long long)st.st_size,
			    (unsigned long long)f->size);
	return 0;
}

static int reg_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	const Ckpt__Reg *f = o->data;
	if (!f->path || f->path[0] != '/' || !f->type)
		return fail(IMAGE_INCONSISTENT, 0, "a file without a path");
	return direction == DIRECTION_DUMP ? judge_dump(f) : judge_restore(f);
}

/* --- plan --- */

static int reg_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Reg *f = o->data;
	const Ckpt__File *file = graph_data(graph, &kind_file, o->id);
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	u32 made = (file_flags(graph, o->id) & REOPEN_FLAGS) | O_NOCTTY | O_CLOEXEC;
	u32 fd = step_result(plan, plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), arg_string(plan, f->path), ARG(made)));
	plan_place_fd(plan, fd, o->id);
	bool seekable = !(made & O_PATH) && (!strcmp(f->type, "regular") || !strcmp(f->type, "directory"));
	if (seekable && file && file->pos)
		step_expect(plan_call(plan, at, SYS_lseek, ARG(plan_fd(plan, o->id)), ARG(file->pos), ARG(SEEK_SET)),
			    (s64)file->pos);
	return 0;
}

static const struct kind kind_reg = { .name = "reg", .desc = &ckpt__reg__descriptor };

const struct resource resource_reg = {
	.name = "reg",
	.scope = SCOPE_FILE,
	.kind = &kind_reg,
	.claims = reg_claims,
	.collect = reg_collect,
	.judge = reg_judge,
	.plan = reg_plan,
};
