/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading clocks. */
#pragma once
#include "base/base.h"
#include <time.h>

/* Nanoseconds of a clock of clock_gettime(2); 0 where the kernel does not have it. */
static inline u64 clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };
	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* For lengths of time: CLOCK_MONOTONIC. */
static inline u64 now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
