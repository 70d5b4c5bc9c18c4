/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore makes that outlives processes: names in directories, of unix sockets that are bound; segments of System V shared
 * memory; control groups. */
#pragma once
#include "model/model.h"
#include <sys/types.h>

/* Looks after them until the tree is its own: when ckpt is killed before, the guard takes names away that nobody has, as long as
 * they are not older than the restore, and puts back those of sockets that were dead before. It does so when ckpt, who restores
 * for it and all of their helpers are gone, so none comes after it. */
struct names;
/* 0 and NULL when the image has no such names. Reports failures. */
int names_guard(struct names **ret, const struct graph *);
/* Told right before the tree is let go, by whoever does that: from now on it may outlive ckpt. names: NULL when there are none.
 * Reports failures. */
int names_let_go(const struct names *names);
/* The tree lives, or (undo) what was made of it is gone: then ckpt does itself what the guard would do. Frees. */
void names_end(struct names *, bool undo);
