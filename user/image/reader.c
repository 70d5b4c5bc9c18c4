// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns an image while it is read: nothing of it is believed before it was checked. */
#include "image/reader.h"
#include "base/file.h"
#include "diag/diag.h"
#include "image/trust.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <xxhash.h>

/* What one image_read may bring into memory. */
#define READ_MAX (4ull << 30)
/* Files that are kept open from the start. */
#define KEPT_OPEN 16

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
	struct stat st = { 0 };
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
	int r = image->fd[i];
	if (r == FD_CLOSED) {
		r = open_entry(image, image->manifest->file[i]);
		image->fd[i] = r < 0 ? FD_FAILED : r;
	}
	pthread_mutex_unlock(&image->lock);
	return r == FD_FAILED ? -EBADMSG : r;
}

static int read_manifest(struct image *image)
{
	WORKING_ON_IMAGE_FILE(image, MANIFEST_NAME);
	struct stat st = { 0 };
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

/* A few stay open, the others are opened again when asked for. */
int image_check_files(struct image *image)
{
	int result = 0;
	for (size_t i = 0; i < image->manifest->n_file; i++) {
		int fd = image_fd(image, i);
		if (fd < 0)
			result = result ? result : fd;
		else if (i >= KEPT_OPEN) {
			close(fd);
			image->fd[i] = FD_CLOSED;
		}
	}
	return result;
}

static int open_dir(struct image *image)
{
	WORKING_ON("image %s", image->path);
	image->dir = trust_open_dir(image->path, image->trust);
	return image->dir < 0 ? image->dir : 0;
}

static int open_manifest(struct image *image)
{
	int r = open_dir(image);
	if (r == 0)
		r = read_manifest(image);
	if (r < 0)
		return r;
	size_t count = image->manifest->n_file;
	image->fd = malloc((count + 1) * sizeof *image->fd);
	if (!image->fd)
		return fail_memory();
	for (size_t i = 0; i < count; i++) {
		image->fd[i] = FD_CLOSED;
		image->bytes += image->manifest->file[i]->size;
	}
	return 0;
}

static int open_image(struct image **ret, const char *dir, bool trust, bool files)
{
	_cleanup_image_ struct image *image = calloc(1, sizeof *image);
	if (!image || !(image->path = strdup(dir))) {
		free(take_ptr(image));
		return fail_memory();
	}
	image->dir = -1;
	image->trust = trust;
	pthread_mutex_init(&image->lock, NULL);
	int r = open_manifest(image);
	if (r == 0 && files)
		r = image_check_files(image);
	if (r < 0)
		return r;
	*ret = take_ptr(image);
	return 0;
}

int image_open(struct image **ret, const char *dir, bool trust) { return open_image(ret, dir, trust, true); }

int image_open_to_verify(struct image **ret, const char *dir) { return open_image(ret, dir, true, false); }

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

const char *image_file_at(const struct image *image, size_t place, u64 *ret_size)
{
	if (place >= image->manifest->n_file)
		return NULL;
	*ret_size = image->manifest->file[place]->size;
	return image->manifest->file[place]->name;
}

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

static void free_state(XXH3_state_t **state) { XXH3_freeState(*state); }

/* The checksum of one chunk, read in steps that fit into the processor's cache. */
static int hash_chunk(int fd, u64 offset, size_t len, XXH3_state_t *state, void *buffer, struct image_hash *ret)
{
	XXH3_128bits_reset(state);
	for (size_t done = 0; done < len;) {
		size_t step = MIN(len - done, (size_t)IMAGE_STEP);
		int r = file_pread_full(fd, buffer, step, (off_t)(offset + done));
		if (r < 0)
			return r;
		XXH3_128bits_update(state, buffer, step);
		done += step;
	}
	XXH128_hash_t hash = XXH3_128bits_digest(state);
	*ret = (struct image_hash){ hash.low64, hash.high64 };
	return 0;
}

#define MAPPED_MIN (4u << 20) /* a shorter file is read */
#define WINDOW_CHUNKS 64u     /* each that goes interrupts the processors on which the other threads check theirs */

/* Some chunks of a file where they lie in the page cache: copying them costs as much as their checksums. */
struct window {
	u8 *at; /* NULL: none */
	u64 first, count;
};

/* The image was cut short while it was looked at, or its device gave nothing: nothing can be said about what is left, and what was
 * being made ends with ckpt. */
static void on_cut(int signal _unused_)
{
	static const char text[] =
		"error: cannot read the image [IMAGE_READ]\n"
		"  why:   a file of it became shorter while it was read, or its device could not read it\n"
		"  do:    keep others from changing the image meanwhile; look for errors of the device in the kernel's log\n"
		"  result: not done; what had been made is ended\n";
	ssize_t ignored _unused_ = write(STDERR_FILENO, text, sizeof text - 1);
	_exit(EXIT_IMAGE);
}

static void window_close(struct window *w)
{
	if (w->at)
		munmap(w->at, w->count * IMAGE_CHUNK);
	w->at = NULL;
}

/* False where the file cannot be mapped. Nothing is populated: MADV_POPULATE_READ looks at each page of the page cache by itself
 * (mm/gup.c, faultin_page_range()), which takes as long as the checksums; a fault maps sixteen. */
static bool window_move(struct window *w, int fd, u64 chunk, u64 size)
{
	if (w->at && chunk - w->first < w->count)
		return true;
	window_close(w);
	u64 whole = size / IMAGE_CHUNK;
	if (size < MAPPED_MIN || chunk >= whole)
		return false;
	u64 count = MIN(whole - chunk, (u64)WINDOW_CHUNKS);
	void *at = mmap(NULL, count * IMAGE_CHUNK, PROT_READ, MAP_SHARED, fd, (off_t)(chunk * IMAGE_CHUNK));
	*w = (struct window){ at == MAP_FAILED ? NULL : at, chunk, count };
	return w->at;
}

/* The checksum of one chunk. */
static int check_chunk(int fd, u64 size, u64 c, struct window *w, XXH3_state_t *state, void *buffer, struct image_hash *ret)
{
	if (!window_move(w, fd, c, size))
		return hash_chunk(fd, c * IMAGE_CHUNK, image_chunk_len(size, c), state, buffer, ret);
	*ret = image_hash(w->at + (c - w->first) * IMAGE_CHUNK, IMAGE_CHUNK);
	return 0;
}

int image_check_chunks(struct image *image, size_t i, u64 first, u64 count, void *buffer)
{
	const Ckpt__ManifestFile *file = image->manifest->file[i];
	u64 end = MIN(image_chunks(file->size), first + count), bad = 0;
	int fd = image_fd(image, i), result = 0;
	if (fd < 0)
		return fd;
	WORKING_ON_IMAGE_FILE(image, file->name);
	_cleanup_(window_close) struct window window = { 0 };
	_cleanup_(free_state) XXH3_state_t *state = XXH3_createState();
	if (!state)
		return fail_memory();
	signal(SIGBUS, on_cut);
	for (u64 c = first; c < end; c++) {
		struct image_hash found;
		int r = check_chunk(fd, file->size, c, &window, state, buffer, &found);
		if (r < 0)
			return fail(IMAGE_READ, r, "at offset %llu", (unsigned long long)(c * IMAGE_CHUNK));
		if (memcmp(&found, &manifest_hashes(file)[c], sizeof found))
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
