// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns timerfd_create(2). What was left is left again; one that was set to a time of its clock keeps that time: the clock may
 * have jumped forward, and then it expires at once. */
#include "base/file.h"
#include "collect/collect.h"
#include "collect/proc_text.h"
#include "resource/file_scope.h"
#include "timerfd.pb-c.h"
#include <stdio.h>
#include <sys/ioctl.h>
#include <poll.h>
#include <sys/timerfd.h>

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, u64)
#endif
#define SECOND 1000000000ull

static bool timerfd_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[timerfd]");
}

/* --- collect --- */

static struct timespec timespec_of(u64 ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };
}

/* fdinfo: "clockid: 1", "ticks: 0", "settime flags: 01", "it_value: (0, 49406829)", "it_interval: (1, 0)"; clock is what
 * follows "clockid:", NULL when nothing does. */
static int parse(const char *clock, Ckpt__Timerfd *t)
{
	unsigned long long ticks, value[2], interval[2];
	unsigned flags;
	int id;
	if (!clock || sscanf(clock, "%d ticks: %llu settime flags: %o it_value: (%llu, %llu) it_interval: (%llu, %llu)", &id,
			     &ticks, &flags, &value[0], &value[1], &interval[0], &interval[1]) != 7)
		return fail(FD_FDINFO, 0, "clockid, ticks, settime flags, it_value, it_interval");
	SET(t, clock, id);
	SET(t, flags, flags);
	SET(t, interval, interval[0] * SECOND + interval[1]);
	SET(t, left, value[0] * SECOND + value[1]);
	SET(t, ticks, ticks);
	return 0;
}

#define DUE 100000l /* ns; of a periodic timer, which hardly anybody leaves unarmed, a thousand times that */

/* Looks again, through ckpt's own descriptor: when it had to be due since, or asking how much is left. */
static int look_again(struct collector *c, Ckpt__Timerfd *t, bool ask)
{
	struct itimerspec left;
	struct timespec due = { .tv_nsec = t->interval ? 1000 * DUE : DUE };
	_cleanup_text_ struct text fdinfo = { 0 };
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "anon_inode:[timerfd]");
	if (!ask)
		ppoll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, &due, NULL);
	if (ask && timerfd_gettime(fd, &left) < 0)
		return fail(SYSCALL, neg_errno(), "timerfd_gettime");
	int r = file_readf(&fdinfo, AT_FDCWD, "/proc/self/fdinfo/%d", fd);
	return r < 0 || !fdinfo.data ? fail(PROC_READ, r, "/proc/self/fdinfo/%d", fd)
				     : parse(status_field(fdinfo.data, "clockid"), t);
}

static bool is_resting(const Ckpt__Timerfd *t) { return !t->left && t->ticks && t->interval; }

#define ASKED 16 /* times at most */

/* Asked, the kernel arms it again, and it may have expired anew before fdinfo is read: one whose interval is too short for that is due. */
static int wake(struct collector *c, Ckpt__Timerfd *t)
{
	int r = 0;
	for (int i = 0; r == 0 && i < ASKED && is_resting(t); i++)
		r = look_again(c, t, true);
	if (r == 0 && is_resting(t))
		SET(t, left, 1);
	return r;
}

/* The kernel counts one expiration of a periodic timer and lets it rest until somebody reads or asks: only then it knows how
 * many there were, and when the next one is. And a timer may be due while fdinfo is written, and its interrupt be late: then it
 * looks as if it were not armed. */
static int timerfd_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Timerfd *t = o->data;
	int r = parse(collector_fdinfo(c, "clockid"), t);
	if (r == 0 && !t->left && !t->ticks)
		r = look_again(c, t, false);
	if (r == 0 && !collector_live(c))
		r = wake(c, t);
	if (r == 0 && t->left && t->flags & TFD_TIMER_ABSTIME)
		SET(t, expires, (u64)collector_clock(c, t->clock) + t->left);
	return r;
}

/* --- judge --- */

static bool is_clock(s32 clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
	       clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
}

/* A timer that has not expired and can be read all the same was told that its clock was set: nothing tells that again. */
static bool was_cancelled(const Ckpt__Timerfd *t)
{
	return t->flags & TFD_TIMER_CANCEL_ON_SET && t->ticks && t->left && !t->interval;
}

static int timerfd_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	const Ckpt__Timerfd *t = o->data;
	if (!is_clock(t->clock) || t->flags & ~(u32)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return fail(IMAGE_VALUE, 0, "a timerfd of clock %d with flags %#x", t->clock, t->flags);
	if (direction == DIRECTION_DUMP && was_cancelled(t))
		return fail(TIMERFD_CANCELLED, 0, "%llu s are left", (unsigned long long)(t->left / SECOND));
	return 0;
}

/* --- plan --- */

static void set_ticks(struct plan *plan, struct place at, struct arg fd, u64 ticks)
{
	plan_call(plan, at, SYS_ioctl, fd, ARG(TFD_IOC_SET_TICKS), ARG_OF_DATA(plan_data(plan, &ticks, sizeof ticks, 8)));
}

static void set_time(struct plan *plan, struct place at, struct arg fd, u32 flags, u64 value, u64 interval)
{
	struct itimerspec v = { .it_value = timespec_of(value), .it_interval = timespec_of(interval) };
	plan_call(plan, at, SYS_timerfd_settime, fd, ARG(flags), ARG_OF_DATA(plan_data(plan, &v, sizeof v, 8)), ARG(0));
}

/* Of a clock that wakes the machine; to set it needs CAP_WAKE_ALARM, which the program may have given up since. */
static bool is_alarm(const Ckpt__Timerfd *t) { return t->clock == CLOCK_REALTIME_ALARM || t->clock == CLOCK_BOOTTIME_ALARM; }

static bool timerfd_at_home(const struct graph *graph _unused_, const struct object *o _unused_) { return true; }

/* It can be read from the beginning (epoll looks at it), and begins to run late. Where the kernel does not take the number of
 * expirations it must expire once. */
static int timerfd_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Timerfd *t = o->data;
	struct arg own = ARG(plan_fd(plan, o->id)), there = own;
	struct place at = plan_at(plan, o->id, STAGE_CREATE),
		     late = is_alarm(t) ? at : plan_late_of(plan, graph, o->id, &there);
	const struct caps *caps = plan_config(plan)->caps;
	bool can_tick = caps && caps_has(caps, CAN_TIMERFD_TICKS);
	u32 flags = file_flags(graph, o->id), made = plan_cloexec(plan, o->id) | (flags & O_NONBLOCK);
	u32 fd = step_result(plan, plan_call(plan, at, SYS_timerfd_create, ARG(t->clock), ARG(made)));
	plan_place_fd(plan, fd, o->id);
	plan_status_flags(plan, at, o->id, flags, made);
	if (t->ticks && can_tick)
		set_ticks(plan, at, own, t->ticks);
	else if (t->ticks)
		set_time(plan, at, own, 0, 1, 0);
	if (t->left || t->interval || t->flags)
		set_time(plan, late, there, t->flags,
			 t->ticks && !can_tick ? 1
			 : t->has_expires      ? t->expires
					       : t->left,
			 t->interval);
	if ((t->left || t->interval || t->flags) && t->ticks && can_tick)
		set_ticks(plan, late, there, t->ticks);
	return 0;
}

static const struct kind kind_timerfd = { .name = "timerfd", .desc = &ckpt__timerfd__descriptor };

const struct resource resource_timerfd = {
	.name = "timerfd",
	.scope = SCOPE_FILE,
	.kind = &kind_timerfd,
	.claims = timerfd_claims,
	.collect = timerfd_collect,
	.judge = timerfd_judge,
	.at_home = timerfd_at_home,
	.apart = timerfd_at_home,
	.plan = timerfd_plan,
};
