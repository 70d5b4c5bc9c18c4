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
	int *fd;              /* per file of the manifest; FD_CLOSED, FD_FAILED */
};

#define FD_CLOSED (-1)
#define FD_FAILED (-2) /* and reported */

#define WORKING_ON_IMAGE_FILE(image, name) WORKING_ON("file %s of image %s", name, (image)->path)

/* Index of a file in the manifest, or -ENOENT without a diagnostic. */
ssize_t image_index(const struct image *, const char *name);
/* The descriptor of file i, opened and checked at the first call, from any thread; reports a failure once. */
int image_fd(struct image *, size_t i);
/* Every file is there, ours, and as long as the manifest says: 0, or the first failure of several. */
int image_check_files(struct image *);
#define IMAGE_STEP (32u << 10)
/* Checks chunks [first, first+count) of file i; buffer has room for IMAGE_STEP bytes. Goes on after damage. */
int image_check_chunks(struct image *, size_t i, u64 first, u64 count, void *buffer);
