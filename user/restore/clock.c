// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the clocks that never go back. Where this machine's are behind those of the image ckpt enters a time namespace in which
 * they are not (time_namespaces(7)); all that it makes then is born there, and its own steps count by the same clocks. */
#include "base/file.h"
#include "collect/clocks.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "restore/restore.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#define SECOND 1000000000
/* kernel/time/namespace.c takes no clock above this: half of what 63 bits hold. */
#define LATEST (1ull << 62)

static u64 lag(u64 then, u64 now) { return then > now ? then - now : 0; }

/* Nobody adjusts the raw clock, so from machine to machine it differs from the first by more or less, and the coarse one is behind it by
 * more or less; a time namespace moves all together. Images of older ckpts tell the first alone. */
static u64 monotonic_lag(const Ckpt__Host *host, const struct survey *s)
{
	u64 others = MAX(lag(host->monotonic_raw, s->now_raw), lag(host->monotonic_coarse, s->now_coarse));
	return MAX(lag(host->monotonic, s->now_monotonic), others);
}

static u64 boottime_lag(const Ckpt__Host *host, const struct survey *s) { return lag(host->boottime, s->now_boottime); }

static bool is_behind(const Ckpt__Host *host, const struct survey *s)
{
	return monotonic_lag(host, s) || boottime_lag(host, s);
}

int judge_clock(const struct graph *g, const struct survey *s)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	unsigned long long then = host->monotonic / SECOND, now = s->now_monotonic / SECOND;
	if (!is_behind(host, s))
		return 0;
	if (monotonic_lag(host, s) > LATEST || boottime_lag(host, s) > LATEST)
		return fail(IMAGE_VALUE, 0, "clocks of %llu s and %llu s", then, (unsigned long long)(host->boottime / SECOND));
	if (!caps_has(s->caps, CAN_TIME_NS))
		return fail(CLOCK_BEHIND, 0, "CLOCK_MONOTONIC was %llu s, here it is %llu s", then, now);
	return 0;
}

/* Two lines for timens_offsets, whose nanoseconds are never negative. */
static int set_offsets(int proc, const struct clock_offsets *o)
{
	char text[128];
	s64 m = o->monotonic, b = o->boottime;
	s64 m_rest = (m % SECOND + SECOND) % SECOND, b_rest = (b % SECOND + SECOND) % SECOND;
	snprintf(text, sizeof text, "monotonic %lld %lld\nboottime %lld %lld\n", (long long)((m - m_rest) / SECOND),
		 (long long)m_rest, (long long)((b - b_rest) / SECOND), (long long)b_rest);
	_cleanup_close_ int fd = openat(proc, "timens_offsets", O_WRONLY | O_CLOEXEC);
	return fd < 0 ? neg_errno() : file_write_full(fd, text, strlen(text));
}

/* setns(2) moves a process to another time namespace only while it has one thread. */
static int enter(int proc, const struct clock_offsets *offsets)
{
	if (unshare(CLONE_NEWTIME) < 0)
		return fail(TIME_NAMESPACE, neg_errno(), "unshare(CLONE_NEWTIME)");
	int r = set_offsets(proc, offsets);
	if (r < 0)
		return fail(TIME_NAMESPACE, r, "write(/proc/self/timens_offsets)");
	_cleanup_close_ int fd = openat(proc, "ns/time_for_children", O_RDONLY | O_CLOEXEC);
	r = fd < 0 || setns(fd, CLONE_NEWTIME) < 0 ? neg_errno() : 0;
	return r < 0 ? fail(TIME_NAMESPACE, r, "setns(CLONE_NEWTIME)") : 0;
}

/* The coarse clocks are behind by up to one tick of the kernel, and they go on as well. */
static s64 tick(void)
{
	struct timespec t = { .tv_nsec = SECOND / 100 };
	clock_getres(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_nsec;
}

int clock_enter(const struct graph *g, const struct survey *s)
{
	const Ckpt__Host *host = graph_data(g, &kind_host, 1);
	struct clock_offsets offsets = { 0 };
	if (!is_behind(host, s))
		return 0;
	_cleanup_close_ int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = proc < 0 ? neg_errno() : clock_offsets_read(proc, &offsets);
	if (r < 0)
		return fail(PROC_READ, r, "/proc/self/timens_offsets");
	if (monotonic_lag(host, s))
		offsets.monotonic += (s64)monotonic_lag(host, s) + tick();
	if (boottime_lag(host, s))
		offsets.boottime += (s64)boottime_lag(host, s) + tick();
	return enter(proc, &offsets);
}
