// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns an image while it is read: nothing of it is believed before it was checked. */
#include "image/reader.h"
#include "base/file.h"
#include "diag/diag.h"
#include "image/trust.h"
#include <fcntl.h>

/* What one image_read may bring into memory. */
#define READ_MAX (4ull << 30)

/* A regular file that only root and we can write; O_NONBLOCK so that a FIFO in its place cannot hold us. A name is a
 * single component: O_NOFOLLOW is all that keeps it beneath the directory. */
static int open_file(const struct image *image, const char *name, struct stat *ret)
{
	_cleanup_close_ int fd = openat(image->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP))
		return neg_errno();
	if (fd < 0 || fstat(fd, ret) < 0)
		return fail(IMAGE_READ, neg_errno(), "open");
	if (!S_ISREG(ret->st_mode))
		return fail(IMAGE_DAMAGED, -EBADMSG, "it is not a regular file");
	char why[80];
	if (!image->trust && !trust_stat(ret, why, sizeof why))
		return fail(IMAGE_UNTRUSTED, -EPERM, "it %s", why);
	return take_fd(&fd);
}

static int check_size(const Ckpt__ManifestFile *file, u64 found)
{
	if (found == file->size)
		return 0;
	return fail(IMAGE_DAMAGED, -EBADMSG, "it has %llu bytes, the manifest says %llu: %s at offset %llu",
		    (unsigned long long)found, (unsigned long long)file->size, found < file->size ? "it ends" : "more begins",
		    (unsigned long long)MIN(found, (u64)file->size));
}

static int open_entry(const struct image *image, const Ckpt__ManifestFile *file)
{
	WORKING_ON_IMAGE_FILE(image, file->name);
	struct stat st;
	_cleanup_close_ int fd = open_file(image, file->name, &st);
	if (fd == -ENOENT)
		return fail(IMAGE_DAMAGED, -EBADMSG, "the file is missing, all of it from offset 0");
	if (fd == -ELOOP)
		return fail(IMAGE_DAMAGED, -EBADMSG, "it is a symbolic link");
	int r = fd < 0 ? fd : check_size(file, (u64)st.st_size);
	return r < 0 ? r : take_fd(&fd);
}

int image_fd(struct image *image, size_t i)
{
	pthread_mutex_lock(&image->lock);
	if (image->fd[i] < 0)
		image->fd[i] = open_entry(image, image->manifest->file[i]);
	int fd = image->fd[i];
	pthread_mutex_unlock(&image->lock);
	return fd;
}

static int read_manifest(struct image *image)
{
	WORKING_ON_IMAGE_FILE(image, MANIFEST_NAME);
	struct stat st;
	_cleanup_close_ int fd = open_file(image, MANIFEST_NAME, &st);
	if (fd == -ENOENT || fd == -ELOOP)
		return fail(IMAGE_MISSING, fd, "the directory has no manifest");
	if (fd < 0)
		return fd;
	if (st.st_size > MANIFEST_BYTES_MAX)
		return fail(IMAGE_DAMAGED, -EBADMSG, "it has %llu bytes, more than any manifest",
			    (unsigned long long)st.st_size);
	_cleanup_free_ void *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return fail_memory();
	int r = file_pread_full(fd, bytes, (size_t)st.st_size, 0);
	if (r < 0)
		return fail(IMAGE_READ, r, "read of %llu bytes", (unsigned long long)st.st_size);
	image->bytes = (u64)st.st_size;
	return manifest_unpack(&image->manifest, bytes, (size_t)st.st_size);
}

/* Every file is there, ours, and as long as the manifest says; a few stay open, the others are opened when asked for. */
static int check_files(struct image *image)
{
	size_t count = image->manifest->n_file;
	int result = 0;
	image->fd = malloc((count + 1) * sizeof *image->fd);
	if (!image->fd)
		return fail_memory();
	memset(image->fd, 0xff, (count + 1) * sizeof *image->fd);
	for (size_t i = 0; i < count; i++) {
		int fd = image_fd(image, i);
		if (fd < 0)
			result = result ? result : fd;
		else if (i >= 16)
			closep(&image->fd[i]), image->fd[i] = -1;
		image->bytes += image->manifest->file[i]->size;
	}
	return result;
}

static int open_image(struct image *image)
{
	{
		WORKING_ON("image %s", image->path);
		image->dir = trust_open_dir(image->path, image->trust);
		if (image->dir < 0)
			return image->dir;
	}
	int r = read_manifest(image);
	return r < 0 ? r : check_files(image);
}

int image_open(struct image **ret, const char *dir, bool trust)
{
	_cleanup_image_ struct image *image = calloc(1, sizeof *image);
	if (!image || !(image->path = strdup(dir))) {
		free(take_ptr(image));
		return fail_memory();
	}
	image->dir = -1;
	image->trust = trust;
	pthread_mutex_init(&image->lock, NULL);
	int r = open_image(image);
	if (r < 0)
		return r;
	*ret = take_ptr(image);
	return 0;
}

void image_free(struct image *image)
{
	if (!image)
		return;
	for (size_t i = 0; image->fd && i < image->manifest->n_file; i++)
		closep(&image->fd[i]);
	if (image->manifest)
		ckpt__manifest__free_unpacked(image->manifest, NULL);
	free(image->fd);
	closep(&image->dir);
	pthread_mutex_destroy(&image->lock);
	free(image->path);
	free(image);
}

u64 image_bytes(const struct image *image) { return image->bytes; }

ssize_t image_index(const struct image *image, const char *name)
{
	size_t low = 0, high = image->manifest->n_file;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(image->manifest->file[middle]->name, name);
		if (order == 0)
			return (ssize_t)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

static ssize_t need_index(const struct image *image, const char *name)
{
	ssize_t i = image_index(image, name);
	WORKING_ON_IMAGE_FILE(image, name);
	return i < 0 ? fail(IMAGE_DAMAGED, -EBADMSG, "the manifest has no such file") : i;
}

static bool chunk_ok(const Ckpt__ManifestFile *file, u64 chunk, const void *data)
{
	struct image_hash found = image_hash(data, image_chunk_len(file->size, chunk));
	return !memcmp(&found, &manifest_hashes(file)[chunk], sizeof found);
}

static int damaged(const Ckpt__ManifestFile *file, u64 from, u64 to)
{
	return fail(IMAGE_DAMAGED, -EBADMSG, "bytes %llu-%llu do not match their checksums",
		    (unsigned long long)(from * IMAGE_CHUNK), (unsigned long long)MIN(to * IMAGE_CHUNK, (u64)file->size));
}

int image_check_chunks(struct image *image, size_t i, u64 first, u64 count, void *buffer)
{
	const Ckpt__ManifestFile *file = image->manifest->file[i];
	u64 end = MIN(image_chunks(file->size), first + count), bad = 0;
	int fd = image_fd(image, i), result = 0;
	if (fd < 0)
		return fd;
	WORKING_ON_IMAGE_FILE(image, file->name);
	for (u64 c = first; c < end; c++) {
		int r = file_pread_full(fd, buffer, image_chunk_len(file->size, c), (off_t)(c * IMAGE_CHUNK));
		if (r < 0)
			return fail(IMAGE_READ, r, "at offset %llu", (unsigned long long)(c * IMAGE_CHUNK));
		if (!chunk_ok(file, c, buffer))
			bad++;
		else if (bad)
			result = damaged(file, c - bad, c), bad = 0;
	}
	return bad ? damaged(file, end - bad, end) : result;
}

int image_file_fd(struct image *image, const char *name, u64 *ret_size)
{
	ssize_t i = need_index(image, name);
	if (i < 0)
		return (int)i;
	if (ret_size)
		*ret_size = image->manifest->file[i]->size;
	return image_fd(image, (size_t)i);
}

/* Each chunk is checked when it has arrived: damage is met before the rest is read. */
static int read_checked(struct image *image, size_t i, u8 *data)
{
	const Ckpt__ManifestFile *file = image->manifest->file[i];
	int fd = image_fd(image, i);
	if (fd < 0)
		return fd;
	WORKING_ON_IMAGE_FILE(image, file->name);
	for (u64 c = 0; c < image_chunks(file->size); c++) {
		u8 *at = data + c * IMAGE_CHUNK;
		int r = file_pread_full(fd, at, image_chunk_len(file->size, c), (off_t)(c * IMAGE_CHUNK));
		if (r < 0)
			return fail(IMAGE_READ, r, "at offset %llu", (unsigned long long)(c * IMAGE_CHUNK));
		if (!chunk_ok(file, c, at))
			return damaged(file, c, c + 1);
	}
	return 0;
}

int image_read(struct image *image, const char *name, void **ret, size_t *ret_len)
{
	ssize_t i = need_index(image, name);
	if (i < 0)
		return (int)i;
	u64 size = image->manifest->file[i]->size;
	_cleanup_free_ u8 *data = size > READ_MAX ? NULL : malloc(size + 1);
	if (!data)
		return fail(OUT_OF_MEMORY, -ENOMEM, "%s of the image has %llu bytes", name, (unsigned long long)size);
	int r = read_checked(image, (size_t)i, data);
	if (r < 0)
		return r;
	data[size] = 0;
	*ret = take_ptr(data);
	*ret_len = size;
	return 0;
}
