/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a killed dump or restore may have left in the kernel: ends of connections that belong to nobody. */
#pragma once
#include "model/model.h"

/* Ends those of the image's own connections, as long as its network lock is held: no packet tells of it. */
void orphans_end(const struct graph *);
