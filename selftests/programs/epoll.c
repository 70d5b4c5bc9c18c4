// SPDX-License-Identifier: LGPL-2.1-or-later
/* epoll DIR [WHAT]: instances that watch pipes, eventfds, sockets and each other: numbers that were closed or duplicated since,
 * one number twice, every manner of telling, an instance that a child shares. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define EVENT_PIPE 0x7000000000000001ull

static int outer, inner, edge, calm, busy, talk[2], quiet[2], loud[2], pair[2], counter, renamed, moved, first, second,
	level_of_closed;

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	MUST_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
}

static struct epoll_event next(int ep)
{
	struct epoll_event e = { 0 };
	MUST_EQ(epoll_wait(ep, &e, 1, 0), 1);
	return e;
}

static bool nothing(int ep)
{
	struct epoll_event e;
	return epoll_wait(ep, &e, 1, 0) == 0;
}

/* The events word of a number as fdinfo tells it; -1: no such entry. */
static long events_of(int ep, int fd)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", ep);
	FILE *file = fopen(path, "r");
	int at;
	unsigned events;
	long found = -1;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "tfd: %d events: %x", &at, &events) == 2 && at == fd)
			found = events;
	fclose(file);
	return found;
}

static void make(void)
{
	outer = epoll_create1(EPOLL_CLOEXEC);
	inner = epoll_create1(0);
	edge = epoll_create1(0);
	MUST_EQ(pipe(quiet), 0);
	MUST_EQ(pipe(loud), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	counter = eventfd(0, EFD_NONBLOCK);
	add(outer, quiet[0], EPOLLIN, EVENT_PIPE);
	add(outer, inner, EPOLLIN, 2);
	add(inner, counter, EPOLLIN | EPOLLEXCLUSIVE, 3);
	/* armed once, told: disarmed until EPOLL_CTL_MOD */
	add(edge, pair[0], EPOLLIN | EPOLLOUT | EPOLLONESHOT, 4);
	MUST_EQ(next(edge).data.u64, 4);
	add(edge, pair[1], EPOLLIN | EPOLLONESHOT | EPOLLET, 5);
	add(edge, loud[0], EPOLLIN | EPOLLET | EPOLLRDHUP, 6);
	/* told on edges: what was told is not told again, what was not yet is */
	calm = epoll_create1(0);
	busy = epoll_create1(0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, talk), 0);
	add(calm, talk[0], EPOLLIN | EPOLLOUT | EPOLLET, 12);
	add(calm, quiet[0], EPOLLIN, 13);
	MUST_EQ(next(calm).data.u64, 12);
	MUST(nothing(calm));
	add(busy, talk[1], EPOLLOUT | EPOLLET, 14);
	/* the number under which a pipe was added names another file now, the pipe has another number */
	first = dup(quiet[0]);
	renamed = eventfd(0, EFD_NONBLOCK);
	add(outer, first, EPOLLIN, 7);
	add(outer, renamed, EPOLLIN, 8);
	second = dup(renamed);
	MUST_EQ(dup2(counter, renamed), renamed);
	/* two files under one number */
	add(outer, renamed, EPOLLIN, 9);
	/* a number that is far above all others and closed */
	moved = fcntl(loud[0], F_DUPFD, 900);
	add(outer, moved, EPOLLIN, 10);
	close(moved);
	level_of_closed = fcntl(loud[0], F_DUPFD, 70);
	add(outer, level_of_closed, EPOLLIN | EPOLLONESHOT, 11);
	close(level_of_closed);
}

static void judge_outer(void)
{
	uint64_t one = 1;
	MUST(nothing(outer));
	MUST_EQ(write(second, &one, 8), 8);
	MUST_EQ(next(outer).data.u64, 8);
	MUST_EQ(read(second, &one, 8), 8);
	MUST(nothing(outer));
	MUST_EQ(write(counter, &one, 8), 8);
	struct epoll_event events[8];
	MUST_EQ(epoll_wait(outer, events, 8, 0), 2);
	MUST_EQ(events[0].data.u64 + events[1].data.u64, 2 + 9);
	MUST_EQ(next(inner).data.u64, 3);
	MUST_EQ(read(counter, &one, 8), 8);
	MUST(nothing(inner));
	MUST_EQ(write(quiet[1], "x", 1), 1);
	MUST_EQ(epoll_wait(outer, events, 8, 0), 2);
	MUST_EQ(events[0].data.u64 + events[1].data.u64, EVENT_PIPE + 7);
	MUST_EQ(epoll_ctl(outer, EPOLL_CTL_DEL, first, NULL), 0);
	MUST_EQ(next(outer).data.u64, EVENT_PIPE);
	char c;
	MUST_EQ(read(quiet[0], &c, 1), 1);
	MUST(nothing(outer));
}

static void judge_edge(void)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 40 };
	MUST(nothing(edge));
	MUST_EQ(write(pair[1], "y", 1), 1);
	MUST(nothing(edge)); /* disarmed */
	MUST_EQ(epoll_ctl(edge, EPOLL_CTL_MOD, pair[0], &e), 0);
	MUST_EQ(next(edge).data.u64, 40);
	MUST(nothing(edge));
	MUST_EQ(write(pair[0], "z", 1), 1);
	MUST_EQ(next(edge).data.u64, 5);
	MUST(nothing(edge));
	MUST_EQ(write(loud[1], "z", 1), 1);
	MUST_EQ(next(edge).data.u64, 6);
	MUST(nothing(edge)); /* told once */
	struct epoll_event events[8];
	MUST_EQ(epoll_wait(outer, events, 8, 0), 2);
	MUST_EQ(events[0].data.u64 + events[1].data.u64, 10 + 11);
	MUST_EQ(next(outer).data.u64, 10);
	close(loud[0]); /* the last descriptor of the pipe's reading side: its entries go */
	MUST(nothing(outer));
	MUST_EQ(events_of(outer, moved), -1);
}

static void judge_manner(void)
{
	MUST(nothing(calm));
	MUST_EQ(write(talk[1], "t", 1), 1);
	struct epoll_event e = next(calm);
	MUST_EQ(e.data.u64, 12);
	MUST_EQ(e.events, EPOLLIN | EPOLLOUT);
	MUST(nothing(calm));
	MUST_EQ(next(busy).data.u64, 14);
	MUST(nothing(busy));
}

static void judge_words(void)
{
	MUST_EQ(events_of(outer, quiet[0]), EPOLLIN | EPOLLERR | EPOLLHUP);
	MUST_EQ(events_of(inner, counter), (long)(EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLEXCLUSIVE));
	MUST_EQ(events_of(edge, pair[0]), EPOLLONESHOT);
	MUST_EQ(events_of(edge, pair[1]), (long)(EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLONESHOT | EPOLLET));
	MUST_EQ(events_of(outer, moved), EPOLLIN | EPOLLERR | EPOLLHUP);
}

static int epoll_shared(void)
{
	int status, to_child[2];
	char c;
	MUST_EQ(pipe(to_child), 0);
	pid_t child = fork();
	if (child == 0) {
		close(to_child[1]);
		close(quiet[0]); /* what the instance watches is open in the parent only */
		close(first);
		judge_wait();
		MUST_EQ(read(to_child[0], &c, 1), 1);
		MUST_EQ(next(outer).data.u64, 8);
		_exit(7);
	}
	judge_wait();
	judge_words();
	MUST_EQ(syscall(SYS_kcmp, getpid(), child, 0, outer, outer), 0);
	uint64_t one = 1;
	MUST_EQ(write(second, &one, 8), 8);
	MUST_EQ(write(to_child[1], "g", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(WEXITSTATUS(status), 7);
	MUST_EQ(read(second, &one, 8), 8);
	return 0;
}

/* What is refused: kept out of the tree by the program itself, or disarmed and not ready. */
static int hold_refused(const char *what)
{
	int ep = epoll_create1(0), ends[2], status;
	MUST_EQ(pipe(ends), 0);
	if (!strcmp(what, "disarmed")) {
		add(ep, ends[0], EPOLLIN | EPOLLONESHOT, 1);
		MUST_EQ(write(ends[1], "x", 1), 1);
		MUST_EQ(next(ep).data.u64, 1);
		MUST_EQ(read(ends[0], &status, 1), 1);
		judge_wait();
		MUST_EQ(events_of(ep, ends[0]), EPOLLONESHOT);
		return judge_pass();
	}
	/* a process that is no child of this one has it */
	int kept = eventfd(0, 0);
	pid_t child = fork();
	if (child == 0 && fork() > 0)
		_exit(0);
	if (child == 0) { /* until this one ends */
		close(ends[1]);
		_exit(read(ends[0], &status, 1) != 0);
	}
	MUST_EQ(waitpid(child, &status, 0), child);
	add(ep, kept, EPOLLIN, 1);
	close(kept);
	close(ends[0]);
	judge_wait();
	MUST(events_of(ep, kept) >= 0);
	return judge_pass();
}

static void send_away(int to, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&m);
	MUST(header != NULL);
	*header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	MUST_EQ(sendmsg(to, &m, 0), 1);
	close(fd);
}

static int receive(int from)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, c;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	int fd;
	MUST(recvmsg(from, &m, 0) == 1 && m.msg_controllen);
	struct cmsghdr *header = CMSG_FIRSTHDR(&m);
	MUST(header != NULL);
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

/* What is watched is open nowhere but on its way through a socket: two pipes that had one number, and one that has been told. */
static int in_flight(void)
{
	int ep = epoll_create1(0), sockets[2], ends[2], other[2], told[2], number;
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0 && pipe(ends) == 0 && pipe(other) == 0 && pipe(told) == 0);
	MUST_EQ(write(told[1], "t", 1), 1);
	add(ep, told[0], EPOLLIN | EPOLLET, 3);
	MUST(next(ep).data.u64 == 3 && nothing(ep));
	number = ends[0];
	add(ep, number, EPOLLIN, 2);
	send_away(sockets[0], number);
	MUST_EQ(dup2(other[0], number), number);
	close(other[0]);
	add(ep, number, EPOLLIN | EPOLLRDHUP, 1);
	send_away(sockets[0], number);
	send_away(sockets[0], told[0]);
	judge_wait();
	MUST(events_of(ep, number) >= 0 && nothing(ep));
	MUST_EQ(write(ends[1], "x", 1), 1);
	MUST(next(ep).data.u64 == 2);
	int first_of_all = receive(sockets[1]), then = receive(sockets[1]), last = receive(sockets[1]);
	char c;
	MUST(read(first_of_all, &c, 1) == 1 && nothing(ep) && write(other[1], "y", 1) == 1);
	MUST(next(ep).data.u64 == 1 && read(then, &c, 1) == 1 && c == 'y' && nothing(ep));
	MUST(write(told[1], "t", 1) == 1 && next(ep).data.u64 == 3 && nothing(ep) && read(last, &c, 1) == 1);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "flight"))
		return in_flight();
	if (argc > 2 && strcmp(argv[2], "shared"))
		return hold_refused(argv[2]);
	make();
	if (argc > 2)
		epoll_shared();
	else
		judge_wait();
	judge_words();
	judge_manner();
	judge_outer();
	judge_edge();
	return judge_pass();
}
