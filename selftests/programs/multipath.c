// SPDX-License-Identifier: LGPL-2.1-or-later
/* multipath DIR: sockets of multipath TCP as servers written in Go have them: new, bound and listening, and a connection that a
 * client of ordinary TCP has made. A kernel without it gives ordinary ones. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MULTIPATH 262 /* IPPROTO_MPTCP */
static int protocol = MULTIPATH;

static int make(int family, int type)
{
	int fd = socket(family, SOCK_STREAM | type, protocol);
	if (fd < 0 && protocol) {
		protocol = 0;
		fd = socket(family, SOCK_STREAM | type, 0);
	}
	MUST(fd >= 0);
	return fd;
}

static void set(int fd, int level, int option, int value) { MUST_EQ(setsockopt(fd, level, option, &value, sizeof value), 0); }

static int get(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof value;
	MUST_EQ(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void bind_to(int fd, const struct in6_addr *address, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (address)
		six.sin6_addr = *address;
	MUST_EQ(address ? bind(fd, (void *)&six, sizeof six) : bind(fd, (void *)&four, sizeof four), 0);
}

static int connect_by(int kind, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, kind);
	MUST_EQ(connect(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static void must_carry(int from, int to, const char *data)
{
	char bytes[64];
	size_t len = strlen(data);
	MUST_EQ(write(from, data, len), len);
	MUST_EQ(recv(to, bytes, len, MSG_WAITALL), len);
	MUST(!memcmp(bytes, data, len));
}

/* A client of either kind is served, and epoll tells. */
static void must_serve(int epoll, int listener, int port)
{
	for (int i = 0; i < 2; i++) {
		struct epoll_event event;
		int client = connect_by(i ? protocol : 0, port);
		if (epoll >= 0) {
			MUST_EQ(epoll_wait(epoll, &event, 1, JUDGE_PATIENCE_MS), 1);
			MUST_EQ(event.data.fd, listener);
		}
		int server = accept(listener, NULL, NULL);
		MUST(server >= 0);
		must_carry(client, server, "question");
		must_carry(server, client, "answer");
		MUST(close(client) == 0 && close(server) == 0);
	}
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	int four = make(AF_INET, SOCK_CLOEXEC), dual = make(AF_INET6, SOCK_NONBLOCK), bound = make(AF_INET, 0), group[2];
	int fresh = make(AF_INET6, 0), epoll = epoll_create1(0);

	set(four, SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(four, NULL, 6379);
	MUST_EQ(listen(four, 17), 0);
	set(dual, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	bind_to(dual, &in6addr_any, 8080);
	MUST_EQ(listen(dual, 4096), 0);
	struct epoll_event event = { EPOLLIN, { .fd = dual } };
	MUST_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, dual, &event), 0);
	bind_to(bound, NULL, 7003);
	for (int i = 0; i < 2; i++) {
		group[i] = make(AF_INET, 0);
		set(group[i], SOL_SOCKET, SO_REUSEPORT, 1);
		bind_to(group[i], NULL, 7000);
		MUST_EQ(listen(group[i], 5), 0);
	}
	set(fresh, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fresh, IPPROTO_TCP, TCP_NODELAY, 1);
	MUST_EQ(setsockopt(four, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	int client = connect_by(0, 6379), server = accept(four, NULL, NULL), waiting = connect_by(0, 8080);
	MUST(server >= 0);
	must_carry(client, server, "before");
	MUST_EQ(write(server, "on its way", 10), 10);
	judge_wait();

	const int all[] = { four, dual, bound, fresh, group[0], group[1] };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		MUST_EQ(get(all[i], SOL_SOCKET, SO_PROTOCOL), protocol ?: IPPROTO_TCP);
	MUST_EQ(get(server, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	MUST_EQ(fcntl(four, F_GETFD), FD_CLOEXEC);
	MUST(fcntl(dual, F_GETFL) & O_NONBLOCK);
	char text[16] = "";
	MUST_EQ(recv(client, text, 10, MSG_WAITALL), 10);
	MUST(!memcmp(text, "on its way", 10));
	must_carry(client, server, "after");
	must_carry(server, client, "after that");
	MUST_EQ(get(four, SOL_SOCKET, SO_REUSEADDR), 1);
	MUST_EQ(get(bound, SOL_SOCKET, SO_REUSEADDR), 0);
	MUST_EQ(get(group[1], SOL_SOCKET, SO_REUSEPORT), 1);
	MUST_EQ(get(dual, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	MUST_EQ(get(fresh, SOL_SOCKET, SO_KEEPALIVE), 1);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_NODELAY), 1);
	socklen_t len = sizeof text;
	MUST(getsockopt(four, IPPROTO_TCP, TCP_CONGESTION, text, &len) == 0 && !strcmp(text, "reno"));
	int accepted = accept(dual, NULL, NULL);
	MUST(accepted >= 0);
	must_carry(waiting, accepted, "it waited");
	must_serve(-1, four, 6379);
	must_serve(epoll, dual, 8080);
	MUST_EQ(listen(bound, 5), 0);
	must_serve(-1, bound, 7003);
	struct pollfd ready[2] = { { group[0], POLLIN, 0 }, { group[1], POLLIN, 0 } };
	connect_by(0, 7000);
	MUST_EQ(poll(ready, 2, JUDGE_PATIENCE_MS), 1);
	return judge_pass();
}
