/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of the file `manifest`: a header and a protobuf message. Pure: no files here. */
#pragma once
#include "image/image.h"
#include "manifest.pb-c.h"

#define MANIFEST_NAME "manifest"
#define MANIFEST_UNFINISHED "manifest.new"
#define MANIFEST_BYTES_MAX (1u << 30)
#define IMAGE_NAME_MAX 64

#define MANIFEST_MAGIC "ckpt-img"
/* All numbers are little-endian, as on every machine that ckpt runs on. */
struct manifest_header {
	char magic[8];
	u32 version, reserved; /* version: the image's format */
	u64 length;            /* of the message, which ends the file */
	struct image_hash hash;
};
_Static_assert(sizeof(struct manifest_header) == 40, "the header has no padding");

/* May a file of an image be called so? One path component of harmless characters, and not the manifest's. */
bool manifest_name_ok(const char *name);
static inline u64 image_chunks(u64 size) { return size / IMAGE_CHUNK + (size % IMAGE_CHUNK != 0); }
/* Bytes in one chunk of a file of this size. */
static inline size_t image_chunk_len(u64 size, u64 chunk) { return (size_t)MIN(size - chunk * IMAGE_CHUNK, (u64)IMAGE_CHUNK); }
static inline const struct image_hash *manifest_hashes(const Ckpt__ManifestFile *file)
{
	return (const struct image_hash *)file->chunk.data;
}

/* Appends header and message; sorts the files by name. -ENOMEM. */
int manifest_pack(struct text *, Ckpt__ManifestFile **files, size_t count);
/* Checks everything that can be checked without the files; reports what is wrong and returns -EBADMSG (damaged),
 * -EPROTONOSUPPORT (not ours, or made by a newer ckpt) or -ENOMEM. The message is freed by ckpt__manifest__free_unpacked(m, NULL). */
int manifest_unpack(Ckpt__Manifest **ret, const void *bytes, size_t len);
