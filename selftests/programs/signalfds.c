// SPDX-License-Identifier: LGPL-2.1-or-later
/* signalfds DIR [WHAT]: signals by descriptor, waiting and to come, told by epoll: an instance tells the signals of the process
 * that added the descriptor, also when a child shares both. high: an entry whose number is closed and above all others. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

static int one, two, moved, ep, outer, own_ep, to_child[2], from_child[2];
static pid_t child;

static int make_signalfd(int flags, int first, int second)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, first);
	sigaddset(&set, second);
	MUST_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	int fd = signalfd(-1, &set, flags);
	MUST(fd >= 0);
	return fd;
}

static void watch(int instance, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	MUST_EQ(epoll_ctl(instance, EPOLL_CTL_ADD, fd, &e), 0);
}

/* What an instance tells within some time; 0: nothing. */
static uint64_t told(int instance, int ms)
{
	struct epoll_event e = { 0 };
	return epoll_wait(instance, &e, 1, ms) == 1 ? e.data.u64 : 0;
}

static int signal_of(int fd)
{
	struct signalfd_siginfo info;
	return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

static uint64_t mask_of(int fd)
{
	char path[64], line[256];
	unsigned long long mask = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "r");
	while (fgets(line, sizeof line, file))
		sscanf(line, "sigmask: %llx", &mask);
	fclose(file);
	return mask;
}

/* The child's own instance tells the child's signals; the one of its parent tells it nothing of its own. */
static void be_child(void)
{
	char c;
	own_ep = epoll_create1(0);
	watch(own_ep, one, EPOLLIN, 20);
	MUST_EQ(write(from_child[1], "r", 1), 1);
	MUST_EQ(read(to_child[0], &c, 1), 1);
	MUST_EQ(told(own_ep, 0), 0);
	MUST_EQ(kill(getpid(), SIGUSR1), 0);
	MUST_EQ(told(own_ep, JUDGE_PATIENCE_MS), 20);
	MUST_EQ(told(ep, 50), 0);
	MUST_EQ(signal_of(one), SIGUSR1);
	MUST_EQ(told(own_ep, 0), 0);
	_exit(9);
}

static void make(bool high)
{
	sigset_t waiting;
	one = make_signalfd(SFD_NONBLOCK | SFD_CLOEXEC, SIGUSR1, SIGRTMIN);
	two = make_signalfd(0, SIGUSR2, SIGRTMAX);
	ep = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(0);
	watch(ep, one, EPOLLIN, 1);
	watch(outer, ep, EPOLLIN, 2);
	watch(ep, two, EPOLLIN | EPOLLET, 3);
	/* a number that was closed; the high one is where ckpt has a descriptor of its own */
	moved = fcntl(two, F_DUPFD, high ? 66 : 40);
	watch(outer, moved, EPOLLIN, 4);
	close(moved);
	MUST(pipe(to_child) == 0 && pipe(from_child) == 0);
	child = fork();
	if (!child)
		be_child();
	char c;
	MUST_EQ(read(from_child[0], &c, 1), 1);
	judge_settled(child);
	union sigval value = { .sival_int = 77 };
	MUST_EQ(sigqueue(getpid(), SIGRTMIN, value), 0); /* waits all the time */
	MUST(sigpending(&waiting) == 0 && sigismember(&waiting, SIGRTMIN));
}

static void judge_own(void)
{
	struct signalfd_siginfo info;
	MUST_EQ(mask_of(one), 1ull << (SIGUSR1 - 1) | 1ull << (SIGRTMIN - 1));
	MUST_EQ(mask_of(two), 1ull << (SIGUSR2 - 1) | 1ull << (SIGRTMAX - 1));
	MUST_EQ(told(ep, 0), 1);
	MUST_EQ(told(outer, 0), 2);
	MUST_EQ(read(one, &info, sizeof info), sizeof info);
	MUST(info.ssi_signo == (uint32_t)SIGRTMIN && info.ssi_int == 77 && info.ssi_code == SI_QUEUE);
	MUST_EQ(signal_of(one), 0);
	MUST(errno == EAGAIN);
	MUST(told(ep, 0) == 0 && told(outer, 0) == 0);
	MUST_EQ(kill(getpid(), SIGUSR1), 0);
	MUST_EQ(told(ep, JUDGE_PATIENCE_MS), 1);
	MUST_EQ(signal_of(one), SIGUSR1);
	MUST_EQ(kill(getpid(), SIGUSR2), 0);
	MUST_EQ(told(ep, JUDGE_PATIENCE_MS), 3);
	MUST_EQ(told(ep, 0), 0); /* edge-triggered */
	uint64_t first = told(outer, 0);
	MUST(first == 4 || first == 2);
	MUST_EQ(signal_of(two), SIGUSR2);
	MUST_EQ(told(outer, 0), 0);
	MUST_EQ(fcntl(one, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	MUST_EQ(fcntl(two, F_GETFL) & O_NONBLOCK, 0);
	MUST_EQ(fcntl(one, F_GETFD), FD_CLOEXEC);
}

/* A signal that comes while somebody sleeps in epoll_wait(2) wakes it. */
static void judge_wakeup(void)
{
	pid_t parent = getpid(), waker = fork();
	if (!waker) {
		judge_nap(100);
		kill(parent, SIGUSR1);
		_exit(0);
	}
	MUST_EQ(told(ep, JUDGE_PATIENCE_MS), 1);
	MUST_EQ(signal_of(one), SIGUSR1);
	MUST_EQ(told(ep, 0), 0); /* what was told once is looked at again, by whoever waits */
	MUST_EQ(waitpid(waker, NULL, 0), waker);
}

static int hold_refused(const char *what)
{
	int sockets[2], fd = make_signalfd(SFD_NONBLOCK, SIGUSR1, SIGUSR2);
	ep = epoll_create1(0);
	if (!strcmp(what, "disarmed")) {
		watch(ep, fd, EPOLLIN | EPOLLONESHOT, 1);
		MUST_EQ(kill(getpid(), SIGUSR1), 0);
		MUST_EQ(told(ep, 0), 1);
		judge_wait();
		MUST_EQ(told(ep, 0), 0);
		MUST_EQ(signal_of(fd), SIGUSR1);
		return judge_pass();
	}
	/* the instance is in flight inside of a socket */
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	MUST_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &ep, sizeof(int));
	watch(ep, fd, EPOLLIN, 1);
	MUST_EQ(sendmsg(sockets[0], &m, 0), 1);
	close(ep);
	judge_wait();
	MUST_EQ(recvmsg(sockets[1], &m, 0), 1);
	MUST(CMSG_FIRSTHDR(&m));
	memcpy(&ep, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	MUST_EQ(kill(getpid(), SIGUSR1), 0);
	MUST_EQ(told(ep, JUDGE_PATIENCE_MS), 1);
	return judge_pass();
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	if (argc > 2 && strcmp(argv[2], "high"))
		return hold_refused(argv[2]);
	make(argc > 2);
	judge_wait();
	judge_own();
	judge_wakeup();
	MUST_EQ(write(to_child[1], "g", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST(WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), 9);
	return judge_pass();
}
