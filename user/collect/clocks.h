/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks of time namespaces (time_namespaces(7), Linux 5.6). */
#pragma once
#include "base/base.h"
#include <time.h>

/* ns by which the clocks of a namespace are ahead of the kernel's own. */
struct clock_offsets {
	s64 monotonic, boottime;
};
/* Of the namespace that the next child of a process is in, which is its own unless it prepares another. proc: the descriptor of
 * /proc/PID. All 0 where there are no time namespaces. 0 or -errno. */
int clock_offsets_read(int proc, struct clock_offsets *ret);
/* The one for a clock: 0 for those that no namespace shifts. */
s64 clock_offset(const struct clock_offsets *, clockid_t);
