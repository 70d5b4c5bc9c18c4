/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signals that wait for a stopped thread, or for its process. */
#pragma once
#include "base/base.h"
#include <signal.h>
#include <sys/types.h>

/* Up to room signals from position at on, in the order of delivery, without taking them: their number, less than room at
 * the end of the queue; or a negative errno (reported). */
int queue_peek(pid_t tid, bool of_process, u64 at, siginfo_t *ret, size_t room);
