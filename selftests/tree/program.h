/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PROGRAM(name, flags, "program", "argument"...) makes four tests: the program alone, dumped and restored, dumped and left
 * running, dumped and restored by the command line of criu(8); it judges itself. QUIET programs change nothing while they wait and are also compared fact by fact with their image;
 * GAP: the program does not exist for 0.7 seconds; NET: it has a network namespace of its own; NEEDS(capability): where the kernel lacks it
 * all are skipped. */
#pragma once
#include "harness/target.h"
#include "host/caps.h"
#include <stdio.h>

enum { PLAIN = 0, QUIET = 1, GAP = 2, NET = 4 };
#define NEEDS(capability) (((int)CAN_##capability + 1) << 8)

static inline void program_needs(int flags)
{
	enum cap_id id = (enum cap_id)((flags >> 8) - 1);
	if (flags >> 8 && caps_ask(NULL, id).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(id)->interface);
}

static inline void program_alone(int flags, const char *const *argv)
{
	struct target t;
	program_needs(flags);
	target_startv(&t, argv);
	nap_ms(50);
	target_judge(&t);
}

static inline void program_dump_restore(int flags, const char *const *argv)
{
	struct target t;
	program_needs(flags);
	target_startv(&t, argv);
	target_dump(&t, false);
	target_restore(&t, flags & GAP ? 700 : 0);
	if (flags & QUIET)
		target_compare(&t);
	target_judge(&t);
}

static inline void program_leave_running(int flags, const char *const *argv)
{
	struct target t;
	program_needs(flags);
	target_startv(&t, argv);
	target_dump(&t, true);
	if (flags & QUIET)
		target_compare(&t);
	target_judge(&t);
}

static inline void program_by_criu(int flags, const char *const *argv)
{
	struct target t;
	program_needs(flags);
	target_startv(&t, argv);
	target_dump_by_criu(&t);
	target_restore_by_criu(&t, flags & GAP ? 700 : 0);
	target_judge(&t);
}

/* alone: the program itself is right, without any dump. */
#define PROGRAM(name, flags, ...)                                                                                              \
	static const char *const argv_##name[] = { __VA_ARGS__, NULL };                                                        \
	TEST(name##_alone, .root = true, .net = ((flags)&NET) != 0) { program_alone(flags, argv_##name); }                     \
	TEST(name##_dump_restore, .root = true, .net = ((flags)&NET) != 0, .seconds = 60)                                      \
	{                                                                                                                      \
		program_dump_restore(flags, argv_##name);                                                                      \
	}                                                                                                                      \
	TEST(name##_leave_running, .root = true, .net = ((flags)&NET) != 0, .seconds = 60)                                     \
	{                                                                                                                      \
		program_leave_running(flags, argv_##name);                                                                     \
	}                                                                                                                      \
	TEST(name##_by_criu, .root = true, .net = ((flags)&NET) != 0, .seconds = 60) { program_by_criu(flags, argv_##name); }
