/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shape of a tree: who was made when, and which shapes can be made again. Pure; dump and restore decide alike. */
#pragma once
#include "base/vector.h"
#include "model/kinds.h"

/* The process of this pid in the tree; NULL for 0 and for others. */
const Ckpt__Task *shape_task(const struct graph *, u32 pid);
bool shape_is_zombie(const Ckpt__Task *);
/* The thread that stands for the process, and has in the model what all of it has: the leader, or, when that has ended, the first that
 * lives. For a process that is not in the graph: pid. */
u32 shape_first(const struct graph *, u32 pid);
/* Whose array of a plan makes what a thread has for its whole process: that of the leader, though it end afterwards. Of other threads:
 * their own. */
u32 shape_maker(const struct graph *, u32 tid);
/* Was the tree seen while it ran? Facts that only a stopped tree gives are not missed then. */
bool shape_is_live(const struct graph *);

/* How a process comes to be in its session. */
enum shape_birth {
	BIRTH_LATE,  /* made by its parent, which has its session already */
	BIRTH_EARLY, /* made by its parent before that makes a session of its own */
	BIRTH_ADOPTED, /* made by its session's leader, a child of its parent as well, or a stand-in, for its parent: another process had
			  made it and died */
	BIRTH_FOREIGN, /* nobody could make it in its session */
};
enum shape_birth shape_birth(const struct graph *, const Ckpt__Task *);

/* A process that is gone while its id lives on as that of a session or of a group: one is made again for a moment. */
struct shape_stand_in {
	u32 id;
	u32 parent;  /* who makes and reaps it; 0: ckpt */
	bool leads;  /* a session, and makes its members */
	u32 members; /* of its group */
};
struct shape_stand_ins {
	VECTOR(struct shape_stand_in) list;
};
/* Those that the tree needs; shape_judge() has said that there is somebody who can make each. */
int shape_stand_ins(struct shape_stand_ins *ret, const struct graph *);
static inline void shape_stand_ins_free(struct shape_stand_ins *g) { vector_free(&g->list); }
#define _cleanup_stand_ins_ _cleanup_(shape_stand_ins_free)

/* The process of the tree that can make itself, its group or one of its threads the owner of a file as recorded; NULL
 * when the file has no owner or the owner is outside of the tree. */
const Ckpt__Task *shape_file_owner(const struct graph *, const Ckpt__File *);
/* Refuses sessions and process groups that no order of making could give again. Parents must be in the graph. */
int shape_judge(const struct graph *);
/* Does a process, thread, session or group of the tree have this id? */
bool shape_wants(const struct graph *, u32 id);
