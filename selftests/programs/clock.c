// SPDX-License-Identifier: LGPL-2.1-or-later
/* clock DIR: reads the clocks through the vDSO in a loop; the monotonic ones never go back, the real one moves. */
#include "judge.h"
#include <sys/auxv.h>

int main(int argc, char **argv)
{
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW };
	struct timespec last[4] = { 0 }, now;
	judge_start(argc, argv);
	time_t first = time(NULL);
	for (unsigned long round = 0;; round++) {
		for (int i = 0; i < 4; i++) {
			MUST_EQ(clock_gettime(clocks[i], &now), 0);
			if (now.tv_sec < last[i].tv_sec || (now.tv_sec == last[i].tv_sec && now.tv_nsec < last[i].tv_nsec))
				judge_fail("clock %d went back from %ld.%09ld to %ld.%09ld", (int)clocks[i],
					   (long)last[i].tv_sec, last[i].tv_nsec, (long)now.tv_sec, now.tv_nsec);
			last[i] = now;
		}
		if (round == 1000)
			judge_ready();
		if (round % 4096 == 0 && judge_asked())
			break;
	}
	struct timespec direct;
	MUST_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &direct), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	double apart = (double)(now.tv_sec - direct.tv_sec) + (double)(now.tv_nsec - direct.tv_nsec) / 1e9;
	MUST(apart >= 0 && apart < 2);
	MUST(time(NULL) >= first);
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	MUST(!vdso || !memcmp(vdso, "\177ELF", 4));
	return judge_pass();
}
