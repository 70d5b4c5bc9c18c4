/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image: a directory of files, every byte under a checksum, committed by renaming its manifest into place.
 *   facts      all objects of the model (reflect.h)
 *   pages      memory contents; page runs of the model point into it
 *   manifest   last: files, sizes, xxh3-128 of every 256 KiB chunk, format version, hash of itself
 * An image is untrusted input: whatever is read is checked first. */
#pragma once
#include "model/model.h"

#define IMAGE_CHUNK (256u << 10)
/* Goes up when bytes are to be read otherwise. New kinds and fields need no new format: facts say what their maker could know. */
#define IMAGE_FORMAT 2
#define IMAGE_FORMAT_OLDEST 1 /* that is still read */

struct image_hash {
	u64 low, high;
};

/* --- writing --- */
struct image_writer;
/* Makes the directory (0700) or takes an empty one; refuses one that holds an image. Nothing in it is an image before
 * image_commit(). The writer removes what it made when it is freed uncommitted. */
int image_create(struct image_writer **ret, const char *dir);
/* The same below a directory that was opened before ckpt went to other mounts; -1: now. replace: an image that dir holds is
 * there until the commit, which puts the new one in its place. */
int image_create_below(struct image_writer **ret, int above, const char *dir, bool replace);
/* The directory above an image that is to be made, for image_create_below(): O_PATH, the caller's; negative errno. */
int image_open_above(const char *dir);
/* Does the image lie on a disk? A file system in memory gains nothing from syncing. */
bool image_on_disk(const struct image_writer *);
/* A new file of the image, O_RDWR|O_CLOEXEC, owned by the writer. Chunk hashes are given by image_set_chunk(), from any
 * thread (while no file is added), each chunk once: image_commit() refuses a file that lacks one. */
int image_file(struct image_writer *, const char *name, u64 size, int *ret_fd);
void image_set_chunk(struct image_writer *, const char *name, u64 chunk, struct image_hash);
/* Writes a whole small file. */
int image_write(struct image_writer *, const char *name, const void *data, size_t len);
/* Everything complete: manifest written and renamed into place; durable: data, manifest and directory are synced. */
int image_commit(struct image_writer *, bool durable);
void image_writer_free(struct image_writer *);
static inline void image_writer_freep(struct image_writer **w) { image_writer_free(*w); }
#define _cleanup_image_writer_ _cleanup_(image_writer_freep)
struct image_hash image_hash(const void *data, size_t len);

/* --- reading --- */
struct image;
/* Opens, checks owner and mode of the directory and its path (unless trust), reads and checks the manifest. */
int image_open(struct image **ret, const char *dir, bool trust);
/* The same for an image that is only looked at: its owner does not matter, and of its files only the manifest is checked;
 * image_verify() reports everything that is wrong with the others. */
int image_open_to_verify(struct image **ret, const char *dir);
void image_free(struct image *);
static inline void image_freep(struct image **i) { image_free(*i); }
#define _cleanup_image_ _cleanup_(image_freep)
/* Reads a whole file, checking it; the bytes are the caller's. */
int image_read(struct image *, const char *name, void **ret, size_t *ret_len);
/* The open file (owned by the image) and its size; its contents are not yet checked. */
int image_file_fd(struct image *, const char *name, u64 *ret_size);
/* Checks chunks [first, first+count) of a file against the manifest; reports file and offset of a damaged one. */
int image_verify_chunks(struct image *, const char *name, u64 first, u64 count);
/* Every byte of every file, on several threads; all that is wrong is reported. */
int image_verify(struct image *);
/* Checks a file on threads of its own while the caller does other work; join (once) waits for it, helping, and gives 0, or
 * -EBADMSG with the damage reported. The image must outlive it. */
struct image_verification;
int image_verify_start(struct image_verification **ret, struct image *, const char *name);
int image_verify_join(struct image_verification *);
static inline void image_verify_joinp(struct image_verification **v) { image_verify_join(*v); }
#define _cleanup_image_verification_ _cleanup_(image_verify_joinp)
u64 image_bytes(const struct image *);
/* The name of the file at this place in the manifest (ascending names), NULL after the last. */
const char *image_file_at(const struct image *, size_t place, u64 *ret_size);
/* The model of an image: facts read, checked, unpacked. */
int image_load(struct image *, const struct kind *const *kinds, struct graph *ret);
