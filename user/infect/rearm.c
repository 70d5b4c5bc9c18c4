// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the rebuilding of restart blocks: a thread enters its interrupted call again, for the time that was left. */
#include "infect/remote.h"
#include "diag/diag.h"
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

enum rearm_form {
	REARM_SLEEP,       /* a[0] request */
	REARM_CLOCK_SLEEP, /* a[0] clock, a[1] flags, a[2] request */
	REARM_POLL,        /* a[2] milliseconds */
	REARM_FUTEX,       /* a[1] operation, a[3] timeout */
};

static const struct {
	long nr;
	enum rearm_form form;
	const char *name;
} rearmable[] = {
	{ SYS_nanosleep, REARM_SLEEP, "nanosleep" },
	{ SYS_clock_nanosleep, REARM_CLOCK_SLEEP, "clock_nanosleep" },
#ifdef SYS_poll
	{ SYS_poll, REARM_POLL, "poll" },
#endif
	{ SYS_futex, REARM_FUTEX, "futex" },
};

/* A clock id is small or (a CPU clock) negative; the other call's request is a pointer. */
static bool is_clock_id(u64 first)
{
	bool fits_u32 = first == (u32)first;
	return first < 64 || (fits_u32 ? first >= 0xfc000000 : (s64)first < 0);
}

long rearm_call_number(enum restart_call block, const struct arch_call *call)
{
	switch (block) {
	case RESTART_NANOSLEEP:
		return is_clock_id(call->arg[0]) && !call->arg[1] ? SYS_clock_nanosleep : SYS_nanosleep;
	case RESTART_FUTEX:
		return SYS_futex;
#ifdef SYS_poll
	case RESTART_POLL:
		return SYS_poll;
#endif
	default:
		return -1;
	}
}

static bool futex_time_is_absolute(u64 operation) { return (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET; }

/* Which argument is the time; futex(2): WAIT_BITSET's is absolute on a clock that the target sees going on, so its own argument
 * still says it. */
static int aim_rest(enum rearm_form form, u64 a[6], const struct rearm *rest, int *ret_time_at)
{
	*ret_time_at = -1;
	if (form == REARM_FUTEX && futex_time_is_absolute(a[1]))
		return 0;
	if (form == REARM_POLL && rest->endless) {
		a[2] = (u64)-1;
		return 0;
	}
	if (!rest->known)
		return -ENODATA;
	switch (form) {
	case REARM_SLEEP:
		*ret_time_at = 0;
		return 0;
	case REARM_CLOCK_SLEEP:
		a[0] = (u64)(s64)rest->clock;
		a[1] = 0;
		*ret_time_at = 2;
		return 0;
	case REARM_POLL: /* never too early */
		a[2] = MIN((rest->left + 999999) / 1000000, 0x7fffffffull);
		return 0;
	case REARM_FUTEX:
		*ret_time_at = 3;
		return 0;
	}
	return -EOPNOTSUPP;
}

int remote_rest(const struct arch_call *call, const struct rearm *rest, u64 ret_args[6], struct timespec *ret_left,
		int *ret_time_at)
{
	*ret_left =
		(struct timespec){ .tv_sec = (time_t)(rest->left / 1000000000), .tv_nsec = (long)(rest->left % 1000000000) };
	memcpy(ret_args, call->arg, sizeof call->arg);
	for (size_t i = 0; i < ARRAY_SIZE(rearmable); i++)
		if (rearmable[i].nr == call->nr)
			return aim_rest(rearmable[i].form, ret_args, rest, ret_time_at);
	return -EOPNOTSUPP;
}

static const char *name_of(long nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(rearmable); i++)
		if (rearmable[i].nr == nr)
			return rearmable[i].name;
	return "unknown";
}

static int give_eintr(struct remote_home *home)
{
	arch_finish_call(&home->regs, -EINTR);
	home->call.interrupted = false;
	return warn(RESTART_LOST, 0, "system call %s (%ld)", name_of(home->call.nr), home->call.nr);
}

/* What the armed call gave is the truth: a restart of its own, or a result. */
void remote_take_rest(struct remote_home *home, s64 result)
{
	home->call.interrupted = result == -512 || result == -513 || result == -514 || result == -516;
	if (home->call.interrupted) {
		home->call.code = (int)-result;
		if (!arch_decides_at_exit())
			arch_restart_call(&home->regs, home->call.nr, home->call.code);
	} else {
		arch_finish_call(&home->regs, result);
	}
}

int remote_rearm(pid_t tid, struct remote_home *home, const struct rearm *rest, u64 pc, u64 scratch, void *scratch_here)
{
	struct timespec left;
	u64 args[6];
	int time_at;
	s64 result;
	if (remote_rest(&home->call, rest, args, &left, &time_at) < 0)
		return give_eintr(home);
	memcpy(scratch_here, &left, sizeof left);
	if (time_at >= 0)
		args[time_at] = scratch;
	int err = remote_call_trapped(tid, &home->regs, pc, home->call.nr, args, &result);
	if (!err)
		remote_take_rest(home, result);
	return err;
}
