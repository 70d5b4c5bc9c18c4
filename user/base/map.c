// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the hash map: open addressing, at most half full. */
#include "base/map.h"

u64 map_mix(u64 a, u64 b)
{
	u64 x = a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2));
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static struct map_entry *map_place(const struct map *map, u64 key)
{
	for (u32 i = (u32)map_mix(key, 0) & (map->room - 1);; i = (i + 1) & (map->room - 1))
		if (!map->v[i].value || map->v[i].key == key)
			return &map->v[i];
}

u32 map_get(const struct map *map, u64 key) { return map->room ? map_place(map, key)->value : 0; }

int map_set(struct map *map, u64 key, u32 value)
{
	if (map->n * 2 >= map->room) {
		struct map grown = { .room = MAX(map->room * 2, 64u) };
		grown.v = calloc(grown.room, sizeof *grown.v);
		if (!grown.v)
			return -ENOMEM;
		for (u32 i = 0; i < map->room; i++)
			if (map->v[i].value) {
				*map_place(&grown, map->v[i].key) = map->v[i];
				grown.n++;
			}
		free(map->v);
		*map = grown;
	}
	struct map_entry *e = map_place(map, key);
	map->n += !e->value;
	*e = (struct map_entry){ key, value };
	return 0;
}

void map_free(struct map *map)
{
	free(map->v);
	*map = (struct map){ 0 };
}
