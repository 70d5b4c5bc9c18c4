// SPDX-License-Identifier: LGPL-2.1-or-later
/* tables DIR [dead]: threads of one process that have descriptor tables of their own (unshare(2), CLONE_FILES), one of which two
 * threads share. Each sees its own descriptors again, the locks that belong to a table, and what the others open goes past it. dead: the
 * main thread has ended. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif
#define THREADS 4
#define SAME 40  /* another file in each table */
#define ALONE 70 /* only in that of one or two threads */
enum { LEDGER, PIPE_OUT, PIPE_IN, EVENT, SOCKET, EPOLL, SIGNAL, CHILD, SAMES };

static pthread_barrier_t prepared, asked, opened, seen;
static pid_t child, tids[THREADS - 1];
static int ends[2];

static void place(int fd, int at)
{
	MUST(fd >= 0);
	MUST_EQ(dup3(fd, at, O_CLOEXEC), at);
	MUST_EQ(close(fd), 0);
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void lock_byte(int fd, off_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	MUST_EQ(fcntl(fd, F_SETLK, &lock), 0);
}

/* Has somebody else's table the lock on this byte? */
static bool is_locked_to_me(int fd, off_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	MUST_EQ(fcntl(fd, F_GETLK, &lock), 0);
	MUST(lock.l_type == F_UNLCK || lock.l_pid == getpid());
	return lock.l_type != F_UNLCK;
}

/* All of it is in this thread's table alone. */
static void make_own(void)
{
	int pipes[2];
	sigset_t usr2;
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	place(open("/dev/zero", O_RDONLY), SAME); /* first: who closes a file loses all locks of the table on it */
	place(open(judge_path("ledger"), O_RDWR | O_CREAT, 0600), ALONE + LEDGER);
	MUST_EQ(write(ALONE + LEDGER, "own", 3), 3);
	lock_byte(ALONE + LEDGER, 1);
	MUST_EQ(pipe(pipes), 0);
	place(pipes[0], ALONE + PIPE_OUT);
	place(pipes[1], ALONE + PIPE_IN);
	MUST_EQ(write(ALONE + PIPE_IN, "left", 4), 4);
	place(eventfd(7, 0), ALONE + EVENT);
	MUST_EQ(dup2(ends[1], ALONE + SOCKET), ALONE + SOCKET);
	MUST_EQ(close(ends[0]) | close(ends[1]), 0);
	place(signalfd(-1, &usr2, SFD_NONBLOCK), ALONE + SIGNAL);
	place(pidfd_open(child, 0), ALONE + CHILD);
	place(epoll_create1(0), ALONE + EPOLL);
	for (int i = EVENT; i <= CHILD; i++)
		if (i != EPOLL)
			MUST_EQ(epoll_ctl(ALONE + EPOLL, EPOLL_CTL_ADD, ALONE + i,
					  &(struct epoll_event){ .events = EPOLLIN, .data.u32 = (uint32_t)i }),
				0);
}

static void check_own(void)
{
	char text[8] = "";
	uint64_t count;
	struct epoll_event event;
	struct signalfd_siginfo info;
	MUST_EQ(lseek(ALONE + LEDGER, 0, SEEK_CUR), 3);
	MUST(!is_locked_to_me(ALONE + LEDGER, 1) && is_locked_to_me(ALONE + LEDGER, 0));
	MUST_EQ(read(ALONE + PIPE_OUT, text, sizeof text), 4);
	MUST_EQ(strcmp(text, "left"), 0);
	MUST_EQ(read(ALONE + EVENT, &count, sizeof count), sizeof count);
	MUST_EQ(count, 7);
	MUST_EQ(write(ALONE + SOCKET, "up", 2), 2);
	MUST_EQ(epoll_wait(ALONE + EPOLL, &event, 1, 0), 0);
	MUST_EQ(pthread_kill(pthread_self(), SIGUSR2), 0);
	MUST(epoll_wait(ALONE + EPOLL, &event, 1, 0) == 1 && event.data.u32 == SIGNAL);
	MUST_EQ(read(ALONE + SIGNAL, &info, sizeof info), sizeof info);
	MUST_EQ(kill(child, SIGKILL), 0);
	MUST(epoll_wait(ALONE + EPOLL, &event, 1, JUDGE_PATIENCE_MS) == 1 && event.data.u32 == CHILD);
	MUST_EQ(waitid(P_PIDFD, ALONE + CHILD, &(siginfo_t){ 0 }, WEXITED), 0);
	MUST(fcntl(ALONE + EVENT, F_GETFD) == FD_CLOEXEC && fcntl(SAME, F_GETFD) == FD_CLOEXEC);
}

/* From here on the thread does nothing but wait. */
static void come(int i)
{
	tids[i] = gettid();
	pthread_barrier_wait(&prepared);
	pthread_barrier_wait(&asked);
}

/* Has what its maker has. */
static void *share(void *arg)
{
	come(0);
	MUST(is_open(ALONE + LEDGER));
	pthread_barrier_wait(&opened);
	MUST(is_open(ALONE + SAMES) && !is_open(SAME + 1));
	MUST(!is_locked_to_me(ALONE + LEDGER, 1) && is_locked_to_me(ALONE + LEDGER, 0));
	pthread_barrier_wait(&seen);
	return arg;
}

static void *own(void *arg)
{
	pthread_t sharer;
	MUST_EQ(unshare(CLONE_FILES), 0);
	make_own();
	MUST_EQ(pthread_create(&sharer, NULL, share, NULL), 0);
	come(1);
	check_own();
	MUST_EQ(dup2(SAME, ALONE + SAMES), ALONE + SAMES);
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&seen);
	MUST_EQ(pthread_join(sharer, NULL), 0);
	return arg;
}

/* Has nothing but what it opens itself. */
static void *bare(void *arg)
{
	struct stat null, st;
	MUST_EQ(syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE), 0);
	MUST_EQ(open("/dev/null", O_WRONLY), 0);
	MUST_EQ(dup2(0, SAME), SAME);
	MUST_EQ(fstat(0, &null), 0);
	come(2);
	pthread_barrier_wait(&opened);
	for (int fd = 1; fd < 256; fd++)
		MUST_EQ(is_open(fd), fd == SAME);
	MUST_EQ(fstat(SAME, &st), 0);
	MUST_EQ(st.st_rdev, null.st_rdev);
	pthread_barrier_wait(&seen);
	return arg;
}

static void *live(void *arg)
{
	pthread_t threads[2];
	char text[8] = "";
	sigset_t usr2;
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	place(open(judge_path("ledger"), O_RDWR | O_CREAT, 0600), SAME);
	lock_byte(SAME, 0);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);
	MUST_EQ(pthread_create(&threads[0], NULL, own, NULL), 0);
	MUST_EQ(pthread_create(&threads[1], NULL, bare, NULL), 0);
	pthread_barrier_wait(&prepared);
	MUST_EQ(close(ends[1]), 0);
	for (int i = 0; i < THREADS - 1; i++)
		judge_settled(tids[i]);
	judge_wait();
	pthread_barrier_wait(&asked);
	MUST_EQ(dup2(0, SAME + 1), SAME + 1);
	pthread_barrier_wait(&opened);
	for (int i = 0; i <= SAMES; i++)
		MUST(!is_open(ALONE + i));
	MUST(!is_locked_to_me(SAME, 0) && is_locked_to_me(SAME, 1));
	MUST_EQ(lseek(SAME, 0, SEEK_CUR), 0);
	MUST_EQ(read(ends[0], text, sizeof text), 2);
	pthread_barrier_wait(&seen);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	_exit(judge_pass());
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	judge_start(argc, argv);
	pthread_barrier_t *const barriers[] = { &prepared, &asked, &opened, &seen };
	for (size_t i = 0; i < sizeof barriers / sizeof *barriers; i++)
		pthread_barrier_init(barriers[i], NULL, THREADS);
	child = fork();
	while (!child)
		pause();
	if (argc < 3 || strcmp(argv[2], "dead"))
		live(NULL);
	MUST_EQ(pthread_create(&thread, NULL, live, NULL), 0);
	pthread_exit(NULL);
}
