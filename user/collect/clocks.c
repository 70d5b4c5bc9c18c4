// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what time namespaces do to clocks: those of the tree, and those of ckpt when it is in one itself. */
#include "base/clock.h"
#include "collect/clocks.h"
#include "base/file.h"
#include "collect/collect_internal.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include <fcntl.h>

int clock_offsets_read(int proc, struct clock_offsets *ret)
{
	_cleanup_text_ struct text text = { 0 };
	*ret = (struct clock_offsets){ 0 };
	int r = file_read(proc, "timens_offsets", &text);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : parse_clock_offsets(text.data ?: "", &ret->monotonic, &ret->boottime);
}

s64 clock_offset(const struct clock_offsets *offsets, clockid_t clock)
{
	switch (clock) {
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
		return offsets->monotonic;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return offsets->boottime;
	default:
		return 0;
	}
}

static int read_own(struct collector *c)
{
	if (c->have_own_clocks)
		return 0;
	_cleanup_close_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = self < 0 ? neg_errno() : clock_offsets_read(self, &c->own_clocks);
	c->have_own_clocks = r == 0;
	return r < 0 ? fail(PROC_READ, r, "/proc/self/timens_offsets") : 0;
}

/* eBPF tells for little that the tree has ckpt's namespaces, which is the ordinary case. */
static bool is_ours(const struct record_task *t, int proc)
{
	struct stat theirs, own;
	if (t->known & KNOWN_NS_OURS && t->ns_ours & NS_OURS_OTHERS)
		return true;
	return fstatat(proc, "ns/time", &theirs, 0) < 0 || stat("/proc/self/ns/time", &own) < 0 || theirs.st_ino == own.st_ino;
}

int collect_clocks(struct collector *c)
{
	struct clock_offsets theirs;
	int r, proc = c->tree->processes.v[0].proc;
	if (is_ours(&c->facts.tasks.v[0], proc))
		return 0;
	if ((r = clock_offsets_read(proc, &theirs)) < 0)
		return fail(PROC_READ, r, "/proc/%d/timens_offsets", (int)c->tree->processes.v[0].pid);
	if ((r = read_own(c)) < 0)
		return r;
	c->ahead =
		(struct clock_offsets){ theirs.monotonic - c->own_clocks.monotonic, theirs.boottime - c->own_clocks.boottime };
	return 0;
}

s64 collector_clock(const struct collector *c, clockid_t clock)
{
	return (s64)clock_ns(clock) + clock_offset(&c->ahead, clock);
}

int collect_kernel_clock(struct collector *c, clockid_t clock, s64 *ret)
{
	int r = read_own(c);
	*ret = (s64)clock_ns(clock) - clock_offset(&c->own_clocks, clock);
	return r;
}
