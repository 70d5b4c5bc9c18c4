// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns an image while it is written: its directory, its files, their checksums, and the commit. */
#include "base/vector.h"
#include "diag/diag.h"
#include "base/file.h"
#include "base/parallel.h"
#include "image/manifest.h"
#include "image/replace.h"
#include "image/trust.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#define SYNC_THREADS 8

struct written {
	char name[IMAGE_NAME_MAX + 1];
	u64 size;
	int fd; /* -1: closed, complete */
	struct image_hash *hash;
	u64 hashed; /* chunks whose hash was given */
};

struct image_writer {
	char *path; /* for people */
	char name[NAME_MAX + 1];
	int parent, dir;
	bool made_dir;
	char replaced[NAME_MAX + 1]; /* the name that it gets at the commit, which another image has; "": it has its own */
	mode_t mode_before;          /* of a directory that was there, 0: not changed */
	int manifest;                /* -1: not ours yet */
	const char *manifest_name;
	bool committed;
	VECTOR(struct written) files;
};

#define WORKING_ON_IMAGE(w) WORKING_ON("image %s", (w)->path)

/* Splits off the last component; "." stands for a path that has none of its own. */
static int split(const char *path, char above[PATH_MAX], char name[NAME_MAX + 1])
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	size_t base = len;
	while (base > 0 && path[base - 1] != '/')
		base--;
	if (len - base > NAME_MAX || base >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(above, PATH_MAX, "%.*s", base ? (int)base : 1, base ? path : ".");
	snprintf(name, NAME_MAX + 1, "%.*s", len > base ? (int)(len - base) : 1, len > base ? path + base : ".");
	return len ? 0 : -ENOENT;
}

int image_open_above(const char *dir)
{
	char above[PATH_MAX], name[NAME_MAX + 1];
	int r = split(dir, above, name);
	if (r < 0)
		return r;
	int fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? neg_errno() : fd;
}

static int open_parent(struct image_writer *w, int opened, const char *path)
{
	char above[PATH_MAX];
	int r = split(path, above, w->name);
	if (r < 0)
		return r;
	w->parent = opened < 0 ? image_open_above(path) : fcntl(opened, F_DUPFD_CLOEXEC, 3);
	return w->parent < 0 ? (opened < 0 ? w->parent : neg_errno()) : 0;
}

static int refuse_contents(struct image_writer *w)
{
	struct stat st;
	if (fstatat(w->dir, MANIFEST_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(IMAGE_EXISTS, -EEXIST, "%s/" MANIFEST_NAME, w->path);
	if (fstatat(w->dir, MANIFEST_UNFINISHED, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(IMAGE_DIR, -EEXIST, "another dump is writing to it, or was interrupted and left its files");
	int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries) {
		int r = fail(IMAGE_DIR, neg_errno(), "its entries cannot be read");
		closep(&fd);
		return r;
	}
	int r = 0, err = 0;
	for (struct dirent *e; r == 0 && (e = file_next(entries, &err));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lost+found"))
			r = fail(IMAGE_DIR, -ENOTEMPTY, "it is not empty: it holds \"%s\"", e->d_name);
	closedir(entries);
	return err < 0 ? fail(IMAGE_DIR, err, "its entries cannot be read") : r;
}

/* A directory that was there is made private when it is ours; another user's is taken with a warning. */
static int take_dir(struct image_writer *w)
{
	int r = refuse_contents(w);
	struct stat st;
	if (r < 0)
		return r;
	if (fstat(w->dir, &st) < 0)
		return fail(IMAGE_DIR, neg_errno(), "fstat");
	if (st.st_uid == geteuid() && (st.st_mode & 077) && !(st.st_mode & S_ISVTX) && fchmod(w->dir, 0700) == 0)
		w->mode_before = st.st_mode & 07777;
	char why[80];
	if (!w->mode_before && !trust_stat(&st, why, sizeof why))
		(void)warn(IMAGE_UNTRUSTED, 0, "the directory %s", why);
	return 0;
}

/* The directory is made beside the one whose place it takes. */
static int open_beside(struct image_writer *w)
{
	snprintf(w->replaced, sizeof w->replaced, "%s", w->name);
	w->dir = replace_begin(w->parent, w->replaced, w->name, sizeof w->name);
	w->made_dir = w->dir >= 0;
	if (w->dir == -EWOULDBLOCK)
		return fail(IMAGE_DIR, w->dir, "another dump is replacing the image");
	return w->dir < 0 ? fail(IMAGE_DIR, w->dir, "the directory beside it") : 0;
}

static int open_dir(struct image_writer *w, bool replace)
{
	if (replace && replace_wanted(w->parent, w->name))
		return open_beside(w);
	w->made_dir = mkdirat(w->parent, w->name, 0700) == 0;
	if (!w->made_dir && errno != EEXIST)
		return fail(IMAGE_DIR, neg_errno(), "mkdir");
	w->dir = openat(w->parent, w->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->dir < 0)
		return fail(IMAGE_DIR, neg_errno(), errno == ELOOP || errno == ENOTDIR ? "it is not a directory" : "open");
	return w->made_dir ? 0 : take_dir(w);
}

static int create_file(struct image_writer *w, const char *name)
{
	int fd = openat(w->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? neg_errno() : fd;
}

/* The unfinished manifest comes first: it marks the directory as taken. */
static int create(struct image_writer *w, int above, const char *path, bool replace)
{
	WORKING_ON_IMAGE(w);
	int r = open_parent(w, above, path);
	if (r < 0)
		return fail(IMAGE_DIR, r, "the directory above it");
	r = open_dir(w, replace);
	if (r < 0)
		return r;
	w->manifest = create_file(w, MANIFEST_UNFINISHED);
	return w->manifest < 0 ? fail(IMAGE_DIR, w->manifest, "a file in it cannot be made") : 0;
}

int image_create_below(struct image_writer **ret, int above, const char *path, bool replace)
{
	_cleanup_image_writer_ struct image_writer *w = calloc(1, sizeof *w);
	if (!w || !(w->path = strdup(path))) {
		free(take_ptr(w));
		return fail_memory();
	}
	w->parent = w->dir = w->manifest = -1;
	w->manifest_name = MANIFEST_UNFINISHED;
	int r = create(w, above, path, replace);
	if (r < 0)
		return r;
	*ret = take_ptr(w);
	return 0;
}

int image_create(struct image_writer **ret, const char *path) { return image_create_below(ret, -1, path, false); }

bool image_on_disk(const struct image_writer *w)
{
	struct statfs fs;
	return fstatfs(w->dir, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC;
}

static struct written *find(struct image_writer *w, const char *name)
{
	for (size_t i = 0; i < w->files.n; i++)
		if (!strcmp(w->files.v[i].name, name))
			return &w->files.v[i];
	return NULL;
}

/* The place of a new, open file among the writer's. */
static ssize_t add(struct image_writer *w, const char *name, u64 size)
{
	if (!manifest_name_ok(name) || size > INT64_MAX)
		return fail(IMAGE_WRITE, -EINVAL, "file \"%s\"", name);
	_cleanup_free_ struct image_hash *hash = calloc(MAX(image_chunks(size), (u64)1), sizeof *hash);
	_cleanup_close_ int fd = hash ? create_file(w, name) : -ENOMEM;
	if (fd < 0)
		return fail(IMAGE_WRITE, fd, "open of %s", name);
	struct written *file = vector_add(&w->files);
	if (!file) {
		unlinkat(w->dir, name, 0);
		return fail_memory();
	}
	*file = (struct written){ .size = size, .fd = take_fd(&fd), .hash = take_ptr(hash) };
	snprintf(file->name, sizeof file->name, "%s", name);
	return (ssize_t)w->files.n - 1;
}

#define RESERVE_MIN (4u << 20)

/* A file system that has blocks for all of a file need not find them one by one while a thread that writes keeps the others from the
 * file: ext4 writes in two thirds of the time. False: it has not been done, and the writes will tell what is in the way. */
static bool reserve(const struct image_writer *w, int fd, u64 size)
{
	return size >= RESERVE_MIN && image_on_disk(w) && fallocate(fd, 0, 0, (off_t)size) == 0;
}

int image_file(struct image_writer *w, const char *name, u64 size, int *ret_fd)
{
	WORKING_ON_IMAGE(w);
	ssize_t place = add(w, name, size);
	if (place < 0)
		return (int)place;
	int fd = w->files.v[place].fd;
	if (!reserve(w, fd, size) && size && ftruncate(fd, (off_t)size) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "%s of %llu bytes", name, (unsigned long long)size);
	*ret_fd = fd;
	return 0;
}

void image_set_chunk(struct image_writer *w, const char *name, u64 chunk, struct image_hash hash)
{
	struct written *file = find(w, name);
	if (!file || chunk >= image_chunks(file->size))
		return;
	file->hash[chunk] = hash;
	__atomic_fetch_add(&file->hashed, 1, __ATOMIC_RELAXED);
}

int image_write(struct image_writer *w, const char *name, const void *data, size_t len)
{
	WORKING_ON_IMAGE(w);
	ssize_t place = add(w, name, len);
	if (place < 0)
		return (int)place;
	struct written *file = &w->files.v[place];
	int r = file_write_full(file->fd, data, len);
	if (r < 0)
		return fail(IMAGE_WRITE, r, "%s, %zu bytes", name, len);
	for (u64 i = 0; i < image_chunks(len); i++)
		file->hash[i] = image_hash((const u8 *)data + i * IMAGE_CHUNK, image_chunk_len(len, i));
	file->hashed = image_chunks(len);
	int fd = take_fd(&file->fd);
	return close(fd) < 0 ? fail(IMAGE_WRITE, neg_errno(), "close of %s", name) : 0;
}

/* What is still to be synced: files first, then the manifest, the directory, and the one above. */
struct sync {
	struct image_writer *w;
	size_t next;
};

static int sync_file(const struct image_writer *w, const struct written *file)
{
	_cleanup_close_ int fd = openat(w->dir, file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fdatasync(fd) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "fdatasync of %s", file->name);
	return 0;
}

/* The directory above need not be readable; then our entry in it is as durable as the file system makes it. */
static int sync_above(const struct image_writer *w)
{
	_cleanup_close_ int above = w->made_dir ? openat(w->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (above >= 0 && fsync(above) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "fsync of the directory above");
	return 0;
}

static int sync_item(const struct image_writer *w, size_t item)
{
	if (item < w->files.n)
		return sync_file(w, &w->files.v[item]);
	if (item == w->files.n + 2)
		return sync_above(w);
	if (fsync(item == w->files.n ? w->manifest : w->dir) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "fsync of the %s", item == w->files.n ? "manifest" : "directory");
	return 0;
}

static int sync_items(void *arg)
{
	struct sync *s = arg;
	WORKING_ON_IMAGE(s->w);
	int r = 0;
	for (size_t i; r == 0 && (i = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED)) < s->w->files.n + 3;)
		r = sync_item(s->w, i);
	return r;
}

/* At once on several threads, so that one commit of the file system's journal serves them all. */
static int sync_all(struct image_writer *w)
{
	struct sync s = { .w = w };
	return parallel_run((unsigned)MIN(w->files.n + 3, (size_t)SYNC_THREADS), sync_items, &s);
}

static int pack(struct image_writer *w, struct text *out)
{
	_cleanup_free_ Ckpt__ManifestFile *entry = calloc(w->files.n + 1, sizeof *entry);
	_cleanup_free_ Ckpt__ManifestFile **order = calloc(w->files.n + 1, sizeof *order);
	if (!entry || !order)
		return fail_memory();
	for (size_t i = 0; i < w->files.n; i++) {
		struct written *file = &w->files.v[i];
		u64 chunks = image_chunks(file->size);
		if (file->hashed != chunks)
			return fail(IMAGE_WRITE, -EINVAL, "%s has %llu checksums for %llu chunks", file->name,
				    (unsigned long long)file->hashed, (unsigned long long)chunks);
		ckpt__manifest_file__init(&entry[i]);
		entry[i].name = file->name;
		SET(&entry[i], size, file->size);
		entry[i].has_chunk = chunks > 0;
		entry[i].chunk = (ProtobufCBinaryData){ chunks * sizeof *file->hash, (u8 *)file->hash };
		order[i] = &entry[i];
	}
	return manifest_pack(out, order, w->files.n) < 0 ? fail_memory() : 0;
}

int image_commit(struct image_writer *w, bool durable)
{
	WORKING_ON_IMAGE(w);
	_cleanup_text_ struct text bytes = { 0 };
	int r = pack(w, &bytes);
	if (r < 0)
		return r;
	r = file_write_full(w->manifest, bytes.data, bytes.len);
	if (r < 0)
		return fail(IMAGE_WRITE, r, "the manifest, %zu bytes", bytes.len);
	r = durable ? sync_all(w) : 0;
	if (r < 0)
		return r;
	if (renameat(w->dir, MANIFEST_UNFINISHED, w->dir, MANIFEST_NAME) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "rename of the manifest");
	w->manifest_name = MANIFEST_NAME;
	if (durable && fsync(w->dir) < 0)
		return fail(IMAGE_WRITE, neg_errno(), "fsync of the directory");
	r = *w->replaced ? replace_finish(w->parent, w->name, w->replaced) : 0;
	if (r < 0)
		return fail(IMAGE_WRITE, r, "the exchange with the image that was there");
	w->committed = true;
	return *w->replaced && durable ? sync_above(w) : 0;
}

/* The manifest goes first: at no time may it name a file that is gone. */
static void remove_made(struct image_writer *w)
{
	if (w->manifest >= 0)
		unlinkat(w->dir, w->manifest_name, 0);
	for (size_t i = 0; i < w->files.n; i++)
		unlinkat(w->dir, w->files.v[i].name, 0);
	if (w->mode_before)
		fchmod(w->dir, w->mode_before);
	if (w->made_dir)
		unlinkat(w->parent, w->name, AT_REMOVEDIR);
}

void image_writer_free(struct image_writer *w)
{
	if (!w)
		return;
	if (!w->committed)
		remove_made(w);
	for (size_t i = 0; i < w->files.n; i++) {
		closep(&w->files.v[i].fd);
		free(w->files.v[i].hash);
	}
	vector_free(&w->files);
	closep(&w->manifest);
	closep(&w->dir);
	closep(&w->parent);
	free(w->path);
	free(w);
}
