/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The uniform interface of a kind of kernel state. One file in user/resource implements it and exports one symbol. */
#pragma once
#include "model/model.h"
#include "record.h"

struct collector;
struct plan;
struct vma;
struct hole_range;
struct policies;

enum scope {
	SCOPE_TASK,   /* one object per process, id: pid */
	SCOPE_THREAD, /* one object per thread, id: tid */
	SCOPE_FILE,   /* one object per open file description, id: that of its file object */
};

enum direction { DIRECTION_DUMP, DIRECTION_RESTORE };

/* What collect is asked about. All pointers are valid during the call only. */
struct subject {
	const struct record_task *task; /* TASK: the leader; THREAD: the thread; FILE: NULL */
	const struct record_file *file; /* FILE only */
	const char *link;               /* FILE only: what its /proc link names */
};

struct resource {
	const char *name;
	enum scope scope;
	const struct kind *kind;
	/* FILE scope: is this descriptor mine? Exactly one resource may say yes. */
	bool (*claims)(const struct record_file *, const char *link);
	/* Fills the object's message from outside of the target; only reads. */
	int (*collect)(struct collector *, const struct subject *, struct object *);
	/* When all of the tree has been collected: what an object can tell only then, and what must not move any more from then on
	 * (the network is locked). May be NULL. */
	int (*settle)(struct collector *, struct object *);
	/* Refuses by fail() what cannot be carried; 0 or negative errno. May be NULL. */
	int (*judge)(const struct graph *, const struct object *, enum direction);
	/* A loaded object becomes what the policies of the restore make of it. 0 or negative errno (reported). May be NULL. */
	int (*choose)(const struct graph *, struct object *, const struct policies *);
	/* FILE scope: does its other side lie outside of the tree, so that another file could take its place? May be NULL. At restore
	 * such a file is neither judged nor planned. */
	bool (*external)(const struct graph *, const struct object *);
	/* FILE scope: may the one process that has the file make it, when nothing else in the image refers to it? What is true takes
	 * places and flags from plan_at() and plan_cloexec(). Pure; the object was judged. May be NULL: the world makes it. */
	bool (*at_home)(const struct graph *, const struct object *);
	/* FILE scope: may another process than ckpt make it, with all files that it refers to and that refer to it? All of its steps are
	 * for the world then, where nothing but these files is. Pure; the object was judged. May be NULL: no. */
	bool (*apart)(const struct graph *, const struct object *);
	/* FILE scope: does it need what it refers to only when all of that is made (STAGE_WATCH)? Then the world may have made that for a
	 * file that is made apart. */
	bool watches;
	/* Adds the steps that make the object again. Pure. May be NULL when nothing is to be made. */
	int (*plan)(struct plan *, const struct graph *, const struct object *);
	/* Bytes of steps and data that its plan takes beyond what the size of its message tells. May be NULL: none. */
	u64 (*room)(const struct object *);
	/* FILE scope: the steps that map it where and as the mapping is, when that is not mmap(2) of its descriptor. room: of what
	 * map_room() says, free then; nothing may stay there. May be NULL. */
	void (*map)(struct plan *, u32 pid, const struct graph *, const struct vma *, const struct hole_range *room);
	/* FILE scope: bytes of address space in which mappings are made before they come to their places. May be NULL: none. */
	u64 (*map_room)(const struct graph *);
	/* FILE scope: its mmap(2) takes no address, so a mapping comes back to its place when there is no other. */
	bool kernel_places;
};
