// SPDX-License-Identifier: LGPL-2.1-or-later
/* ended DIR: TCP connections, both ends in the tree, that have ended or are about to: what was not read is read afterwards, a little and
 * much of it; one with last bytes that wait since nobody reads, so that it is in LAST_ACK or in CLOSING. */
#include "judge.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { LITTLE, MUCH, BOUND, LATE, BOTH, PAIRS };
#define LARGE 300000

static int ends[PAIRS][2], six_first;
static size_t sent[PAIRS];

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + i / 251); }

static void make_pairs(int family)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in *four = (void *)&a;
	socklen_t len = family == AF_INET6 ? sizeof a : sizeof *four;
	int listener = socket(family, SOCK_STREAM, 0);
	if (family == AF_INET)
		*four = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	MUST(bind(listener, (void *)&a, len) == 0 && listen(listener, PAIRS) == 0);
	MUST_EQ(getsockname(listener, (void *)&a, &len), 0);
	for (int i = family == AF_INET6 ? six_first : 0; i < (family == AF_INET6 ? PAIRS : six_first); i++) {
		ends[i][0] = socket(family, SOCK_STREAM, 0);
		MUST_EQ(connect(ends[i][0], (void *)&a, len), 0);
		MUST((ends[i][1] = accept(listener, NULL, NULL)) >= 0);
	}
	close(listener);
}

static int tcp_state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	MUST_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_state;
}

static void wait_state(int fd, int state)
{
	while (tcp_state(fd) != state)
		usleep(1000);
}

/* 0: until nothing more goes in. */
static size_t write_bytes(int fd, size_t most)
{
	static unsigned char bytes[65536];
	size_t at = 0;
	for (ssize_t n; !most || at < most; at += (size_t)n) {
		size_t len = most && most - at < sizeof bytes ? most - at : sizeof bytes;
		for (size_t i = 0; i < len; i++)
			bytes[i] = byte_at(at + i);
		n = send(fd, bytes, len, MSG_NOSIGNAL | (most ? 0 : MSG_DONTWAIT));
		if (n < 0 && !most && errno == EAGAIN)
			return at;
		MUST(n > 0);
	}
	return at;
}

/* All of it, and then the end. */
static void read_bytes(int fd, size_t len)
{
	static unsigned char bytes[65536];
	size_t at = 0;
	for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)); at += (size_t)n) {
		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (bytes[i] != byte_at(at + (size_t)i))
				judge_fail("byte %zu of %zu is wrong", at + (size_t)i, len);
	}
	MUST_EQ(at, len);
	MUST_EQ(recv(fd, bytes, 1, 0), 0);
}

/* What the second end has sent the first has not read; both have said that they send no more. */
static void end_unread(int i, size_t len)
{
	const int room = 4 * LARGE;
	MUST_EQ(setsockopt(ends[i][0], SOL_SOCKET, i == BOUND ? SO_RCVBUF : SO_RCVBUFFORCE, &room, sizeof room), 0);
	MUST_EQ(shutdown(ends[i][0], SHUT_WR), 0);
	sent[i] = write_bytes(ends[i][1], len);
	int unread = 0;
	do
		MUST_EQ(ioctl(ends[i][0], FIONREAD, &unread), 0);
	while ((size_t)unread < len && usleep(1000) == 0);
	MUST_EQ(shutdown(ends[i][1], SHUT_WR), 0);
	wait_state(ends[i][0], TCP_CLOSE);
	wait_state(ends[i][1], TCP_CLOSE);
}

static void make_ends(void)
{
	end_unread(LITTLE, 11);
	end_unread(MUCH, LARGE);
	end_unread(BOUND, 4000);
	MUST_EQ(shutdown(ends[LATE][0], SHUT_WR), 0);
	wait_state(ends[LATE][1], TCP_CLOSE_WAIT);
	sent[LATE] = write_bytes(ends[LATE][1], 0);
	MUST_EQ(shutdown(ends[LATE][1], SHUT_WR), 0);
	MUST_EQ(tcp_state(ends[LATE][1]), TCP_LAST_ACK);
	sent[BOTH] = write_bytes(ends[BOTH][1], 0);
	MUST_EQ(shutdown(ends[BOTH][1], SHUT_WR), 0);
	MUST_EQ(shutdown(ends[BOTH][0], SHUT_WR), 0);
	wait_state(ends[BOTH][1], TCP_CLOSING);
}

static void judge_unread(int i)
{
	struct pollfd p = { ends[i][0], POLLIN | POLLOUT | POLLRDHUP, 0 };
	int unread = 0, error = -1;
	char byte;
	socklen_t len = sizeof error;
	MUST_EQ(tcp_state(ends[i][0]), TCP_CLOSE);
	MUST(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP));
	MUST(ioctl(ends[i][0], FIONREAD, &unread) == 0 && (size_t)unread == sent[i]);
	MUST(getsockopt(ends[i][0], SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
	MUST(send(ends[i][0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	read_bytes(ends[i][0], sent[i]);
	MUST_EQ(recv(ends[i][1], &byte, 1, 0), 0);
}

static void judge_pending(int i)
{
	int error = -1;
	socklen_t len = sizeof error;
	MUST(send(ends[i][1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	read_bytes(ends[i][0], sent[i]);
	MUST(getsockopt(ends[i][1], SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
	MUST_EQ(recv(ends[i][1], &(char){ 0 }, 1, 0), 0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	six_first = BOUND;
	make_pairs(AF_INET);
	make_pairs(AF_INET6);
	make_ends();
	judge_wait();
	judge_unread(LITTLE);
	judge_unread(MUCH);
	judge_unread(BOUND);
	judge_pending(LATE);
	judge_pending(BOTH);
	return judge_pass();
}
