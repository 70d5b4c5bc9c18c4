// SPDX-License-Identifier: LGPL-2.1-or-later
/* registers DIR: vector and floating point registers, rounding modes and thread pointers stay in threads that only compute. */
#include "judge.h"
#include <fenv.h>

static volatile bool stop;

#if defined(__x86_64__)
#include "registers_x86_64.h"
#else
#include "registers_aarch64.h"
#endif

static void *work(void *arg)
{
	uint64_t which = (uint64_t)(uintptr_t)arg;
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };
	MUST_EQ(fesetround(modes[which % 4]), 0);
	if (hold_registers(which))
		MUST_EQ(fegetround(), modes[which % 4]);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	judge_start(argc, argv);
	for (uintptr_t i = 0; i < 4; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	judge_nap(50);
	judge_wait();
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return judge_pass();
}
