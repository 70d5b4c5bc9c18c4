// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the short-lived worker threads. */
#include "base/parallel.h"
#include <sched.h>
#include <signal.h>

#define THREADS_MAX 64

struct job {
	parallel_worker *worker;
	void *arg;
};

unsigned parallel_cpus(unsigned max)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) < 0 ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
	return MAX(MIN((unsigned)MAX(n, 1), max), 1u);
}

int parallel_thread(pthread_t *ret, void *(*main)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = -pthread_create(ret, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void *thread_main(void *arg)
{
	struct job *job = arg;
	return (void *)(intptr_t)job->worker(job->arg);
}

int parallel_run(unsigned n, parallel_worker *worker, void *arg)
{
	struct job job = { worker, arg };
	pthread_t thread[THREADS_MAX];
	unsigned started = 0;
	while (started + 1 < MIN(n, (unsigned)THREADS_MAX) && parallel_thread(&thread[started], thread_main, &job) == 0)
		started++;
	int r = worker(arg);
	for (unsigned i = 0; i < started; i++) {
		void *result;
		pthread_join(thread[i], &result);
		if (r == 0)
			r = (int)(intptr_t)result;
	}
	return r;
}
