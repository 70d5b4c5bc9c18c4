/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command and kills it at its n-th system call, counted over all of its threads and children. */
#pragma once
#include "harness/test.h"

/* Kills the command (with SIGKILL, its first process) when it enters system call number n (from 1); 0: never. Everything that it
 * started is gone when this returns. Gives the number of system calls that were seen; ret_status is the wait status. */
int killer_run(const char *path, const char *const *argv, int n, int *ret_status);
