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
#define DELETED " (deleted)"
/* What a recorded file may be opened with again; nothing that creates, empties or acquires. */
#define REOPEN_FLAGS                                                                                                           \
	((u32)(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_PATH))

static const struct kind kind_reg = { .name = "reg", .desc = &ckpt__reg__descriptor };

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
	return !strncmp(link, "/memfd:", 7) || !strncmp(link, "/SYSV", 5) || !strcmp(link, "/dev/zero" DELETED) ||
	       !strcmp(link, "/secretmem" DELETED) || !strcmp(link, "/anon_hugepage" DELETED) ||
	       !strcmp(link, "/[aio]" DELETED);
}

static bool reg_claims(const struct record_file *file, const char *link)
{
	if (link[0] != '/' || is_memory_object(link))
		return false;
	return (file->flags & O_PATH) || S_ISREG(file->mode) || S_ISDIR(file->mode) ||
	       (S_ISCHR(file->mode) && is_memory_device(file->rdev_major, file->rdev_minor));
}

/* --- collect --- */

static bool is_deleted(const char *path)
{
	size_t len = strlen(path), suffix = sizeof DELETED - 1;
	return len > suffix && !strcmp(path + len - suffix, DELETED);
}

/* Does the path lead to this very file? What the record does not tell is taken from there. */
static bool path_leads_to(const char *path, struct stat *st)
{
	struct stat there;
	if (fstatat(AT_FDCWD, path, &there, AT_SYMLINK_NOFOLLOW) < 0 || there.st_dev != st->st_dev ||
	    there.st_ino != st->st_ino)
		return false;
	*st = there;
	return true;
}

static void classify_lost(Ckpt__Reg *f, const struct stat *st)
{
	if (st->st_nlink == 0 && S_ISREG(st->st_mode) && is_deleted(f->path))
		SET(f, memory, 0);
	else if (st->st_nlink == 0 || is_deleted(f->path))
		SET(f, deleted, true);
	else
		SET(f, moved, true);
}

/* A nameless file: its contents are kept with the first open file that leads to it. */
static int collect_nameless(struct collector *c, const struct object *o, Ckpt__Reg *f, const struct stat *st)
{
	const struct graph *g = collector_graph(c);
	const Ckpt__File *mine = graph_data(g, &kind_file, o->id);
	SET(f, uid, st->st_uid);
	SET(f, gid, st->st_gid);
	SET(f, memory, o->id);
	for (const struct object *other = NULL; (other = graph_next(g, &kind_reg, other));) {
		const Ckpt__File *file = graph_data(g, &kind_file, other->id);
		const Ckpt__Reg *reg = other->data;
		if (other != o && reg->memory && file->inode == mine->inode && file->device == mine->device)
			SET(f, memory, reg->memory);
	}
	return f->memory == o->id ? collector_keep_memory(c, o->id) : 0;
}

/* The record tells enough of a file that its path leads to. Else the file itself is asked, unless it is a link that may not
 * be followed. */
static int identify(struct collector *c, const struct record_file *file, Ckpt__Reg *f, struct stat *st)
{
	*st = (struct stat){ .st_dev = makedev(file->dev_major, file->dev_minor),
			     .st_ino = file->ino,
			     .st_mode = file->mode,
			     .st_rdev = makedev(file->rdev_major, file->rdev_minor),
			     .st_nlink = 1 };
	if (path_leads_to(f->path, st))
		return 0;
	int fd = collector_fd(c);
	if (fd < 0 && file->fd != UINT32_MAX)
		return fail(FD_DUPLICATE, fd, "pidfd_getfd");
	if (fd >= 0 && fstat(fd, st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat");
	if (!path_leads_to(f->path, st))
		classify_lost(f, st);
	return 0;
}

static int reg_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Reg *f = o->data;
	struct stat st;
	struct statfs fs;
	if (!message_set_string(&f->path, subject->link))
		return fail_memory();
	int r = identify(c, subject->file, f, &st);
	if (r < 0)
		return r;
	const char *lock = S_ISREG(st.st_mode) ? collector_fdinfo(c, "lock") : NULL;
	if (!message_set_string(&f->type, type_of(st.st_mode)) || (lock && !message_set_string(&f->lock, lock)))
		return fail_memory();
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		SET(f, rdev, (u32)st.st_rdev);
	SET(f, size, (u64)st.st_size);
	SET(f, mode, st.st_mode);
	SET(f, mtime, st.st_mtim.tv_sec * 1000000000l + st.st_mtim.tv_nsec);
	if (!strncmp(f->path, "/proc/", 6) && statfs(f->path, &fs) == 0)
		SET(f, filesystem, (u32)fs.f_type);
	return f->has_memory ? collect_nameless(c, o, f, &st) : 0;
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

/* The name that a nameless file had, as the arena will hold it; false when it had none. */
static bool old_name(const Ckpt__Reg *f, char name[4096])
{
	int len = (int)strlen(f->path) - (int)sizeof DELETED + 1;
	return len > 1 && is_deleted(f->path) && snprintf(name, 4096, "%.*s", len, f->path) < 4096;
}

/* It gets its old name for a moment: that must be free, in a directory that is there. */
static int judge_nameless(const Ckpt__Reg *f)
{
	char name[4096];
	if (!old_name(f, name))
		return fail(IMAGE_INCONSISTENT, 0, "%s", f->path);
	if (access(name, F_OK) == 0)
		return fail(FILE_EXISTS, 0, "%s", name);
	*(strrchr(name, '/') + 1) = 0;
	return access(name, F_OK) == 0 ? 0 : fail(FILE_MISSING, neg_errno(), "%s", name);
}

/* Looks at what is there now: a file that cannot be the recorded one is refused before anything is made. */
static int judge_restore(const Ckpt__Reg *f)
{
	struct stat st;
	if (f->memory)
		return judge_nameless(f);
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
	const Ckpt__Reg *f = o->data;
	const Ckpt__Reg *first = f->memory ? graph_data(graph, &kind_reg, f->memory) : f;
	if (!f->path || f->path[0] != '/' || !f->type || !first || first->memory != f->memory)
		return fail(IMAGE_INCONSISTENT, 0, "a file without a path");
	return direction == DIRECTION_DUMP ? judge_dump(f) : judge_restore(f);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static u32 reopen_flags(const struct graph *graph, u32 file)
{
	return (file_flags(graph, file) & REOPEN_FLAGS) | O_NOCTTY | O_CLOEXEC;
}

static void plan_position(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Reg *f = o->data;
	const Ckpt__File *file = graph_data(graph, &kind_file, o->id);
	bool seekable = !(file_flags(graph, o->id) & O_PATH) && (!strcmp(f->type, "regular") || !strcmp(f->type, "directory"));
	if (seekable && file->pos)
		step_expect(plan_call(plan, CREATE, SYS_lseek, ARG(plan_fd(plan, o->id)), ARG(file->pos), ARG(SEEK_SET)),
			    (s64)file->pos);
}

static void plan_contents(struct plan *plan, const struct object *pages, u32 fd)
{
	for (u32 i = 0; pages && i < pages->count; i++) {
		const struct page_run *run = (const struct page_run *)pages->data + i;
		plan_call(plan, CREATE, SYS_lseek, ARG_OF_SLOT(fd), ARG(run->start), ARG(SEEK_SET));
		for (u64 done = 0; done < run->len;) {
			u64 part = MIN(run->len - done, 1ull << 30), offset = run->offset + done;
			step_expect(plan_call(plan, CREATE, SYS_sendfile, ARG_OF_SLOT(fd), ARG(plan_fd(plan, PLAN_PAGES)),
					      ARG_OF_DATA(plan_data(plan, &offset, sizeof offset, 8)), ARG(part)),
				    (s64)part);
			done += part;
		}
	}
}

/* Made under its old name, filled, opened as often as it was, and unlinked again. */
static void plan_nameless(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Reg *f = o->data;
	char name[4096];
	if (f->memory != o->id || !old_name(f, name))
		return;
	struct arg path = arg_string(plan, name);
	u32 fd = step_result(plan, plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), path,
					     ARG(O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC), ARG(0600)));
	plan_contents(plan, graph_find(graph, &kind_memory, o->id), fd);
	plan_call(plan, CREATE, SYS_ftruncate, ARG_OF_SLOT(fd), ARG(f->size));
	plan_call(plan, CREATE, SYS_fchown, ARG_OF_SLOT(fd), ARG(f->uid), ARG(f->gid));
	plan_call(plan, CREATE, SYS_fchmod, ARG_OF_SLOT(fd), ARG(f->mode & 07777));
	for (const struct object *other = NULL; (other = graph_next(graph, &kind_reg, other));) {
		if (((const Ckpt__Reg *)other->data)->memory != o->id)
			continue;
		plan_reopen(plan, fd, name, other->id, reopen_flags(graph, other->id), file_flags(graph, other->id));
		plan_position(plan, graph, other);
	}
	plan_call(plan, CREATE, SYS_unlinkat, ARG(AT_FDCWD), path, ARG(0));
	plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(fd));
}

static int reg_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Reg *f = o->data;
	if (f->memory) {
		plan_nameless(plan, graph, o);
		return 0;
	}
	u32 made = reopen_flags(graph, o->id);
	u32 fd = step_result(plan, plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(plan, f->path), ARG(made)));
	plan_place_fd(plan, fd, o->id);
	plan_position(plan, graph, o);
	return 0;
}

const struct resource resource_reg = {
	.name = "reg",
	.scope = SCOPE_FILE,
	.kind = &kind_reg,
	.claims = reg_claims,
	.collect = reg_collect,
	.judge = reg_judge,
	.plan = reg_plan,
};
