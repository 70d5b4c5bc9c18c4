// SPDX-License-Identifier: LGPL-2.1-or-later
/* A system call that a dump interrupts goes on, before and after a restore: right result, right time, no stray EINTR. */
#include "tree/program.h"

#define CALL(name) PROGRAM(name, GAP, "calls", #name)
CALL(nanosleep)
CALL(clock_nanosleep)
CALL(clock_nanosleep_abs)
CALL(poll)
CALL(ppoll)
CALL(select)
CALL(pselect)
CALL(futex_timeout)
CALL(futex_bitset)
CALL(futex)
CALL(epoll_wait)
CALL(semtimedop)
CALL(sigtimedwait)
CALL(read)
CALL(recv)
CALL(accept)
CALL(pause)
CALL(sigsuspend)
CALL(msgrcv)
CALL(wait4)

/* Nothing tells which requests of an AIO context are on their way: refused, and the call that the dump interrupted goes on. */
PROGRAM_REFUSED(io_getevents, "calls", "io_getevents")
