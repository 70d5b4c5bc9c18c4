// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs that hold one family of kernel state each. */
#include "tree/program.h"

PROGRAM(epoll, PLAIN, "epoll")
PROGRAM(epoll_shared, PLAIN, "epoll", "shared")
PROGRAM(files, QUIET, "files")
PROGRAM(named, PLAIN, "named")
PROGRAM(named_connections, PLAIN, "named", "connections")
PROGRAM(locks, QUIET, "locks")
PROGRAM(signals, QUIET, "signals")
PROGRAM(signalfds, QUIET, "signalfds")
PROGRAM(signalfds_high, PLAIN, "signalfds", "high")
PROGRAM(timerfds, QUIET | GAP, "timerfds")
PROGRAM(timers, PLAIN, "timers")
PROGRAM(expired, PLAIN, "expired")
PROGRAM(memory, PLAIN, "memory")
PROGRAM(memory_guards, PLAIN, "memory", "guards")
PROGRAM(registers, PLAIN, "registers")
PROGRAM(attributes, PLAIN, "attributes")
PROGRAM(attributes_seccomp, PLAIN, "attributes", "seccomp")
PROGRAM(rseq_own, PLAIN, "rseq_own")
PROGRAM(rseq_critical_section, GAP, "rseq_cs")
PROGRAM(watches, QUIET, "watches")
