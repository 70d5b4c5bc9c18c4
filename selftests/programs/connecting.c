// SPDX-License-Identifier: LGPL-2.1-or-later
/* connecting DIR [outside]: TCP sockets that wait for an answer to their SYN, since who listens has no room: one that does not block,
 * of IPv4, of IPv6, of IPv6 for an address of IPv4, with options, and one in whose connect(2) a thread waits. Then there is room. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { PLAIN, SIX, MAPPED, PATIENT, CLIENTS };

static struct client {
	int fd;
	struct sockaddr_in6 mine;
	socklen_t len;
} clients[CLIENTS];
static int listener, epoll_fd;

static struct sockaddr_in6 address_of(const char *text)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(4100) };
	MUST_EQ(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
	return a;
}

static int begin_connect(int i, int flags)
{
	static const char *const names[CLIENTS] = { [SIX] = "::1", [MAPPED] = "::ffff:127.0.0.1" };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(4100), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 six = address_of(names[i] ?: "::1");
	clients[i].fd = socket(names[i] ? AF_INET6 : AF_INET, SOCK_STREAM | flags, 0);
	return names[i] ? connect(clients[i].fd, (void *)&six, sizeof six) : connect(clients[i].fd, (void *)&four, sizeof four);
}

static int tcp_state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	MUST_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_state;
}

/* --- who listens, and has no room but for one --- */

static void listen_full(void)
{
	struct sockaddr_in6 any = address_of("::"), six = address_of("::1");
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	MUST(bind(listener, (void *)&any, sizeof any) == 0 && listen(listener, 0) == 0);
	int first = socket(AF_INET6, SOCK_STREAM, 0);
	MUST_EQ(connect(first, (void *)&six, sizeof six), 0);
	MUST_EQ(poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, -1),
		1); /* its last packet has come too: it is full */
}

/* Whoever has come is told what it says itself. */
static void accept_all(void)
{
	int fds[CLIENTS + 1];
	char byte;
	MUST_EQ(listen(listener, 20), 0);
	for (int i = 0; i <= CLIENTS; i++)
		MUST((fds[i] = accept(listener, NULL, NULL)) >= 0);
	for (int i = 1; i <= CLIENTS; i++) { /* the first one says nothing */
		MUST_EQ(recv(fds[i], &byte, 1, 0), 1);
		MUST_EQ(send(fds[i], &byte, 1, MSG_NOSIGNAL), 1);
	}
}

static void *accept_beside(void *arg)
{
	(void)arg;
	accept_all();
	return NULL;
}

/* Left to init: it is not in the tree. */
static void listen_outside(void)
{
	int pipes[2];
	char byte;
	MUST_EQ(pipe(pipes), 0);
	pid_t between = fork();
	if (between) {
		MUST(close(pipes[1]) == 0 && read(pipes[0], &byte, 1) == 1 && close(pipes[0]) == 0);
		MUST_EQ(waitpid(between, NULL, 0), between);
		return;
	}
	if (fork())
		_exit(0);
	setsid();
	listen_full();
	MUST_EQ(write(pipes[1], "!", 1), 1);
	close(pipes[1]);
	close(pipes[0]);
	while (access(judge_path("room"), F_OK))
		usleep(1000);
	accept_all();
	_exit(0);
}

/* --- who connects --- */

static void *connect_patiently(void *arg)
{
	*(int *)arg = begin_connect(PATIENT, 0) == 0 ? 0 : errno;
	return NULL;
}

static void set_options(int fd)
{
	const int on = 1, idle = 77;
	const struct linger linger = { 1, 7 };
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle), 0);
	MUST_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

static void judge_options(int fd)
{
	int value = 0;
	struct linger linger = { 0 };
	socklen_t len = sizeof value, linger_len = sizeof linger;
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value == 1);
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len) == 0 && value == 77);
	MUST(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &linger_len) == 0 && linger.l_onoff == 1 && linger.l_linger == 7);
	MUST(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len) == 0 && value == 0);
}

/* As they were: it goes on, and nobody has heard more. */
static void judge_waiting(int i)
{
	struct client *c = &clients[i];
	struct sockaddr_in6 mine, theirs;
	socklen_t len = sizeof mine, ints = sizeof(int);
	int error = -1;
	struct pollfd p = { c->fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
	MUST_EQ(tcp_state(c->fd), TCP_SYN_SENT);
	MUST(getsockname(c->fd, (void *)&mine, &len) == 0 && len == c->len && !memcmp(&mine, &c->mine, len));
	MUST(getpeername(c->fd, (void *)&theirs, &len) == -1 && errno == ENOTCONN);
	MUST(getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &ints) == 0 && error == 0);
	MUST_EQ(poll(&p, 1, 0), 0);
	MUST_EQ(!!(fcntl(c->fd, F_GETFL) & O_NONBLOCK), i != PATIENT);
	if (i == PATIENT)
		return;
	MUST(send(c->fd, "!", 1, MSG_NOSIGNAL) == -1 && errno == EAGAIN);
}

static void judge_connected(int i)
{
	struct pollfd p = { clients[i].fd, POLLOUT, 0 };
	MUST(poll(&p, 1, -1) == 1 && p.revents == POLLOUT);
	MUST_EQ(tcp_state(clients[i].fd), TCP_ESTABLISHED);
	MUST_EQ(send(clients[i].fd, "x", 1, MSG_NOSIGNAL), 1);
}

static void judge_answered(int i)
{
	char byte = 0;
	struct pollfd p = { clients[i].fd, POLLIN, 0 };
	MUST(poll(&p, 1, -1) == 1 && recv(clients[i].fd, &byte, 1, 0) == 1 && byte == 'x');
}

static void begin_all(pthread_t *patient, int *ret_error)
{
	for (int i = 0; i < PATIENT; i++)
		MUST(begin_connect(i, SOCK_NONBLOCK) == -1 && errno == EINPROGRESS);
	clients[PATIENT].fd = -1;
	MUST_EQ(pthread_create(patient, NULL, connect_patiently, ret_error), 0);
	while (*(volatile int *)&clients[PATIENT].fd < 0 || tcp_state(clients[PATIENT].fd) != TCP_SYN_SENT)
		usleep(1000);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].len = sizeof clients[i].mine;
		MUST_EQ(getsockname(clients[i].fd, (void *)&clients[i].mine, &clients[i].len), 0);
	}
	set_options(clients[PLAIN].fd);
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET, .data.u64 = 77 };
	epoll_fd = epoll_create1(0);
	MUST_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[SIX].fd, &event), 0);
	MUST_EQ(epoll_wait(epoll_fd, &event, 1, 0), 0);
}

int main(int argc, char **argv)
{
	pthread_t patient, acceptor;
	struct epoll_event event;
	int error = -1;
	judge_start(argc, argv);
	bool outside = argc > 2;
	outside ? listen_outside() : listen_full();
	begin_all(&patient, &error);
	judge_wait();
	judge_options(clients[PLAIN].fd);
	MUST_EQ(epoll_wait(epoll_fd, &event, 1, 0), 0);
	for (int i = 0; i < CLIENTS; i++)
		judge_waiting(i);
	judge_write("room", "");
	if (!outside)
		MUST_EQ(pthread_create(&acceptor, NULL, accept_beside, NULL), 0);
	MUST(epoll_wait(epoll_fd, &event, 1, -1) == 1 && event.data.u64 == 77);
	MUST(pthread_join(patient, NULL) == 0 && error == 0);
	for (int i = 0; i < CLIENTS; i++)
		judge_connected(i);
	for (int i = 0; i < CLIENTS; i++)
		judge_answered(i);
	if (!outside)
		pthread_join(acceptor, NULL);
	return judge_pass();
}
