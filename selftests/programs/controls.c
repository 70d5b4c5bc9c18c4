// SPDX-License-Identifier: LGPL-2.1-or-later
/* controls DIR: threads that differ in what prctl(2) sets for one alone: what happens when memory fails, whether it may read the time
 * stamp counter, how the processor speculates for it, whether it writes for a file system. */
#include "judge.h"
#include <linux/prctl.h>
#include <setjmp.h>

#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH 2
#endif
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif
#define SPECULATIONS 3

struct worker {
	pthread_t thread;
	int mce, tsc, speculation; /* to be set; 0: as it is */
	int io_flusher;
	int was[4 + SPECULATIONS];
};
static struct worker workers[] = {
	{ .mce = PR_MCE_KILL_DEFAULT },
	{ .mce = PR_MCE_KILL_EARLY, .tsc = PR_TSC_SIGSEGV },
	{ .mce = PR_MCE_KILL_LATE, .speculation = PR_SPEC_DISABLE },
	{ .mce = PR_MCE_KILL_DEFAULT, .speculation = PR_SPEC_FORCE_DISABLE, .io_flusher = 1 },
	{ .mce = PR_MCE_KILL_EARLY, .speculation = PR_SPEC_DISABLE_NOEXEC, .tsc = PR_TSC_SIGSEGV },
};
#define WORKERS (sizeof workers / sizeof *workers)

static pthread_barrier_t set, wake;
static __thread sigjmp_buf trapped;

static void on_trap(int signal)
{
	(void)signal;
	siglongjmp(trapped, 1);
}

/* Does reading the time stamp counter raise SIGSEGV? -1: nobody can tell. */
static int counter_faults(void)
{
#if defined(__x86_64__)
	if (sigsetjmp(trapped, 1))
		return 1;
	__builtin_ia32_rdtsc();
	return 0;
#else
	return -1;
#endif
}

static void look(int *state)
{
	int tsc = 0;
	*state++ = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	*state++ = prctl(PR_GET_TSC, &tsc) == 0 ? tsc : -1;
	*state++ = counter_faults();
	*state++ = prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	for (int i = 0; i < SPECULATIONS; i++)
		*state++ = prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
}

/* Where the kernel, the processor and the rights allow it. */
static void change(const struct worker *w)
{
	MUST_EQ(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, w->mce, 0, 0), 0);
	MUST_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), w->mce);
	if (w->tsc && prctl(PR_SET_TSC, w->tsc) < 0)
		MUST_EQ(errno, EINVAL);
	if (w->io_flusher && prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		MUST(errno == EPERM);
	for (int i = 0; w->speculation && i < SPECULATIONS; i++) {
		int state = prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
		int wanted = i == PR_SPEC_L1D_FLUSH ? (int)PR_SPEC_ENABLE : w->speculation;
		if (state >= 0 && state & PR_SPEC_PRCTL && prctl(PR_SET_SPECULATION_CTRL, i, wanted, 0, 0) < 0)
			MUST(errno == ERANGE); /* not all of them know "until the next program" */
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int is[4 + SPECULATIONS];
	change(w);
	look(w->was);
	pthread_barrier_wait(&set);
	pthread_barrier_wait(&wake);
	look(is);
	for (size_t i = 0; i < sizeof is / sizeof *is; i++)
		if (is[i] != w->was[i])
			judge_fail("thread %d: state %zu was %d, is %d", (int)(w - workers), i, w->was[i], is[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	signal(SIGSEGV, on_trap);
	pthread_barrier_init(&set, NULL, WORKERS + 1);
	pthread_barrier_init(&wake, NULL, WORKERS + 1);
	for (size_t i = 0; i < WORKERS; i++)
		MUST_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	pthread_barrier_wait(&set);
	judge_wait();
	pthread_barrier_wait(&wake);
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	return judge_pass();
}
