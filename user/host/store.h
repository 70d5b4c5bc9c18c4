/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is kept from one run to the next: bytes under a key, in files below /var/cache/ckpt that only this user can have written.
 * All functions report nothing; a store that cannot be had costs only time. */
#pragma once
#include "base/text.h"

#define STORE_KEY_MAX 128
/* "NAME-BUILDID-HASH-VERSION": what was made of an object with this hash for the running kernel. -ENOENT: the kernel does not tell its
 * build-id. */
int store_key(char key[STORE_KEY_MAX], const char *name, u64 hash, u32 version);
/* Appends what was written under a key. -ENOENT: nothing; -EACCES: another user could have changed it; -EBADMSG: it is damaged. */
int store_read(const char *key, struct text *ret);
/* Whoever reads meanwhile gets the old bytes or the new ones. */
int store_write(const char *key, const void *data, size_t len);
