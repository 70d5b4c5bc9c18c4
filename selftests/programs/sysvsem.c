// SPDX-License-Identifier: LGPL-2.1-or-later
/* sysvsem DIR [undo|many|kin|limit]: System V semaphores that the program has taken, for good or until its end (undo: by two threads that
 * share what is to be undone, one that does not, and another process; each gives back at its own end). many: in more sets than a list may
 * have for ckpt; kin: two processes share a list; limit: what is to be undone cannot be. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/sem.h>

#define SEMAPHORES 70
#define FULL 5
enum { OF_ALL, OF_THREAD, OF_PROCESS, OF_NOBODY, ADDED = SEMAPHORES - 1 };

static int set;
static char stack[1 << 14] __attribute__((aligned(16)));

/* In memory that the processes share. */
static struct steps {
	int taken, asked, done;
} * steps;

static void reach(int *step, int value)
{
	while (__atomic_load_n(step, __ATOMIC_SEQ_CST) < value)
		judge_nap(2);
}

static void step(int *step) { __atomic_add_fetch(step, 1, __ATOMIC_SEQ_CST); }

static void operate(int set_id, int semaphore, int by, int flags)
{
	struct sembuf operation = { (unsigned short)semaphore, (short)by, (short)(IPC_NOWAIT | flags) };
	MUST_EQ(semop(set_id, &operation, 1), 0);
}

static void expect(int semaphore, int value) { MUST_EQ(semctl(set, semaphore, GETVAL), value); }

/* Who waits for a thread goes on before that has undone anything (do_exit() of kernel/exit.c: exit_mm(), then exit_sem()). */
static void await(int semaphore, int value)
{
	for (int tries = 0; tries < JUDGE_PATIENCE_MS && semctl(set, semaphore, GETVAL) != value; tries++)
		judge_nap(2);
	expect(semaphore, value);
}

static int make_set(int count)
{
	unsigned short values[SEMAPHORES];
	int id = semget(IPC_PRIVATE, count, IPC_CREAT | 0600);
	MUST(id >= 0);
	for (int i = 0; i < SEMAPHORES; i++)
		values[i] = FULL;
	MUST_EQ(semctl(id, 0, SETALL, values), 0);
	return id;
}

/* --- undo --- */

static void *take_for_all(void *arg)
{
	operate(set, OF_ALL, -2, SEM_UNDO);
	operate(set, OF_NOBODY, -1, SEM_UNDO);
	operate(set, OF_NOBODY, 1, SEM_UNDO);
	return arg;
}

static void *take_for_itself(void *arg)
{
	MUST_EQ(unshare(CLONE_SYSVSEM), 0);
	operate(set, OF_THREAD, -1, SEM_UNDO);
	step(&steps->taken);
	reach(&steps->asked, 1);
	return arg;
}

static void take_by_threads(void)
{
	pthread_t threads[2];
	MUST(!pthread_create(&threads[0], NULL, take_for_all, NULL) && !pthread_join(threads[0], NULL));
	MUST_EQ(pthread_create(&threads[1], NULL, take_for_itself, NULL), 0);
	operate(set, ADDED, 1, SEM_UNDO);
	step(&steps->taken);
	MUST_EQ(pthread_join(threads[1], NULL), 0);
	step(&steps->done);
	reach(&steps->asked, 2);
	_exit(0);
}

static void take_by_process(void)
{
	operate(set, OF_PROCESS, -3, SEM_UNDO);
	step(&steps->taken);
	reach(&steps->asked, 3);
	_exit(0);
}

static void live_with_undo(void)
{
	static void (*const lives[])(void) = { take_by_threads, take_by_process };
	pid_t pids[2];
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			lives[i]();
	}
	reach(&steps->taken, 3);
	judge_wait();
	expect(OF_ALL, FULL - 2), expect(OF_THREAD, FULL - 1), expect(OF_PROCESS, FULL - 3), expect(ADDED, FULL + 1);
	step(&steps->asked);
	reach(&steps->done, 1);
	await(OF_THREAD, FULL), expect(OF_ALL, FULL - 2);
	step(&steps->asked);
	MUST_EQ(waitpid(pids[0], NULL, 0), pids[0]);
	expect(OF_ALL, FULL), expect(OF_NOBODY, FULL), expect(OF_PROCESS, FULL - 3), expect(ADDED, FULL);
	step(&steps->asked);
	MUST_EQ(waitpid(pids[1], NULL, 0), pids[1]);
	expect(OF_PROCESS, FULL);
}

/* --- what cannot be carried --- */

static void take_of_many(void)
{
	int sets[257];
	for (int i = 0; i < 257; i++) {
		sets[i] = make_set(1);
		operate(sets[i], 0, -1, SEM_UNDO);
	}
	judge_wait();
	for (int i = 0; i < 257; i++)
		MUST_EQ(semctl(sets[i], 0, IPC_RMID), 0);
}

static int share(void *arg)
{
	for (;;)
		pause();
	return arg != NULL;
}

static void take_with_kin(void)
{
	pid_t child = clone(share, stack + sizeof stack, CLONE_SYSVSEM | SIGCHLD, NULL);
	MUST(child > 0);
	operate(set, OF_ALL, -2, SEM_UNDO);
	judge_wait();
	MUST(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

static void take_what_was_added(void)
{
	operate(set, OF_ALL, 1, SEM_UNDO);
	operate(set, OF_ALL, -FULL - 1, 0);
	judge_wait();
	expect(OF_ALL, 0);
}

static void take_for_good(void)
{
	operate(set, OF_ALL, -2, 0);
	judge_wait();
	expect(OF_ALL, FULL - 2);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*live)(void);
	} modes[] = { { "", take_for_good },
		      { "undo", live_with_undo },
		      { "many", take_of_many },
		      { "kin", take_with_kin },
		      { "limit", take_what_was_added } };
	judge_start(argc, argv);
	steps = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	set = make_set(SEMAPHORES);
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(argc > 2 ? argv[2] : "", modes[i].name))
			modes[i].live();
	MUST_EQ(semctl(set, 0, IPC_RMID), 0);
	return judge_pass();
}
