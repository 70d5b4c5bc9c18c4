/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is in the namespaces of a .root test: whoever must leave nothing behind is compared by it. */
#pragma once
#include "harness/target.h"

/* Processes and threads (ids and names), mounts, files below WORK, one per line. */
char *left_look(void);
/* The same once nobody but the test itself is there: the dead of a dump are seen until they were reaped. */
char *left_look_alone(void);
/* Looks until nothing differs from before; fails the test with what does after some seconds. what: for people. */
void left_check(const char *before, const char *what);
/* Is any process there but those of the test itself? */
bool left_processes(void);
/* Waits until no thread is stopped or traced; a program that wakes up now and then must do so. */
void left_running(pid_t, bool wakes, const char *what);
