// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns how a tracer reads and sets syscall user dispatch (kernel/entry/syscall_user_dispatch.c). */
#include "infect/dispatch.h"
#include <sys/prctl.h>
#include <sys/ptrace.h>

/* linux/ptrace.h, Linux 6.4; sys/ptrace.h has it not, or not always. */
#define GET_CONFIG 0x4211
#define SET_CONFIG 0x4210
struct config {
	u64 mode, selector, offset, len;
};

/* linux/prctl.h */
#define SET_DISPATCH 59
enum { MODE_OFF, MODE_OUTSIDE, MODE_INSIDE };

/* The kernel keeps a range that is handed over as the one around it that is not: from its end to its start, across the end of the
 * address space, which no range of the other kind does. */
static bool is_turned(const struct config *c) { return c->offset && c->offset + c->len <= c->offset; }

int dispatch_get(pid_t tid, struct dispatch *ret)
{
	struct config c = { 0 };
	*ret = (struct dispatch){ 0 };
	if (ptrace(GET_CONFIG, tid, sizeof c, &c) < 0)
		return neg_errno();
	if (c.mode == MODE_OFF)
		return 0;
	*ret = (struct dispatch){ .on = true, .inside = is_turned(&c), .selector = c.selector };
	ret->start = ret->inside ? c.offset + c.len : c.offset;
	ret->length = ret->inside ? -c.len : c.len;
	return 0;
}

int dispatch_set(pid_t tid, const struct dispatch *d)
{
	struct config c = { 0 };
	if (d->on)
		c = (struct config){ d->inside ? MODE_INSIDE : MODE_OUTSIDE, d->selector, d->start, d->length };
	return ptrace(SET_CONFIG, tid, sizeof c, &c) < 0 ? neg_errno() : 0;
}

bool dispatch_is_range(bool inside, u64 start, u64 length)
{
	bool ends = start + length > start;
	return inside ? ends : !start || ends;
}

/* The first page holds no code: nothing is handed over meanwhile. */
bool dispatch_knows_inside(void)
{
	bool knows = prctl(SET_DISPATCH, MODE_INSIDE, 0, 1, 0) == 0;
	if (knows)
		prctl(SET_DISPATCH, MODE_OFF, 0, 0, 0);
	return knows;
}
