// SPDX-License-Identifier: LGPL-2.1-or-later
/* timerfds DIR [WHAT]: timers as descriptors, of every clock, armed and not, read and unread, watched by epoll, shared with a
 * child: what was left is left, what nobody has read can be read. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#define LONG 1000
#define TICK_MS 40

static int idle, armed, periodic, busy, absolute, past, realtime, boottime, expired, unread, cancel, nonblock, resting,
	alarm_clock, ep, edge;
static double absolute_at, started, realtime_at;

static int make_timer(clockid_t clock, int flags, int set_flags, double value, double interval)
{
	int fd = timerfd_create(clock, flags);
	struct itimerspec v = { .it_value = { (time_t)value, (long)((value - (double)(time_t)value) * 1e9) },
				.it_interval = { (time_t)interval, (long)((interval - (double)(time_t)interval) * 1e9) } };
	MUST(fd >= 0);
	MUST_EQ(timerfd_settime(fd, set_flags, &v, NULL), 0);
	return fd;
}

static double left_of(int fd)
{
	struct itimerspec v;
	MUST_EQ(timerfd_gettime(fd, &v), 0);
	return (double)v.it_value.tv_sec + (double)v.it_value.tv_nsec / 1e9;
}

static double interval_of(int fd)
{
	struct itimerspec v;
	MUST_EQ(timerfd_gettime(fd, &v), 0);
	return (double)v.it_interval.tv_sec + (double)v.it_interval.tv_nsec / 1e9;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static uint64_t ticks_of(int fd)
{
	uint64_t ticks = 0;
	MUST_EQ(read(fd, &ticks, sizeof ticks), sizeof ticks);
	return ticks;
}

/* The number that fdinfo tells behind "name:". */
static long told(int fd, const char *name, int base)
{
	char path[64], line[256];
	long value = -1;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "r");
	while (fgets(line, sizeof line, file))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			value = strtol(line + strlen(name) + 1, NULL, base);
	fclose(file);
	return value;
}

static void watch(int instance, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	MUST_EQ(epoll_ctl(instance, EPOLL_CTL_ADD, fd, &e), 0);
}

static void make(void)
{
	started = judge_clock(CLOCK_MONOTONIC);
	absolute_at = started + LONG;
	realtime_at = judge_clock(CLOCK_REALTIME) + LONG;
	idle = make_timer(CLOCK_MONOTONIC, TFD_CLOEXEC, 0, 0, 0);
	armed = make_timer(CLOCK_MONOTONIC, 0, 0, LONG, 0);
	periodic = make_timer(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, TICK_MS / 1000.0, TICK_MS / 1000.0);
	busy = make_timer(CLOCK_MONOTONIC, TFD_NONBLOCK, 0, 0.000001, 0.000001);
	absolute = make_timer(CLOCK_MONOTONIC, 0, TFD_TIMER_ABSTIME, absolute_at, 0);
	past = make_timer(CLOCK_MONOTONIC, 0, TFD_TIMER_ABSTIME, 1, 0);
	realtime = make_timer(CLOCK_REALTIME, 0, 0, LONG, 7);
	boottime = make_timer(CLOCK_BOOTTIME, 0, 0, LONG, 0);
	cancel = make_timer(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, realtime_at, 0);
	expired = make_timer(CLOCK_MONOTONIC, 0, 0, 0.000001, 0);
	nonblock = make_timer(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC, 0, LONG, 0);
	/* far between: expired once or more, nothing new while the test runs */
	unread = make_timer(CLOCK_MONOTONIC, 0, 0, 0.000001, LONG);
	resting = make_timer(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME, realtime_at - 10.5 * LONG, LONG);
	alarm_clock = timerfd_create(CLOCK_BOOTTIME_ALARM, 0); /* needs a right */
	if (alarm_clock >= 0)
		MUST_EQ(timerfd_settime(alarm_clock, 0, &(struct itimerspec){ .it_value = { LONG, 0 } }, NULL), 0);
	uint64_t seventeen = 17;
	MUST_EQ(ioctl(idle, _IOW('T', 0, uint64_t), &seventeen), 0);
	ep = epoll_create1(0);
	edge = epoll_create1(0);
	watch(ep, armed, EPOLLIN, 1);
	watch(ep, unread, EPOLLIN, 2);
	watch(edge, expired, EPOLLIN | EPOLLONESHOT, 3);
	struct epoll_event e;
	MUST_EQ(epoll_wait(edge, &e, 1, JUDGE_PATIENCE_MS), 1);
}

static void judge_left(int fd, double before)
{
	/* the time that the program did not exist does not count; looked at in this order, whatever passes in between is no fault */
	double left = left_of(fd), gone = judge_clock(CLOCK_MONOTONIC) - before - judge_gap();
	MUST(left <= LONG - 0.001 && left > LONG - gone - 0.1);
}

/* It expires at a point in time, which the time of a dump is no matter for. */
static void judge_until(int fd, clockid_t clock, double at)
{
	double before = judge_clock(clock), left = left_of(fd), after = judge_clock(clock);
	MUST(left <= at - before + 0.05 && left > at - after - 0.05);
}

static void judge_timers(void)
{
	struct epoll_event events[4];
	MUST_EQ(ticks_of(idle), 17);
	MUST(!readable(idle) && left_of(idle) == 0);
	judge_left(armed, started);
	judge_left(boottime, started);
	judge_left(realtime, started);
	judge_left(nonblock, started);
	if (alarm_clock >= 0)
		MUST(left_of(alarm_clock) > 1 && told(alarm_clock, "clockid", 10) == CLOCK_BOOTTIME_ALARM);
	judge_until(absolute, CLOCK_MONOTONIC, absolute_at);
	judge_until(cancel, CLOCK_REALTIME, realtime_at);
	MUST_EQ(interval_of(realtime), 7);
	MUST_EQ(told(absolute, "settime flags", 8), TFD_TIMER_ABSTIME);
	MUST_EQ(told(cancel, "settime flags", 8), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	MUST_EQ(told(boottime, "clockid", 10), CLOCK_BOOTTIME);
	MUST_EQ(ticks_of(past), 1);
	MUST(!readable(past));
	MUST_EQ(epoll_wait(ep, events, 4, 0), 1);
	MUST_EQ(events[0].data.u64, 2);
	MUST_EQ(ticks_of(unread), 1);
	MUST_EQ(epoll_wait(ep, events, 4, 0), 0);
	MUST_EQ(ticks_of(resting), 10); /* 9 to catch up, and the first */
	MUST(left_of(resting) > 0 && left_of(resting) <= LONG);
	MUST_EQ(epoll_wait(edge, events, 4, 0), 0); /* disarmed */
	MUST_EQ(ticks_of(expired), 1);
	MUST_EQ(fcntl(nonblock, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	MUST(ticks_of(busy) > 0);
	MUST_EQ(poll(&(struct pollfd){ .fd = busy, .events = POLLIN }, 1, JUDGE_PATIENCE_MS),
		1); /* it goes on, though it was due whenever it was asked */
	uint64_t none;
	MUST(read(nonblock, &none, 8) == -1 && errno == EAGAIN);
	MUST(fcntl(idle, F_GETFD) == FD_CLOEXEC && fcntl(armed, F_GETFD) == 0);
}

#define UNTOLD 20 /* seconds that a dump and a restore may take on a loaded machine */

/* A timer that ticks: as many as fit into the time that the program was there, read or not. */
static void judge_periodic(uint64_t before)
{
	uint64_t ticks = before + (readable(periodic) ? ticks_of(periodic) : 0);
	double gone =
		judge_clock(CLOCK_MONOTONIC) - started - judge_gap(); /* by now: ticks that come meanwhile are none too many */
	double most = gone * 1000 / TICK_MS + 1;
	MUST((double)ticks <= most);
	MUST((double)ticks >= (gone - UNTOLD) * 1000 / TICK_MS - 1);
	MUST(left_of(periodic) <= TICK_MS / 1000.0);
	struct pollfd p = { .fd = periodic, .events = POLLIN };
	MUST_EQ(poll(&p, 1, JUDGE_PATIENCE_MS), 1);
}

static int hold_cancelled(void)
{
	uint64_t one = 1;
	cancel = make_timer(CLOCK_REALTIME, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, judge_clock(CLOCK_REALTIME) + LONG,
			    0);
	MUST_EQ(ioctl(cancel, _IOW('T', 0, uint64_t), &one), 0); /* looks as if the clock had been set */
	judge_wait();
	MUST_EQ(ticks_of(cancel), 1);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2)
		return hold_cancelled();
	make();
	judge_nap(3 * TICK_MS);
	uint64_t before = ticks_of(periodic);
	judge_nap(3 * TICK_MS);
	judge_wait();
	judge_timers();
	judge_periodic(before);
	return judge_pass();
}
