/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work on several threads at once, each of which takes pieces until none is left. */
#pragma once
#include "base/base.h"
#include <pthread.h>

typedef int parallel_worker(void *arg);

/* How many CPUs this process may run on: at least 1, at most max. */
unsigned parallel_cpus(unsigned max);
/* A thread that takes no signals; 0 or a negative errno. */
int parallel_thread(pthread_t *ret, void *(*main)(void *), void *arg);
/* Runs the worker on up to n threads, the calling one included, and waits for all. Fewer may run when threads cannot be
 * made. 0, or the result of a worker that failed. */
int parallel_run(unsigned n, parallel_worker *, void *arg);
