/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash map from a 64-bit key to a 32-bit value that is not 0. */
#pragma once
#include "base/base.h"

struct map_entry {
	u64 key;
	u32 value; /* 0: free */
};
struct map {
	struct map_entry *v;
	u32 n, room;
};

/* The value of the key, 0 when there is none. */
u32 map_get(const struct map *, u64 key);
/* Sets the key's value; -ENOMEM. */
int map_set(struct map *, u64 key, u32 value);
void map_free(struct map *);
/* Mixes two keys into one (the finaliser of MurmurHash3, public domain). */
u64 map_mix(u64 a, u64 b);
