// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns files that a path leads to: regular files, directories, devices without state, whatever is opened with O_PATH. */
#include "base/elf.h"
#include "base/file.h"
#include "base/map.h"
#include "collect/collect.h"
#include "model/reflect.h"
#include "reg.pb-c.h"
#include "resource/device.h"
#include "resource/nameless.h"
#include "resource/reg_covered.h"
#include "resource/tty_named.h"
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

static const struct kind kind_reg = { .name = "reg", .desc = &ckpt__reg__descriptor };

static const char *const types[16] = {
	[S_IFIFO >> 12] = "fifo",    [S_IFCHR >> 12] = "character", [S_IFDIR >> 12] = "directory", [S_IFBLK >> 12] = "block",
	[S_IFREG >> 12] = "regular", [S_IFLNK >> 12] = "link",      [S_IFSOCK >> 12] = "socket",
};

static const char *type_of(u32 mode) { return types[mode >> 12 & 15] ?: "unknown"; }

/* Pressure stall information (Linux 4.20, of control groups 5.2): who writes to such a file gives it a trigger, which it keeps. */
static bool is_pressure_file(const char *path)
{
	size_t len = strlen(path), suffix = sizeof ".pressure" - 1;
	return !strncmp(path, "/proc/pressure/", 15) || (len > suffix && !strcmp(path + len - suffix, ".pressure"));
}

static bool reg_claims(const struct record_file *file, const char *link)
{
	if (link[0] != '/' || is_memory_object(link) || is_process_file(file, link) || is_message_queue(file, link) ||
	    nameless_claims(file, link))
		return false;
	return (file->flags & O_PATH) || S_ISREG(file->mode) || S_ISDIR(file->mode) ||
	       (S_ISCHR(file->mode) && is_stateless_device(file->flags, file->rdev_major, file->rdev_minor));
}

/* --- collect --- */

/* Does the path lead to this very file? What the record does not tell is taken from there. */
static bool path_leads_to(struct collector *c, const struct record_file *file, const char *path, struct stat *st)
{
	struct stat there;
	if (collector_stat(c, file, path, &there) < 0 || there.st_dev != st->st_dev || there.st_ino != st->st_ino)
		return false;
	*st = there;
	return true;
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
	if (path_leads_to(c, file, f->path, st))
		return 0;
	int fd = collector_fd(c);
	if (fd < 0 && file->fd != UINT32_MAX)
		return fail(FD_DUPLICATE, fd, "pidfd_getfd");
	if (fd >= 0 && fstat(fd, st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat");
	if (path_leads_to(c, file, f->path, st))
		return 0;
	f->covered = covered_find(c, file, f->path, st);
	if (!f->covered)
		SET(f, moved, true);
	return 0;
}

/* Is it a mapping that is not shared for writing, or the program file? */
static bool is_read_by_mapping(const struct record_file *file)
{
	return file->fd == UINT32_MAX && S_ISREG(file->mode) && (file->flags & (O_ACCMODE | O_PATH)) == O_RDONLY;
}

/* How ckpt gets at a file: by its path, or, when it is covered, by a descriptor of ckpt's (path is a link of /proc then). */
struct reach {
	const char *path;
	int fd;
	char link[32];
};

static int reach(const Ckpt__Reg *f, struct reach *ret)
{
	*ret = (struct reach){ .path = f->path, .fd = f->covered ? covered_open(f->path, f->covered) : -1 };
	if (!f->covered)
		return 0;
	snprintf(ret->link, sizeof ret->link, "/proc/self/fd/%d", ret->fd);
	ret->path = ret->link;
	return MIN(ret->fd, 0);
}
static void reach_end(struct reach *r) { closep(&r->fd); }
#define _cleanup_reach_ _cleanup_(reach_end)

/* 0; a file that is covered: found. */
static int reach_stat(const struct reach *r, struct stat *ret)
{
	int failed = r->fd < 0 ? fstatat(AT_FDCWD, r->path, ret, AT_SYMLINK_NOFOLLOW) : fstat(r->fd, ret);
	return failed ? neg_errno() : 0;
}

/* 0: it has none, or it may not be read. */
static size_t read_build_id(const struct reach *r, u8 bytes[PAGE_BYTES], const u8 **ret)
{
	size_t len = 0;
	_cleanup_close_ int fd = open(r->path, O_RDONLY | (r->fd < 0 ? O_NOFOLLOW : 0) | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, bytes, PAGE_BYTES, 0);
	return n > 0 && elf_build_id(bytes, (size_t)n, ret, &len) ? len : 0;
}

static int collect_build_id(Ckpt__Reg *f)
{
	u8 bytes[PAGE_BYTES];
	const u8 *id = NULL;
	_cleanup_reach_ struct reach r;
	size_t len = reach(f, &r) < 0 ? 0 : read_build_id(&r, bytes, &id);
	f->has_build_id = len && message_set_bytes(&f->build_id, id, len);
	return len && !f->has_build_id ? fail_memory() : 0;
}

static int reg_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Reg *f = o->data;
	struct stat st;
	if (!message_set_string(&f->path, subject->link))
		return fail_memory();
	int r = identify(c, subject->file, f, &st);
	if (r < 0)
		return r;
	if (!message_set_string(&f->type, type_of(st.st_mode)))
		return fail_memory();
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		SET(f, rdev, (u32)st.st_rdev);
	SET(f, size, (u64)st.st_size);
	SET(f, mode, st.st_mode);
	SET(f, mtime, st.st_mtim.tv_sec * 1000000000l + st.st_mtim.tv_nsec);
	return collector_storing(c) && is_read_by_mapping(subject->file) && !f->moved ? collect_build_id(f) : 0;
}

/* --- judge --- */

static int judge_mapped(const Ckpt__Reg *f, const struct reach *r, const struct stat *st)
{
	u8 bytes[PAGE_BYTES];
	const u8 *id = NULL;
	size_t len = f->build_id.len ? read_build_id(r, bytes, &id) : 0;
	bool same = len && len == f->build_id.len && !memcmp(id, f->build_id.data, len);
	if (len && !same)
		return fail(FILE_REPLACED, 0, "%s has another build-id", f->path);
	if ((u64)st->st_size != f->size)
		return fail(FILE_REPLACED, 0, "%s has %llu bytes, had %llu", f->path, (unsigned long long)st->st_size,
			    (unsigned long long)f->size);
	return same ? 0 : fail(FILE_REPLACED, 0, "%s was written to since (modification time)", f->path);
}

/* By a name as it comes from an image: as reg_claims() has it. To open a device may already do something. */
static bool may_be_opened(u32 flags, const struct stat *st)
{
	return (flags & O_PATH) || S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ||
	       (S_ISCHR(st->st_mode) && is_stateless_device(flags, major(st->st_rdev), minor(st->st_rdev)));
}

static u64 key_of(const char *path)
{
	u64 key = (uintptr_t)&kind_reg;
	for (const char *at = path; *at; at++)
		key = map_mix(key, (u8)*at);
	return key;
}

/* Programs open one path again and again. Was it looked at for a file of which the same is recorded, and found well? */
static bool is_known_well(const struct graph *graph, u32 file, const Ckpt__Reg *f, u64 key)
{
	u32 other = graph_recall(graph, key);
	const Ckpt__Reg *o = other ? graph_data(graph, &kind_reg, other) : NULL;
	return o && !o->covered && !strcmp(o->path, f->path) && !strcmp(o->type, f->type) && o->has_rdev == f->has_rdev &&
	       o->rdev == f->rdev && o->size == f->size && o->mtime == f->mtime &&
	       !((file_flags(graph, other) ^ file_flags(graph, file)) & O_PATH);
}

/* Nobody may open it for writing any more, not even root; who has opened it before goes on. */
static int judge_writable(u32 flags, const Ckpt__Reg *f, const struct reach *r)
{
	struct statx stx;
	if (flags & O_PATH || (flags & O_ACCMODE) == O_RDONLY || strcmp(f->type, "regular") ||
	    statx(AT_FDCWD, r->path, r->fd < 0 ? AT_SYMLINK_NOFOLLOW : 0, STATX_TYPE, &stx) < 0)
		return 0;
	bool appends = stx.stx_attributes & STATX_ATTR_APPEND && !(flags & O_APPEND);
	if (!appends && !(stx.stx_attributes & STATX_ATTR_IMMUTABLE))
		return 0;
	return fail(FILE_IMMUTABLE, 0, "%s is %s", f->path,
		    appends ? "append-only, and is open without O_APPEND" : "immutable, and is open for writing");
}

/* The slave of a pseudoterminal, which is there when its master has been made. */
static bool waits_for_terminal(const struct graph *graph, u32 file, const Ckpt__Reg *f)
{
	return file_flags(graph, file) & O_PATH && tty_makes(graph, f->path);
}

/* Looks at what is there now: a file that cannot be the recorded one is refused before anything is made. */
static int judge_restore(const struct graph *graph, u32 file, const Ckpt__Reg *f)
{
	struct stat st;
	u64 key = key_of(f->path);
	_cleanup_reach_ struct reach way;
	int r = reach(f, &way);
	if (r < 0)
		return fail(FILE_COVERED, r, "%s, of the mount at %s", f->path, f->covered);
	if (judge_writable(file_flags(graph, file), f, &way) < 0)
		return -EPERM;
	if (!f->covered && is_known_well(graph, file, f, key))
		return 0;
	if ((r = reach_stat(&way, &st)) < 0) {
		bool made = cgroup_makes(graph, f->path) || waits_for_terminal(graph, file, f);
		return r == -ENOENT && made ? 0 : fail(FILE_MISSING, r, "%s", f->path);
	}
	if (strcmp(type_of(st.st_mode), f->type) || (f->has_rdev && (u32)st.st_rdev != f->rdev))
		return fail(FILE_CHANGED, 0, "%s is now of type %s, was %s", f->path, type_of(st.st_mode), f->type);
	if (!may_be_opened(file_flags(graph, file), &st))
		return fail(IMAGE_VALUE, 0, "%s, of type %s, is to be opened", f->path, f->type);
	r = S_ISREG(st.st_mode) ? file_judge_size(f->path, &st, f->size) : 0;
	if (r < 0)
		return r;
	if (S_ISREG(st.st_mode) && !file_unchanged(&st, f->size, f->mtime))
		return (r = file_is_mapped(graph, file)) > 0 ? judge_mapped(f, &way, &st) : r;
	graph_remember(graph, key, file); /* else it is looked at again */
	return 0;
}

static int judge_dump(const struct graph *graph, u32 file, const Ckpt__Reg *f)
{
	u32 flags = file_flags(graph, file);
	bool writes = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
	const Ckpt__File *file_object = graph_data(graph, &kind_file, file);
	struct statfs fs;
	if (f->moved)
		return fail(FILE_MOVED, 0, "%s", f->path);
	if (file_object && file_object->owner && !strcmp(f->type, "directory")) /* fcntl_dirnotify() has set it */
		warn(FILE_NOTIFY, 0, "%s", f->path);
	bool pressure = writes && is_pressure_file(f->path) && statfs(f->path, &fs) == 0 &&
			(fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
	if (pressure)
		return fail(FILE_PRESSURE, 0, "%s", f->path);
	_cleanup_reach_ struct reach r;
	return reach(f, &r) < 0 ? 0 : judge_writable(flags, f, &r);
}

static int reg_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Reg *f = o->data;
	if (!f->path || f->path[0] != '/' || !f->type)
		return fail(IMAGE_INCONSISTENT, 0, "a file without a path");
	if (f->covered && !covered_rest(f->path, f->covered))
		return fail(IMAGE_INCONSISTENT, 0, "%s is not below %s", f->path, f->covered);
	if (direction == DIRECTION_RESTORE)
		return judge_restore(graph, o->id, f);
	return judge_dump(graph, o->id, f);
}

/* --- plan --- */

/* What is covered the world makes, which has the rights to. */
static bool reg_at_home(const struct graph *graph, const struct object *o)
{
	return !names_are_watched(graph) && !((const Ckpt__Reg *)o->data)->covered;
}

/* Terminals are made by the world. */
static bool reg_apart(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static struct plan_step *plan_open(struct plan *plan, const struct object *o, enum stage stage, u32 flags)
{
	const Ckpt__Reg *f = o->data;
	return plan_call(plan, plan_at(plan, o->id, stage), SYS_openat, ARG(AT_FDCWD), arg_string(plan, f->path),
			 ARG(flags | plan_cloexec(plan, o->id)));
}

static int reg_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Reg *f = o->data;
	bool device = strcmp(f->type, "regular") && strcmp(f->type, "directory");
	bool tells = device && (f->rdev == makedev(1, 8) || f->rdev == makedev(1, 9)); /* random, urandom: by fcntl(2) */
	u32 flags = (file_reopen_flags(graph, o->id) & ~(u32)O_CLOEXEC) | (tells ? 0 : file_async(graph, o->id));
	enum stage stage = waits_for_terminal(graph, o->id, f) ? STAGE_LINK : STAGE_CREATE;
	u32 fd = f->covered ? covered_plan(plan, f, flags) : step_result(plan, plan_open(plan, o, stage, flags));
	plan_place_fd_at(plan, stage, fd, o->id);
	if (!device)
		plan_position(plan, graph, o->id);
	return 0;
}

const struct resource resource_reg = {
	.name = "reg",
	.scope = SCOPE_FILE,
	.kind = &kind_reg,
	.claims = reg_claims,
	.collect = reg_collect,
	.judge = reg_judge,
	.at_home = reg_at_home,
	.apart = reg_apart,
	.plan = reg_plan,
};
