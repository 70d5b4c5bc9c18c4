/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which open files are of one inode, for kinds whose objects name the first of them: a tree may have very many inodes, so each is found
 * by a key. Inline, since resources do not use each other. */
#pragma once
#include "base/map.h"
#include "model/model.h"

enum same_inode { SAME_FIRST = 0x53414d45, SAME_NEXT, SAME_LAST, SAME_KNOWN };

static inline u64 same_inode_key(const struct kind *kind, enum same_inode what, u64 a, u64 b)
{
	return map_mix(map_mix(map_mix((uintptr_t)kind, what), a), b);
}

/* While files are collected: the first one of the inode, which may be `mine`. -ENOMEM. */
static inline int same_inode_first(const struct graph *graph, const struct kind *kind, u64 device, u64 inode, u32 mine,
				   u32 *ret)
{
	u64 key = same_inode_key(kind, SAME_FIRST, device, inode);
	*ret = graph_recall(graph, key) ?: mine;
	return *ret == mine ? graph_remember(graph, key, mine) : 0;
}

/* When all are there, before same_inode_next(); first_of: what a message says. -ENOMEM. */
static inline int same_inode_index(const struct graph *graph, const struct kind *kind, u32 (*first_of)(const void *message))
{
	u64 known = same_inode_key(kind, SAME_KNOWN, 0, 0);
	int r = 0;
	if (graph_recall(graph, known))
		return 0;
	for (const struct object *o = NULL; r == 0 && (o = graph_next(graph, kind, o));) {
		u64 last = same_inode_key(kind, SAME_LAST, first_of(o->data), 0);
		u32 before = graph_recall(graph, last) ?: first_of(o->data);
		if (before != o->id)
			r = graph_remember(graph, same_inode_key(kind, SAME_NEXT, before, 0), o->id);
		if (r == 0)
			r = graph_remember(graph, last, o->id);
	}
	return r == 0 ? graph_remember(graph, known, 1) : r;
}

/* The file behind this one, which is the first or another one of its inode; 0: none. */
static inline u32 same_inode_next(const struct graph *graph, const struct kind *kind, u32 file)
{
	return graph_recall(graph, same_inode_key(kind, SAME_NEXT, file, 0));
}
