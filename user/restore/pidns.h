/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore into a pid namespace of its own: who restores stands inside of it, so that every id it meets is the image's. Three
 * processes: ckpt, which waits outside; pid 1, which becomes the reaper (parasite/reaper.c); and the restorer, its child.
 * Private to restore/. */
#pragma once
#include "restore/restore.h"

/* Makes the namespaces and lets run(arg, channel) restore in there, in a process that ends afterwards. run must call
 * pidns_ready() before it lets the tree go. 0: the tree runs, *ret says where; on failure, and when it was only to be checked,
 * nothing is left. */
int pidns_restore(const struct restore_config *, const struct graph *, int (*run)(void *arg, int channel), void *arg,
		  struct restored *ret);
/* The restorer tells ckpt which process the root is. */
int pidns_ready(int channel, pid_t root);
/* The root's wait status once it has ended, told by the channel; -EAGAIN: it has not. */
int pidns_ended(struct restored *, int *ret_status);
/* Every id outside of the tree that its program may know, and what it is now: a note each. */
void pidns_note_outside(const struct restore_config *, const struct graph *);
