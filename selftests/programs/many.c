/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* many DIR N: N processes, each in a group with its next, which wait for a word in shared memory. Afterwards all of them are
 * there, with what they had written to their own memory, and end as they are told. */
#include "judge.h"

static unsigned *state; /* of each child: 1 ready, 2 told to end */
static volatile int own;

static void live(int me, pid_t parent)
{
	own = me * 7;
	__atomic_store_n(&state[me], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&state[me], __ATOMIC_SEQ_CST) != 2)
		syscall(SYS_futex, &state[me], 0 /* FUTEX_WAIT */, 1, NULL, NULL, 0);
	_exit(own == me * 7 && getppid() == parent ? me % 100 : 200);
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 100, status;
	judge_start(argc, argv);
	pid_t *child = calloc((size_t)n, sizeof *child), parent = getpid();
	state = mmap(NULL, (size_t)n * sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(child && state != MAP_FAILED);
	for (int i = 0; i < n; i++) {
		child[i] = fork();
		MUST(child[i] >= 0);
		if (child[i] == 0)
			live(i, parent);
		setpgid(child[i], i % 2 ? child[i - 1] : 0);
	}
	for (int i = 0; i < n; i++)
		while (!__atomic_load_n(&state[i], __ATOMIC_SEQ_CST))
			judge_nap(1);
	judge_wait();
	for (int i = 0; i < n; i++) {
		MUST_EQ(getpgid(child[i]), child[i - i % 2]);
		__atomic_store_n(&state[i], 2, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &state[i], 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
	}
	for (int i = 0; i < n; i++) {
		MUST_EQ(waitpid(child[i], &status, 0), child[i]);
		MUST_EQ(status, i % 100 << 8);
	}
	return judge_pass();
}
