// SPDX-License-Identifier: LGPL-2.1-or-later
/* sysvshm DIR [outside]: segments of System V shared memory: one with a key, one that goes with its last attachment, one attached for
 * reading too, shared with a child. outside: a process outside of the tree has it attached too, and writes to it. */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/shm.h>

#define KEY 0x434b5054 /* the IPC namespace is the test's */
#define SIZE (5 * 4096 + 100)

static int keyed, dying;
static char *board, *reader, *hidden;
static struct shmid_ds before;

static char *attach(int id, int flags)
{
	char *at = shmat(id, NULL, flags);
	MUST(at != (char *)-1);
	return at;
}

/* Answers what it is asked in the shared segment, and writes where only the parent looks. */
static void be_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (char last = 0; last != 'q'; judge_nap(1)) {
		char asked = __atomic_load_n(&board[0], __ATOMIC_SEQ_CST);
		if (asked == last)
			continue;
		hidden[4096] = asked;
		__atomic_store_n(&board[1], asked, __ATOMIC_SEQ_CST);
		last = asked;
	}
	_exit(0);
}

static void ask(char c)
{
	__atomic_store_n(&board[0], c, __ATOMIC_SEQ_CST);
	for (int tries = 0; __atomic_load_n(&board[1], __ATOMIC_SEQ_CST) != c; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS);
		judge_nap(1);
	}
}

static unsigned long attached(int id)
{
	struct shmid_ds ds;
	MUST_EQ(shmctl(id, IPC_STAT, &ds), 0);
	return ds.shm_nattch;
}

static void judge_segments(pid_t child)
{
	struct shmid_ds ds;
	int status;
	MUST_EQ(shmctl(keyed, IPC_STAT, &ds), 0);
	MUST_EQ(ds.shm_segsz, SIZE);
	MUST_EQ(ds.shm_perm.mode, before.shm_perm.mode);
	MUST_EQ(ds.shm_perm.uid, 1000);
	MUST_EQ(ds.shm_perm.gid, 1001);
	MUST_EQ(ds.shm_nattch, before.shm_nattch);
	MUST_EQ(shmget(KEY, 0, 0), keyed);
	MUST_EQ(shmctl(dying, IPC_STAT, &ds), 0);
	MUST(ds.shm_perm.mode & 01000); /* SHM_DEST */
	MUST_EQ(ds.shm_nattch, 2);
	MUST(!strcmp(board + 4096, "kept") && !strcmp(reader + 4096, "kept") && !strcmp(hidden, "hidden"));
	for (int i = 2 * 4096; i < SIZE; i++)
		MUST_EQ(board[i], 0);
	ask('b');
	MUST(reader[0] == 'b' && hidden[4096] == 'b');
	ask('q');
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(attached(dying), 1);
	MUST(shmdt(hidden) == 0 && shmdt(reader) == 0 && shmdt(board) == 0);
	MUST_EQ(shmctl(dying, IPC_STAT, &ds), -1);
	MUST_EQ(attached(keyed), 0);
	MUST_EQ(shmctl(keyed, IPC_RMID, NULL), 0);
}

/* The process outside counts while the tree is away. */
static int share_outside(void)
{
	char *other = NULL;
	pid_t pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		setsid();
		if (fork())
			_exit(0);
		MUST_EQ(shmdt(board), 0); /* inherited */
		other = attach(keyed, 0);
		for (other[2] = 'o'; __atomic_load_n(&other[3], __ATOMIC_SEQ_CST) != 'e'; judge_nap(1))
			other[4096] = 'x';
		_exit(0);
	}
	MUST_EQ(waitpid(pid, NULL, 0), pid);
	while (__atomic_load_n(&board[2], __ATOMIC_SEQ_CST) != 'o')
		judge_nap(1);
	judge_wait();
	MUST_EQ(board[4096], 'x');
	MUST_EQ(attached(keyed), 2);
	__atomic_store_n(&board[3], 'e', __ATOMIC_SEQ_CST);
	for (int tries = 0; attached(keyed) != 1; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS);
		judge_nap(1);
	}
	MUST_EQ(shmctl(keyed, IPC_RMID, NULL), 0);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	keyed = shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0640);
	MUST(keyed >= 0);
	board = attach(keyed, 0);
	if (argc > 2)
		return share_outside();
	reader = attach(keyed, SHM_RDONLY);
	dying = shmget(IPC_PRIVATE, 3 * 4096, IPC_CREAT | 0600);
	hidden = attach(dying, 0);
	MUST_EQ(shmctl(dying, IPC_RMID, NULL), 0);
	strcpy(board + 4096, "kept");
	strcpy(hidden, "hidden");
	MUST_EQ(shmctl(keyed, IPC_STAT, &before), 0);
	before.shm_perm.uid = 1000;
	before.shm_perm.gid = 1001;
	MUST_EQ(shmctl(keyed, IPC_SET, &before), 0);
	pid_t child = fork();
	if (!child)
		be_child();
	ask('a');
	MUST_EQ(shmctl(keyed, IPC_STAT, &before), 0);
	judge_wait();
	judge_segments(child);
	return judge_pass();
}
