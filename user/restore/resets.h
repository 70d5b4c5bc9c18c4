/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections that a restore makes: they end by a reset as long as the tree has not been let go, be ckpt killed or the restore
 * fail. An ordinary end would keep their addresses for a minute (TIME_WAIT), in the way of the next restore. */
#pragma once
#include "restore/restore.h"

/* What the plan has made is kept open by ckpt beyond the other service descriptors, or by its makers; it ends by a reset already
 * (SO_LINGER). Reports failures. */
int resets_keep(struct execution *);
/* Closes all service descriptors but those that are kept. */
void resets_close_others(const struct execution *);
/* The tree has stopped where it will go on: its connections get the SO_LINGER of the image. From now on a guard resets them, and
 * ends the tree, when ckpt dies; there is none when there are no connections. What makers have is taken from them, a portion at a time,
 * and another guard keeps it. Reports failures. */
int resets_lift(struct execution *);
/* The tree is dead or was let off: the guard, if it is still there, resets what is left, and ckpt gives its descriptors up. */
void resets_end(struct execution *);
