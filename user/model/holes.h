/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room that is free in all address spaces of a tree: a restore needs some for its plan. Pure; dump and restore decide alike. */
#pragma once
#include "model/kinds.h"

struct hole_range {
	u64 start, end;
};
/* The lowest address from which `bytes` are free in every process, and in what else is used (count may be 0); above programs that are
 * linked low and away from what may grow, where there is such a place. -ENOSPC: there is none; -ENOMEM (reported). */
int holes_find(u64 *ret, const struct graph *, const struct hole_range *used, size_t count, u64 bytes);
/* Is there room for the plan of this tree, by a rough estimate, and for so many bytes more? Mostly without a look at each mapping.
 * -ENOSPC or -ENOMEM (reported). */
int holes_judge(const struct graph *, u64 more);
