/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shape of a tree: who was made when, and which shapes can be made again. Pure; dump and restore decide alike. */
#pragma once
#include "model/kinds.h"

/* The process of this pid in the tree; NULL for 0 and for others. */
const Ckpt__Task *shape_task(const struct graph *, u32 pid);
/* Was the process made before its parent had made a session of its own? */
bool shape_is_early(const struct graph *, const Ckpt__Task *);
/* The process of the tree that can make itself, its group or one of its threads the owner of a file as recorded; NULL
 * when the file has no owner or the owner is outside of the tree. */
const Ckpt__Task *shape_file_owner(const struct graph *, const Ckpt__File *);
/* Refuses sessions and process groups that no order of making could give again. Parents must be in the graph. */
int shape_judge(const struct graph *);
