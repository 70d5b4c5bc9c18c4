// SPDX-License-Identifier: LGPL-2.1-or-later
/* sysvipc DIR [blocked]: a set of System V semaphores and queues of messages, all with keys. blocked: threads wait for each of
 * them, one for what they never get, and messages wait in a queue. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#define KEY 0x434b5054 /* the IPC namespace is the test's */
enum { KEPT, AWAITED, NEVER, SEMAPHORES };

static int set, queue, full;
static struct {
	long type;
	char text[8];
} said = { 7, "message" };

static void change(int semaphore, int by)
{
	MUST_EQ(semop(set, &(struct sembuf){ (unsigned short)semaphore, (short)by, 0 }, 1), 0);
}

static void *take(void *arg)
{
	(void)arg;
	change(AWAITED, -1);
	return NULL;
}

static void *take_in_time(void *arg)
{
	(void)arg;
	MUST_EQ(semtimedop(set, &(struct sembuf){ AWAITED, -1, 0 }, 1, &(struct timespec){ 1000, 0 }), 0);
	return NULL;
}

static void *take_too_late(void *arg)
{
	(void)arg;
	MUST_EQ(semtimedop(set, &(struct sembuf){ NEVER, -1, 0 }, 1, &(struct timespec){ 1, 0 }), -1);
	MUST_EQ(errno, EAGAIN);
	return NULL;
}

static void *receive(void *arg)
{
	typeof(said) got = { 0 };
	(void)arg;
	MUST_EQ(msgrcv(queue, &got, sizeof got.text, 7, 0), sizeof got.text);
	MUST(!strcmp(got.text, said.text));
	return NULL;
}

static void *send_one(void *arg)
{
	(void)arg;
	MUST_EQ(msgsnd(full, &said, sizeof said.text, 0), 0);
	return NULL;
}

static void *(*const blocked[])(void *) = { take, take_in_time, take_too_late, receive, send_one };
#define BLOCKED ((int)(sizeof blocked / sizeof *blocked))

/* All of them sleep in their calls; on a slow machine the one that waits for a second may have ended. */
static void wait_asleep(pid_t first)
{
	char path[64];
	for (pid_t tid = first, seen = 0; seen < BLOCKED && tid < first + 100; tid++) {
		snprintf(path, sizeof path, "/proc/self/task/%d", (int)tid);
		if (access(path, F_OK) < 0)
			continue;
		judge_settled(tid);
		seen++;
	}
}

static void be_blocked(void)
{
	pthread_t threads[BLOCKED];
	int messages = 0;
	while (msgsnd(full, &said, sizeof said.text, IPC_NOWAIT) == 0)
		messages++;
	MUST(errno == EAGAIN && messages);
	for (int i = 0; i < BLOCKED; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, blocked[i], NULL), 0);
	wait_asleep(getpid() + 1);
	judge_wait();
	change(AWAITED, 2);
	MUST_EQ(msgsnd(queue, &said, sizeof said.text, 0), 0);
	for (int i = 0; i <= messages; i++)
		MUST_EQ(msgrcv(full, &(typeof(said)){ 0 }, sizeof said.text, 0, 0), sizeof said.text);
	for (int i = 0; i < BLOCKED; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
}

static void judge_objects(void)
{
	struct msqid_ds ds;
	struct semid_ds sem;
	MUST_EQ(semget(KEY, 0, 0), set);
	MUST_EQ(semctl(set, 0, IPC_STAT, &sem), 0);
	MUST_EQ(sem.sem_nsems, SEMAPHORES);
	MUST_EQ(sem.sem_perm.mode & 0777, 0640);
	MUST_EQ(sem.sem_perm.uid, 1000);
	MUST_EQ(semctl(set, KEPT, GETVAL), 3);
	MUST_EQ(msgget(KEY + 1, 0), full);
	MUST_EQ(msgctl(full, IPC_STAT, &ds), 0);
	MUST_EQ(ds.msg_qbytes, 80);
	MUST_EQ(ds.msg_perm.mode & 0777, 0600);
	MUST_EQ(ds.msg_perm.gid, 1001);
}

int main(int argc, char **argv)
{
	struct msqid_ds ds;
	struct semid_ds sem;
	judge_start(argc, argv);
	set = semget(KEY, SEMAPHORES, IPC_CREAT | IPC_EXCL | 0640);
	full = msgget(KEY + 1, IPC_CREAT | IPC_EXCL | 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	MUST(set >= 0 && full >= 0 && queue >= 0);
	MUST_EQ(semctl(set, 0, IPC_STAT, &sem), 0);
	sem.sem_perm.uid = 1000;
	MUST_EQ(semctl(set, 0, IPC_SET, &sem), 0);
	MUST_EQ(msgctl(full, IPC_STAT, &ds), 0);
	ds.msg_qbytes = 80;
	ds.msg_perm.gid = 1001;
	MUST_EQ(msgctl(full, IPC_SET, &ds), 0);
	change(KEPT, 3);
	MUST_EQ(msgsnd(full, &said, sizeof said.text, 0), 0);
	MUST_EQ(msgrcv(full, &said, sizeof said.text, 0, 0), sizeof said.text);
	if (argc > 2)
		be_blocked();
	else
		judge_wait();
	judge_objects();
	MUST_EQ(semctl(set, 0, IPC_RMID), 0);
	MUST(msgctl(full, IPC_RMID, NULL) == 0 && msgctl(queue, IPC_RMID, NULL) == 0);
	return judge_pass();
}
