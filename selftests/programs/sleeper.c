// SPDX-License-Identifier: LGPL-2.1-or-later
/* sleeper DIR: the smallest thing that can be asked for a verdict. */
#include "judge.h"

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	pid_t pid = getpid();
	judge_wait();
	MUST_EQ(getpid(), pid);
	return judge_pass();
}
