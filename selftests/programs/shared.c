// SPDX-License-Identifier: LGPL-2.1-or-later
/* shared DIR: memory that two processes share (anonymous, memfd, files without a name), seen by both before and after; holes
 * and seals stay. */
#include "judge.h"
#include <sys/fsuid.h>
#include <sys/mman.h>

#define SIZE (3ul << 20)
#define VAST (1ul << 36) /* for which there need not be room (MAP_NORESERVE) */

struct board {
	int asked, answered;
	pthread_mutex_t lock;
	long counter;
	char text[64];
};

static struct board *board;
static char *memory, *file, *private, *vast;

/* Adds 1 under the shared lock whenever it is asked, and writes where it is told to. */
static void child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int done = 0; done >= 0;) {
		int asked = __atomic_load_n(&board->asked, __ATOMIC_SEQ_CST);
		if (asked == done) {
			judge_nap(1);
			continue;
		}
		pthread_mutex_lock(&board->lock);
		board->counter++;
		pthread_mutex_unlock(&board->lock);
		memory[asked * 4096] = (char)asked;
		file[asked] = (char)('a' + asked);
		private[asked] = 'p';
		done = asked;
		__atomic_store_n(&board->answered, asked, __ATOMIC_SEQ_CST);
	}
}

static void ask(void)
{
	int asked = __atomic_add_fetch(&board->asked, 1, __ATOMIC_SEQ_CST);
	for (int tries = 0; __atomic_load_n(&board->answered, __ATOMIC_SEQ_CST) != asked; tries++) {
		MUST(tries < JUDGE_PATIENCE_MS);
		judge_nap(1);
	}
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	char text[64];
	judge_start(argc, argv);
	setfsuid(1000); /* whose it is */
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setfsuid(0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&board->lock, &attr);
	int fd = memfd_create("board", MFD_ALLOW_SEALING | MFD_CLOEXEC),
	    nameless = open(judge_path("nameless"), O_RDWR | O_CREAT, 0600);
	MUST(ftruncate(fd, SIZE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(memory != MAP_FAILED && pwrite(fd, "in the middle", 13, SIZE / 2 + 77) == 13 && lseek(fd, 5, SEEK_SET) == 5);
	MUST_EQ(write(nameless, "contents of a nameless file", 27), 27);
	MUST(ftruncate(nameless, 10000) == 0 && unlink(judge_path("nameless")) == 0);
	file = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, nameless, 0);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(file != MAP_FAILED && private != MAP_FAILED);
	private[100] = '!';
	vast = mmap(NULL, VAST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vast != MAP_FAILED)
		vast[VAST / 2] = 'v';
	pid_t pid = fork();
	if (pid == 0) {
		child();
		_exit(0);
	}
	MUST(pid > 0);
	ask();
	judge_wait();
	ask();
	MUST_EQ(board->counter, 2);
	MUST(memory[4096] == 1 && memory[2 * 4096] == 2 && file[1] == 'b' && file[2] == 'c');
	MUST(vast == MAP_FAILED || (vast[VAST / 2] == 'v' && !vast[VAST - 1]));
	MUST(private[100] == '!' && private[1] == 0 && private[2] == 0);
	MUST(!memcmp(memory + SIZE / 2 + 77, "in the middle", 13) && memory[SIZE - 1] == 0);
	MUST_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	MUST_EQ(lseek(fd, 0, SEEK_CUR), 5);
	MUST_EQ(lseek(fd, 3 * 4096, SEEK_DATA), SIZE / 2 / 4096 * 4096);
	MUST(pread(nameless, text, 27, 0) == 27 && text[1] == 'b' && !memcmp(text + 3, "tents of a nameless file", 24));
	MUST_EQ(lseek(nameless, 0, SEEK_END), 10000);
	MUST(access(judge_path("nameless"), F_OK) < 0);
	struct stat st;
	MUST(fstat(nameless, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 07777) == 0600);
	kill(pid, SIGKILL);
	return judge_pass();
}
