// SPDX-License-Identifier: LGPL-2.1-or-later
/* Small programs, linked in every way: sleeping, reading clocks through the vDSO, a hundred threads on futexes. */
#include "tree/program.h"

PROGRAM(sleeper, PLAIN, "sleeper")
PROGRAM(sleeper_static, PLAIN, "sleeper.static")
PROGRAM(sleeper_musl, PLAIN, "sleeper.musl")
PROGRAM(clock, PLAIN, "clock")
PROGRAM(clock_static, PLAIN, "clock.static")
PROGRAM(clock_musl, PLAIN, "clock.musl")
PROGRAM(threads, PLAIN, "threads")
PROGRAM(threads_static, PLAIN, "threads.static", "20")
PROGRAM(threads_musl, PLAIN, "threads.musl", "20")
