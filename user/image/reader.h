/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An opened image, as the files of user/image/ see it. */
#pragma once
#include "image/manifest.h"
#include <pthread.h>

struct image {
	char *path; /* for people */
	int dir;
	bool trust;
	Ckpt__Manifest *manifest;
	u64 bytes;
	pthread_mutex_t lock; /* guards the opening of files */
	int *fd;              /* per file of the manifest, -1: not opened yet */
};

#define WORKING_ON_IMAGE_FILE(image, name) WORKING_ON("file %s of image %s", name, (image)->path)

/* Index of a file in the manifest, or -ENOENT without a diagnostic. */
ssize_t image_index(const struct image *, const char *name);
/* The descriptor of file i, opened and checked at the first call, from any thread; reports failures. */
int image_fd(struct image *, size_t i);
/* Checks chunks [first, first+count) of file i; buffer has room for IMAGE_CHUNK bytes. Goes on after damage. */
int image_check_chunks(struct image *, size_t i, u64 first, u64 count, void *buffer);
