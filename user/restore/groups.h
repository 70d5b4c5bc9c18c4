/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups that a restore makes or sets. */
#pragma once
#include "restore/restore.h"

/* What was set in them is so: what differs is reported, -EINVAL. */
int groups_verify(const struct graph *);
/* Freezes those that were frozen, when nothing of the tree is to run for ckpt any more. Reports failures. */
int groups_freeze(const struct graph *);
