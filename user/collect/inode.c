// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for a path to an inode of which the kernel tells numbers only. Nothing is opened that a watch could tell of:
 * handles are opened with O_PATH, and the mount is named by the working directory. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* One mount; text points behind it. */
struct mount_line {
	u32 major, minor;
	char point[4096];
};

/* Octal digits stand for what would break the line. */
static void unescape(char *path)
{
	char *to = path;
	for (const char *from = path; *from; to++) {
		unsigned c;
		if (*from == '\\' && sscanf(from + 1, "%3o", &c) == 1) {
			*to = (char)c;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
}

/* The next mount of a file system: "36 35 98:0 /root /point ...". NULL when there is none. */
static const char *next_mount(const char *text, const struct inode_name *n, struct mount_line *m)
{
	while (text && *text) {
		bool parsed = sscanf(text, "%*d %*d %u:%u %*s %4095s", &m->major, &m->minor, m->point) == 3;
		text = strchr(text, '\n');
		text = text ? text + 1 : "";
		if (!parsed || m->major != n->major || m->minor != n->minor)
			continue;
		unescape(m->point);
		return text;
	}
	return NULL;
}

static bool leads_to(const char *path, u64 device, u64 inode, u32 *ret_mode)
{
	struct stat st;
	if (path[0] != '/' || lstat(path, &st) < 0 || st.st_dev != device || st.st_ino != inode)
		return false;
	*ret_mode = st.st_mode;
	return true;
}

/* The handle, as seen from the working directory. -ESTALE: not here; -ENOENT: it was deleted. */
static int path_of_handle(const struct inode_name *n, char *path, size_t room, u32 *ret_mode)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .handle = { .handle_bytes = n->handle_bytes, .handle_type = (int)n->handle_type } };
	char link[32];
	struct stat st;
	memcpy(u.handle.f_handle, n->handle, n->handle_bytes);
	_cleanup_close_ int fd = open_by_handle_at(AT_FDCWD, &u.handle, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -ESTALE;
	if (!st.st_nlink)
		return -ENOENT;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	int r = file_readlink(AT_FDCWD, link, path, room);
	return r >= 0 && leads_to(path, st.st_dev, st.st_ino, ret_mode) ? 0 : -ESTALE;
}

static int by_handle(const char *mounts, const struct inode_name *n, char *path, size_t room, u32 *ret_mode)
{
	struct mount_line m;
	_cleanup_close_ int old = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = old < 0 ? neg_errno() : -ESTALE;
	while (n->handle_bytes && r == -ESTALE && (mounts = next_mount(mounts, n, &m)))
		if (chdir(m.point) == 0)
			r = path_of_handle(n, path, room, ret_mode);
	if (old >= 0 && fchdir(old) < 0)
		return fail(SYSCALL, neg_errno(), "fchdir back");
	return r;
}

/* A mount itself is found without looking inside. */
static int by_mount(const char *mounts, const struct inode_name *n, char *path, size_t room, u32 *ret_mode)
{
	struct mount_line m;
	while ((mounts = next_mount(mounts, n, &m)))
		if (leads_to(m.point, makedev(n->major, n->minor), n->inode, ret_mode) &&
		    (size_t)snprintf(path, room, "%s", m.point) < room)
			return 0;
	return -ESTALE;
}

/* What the tree has open, and the directories above: where a file system has no handles (overlay), or no name is cached. */
static int by_known_paths(struct collector *c, const struct inode_name *n, char *path, size_t room, u32 *ret_mode)
{
	for (struct object *o = NULL; (o = graph_next(c->graph, &kind_file, o));) {
		const Ckpt__File *f = o->data;
		if (!f->link || f->link[0] != '/' || (size_t)snprintf(path, room, "%s", f->link) >= room)
			continue;
		for (char *slash = path + strlen(path); slash > path; slash = strrchr(path, '/')) {
			*slash = 0;
			if (*path && leads_to(path, makedev(n->major, n->minor), n->inode, ret_mode))
				return 0;
		}
	}
	return -ESTALE;
}

int collector_find_inode(struct collector *c, const struct inode_name *n, char *path, size_t room, u32 *ret_mode)
{
	if (!c->mounts.data && file_read(AT_FDCWD, "/proc/self/mountinfo", &c->mounts) < 0)
		return -ESTALE;
	if (!c->mounts.data)
		return -ESTALE;
	int r = by_mount(c->mounts.data, n, path, room, ret_mode);
	if (r == -ESTALE)
		r = by_handle(c->mounts.data, n, path, room, ret_mode);
	return r == -ESTALE ? by_known_paths(c, n, path, room, ret_mode) : r;
}
