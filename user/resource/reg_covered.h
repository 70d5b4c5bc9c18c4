/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file below another mount: its path leads elsewhere, so it is looked up in a copy of its own mount without what is mounted there
 * (open_tree(2)), and opened by its handle, so that it belongs to the mount itself and /proc shows its path. */
#pragma once
#include "collect/collect.h"
#include "reg.pb-c.h"
#include "resource/file_scope.h"
#include <errno.h>
#include <sys/mount.h>

struct covered_handle {
	struct file_handle head;
	u8 bytes[MAX_HANDLE_SZ];
};

/* The path within the mount; NULL: it does not lead there. */
static inline const char *covered_rest(const char *path, const char *mount)
{
	size_t len = strcmp(mount, "/") ? strlen(mount) : 0;
	return mount[0] == '/' && !strncmp(path, mount, len) && path[len] == '/' && path[len + 1] ? path + len + 1 : NULL;
}

/* An O_PATH descriptor of the file, or negative errno. */
static inline int covered_open(const char *path, const char *mount)
{
	struct covered_handle handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	const char *rest = covered_rest(path, mount);
	int id;
	_cleanup_close_ int tree = (int)syscall(SYS_open_tree, AT_FDCWD, mount, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	_cleanup_close_ int found = tree < 0 || !rest ? -1 : openat(tree, rest, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (!rest)
		return -EINVAL;
	if (found < 0 || name_to_handle_at(found, "", &handle.head, &id, AT_EMPTY_PATH) < 0)
		return neg_errno();
	_cleanup_close_ int root = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = root < 0 ? -1 : open_by_handle_at(root, &handle.head, O_PATH | O_CLOEXEC);
	return fd < 0 ? neg_errno() : fd;
}

/* The mount that the file is in, when that is the way to it; to be freed, or NULL. */
static inline char *covered_find(struct collector *c, const struct record_file *file, const char *path, const struct stat *st)
{
	struct stat there;
	_cleanup_free_ char *mount = collector_mount_point(c, file->mnt_id, st->st_dev);
	_cleanup_close_ int fd = mount ? covered_open(path, mount) : -1;
	bool is = fd >= 0 && fstat(fd, &there) == 0 && there.st_dev == st->st_dev && there.st_ino == st->st_ino;
	return is ? take_ptr(mount) : NULL;
}

/* The steps of covered_open(), with these flags; the slot of the descriptor. */
static inline u32 covered_plan(struct plan *plan, const Ckpt__Reg *f, u32 flags)
{
	const struct covered_handle empty = { .head.handle_bytes = MAX_HANDLE_SZ };
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	struct arg mount = arg_string(plan, f->covered);
	struct arg handle = ARG_OF_DATA(plan_data(plan, &empty, sizeof empty, 8)),
		   id = ARG_OF_DATA(plan_data(plan, NULL, 4, 4));
	struct arg tree = ARG_OF_SLOT(step_result(
		plan, plan_call(plan, at, SYS_open_tree, ARG(AT_FDCWD), mount, ARG(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC))));
	struct arg rest = arg_string(plan, covered_rest(f->path, f->covered));
	struct arg found = ARG_OF_SLOT(
		step_result(plan, plan_call(plan, at, SYS_openat, tree, rest, ARG(O_PATH | O_NOFOLLOW | O_CLOEXEC))));
	plan_call(plan, at, SYS_name_to_handle_at, found, arg_string(plan, ""), handle, id, ARG(AT_EMPTY_PATH));
	struct arg root = ARG_OF_SLOT(step_result(
		plan, plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), mount, ARG(O_RDONLY | O_DIRECTORY | O_CLOEXEC))));
	u32 file = step_result(plan, plan_call(plan, at, SYS_open_by_handle_at, root, handle, ARG(flags | O_CLOEXEC)));
	plan_call(plan, at, SYS_close, root);
	plan_call(plan, at, SYS_close, found);
	plan_call(plan, at, SYS_close, tree);
	return file;
}
