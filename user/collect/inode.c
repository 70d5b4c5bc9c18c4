// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for paths to inodes of which the kernel tells numbers only. Nothing is opened that a watch could tell of:
 * handles are opened with O_PATH, and the mount is named by the working directory. Directories are read only where there are
 * no handles. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* One mount; text points behind it. */
struct mount_line {
	u32 id, major, minor;
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

/* The next mount: "36 35 98:0 /root /point ...". NULL when there is none. */
static const char *next_line(const char *text, struct mount_line *m)
{
	while (text && *text) {
		bool parsed = sscanf(text, "%u %*d %u:%u %*s %4095s", &m->id, &m->major, &m->minor, m->point) == 4;
		text = strchr(text, '\n');
		text = text ? text + 1 : "";
		if (!parsed)
			continue;
		unescape(m->point);
		return text;
	}
	return NULL;
}

/* The next mount of a file system. */
static const char *next_mount(const char *text, const struct inode_name *n, struct mount_line *m)
{
	while ((text = next_line(text, m)) && (m->major != n->major || m->minor != n->minor))
		;
	return text;
}

static bool is_at(const char *path, u64 device, u64 inode, u32 *ret_mode)
{
	struct stat st;
	if (path[0] != '/' || lstat(path, &st) < 0 || st.st_dev != device || st.st_ino != inode)
		return false;
	*ret_mode = st.st_mode;
	return true;
}

/* Remembers the path when it leads there. 1: it does. */
static int try_path(struct inode_name *n, const char *path)
{
	if (!is_at(path, makedev(n->major, n->minor), n->inode, &n->mode))
		return 0;
	n->path = strdup(path);
	return n->path ? 1 : fail_memory();
}

/* The handle, as seen from the working directory. The device of stat(2) may be another than that of the file system. */
static int try_handle(struct inode_name *n)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .handle = { .handle_bytes = n->handle_bytes, .handle_type = (int)n->handle_type } };
	char link[32], path[4096];
	struct stat st;
	memcpy(u.handle.f_handle, n->handle, n->handle_bytes);
	_cleanup_close_ int fd = open_by_handle_at(AT_FDCWD, &u.handle, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	n->deleted = !st.st_nlink;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (n->deleted || file_readlink(AT_FDCWD, link, path, sizeof path) < 0 || !is_at(path, st.st_dev, st.st_ino, &n->mode))
		return 0;
	n->path = strdup(path);
	return n->path ? 1 : fail_memory();
}

static bool is_open(const struct inode_name *n) { return !n->path && !n->deleted; }

/* A mount itself is found without looking inside; the others by their handles, from one mount after the other. */
static int by_mounts(struct collector *c, struct inode_name *n)
{
	struct mount_line m;
	bool may = !caps_lacks(c->config->caps, CAN_FILE_HANDLES);
	int r = 0;
	for (const char *at = c->mounts.data; r == 0 && (at = next_mount(at, n, &m));)
		r = try_path(n, m.point);
	for (const char *at = c->mounts.data; r == 0 && may && is_open(n) && n->handle_bytes && (at = next_mount(at, n, &m));)
		r = chdir(m.point) == 0 ? try_handle(n) : 0;
	return r < 0 ? r : 0;
}

/* --- where there are no handles (overlay), or no name is cached --- */

#define LISTED_MAX 300000 /* entries of directories that are looked at */

struct search {
	struct inode_name *names;
	size_t count;
	struct map by_inode; /* of the names that are open -> index + 1 */
	struct map devices;  /* that they are on */
	struct map seen;     /* hash of directories */
	VECTOR(char *) dirs; /* to be read */
	u32 listed;
};

static void search_free(struct search *s)
{
	for (size_t i = 0; i < s->dirs.n; i++)
		free(s->dirs.v[i]);
	vector_free(&s->dirs);
	map_free(&s->by_inode);
	map_free(&s->devices);
	map_free(&s->seen);
}

static u64 hash_of(const char *path)
{
	u64 hash = 1;
	for (const char *at = path; *at; at++)
		hash = map_mix(hash, (u8)*at);
	return hash;
}

static int add_dir(struct search *s, const char *path)
{
	u64 hash = hash_of(path);
	if (map_get(&s->seen, hash))
		return 0;
	char *copy = strdup(path), **place = copy ? vector_add(&s->dirs) : NULL;
	if (!place || map_set(&s->seen, hash, 1) < 0) {
		if (!place)
			free(copy);
		return fail_memory();
	}
	*place = copy;
	return 0;
}

/* The path may lead to what is looked for, and when it is a directory, hold it. */
static int look_at(struct search *s, const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0 || !map_get(&s->devices, st.st_dev))
		return 0;
	u32 index = map_get(&s->by_inode, st.st_ino);
	int r = index && is_open(&s->names[index - 1]) ? try_path(&s->names[index - 1], path) : 0;
	return r >= 0 && S_ISDIR(st.st_mode) ? add_dir(s, path) : MIN(r, 0);
}

/* A path that is known, and the directories above. */
static int add_known(struct search *s, const char *known)
{
	char path[4200];
	int r = 0;
	if (!known || known[0] != '/' || (size_t)snprintf(path, sizeof path, "%s", known) >= sizeof path)
		return 0;
	for (char *slash = path + strlen(path); r == 0 && slash > path && !map_get(&s->seen, hash_of(path));
	     slash = strrchr(path, '/')) {
		*slash = 0;
		r = look_at(s, *path ? path : "/");
	}
	return r;
}

static int list(struct search *s, const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), r = 0;
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	char path[4200];
	if (!entries)
		closep(&fd);
	for (struct dirent *e; r == 0 && entries && s->listed < LISTED_MAX && (e = readdir(entries)); s->listed++)
		if (map_get(&s->by_inode, e->d_ino) && strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    (size_t)snprintf(path, sizeof path, "%s/%s", dir[1] ? dir : "", e->d_name) < sizeof path)
			r = look_at(s, path);
	if (entries)
		closedir(entries);
	return r;
}

/* Found directories are read as well: who watches one often watches those inside. */
static int search(struct collector *c, struct search *s, bool may_list)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++)
		if (is_open(&s->names[i]) && (map_set(&s->by_inode, s->names[i].inode, (u32)i + 1) < 0 ||
					      map_set(&s->devices, makedev(s->names[i].major, s->names[i].minor), 1) < 0))
			r = fail_memory();
	for (size_t i = 0; r == 0 && i < s->count; i++)
		r = add_known(s, s->names[i].path);
	for (struct object *o = NULL; r == 0 && (o = graph_next(c->graph, &kind_file, o));)
		r = add_known(s, ((const Ckpt__File *)o->data)->link);
	for (size_t i = 0; r == 0 && may_list && i < s->dirs.n && s->listed < LISTED_MAX; i++)
		r = list(s, s->dirs.v[i]);
	return r;
}

static int read_mounts(struct collector *c)
{
	return c->mounts.data ? 0 : file_read(AT_FDCWD, "/proc/self/mountinfo", &c->mounts);
}

/* Does the path lead to this mount? Before Linux 5.8 nothing tells: it is taken to. */
static bool leads_to_mount(const struct mount_line *m)
{
	struct statx st;
	return statx(AT_FDCWD, m->point, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) == 0 &&
	       (!(st.stx_mask & STATX_MNT_ID) || st.stx_mnt_id == m->id);
}

char *collector_mount_point(struct collector *c, u32 id, dev_t device)
{
	struct mount_line m;
	if (read_mounts(c) < 0)
		return NULL;
	for (const char *at = c->mounts.data; (at = next_line(at, &m));)
		if ((id ? m.id == id : makedev(m.major, m.minor) == device) && leads_to_mount(&m))
			return strdup(m.point);
	return NULL;
}

int collector_find_inodes(struct collector *c, struct inode_name *names, size_t count, bool may_list)
{
	if (read_mounts(c) < 0)
		return 0;
	_cleanup_close_ int old = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(search_free) struct search s = { .names = names, .count = count };
	bool left = false;
	int r = 0;
	for (size_t i = 0; r == 0 && old >= 0 && i < count; i++) {
		r = by_mounts(c, &names[i]);
		left |= is_open(&names[i]);
	}
	if (old >= 0 && fchdir(old) < 0)
		return fail(SYSCALL, neg_errno(), "fchdir back");
	return r == 0 && left ? search(c, &s, may_list) : r;
}
