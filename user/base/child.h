/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children of ckpt. */
#pragma once
#include "base/base.h"
#include <sys/types.h>

/* Is it a child or a tracee that has not been reaped? Then its id is its own. */
bool child_is_ours(pid_t);
/* Nanoseconds that a first wait for SIGCHLD may take, which is looked behind again. A timer that is not the next one of its processor
 * is set in no time; to set the next one takes longer than all else in a stop. Where SIGCHLD is ignored it does not come. */
u64 child_nap(void);
#define CHILD_NAP_MAX 10000000ul
/* Runs a program with ckpt's environment and no signal blocked, and waits for its end: its exit status, 128 + signal, 127 when
 * there is no such program; or a negative errno. */
int child_run(const char *const *argv);
/* Waits for a change of a child, two seconds at most: 0 with its status, -ETIMEDOUT, or another negative errno. */
int child_wait(pid_t, int *ret_status);
/* Runs fn in a forked child, which dies with ckpt: what it returned (0 to -133), or as child_wait(), -EPERM when it was killed. */
int child_try(int (*fn)(void *), void *arg);
/* Waits for the end of a child or tracee that was sent SIGKILL. It may stop on its way (PTRACE_O_TRACEEXIT), which that signal does not
 * end any more: then it goes on. */
void child_reap(pid_t);
/* Kills a child of ours and waits for its end; who cannot be killed is not waited for. */
void child_end(pid_t);
