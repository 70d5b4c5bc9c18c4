/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of this boot, for this user with these rights. Private to user/host. */
#pragma once
#include "host/probe.h"

struct cache_key {
	u64 low, high;
};
/* What the answers depend on: boot, kernel, user, effective capabilities, user namespace, seccomp mode, LSM label, and this
 * table of capabilities. */
int cache_key(struct cache_key *ret, const struct host *);
/* The hash of a key's text: the same text, the same key. */
struct cache_key cache_key_of(const struct text *);
/* Fills what is known of every row; a negative errno, and nothing filled, when there is no file that can be trusted. */
int cache_read(const struct cache_key *, struct known known[CAN_COUNT]);
/* Writes it atomically; a failure costs only time. */
int cache_write(const struct cache_key *, const struct known known[CAN_COUNT]);
/* The same below a directory of the caller's choice. */
int cache_read_at(int dir, const struct cache_key *, struct known known[CAN_COUNT]);
int cache_write_at(int dir, const struct cache_key *, const struct known known[CAN_COUNT]);
