// SPDX-License-Identifier: LGPL-2.1-or-later
/* sysvsem DIR [undo]: a System V semaphore that the program has taken, for good or (undo) until its end. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/sem.h>

static int set;

static void *take(void *flags)
{
	MUST_EQ(semop(set, &(struct sembuf){ .sem_op = -2, .sem_flg = (short)(IPC_NOWAIT | *(int *)flags) }, 1), 0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int flags = argc > 2 ? SEM_UNDO : 0;
	judge_start(argc, argv);
	set = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	MUST(set >= 0);
	MUST_EQ(semctl(set, 0, SETVAL, 5), 0);
	/* of all threads: they share the list */
	MUST_EQ(pthread_create(&thread, NULL, take, &flags), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(semctl(set, 0, GETVAL), 3);
	judge_wait();
	MUST_EQ(semctl(set, 0, GETVAL), 3);
	MUST_EQ(semctl(set, 0, IPC_RMID), 0);
	return judge_pass();
}
