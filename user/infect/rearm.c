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

static void put_time(void *scratch, u64 ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
	memset(scratch, 0, REARM_SCRATCH);
	memcpy(scratch, &t, sizeof t);
}

static bool futex_time_is_absolute(u64 operation) { return (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET; }

/* Arguments that make the call wait for what was left; futex(2): WAIT_BITSET's time is absolute on a clock that the
 * target sees going on, so its own argument still says it. */
static int aim_rest(enum rearm_form form, u64 a[6], const struct rearm *rearm, u64 scratch, void *here)
{
	if (form == REARM_FUTEX && futex_time_is_absolute(a[1]))
		return 0;
	if (form == REARM_POLL && rearm->endless) {
		a[2] = (u64)-1;
		return 0;
	}
	if (!rearm->known)
		return -ENODATA;
	put_time(here, rearm->left);
	switch (form) {
	case REARM_SLEEP:
		a[0] = scratch;
		return 0;
	case REARM_CLOCK_SLEEP:
		a[0] = (u64)(s64)rearm->clock;
		a[1] = 0;
		a[2] = scratch;
		return 0;
	case REARM_POLL: /* never too early */
		a[2] = MIN((rearm->left + 999999) / 1000000, 0x7fffffffull);
		return 0;
	case REARM_FUTEX:
		a[3] = scratch;
		return 0;
	}
	return -EOPNOTSUPP;
}

static int give_eintr(struct remote_home *home, const char *name)
{
	arch_finish_call(&home->regs, -EINTR);
	home->call.interrupted = false;
	return warn(RESTART_LOST, 0, "system call %s (%ld)", name, home->call.nr);
}

/* What the armed call gave is the truth: a restart of its own, or a result. */
static void take_result(struct remote_home *home, s64 result)
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

int remote_rearm(pid_t tid, struct remote_home *home, const struct rearm *rearm, u64 pc, u64 scratch, void *scratch_here)
{
	for (size_t i = 0; i < ARRAY_SIZE(rearmable); i++) {
		if (rearmable[i].nr != home->call.nr)
			continue;
		u64 args[6];
		s64 result;
		memcpy(args, home->call.arg, sizeof args);
		if (aim_rest(rearmable[i].form, args, rearm, scratch, scratch_here) < 0)
			return give_eintr(home, rearmable[i].name);
		int err = remote_call_trapped(tid, &home->regs, pc, home->call.nr, args, &result);
		if (!err)
			take_result(home, result);
		return err;
	}
	return give_eintr(home, "unknown");
}
