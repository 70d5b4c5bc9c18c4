/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups that a restore makes or sets. */
#pragma once
#include "restore/restore.h"

/* Those of a loaded image that belong to the tree become those below the roots, which are made when they are not there. 0 or -ENOMEM
 * (reported). */
int groups_move(const struct graph *, const struct cgroup_roots *);
/* What was set in them is so: what differs is reported, -EINVAL. */
int groups_verify(const struct graph *);
/* Freezes those that were frozen, when nothing of the tree is to run for ckpt any more. Reports failures. */
int groups_freeze(const struct graph *);
