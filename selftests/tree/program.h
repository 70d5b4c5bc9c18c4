/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PROGRAM(name, flags, "program", "argument"...) makes four tests: the program alone, dumped and restored, dumped and left
 * running, dumped and restored by the command line of criu(8); it judges itself. QUIET programs change nothing while they wait and are also compared fact by fact with their image;
 * GAP: the program does not exist for 0.7 seconds; NET: it has a network namespace of its own; NEEDS(capability): where the kernel lacks it
 * a dump must be refused, and the test counts as skipped. */
#pragma once
#include "diag/diag.h"
#include "harness/target.h"
#include "host/caps.h"
#include <stdio.h>
#include <unistd.h>

enum { PLAIN = 0, QUIET = 1, GAP = 2, NET = 4 };
#define NEEDS(capability) (((int)CAN_##capability + 1) << 8)

/* What the kernel lacks of what the flags need; NULL: nothing. */
static inline const struct cap_row *program_lacks(int flags)
{
	enum cap_id id = (enum cap_id)((flags >> 8) - 1);
	if (id == CAN_IO_URING_TABLES && caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		id = CAN_IO_URING; /* of which it tells more */
	return flags >> 8 && caps_ask(NULL, id).answer != CAP_YES ? caps_row(id) : NULL;
}

static inline void program_needs(int flags)
{
	const struct cap_row *lacking = program_lacks(flags);
	if (lacking)
		SKIP("this kernel lacks %s", lacking->interface);
}

/* Then a dump is refused by the name of what is missing, and the program does not notice. */
static inline void program_refused(int flags, struct target *t)
{
	const struct cap_row *lacking = program_lacks(flags);
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	if (!lacking)
		return;
	snprintf(pid, sizeof pid, "%d", t->pid);
	int status = ckpt(&output, "dump", pid, t->image);
	CHECK(status == EXIT_KERNEL || status == EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, lacking->id);
	CHECK_CONTAINS(output.data, "  do:");
	CHECK_CONTAINS(output.data, "resumed unchanged");
	CHECK(access(t->image, F_OK) < 0);
	target_judge(t);
	SKIP("refused by name: %s is of Linux %s", lacking->id, lacking->since);
}

static inline void program_alone(const char *const *argv)
{
	struct target t;
	target_startv(&t, argv);
	nap_ms(50);
	target_judge(&t);
}

static inline void program_dump_restore(int flags, const char *const *argv)
{
	struct target t;
	target_startv(&t, argv);
	program_refused(flags, &t);
	target_dump(&t, false);
	target_restore(&t, flags & GAP ? 700 : 0);
	if (flags & QUIET)
		target_compare(&t);
	target_judge(&t);
}

static inline void program_leave_running(int flags, const char *const *argv)
{
	struct target t;
	target_startv(&t, argv);
	program_refused(flags, &t);
	target_dump(&t, true);
	if (flags & QUIET)
		target_compare(&t);
	target_judge(&t);
}

static inline void program_by_criu(int flags, const char *const *argv)
{
	struct target t;
	target_startv(&t, argv);
	program_refused(flags, &t);
	target_dump_by_criu(&t);
	target_restore_by_criu(&t, flags & GAP ? 700 : 0);
	target_judge(&t);
}

/* alone: the program itself is right, without any dump. */
#define PROGRAM(name, flags, ...)                                                                                              \
	static const char *const argv_##name[] = { __VA_ARGS__, NULL };                                                        \
	TEST(name##_alone, .root = true, .net = ((flags)&NET) != 0) { program_alone(argv_##name); }                            \
	TEST(name##_dump_restore, .root = true, .net = ((flags)&NET) != 0, .seconds = 60)                                      \
	{                                                                                                                      \
		program_dump_restore(flags, argv_##name);                                                                      \
	}                                                                                                                      \
	TEST(name##_leave_running, .root = true, .net = ((flags)&NET) != 0, .seconds = 60)                                     \
	{                                                                                                                      \
		program_leave_running(flags, argv_##name);                                                                     \
	}                                                                                                                      \
	TEST(name##_by_criu, .root = true, .net = ((flags)&NET) != 0, .seconds = 60) { program_by_criu(flags, argv_##name); }
