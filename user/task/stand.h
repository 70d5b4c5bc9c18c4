/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where ckpt stands while it looks at a tree: in the tree's pid namespace, so that all ids are those that the tree knows. */
#pragma once
#include <sys/types.h>

/* The tree below *pid may live in a pid namespace of its own, with a /proc of its own, perhaps a /dev/pts, and else the mounts of ckpt. Then a child
 * of ckpt goes on in there, *pid being the id inside; the caller itself ends in this function with the child's status. In
 * every other case nothing is done. 0, or a negative errno (reported): the child was killed. */
int stand_in_tree(pid_t *pid);
