// SPDX-License-Identifier: LGPL-2.1-or-later
/* rseq_own DIR: registers restartable sequences itself, with a signature of its own; the registration goes on: the kernel keeps
 * writing cpu numbers, and unregistering works with that signature alone. */
#include "judge.h"
#include <linux/rseq.h>

#define SIGNATURE 0x1badcafe

static __thread struct rseq area __attribute__((aligned(32))) = { .cpu_id = (uint32_t)-1 };

static long rseq(int flags, uint32_t signature) { return syscall(SYS_rseq, &area, 32, flags, signature); }

static void *work(void *arg)
{
	MUST_EQ(rseq(0, SIGNATURE), 0);
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	while (!judge_asked()) {
		MUST((int)area.cpu_id >= 0 && area.cpu_id == area.cpu_id_start);
		judge_nap(5);
	}
	/* Only a live registration follows a move to another processor. */
	cpu_set_t all, one;
	MUST_EQ(sched_getaffinity(0, sizeof all, &all), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		MUST_EQ(sched_setaffinity(0, sizeof one, &one), 0);
		MUST_EQ(*(volatile uint32_t *)&area.cpu_id, cpu);
	}
	MUST(rseq(0, SIGNATURE) == -1 && errno == EBUSY);
	MUST(rseq(RSEQ_FLAG_UNREGISTER, SIGNATURE + 1) == -1 && errno == EPERM);
	MUST_EQ(rseq(RSEQ_FLAG_UNREGISTER, SIGNATURE), 0);
	return NULL;
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execv("/proc/self/exe", argv);
	}
	pthread_t threads[3];
	int started = 0;
	for (int i = 0; i < 3; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, work, &started), 0);
	while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < 3)
		judge_nap(1);
	judge_ready();
	work(&started);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	return judge_pass();
}
