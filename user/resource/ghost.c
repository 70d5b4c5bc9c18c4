// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns files without a name: regular files that were unlinked or made with O_TMPFILE, directories that were removed, nodes of
 * devices. They are made again in the directory where they were, with their contents. What has a name elsewhere is given the old
 * one for a moment too. */
#include "collect/collect.h"
#include "ghost.pb-c.h"
#include "resource/device.h"
#include "resource/nameless.h"
#include "resource/same_inode.h"
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define TMPFILE_FLAG ((u32)(O_TMPFILE & ~O_DIRECTORY))
#define SECOND 1000000000ll
#define XATTRS_MAX 65536 /* XATTR_LIST_MAX; a value has no more either */

struct linked_handle {
	struct file_handle head;
	u8 bytes[MAX_HANDLE_SZ];
};

static const struct kind kind_ghost = { .name = "ghost", .desc = &ckpt__ghost__descriptor };

static bool ghost_claims(const struct record_file *file, const char *link)
{
	bool device = S_ISCHR(file->mode) && is_stateless_device(file->flags, file->rdev_major, file->rdev_minor);
	return (S_ISREG(file->mode) || S_ISDIR(file->mode) || device) && nameless_claims(file, link);
}

/* --- collect --- */

/* What is a part of the file; labels of security modules and the like belong to the host. */
static bool is_carried(const char *xattr)
{
	return !strncmp(xattr, "user.", 5) || !strncmp(xattr, "trusted.", 8) || !strcmp(xattr, "security.capability") ||
	       !strcmp(xattr, "system.posix_acl_access");
}

static int by_name(const void *a, const void *b)
{
	const Ckpt__GhostXattr *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static int collect_xattr(Ckpt__Ghost *g, const char *path, const char *name)
{
	static const size_t room = XATTRS_MAX;
	_cleanup_free_ u8 *value = malloc(room);
	ssize_t len = value ? getxattr(path, name, value, room) : -1;
	if (!value)
		return fail_memory();
	if (len < 0)
		return errno == ENODATA ? 0 : fail(SYSCALL, neg_errno(), "getxattr %s", name);
	Ckpt__GhostXattr *x = MESSAGE_NEW(Ckpt__GhostXattr, ckpt__ghost_xattr);
	if (!x || !MESSAGE_APPEND(&g->n_xattr, &g->xattr, x)) {
		free(x);
		return fail_memory();
	}
	x->has_value = message_set_bytes(&x->value, value, (size_t)len);
	return x->has_value && message_set_string(&x->name, name) ? 0 : fail_memory();
}

static int collect_xattrs(Ckpt__Ghost *g, int fd)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t len = listxattr(path, NULL, 0);
	if (len <= 0)
		return len == 0 || errno == ENOTSUP ? 0 : fail(SYSCALL, neg_errno(), "listxattr");
	_cleanup_free_ char *names = malloc((size_t)len);
	if (!names)
		return fail_memory();
	len = listxattr(path, names, (size_t)len);
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		int r = is_carried(name) ? collect_xattr(g, path, name) : 0;
		if (r < 0)
			return r;
	}
	if (g->n_xattr)
		qsort(g->xattr, g->n_xattr, sizeof *g->xattr, by_name);
	return 0;
}

/* O_TMPFILE: the kernel calls it by the number of its inode (d_tmpfile). */
static int collect_path(Ckpt__Ghost *g, const char *link, u64 inode)
{
	char path[4096], number[32];
	if (!nameless_path(link, path))
		return fail(PROC_READ, -ENAMETOOLONG, "%s", link);
	u32 lost = nameless_lost(path);
	if (lost)
		SET(g, lost, lost);
	char *slash = strrchr(path, '/');
	snprintf(number, sizeof number, "/#%llu", (unsigned long long)inode);
	if (!strcmp(slash, number)) {
		SET(g, tmpfile, true);
		slash[slash == path] = 0;
	}
	return message_set_string(&g->path, path) ? 0 : fail_memory();
}

/* Files in memory count as memory. */
static void collect_limit(struct collector *c, Ckpt__Ghost *g, int fd)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return;
	if (fs.f_type == HUGETLBFS_MAGIC)
		SET(g, huge, true);
	bool in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
	if (!in_memory && g->stored > collector_ghost_limit(c))
		SET(g, limit, collector_ghost_limit(c));
}

/* One that has a name in another directory; where the file system knows no handles it is refused. */
static int collect_handle(Ckpt__Ghost *g, int fd, const struct stat *st)
{
	struct linked_handle handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	int mount;
	SET(g, links, (u32)st->st_nlink);
	SET(g, linked_size, (u64)st->st_size);
	if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) < 0)
		return 0;
	SET(g, handle_type, handle.head.handle_type);
	g->has_handle = message_set_bytes(&g->handle, handle.head.f_handle, handle.head.handle_bytes);
	return g->has_handle ? 0 : fail_memory();
}

/* Has it another name? stat(2) tells of an overlay's file what the layer below counts, which keeps its name when it is taken away
 * above (ovl_getattr(); the overlay's own inode counts right, ovl_drop_nlink()). */
static bool is_linked(struct collector *c, Ckpt__Ghost *g, int fd, const struct stat *st)
{
	struct statfs fs;
	u32 links = 1;
	if (S_ISDIR(st->st_mode) || !st->st_nlink || fstatfs(fd, &fs) < 0 || fs.f_type != OVERLAYFS_SUPER_MAGIC)
		return !S_ISDIR(st->st_mode) && st->st_nlink;
	if (collector_links(c, &links) <= 0)
		SET(g, uncounted, true);
	return links;
}

/* What is made again with it. */
static int collect_attributes(struct collector *c, Ckpt__Ghost *g, int fd, const struct stat *st)
{
	SET(g, mode, st->st_mode & 07777);
	SET(g, uid, st->st_uid);
	SET(g, gid, st->st_gid);
	SET(g, atime, st->st_atim.tv_sec * SECOND + st->st_atim.tv_nsec);
	if (S_ISCHR(st->st_mode))
		SET(g, rdev, (u32)st->st_rdev);
	if (S_ISREG(st->st_mode)) {
		SET(g, size, (u64)st->st_size);
		SET(g, stored, (u64)st->st_blocks * 512);
		collect_limit(c, g, fd);
	}
	return collect_xattrs(g, fd);
}

static int collect_first(struct collector *c, const struct subject *subject, Ckpt__Ghost *g, int fd, const struct stat *st)
{
	const char *type = S_ISREG(st->st_mode) ? "regular" : S_ISDIR(st->st_mode) ? "directory" : "character";
	if (!message_set_string(&g->type, type))
		return fail_memory();
	SET(g, mtime, st->st_mtim.tv_sec * SECOND + st->st_mtim.tv_nsec);
	int r = is_linked(c, g, fd, st) ? collect_handle(g, fd, st) : collect_attributes(c, g, fd, st);
	return r == 0 ? collect_path(g, subject->link, st->st_ino) : r;
}

static int ghost_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Ghost *g = o->data;
	struct stat st;
	SET(g, inode, subject->file->ino);
	SET(g, device, (u32)makedev(subject->file->dev_major, subject->file->dev_minor));
	if (same_inode_first(collector_graph(c), &kind_ghost, g->device, g->inode, o->id, &g->memory) < 0)
		return fail_memory();
	g->has_memory = true;
	if (g->memory != o->id)
		return 0;
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (fstat(fd, &st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat of %s", subject->link);
	int r = collect_first(c, subject, g, fd, &st);
	bool contents = g->size && !g->limit && !g->huge;
	return r == 0 && contents ? collector_keep_memory(c, o->id) : r;
}

/* --- judge --- */

static bool is_directory(const Ckpt__Ghost *g) { return !strcmp(g->type, "directory"); }
static bool is_device(const Ckpt__Ghost *g) { return !strcmp(g->type, "character"); }

/* Its directory is gone too, and a file has the name that would have to be a directory's for a moment. */
static bool is_place_taken(const Ckpt__Ghost *g)
{
	char dir[4096];
	struct stat st;
	if (g->tmpfile && !g->lost)
		return false;
	nameless_dir(g->path, g->lost - g->tmpfile, dir);
	return stat(dir, &st) == 0 && !S_ISDIR(st.st_mode);
}

static int judge_dump(const Ckpt__Ghost *g)
{
	int r = is_place_taken(g) ? fail(FILE_EXISTS, 0, "%s lies below another file now", g->path) : 0;
	if (g->uncounted)
		r = fail(FILE_UNCOUNTED, 0, "%s", g->path);
	else if (g->links && !g->has_handle)
		r = fail(FILE_DELETED, 0, "%s has %u other name%s", g->path, g->links, g->links == 1 ? "" : "s");
	if (g->huge)
		r = fail(SHMEM_HUGE, 0, "%s", g->path);
	if (g->limit)
		r = fail(FILE_LARGE, 0, "%s holds %llu bytes, the limit is %llu", g->path, (unsigned long long)g->stored,
			 (unsigned long long)g->limit);
	return r;
}

static bool handle_of(const Ckpt__Ghost *g, struct linked_handle *ret)
{
	if (g->handle.len > MAX_HANDLE_SZ)
		return false;
	*ret = (struct linked_handle){ .head = { .handle_bytes = (u32)g->handle.len, .handle_type = g->handle_type } };
	if (g->handle.len)
		memcpy(ret->head.f_handle, g->handle.data, g->handle.len);
	return true;
}

/* Key of graph_remember(): one of the files of this inode is mapped; 0: all that are have been noted. */
static u64 any_mapped_key(u32 memory) { return map_mix(0x414d4150, memory); }

static int note_any_mapped(const struct graph *graph)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_ghost, o));) {
		int mapped = file_is_mapped(graph, o->id);
		if (mapped < 0)
			return mapped;
		if (mapped && graph_remember(graph, any_mapped_key(((const Ckpt__Ghost *)o->data)->memory), 1) < 0)
			return fail_memory();
	}
	return graph_remember(graph, any_mapped_key(0), 1) < 0 ? fail_memory() : 0;
}

static int any_is_mapped(const struct graph *graph, u32 memory)
{
	int r = graph_recall(graph, any_mapped_key(0)) ? 0 : note_any_mapped(graph);
	return r < 0 ? r : (int)graph_recall(graph, any_mapped_key(memory));
}

/* Its other name may be gone by now, and others may have written to it. */
static int judge_linked(const struct graph *graph, const Ckpt__Ghost *g)
{
	char dir[4096];
	struct stat st;
	struct linked_handle handle;
	if (!handle_of(g, &handle) || is_directory(g) || g->tmpfile)
		return fail(IMAGE_INCONSISTENT, 0, "a handle of %s", g->path);
	nameless_dir(g->path, g->lost, dir);
	_cleanup_close_ int there = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = there < 0 ? -1 : open_by_handle_at(there, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == EPERM ? fail(FILE_HANDLE, -EPERM, "%s", g->path)
				      : fail(FILE_MISSING, neg_errno(), "%s, by its handle", g->path);
	bool device = is_device(g) && S_ISCHR(st.st_mode) && is_stateless_device(0, major(st.st_rdev), minor(st.st_rdev));
	if (!device && !S_ISREG(st.st_mode))
		return fail(FILE_CHANGED, 0, "%s is another file", g->path);
	int r = file_judge_size(g->path, &st, g->linked_size);
	if (r < 0 || file_unchanged(&st, g->linked_size, g->mtime) || (r = any_is_mapped(graph, g->memory)) <= 0)
		return r;
	return fail(FILE_REPLACED, 0, "%s was written to since", g->path);
}

static int judge_restore(const struct graph *graph, const struct object *o, const Ckpt__Ghost *g)
{
	const struct object *pages = graph_find(graph, &kind_memory, o->id);
	const struct page_run *last = pages && pages->count ? (const struct page_run *)pages->data + pages->count - 1 : NULL;
	if (last && (strcmp(g->type, "regular") != 0 || last->start + last->len > ALIGN_UP(g->size, PAGE_BYTES)))
		return fail(IMAGE_INCONSISTENT, 0, "contents beyond the end of %s", g->path);
	if (is_device(g) && !g->has_handle && !is_stateless_device(0, major(g->rdev), minor(g->rdev)))
		return fail(IMAGE_VALUE, 0, "%s, device %u:%u", g->path, major(g->rdev), minor(g->rdev));
	for (size_t i = 0; i < g->n_xattr; i++)
		if (!g->xattr[i]->name || !is_carried(g->xattr[i]->name))
			return fail(IMAGE_INCONSISTENT, 0, "an attribute of %s", g->path);
	int r = nameless_judge(g->path, g->lost, g->tmpfile);
	return r == 0 && g->has_handle ? judge_linked(graph, g) : r;
}

static int ghost_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Ghost *g = o->data, *first = graph_data(graph, &kind_ghost, g->memory);
	if (!first || first->memory != g->memory || !first->path || !first->type)
		return fail(IMAGE_INCONSISTENT, 0, "a file without a name");
	if (g->memory != o->id)
		return 0;
	return direction == DIRECTION_DUMP ? judge_dump(g) : judge_restore(graph, o, g);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

struct making {
	struct plan *plan;
	const struct graph *graph;
	const struct object *o;
	const Ckpt__Ghost *ghost;
	u32 own;    /* slot: open for writing, or the directory */
	u32 own_is; /* the file that this one is, 0: none */
	struct opened_list others;
};

static u32 first_of(const void *ghost) { return ((const Ckpt__Ghost *)ghost)->memory; }

/* O_TMPFILE stands in the flags of whom it was made by: that one cannot be opened another time. */
static int find_members(struct making *m)
{
	int r = same_inode_index(m->graph, &kind_ghost, first_of) < 0 ? fail_memory() : 0;
	for (u32 file = m->o->id; r == 0 && file; file = same_inode_next(m->graph, &kind_ghost, file)) {
		if (m->ghost->tmpfile && !m->own_is && file_flags(m->graph, file) & TMPFILE_FLAG)
			m->own_is = file;
		else
			r = opened_add(&m->others, m->plan, file,
				       file_reopen_flags(m->graph, file) | file_async(m->graph, file));
	}
	return r;
}

static struct plan_step *make_file(struct plan *plan, struct place at, struct arg name, void *with _unused_)
{
	return plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), name, ARG(O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC),
			 ARG(0600));
}

static void use_file(struct plan *plan, struct place at, struct arg name, void *with)
{
	opened_plan(&((struct making *)with)->others, plan, at, name);
}

static struct plan_step *make_directory(struct plan *plan, struct place at, struct arg name, void *with _unused_)
{
	return plan_call(plan, at, SYS_mkdirat, ARG(AT_FDCWD), name, ARG(0700));
}

static void use_directory(struct plan *plan, struct place at, struct arg name, void *with)
{
	struct plan_step *own =
		plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), name, ARG(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	const struct making *m = with;
	const struct opened *o = m->others.list.v;
	step_any(own);
	step_into(own, m->own);
	opened_plan(&m->others, plan, at, name);
	for (size_t i = 0; i < m->others.list.n; i++) { /* one that is removed takes no position that its entries had */
		const Ckpt__File *f = graph_data(m->graph, &kind_file, o[i].file);
		if (f && f->pos)
			step_any(plan_call(plan, at, SYS_lseek, ARG_OF_SLOT(o[i].slot), ARG(f->pos), ARG(SEEK_SET)));
	}
}

static struct plan_step *open_tmpfile(struct making *m, struct place at, struct arg dir)
{
	u32 flags = m->own_is
			    ? (file_reopen_flags(m->graph, m->own_is) & ~FILE_SETTABLE_FLAGS) | file_async(m->graph, m->own_is)
			    : O_RDWR | O_CLOEXEC;
	return plan_call(m->plan, at, SYS_openat, ARG(AT_FDCWD), dir, ARG(flags | O_TMPFILE), ARG(0600));
}

static void use_lost_directory(struct plan *plan _unused_, struct place at, struct arg name, void *with)
{
	struct plan_step *open = open_tmpfile(with, at, name);
	step_any(open);
	step_into(open, ((struct making *)with)->own);
}

static void plan_tmpfile(struct making *m)
{
	if (m->ghost->lost) {
		plan_nameless(m->plan, &(struct nameless){ .path = m->ghost->path,
							   .lost = m->ghost->lost - 1,
							   .remove_flags = AT_REMOVEDIR,
							   .make = make_directory,
							   .use = use_lost_directory,
							   .with = m });
		plan_check(m->plan, CREATE, m->own);
	} else {
		step_into(open_tmpfile(m, CREATE, arg_string(m->plan, m->ghost->path)), m->own);
	}
}

static struct plan_step *make_device(struct plan *plan, struct place at, struct arg name, void *with)
{
	return plan_call(plan, at, SYS_mknodat, ARG(AT_FDCWD), name, ARG(S_IFCHR | 0600),
			 ARG(((struct making *)with)->ghost->rdev));
}

static void use_device(struct plan *plan, struct place at, struct arg name, void *with)
{
	struct plan_step *own = plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), name, ARG(O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
	step_any(own);
	step_into(own, ((struct making *)with)->own);
	opened_plan(&((struct making *)with)->others, plan, at, name);
}

static void plan_device(struct making *m)
{
	plan_nameless(
		m->plan,
		&(struct nameless){
			.path = m->ghost->path, .lost = m->ghost->lost, .make = make_device, .use = use_device, .with = m });
	plan_check(m->plan, CREATE, m->own);
}

static struct plan_step *make_link(struct plan *plan, struct place at, struct arg name, void *with)
{
	return plan_call(plan, at, SYS_linkat, ARG_OF_SLOT(((struct making *)with)->own), arg_string(plan, ""), ARG(AT_FDCWD),
			 name, ARG(AT_EMPTY_PATH));
}

/* The file is there. open_by_handle_at(2) wants any file of its file system. */
static void plan_linked(struct making *m)
{
	char dir[4096];
	struct linked_handle handle;
	if (!handle_of(m->ghost, &handle))
		return;
	nameless_dir(m->ghost->path, m->ghost->lost, dir);
	u32 there = step_result(m->plan, plan_call(m->plan, CREATE, SYS_openat, ARG(AT_FDCWD), arg_string(m->plan, dir),
						   ARG(O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
	struct arg data = ARG_OF_DATA(plan_data(m->plan, &handle, sizeof handle.head + m->ghost->handle.len, 8));
	step_into(plan_call(m->plan, CREATE, SYS_open_by_handle_at, ARG_OF_SLOT(there), data, ARG(O_PATH | O_CLOEXEC)), m->own);
	plan_call(m->plan, CREATE, SYS_close, ARG_OF_SLOT(there));
	plan_nameless(m->plan,
		      &(struct nameless){
			      .path = m->ghost->path, .lost = m->ghost->lost, .make = make_link, .use = use_file, .with = m });
}

static void plan_named(struct making *m)
{
	bool directory = is_directory(m->ghost);
	u32 made = plan_nameless(m->plan, &(struct nameless){ .path = m->ghost->path,
							      .lost = m->ghost->lost,
							      .remove_flags = directory ? AT_REMOVEDIR : 0,
							      .make = directory ? make_directory : make_file,
							      .use = directory ? use_directory : use_file,
							      .with = m });
	if (directory)
		plan_check(m->plan, CREATE, m->own);
	else
		m->own = made;
}

static void plan_contents(const struct making *m)
{
	struct plan *plan = m->plan;
	const struct object *pages = graph_find(m->graph, &kind_memory, m->o->id);
	for (u32 i = 0; pages && i < pages->count; i++) {
		const struct page_run *run = (const struct page_run *)pages->data + i;
		plan_call(plan, CREATE, SYS_lseek, ARG_OF_SLOT(m->own), ARG(run->start), ARG(SEEK_SET));
		for (u64 done = 0; done < run->len;) {
			u64 part = MIN(run->len - done, 1ull << 30), offset = run->offset + done;
			step_expect(plan_call(plan, CREATE, SYS_sendfile, ARG_OF_SLOT(m->own), ARG(plan_fd(plan, PLAN_PAGES)),
					      ARG_OF_DATA(plan_data(plan, &offset, sizeof offset, 8)), ARG(part)),
				    (s64)part);
			done += part;
		}
	}
	if (!strcmp(m->ghost->type, "regular"))
		plan_call(plan, CREATE, SYS_ftruncate, ARG_OF_SLOT(m->own), ARG(m->ghost->size));
}

/* Also of times before 1970. */
static struct timespec timespec_of(s64 ns)
{
	s64 fraction = (ns % SECOND + SECOND) % SECOND;
	return (struct timespec){ (ns - fraction) / SECOND, fraction };
}

static void plan_attributes(const struct making *m)
{
	struct plan *plan = m->plan;
	const Ckpt__Ghost *g = m->ghost;
	plan_call(plan, CREATE, SYS_fchown, ARG_OF_SLOT(m->own), ARG(g->uid), ARG(g->gid));
	plan_call(plan, CREATE, SYS_fchmod, ARG_OF_SLOT(m->own), ARG(g->mode));
	for (size_t i = 0; i < g->n_xattr; i++) {
		u32 value = plan_data(plan, g->xattr[i]->value.data, g->xattr[i]->value.len, 8);
		plan_call(plan, CREATE, SYS_fsetxattr, ARG_OF_SLOT(m->own), arg_string(plan, g->xattr[i]->name),
			  ARG_OF_DATA(value), ARG(g->xattr[i]->value.len), ARG(0));
	}
	if (!g->has_mtime)
		return;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, timespec_of(g->mtime) };
	if (g->has_atime)
		times[0] = timespec_of(g->atime);
	plan_call(plan, CREATE, SYS_utimensat, ARG_OF_SLOT(m->own), ARG(0),
		  ARG_OF_DATA(plan_data(plan, times, sizeof times, 8)), ARG(0));
}

/* What was opened by name takes its place; what has none is opened by the own descriptor. */
static void place_members(struct making *m)
{
	const struct opened *o = m->others.list.v;
	if (!m->ghost->tmpfile)
		opened_place(&m->others, m->plan);
	for (size_t i = 0; i < m->others.list.n; i++) {
		if (m->ghost->tmpfile)
			plan_reopen(m->plan, m->own, NULL, o[i].file, o[i].flags, file_flags(m->graph, o[i].file));
		if (!is_directory(m->ghost))
			plan_position(m->plan, m->graph, o[i].file);
	}
}

static bool ghost_apart(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

static int ghost_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	struct making m = { .plan = plan, .graph = graph, .o = o, .ghost = o->data };
	if (m.ghost->memory != o->id)
		return 0;
	m.own = nameless_slot(plan);
	int r = find_members(&m);
	if (m.ghost->has_handle)
		plan_linked(&m);
	else if (m.ghost->tmpfile)
		plan_tmpfile(&m);
	else if (is_device(m.ghost))
		plan_device(&m);
	else
		plan_named(&m);
	if (!m.ghost->has_handle)
		plan_contents(&m);
	place_members(&m);
	if (!m.ghost->has_handle)
		plan_attributes(&m);
	if (m.own_is) {
		plan_place_fd(plan, m.own, m.own_is);
		plan_status_flags(plan, CREATE, m.own_is, file_flags(graph, m.own_is), 0);
		plan_position(plan, graph, m.own_is);
	} else {
		plan_call(plan, CREATE, SYS_close, ARG_OF_SLOT(m.own));
	}
	vector_free(&m.others.list);
	return r;
}

const struct resource resource_ghost = {
	.name = "ghost",
	.scope = SCOPE_FILE,
	.kind = &kind_ghost,
	.claims = ghost_claims,
	.collect = ghost_collect,
	.judge = ghost_judge,
	.apart = ghost_apart,
	.plan = ghost_plan,
};
