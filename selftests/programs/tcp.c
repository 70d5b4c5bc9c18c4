// SPDX-License-Identifier: LGPL-2.1-or-later
/* tcp DIR: TCP connections with both ends in the tree: quiet, with data in flight both ways, more than the reader's buffer
 * takes, half closed, over IPv6 and to a dual-stack listener, and one that nobody has accepted yet. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MUCH 3000000

struct pair {
	int client, server;
};

static void address_of(struct sockaddr_storage *a, socklen_t *len, int family, int port)
{
	*a = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)a)->sin6_addr = in6addr_loopback;
		((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
		*len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
		*len = sizeof(struct sockaddr_in);
	}
}

static int listen_at(int family, int port, bool any)
{
	struct sockaddr_storage a;
	socklen_t len;
	int fd = socket(family, SOCK_STREAM, 0);
	address_of(&a, &len, family, port);
	if (any)
		((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_any;
	MUST(bind(fd, (void *)&a, len) == 0 && listen(fd, 20) == 0);
	return fd;
}

static int connect_to(int family, int port)
{
	struct sockaddr_storage a;
	socklen_t len;
	int fd = socket(family, SOCK_STREAM, 0);
	address_of(&a, &len, family, port);
	MUST_EQ(connect(fd, (void *)&a, len), 0);
	return fd;
}

static struct pair connected(int listener, int family, int port)
{
	struct pair p = { .client = connect_to(family, port) };
	p.server = accept(listener, NULL, NULL);
	MUST(p.server >= 0);
	return p;
}

static void must_read(int fd, const char *text)
{
	char bytes[256];
	ssize_t n = recv(fd, bytes, strlen(text), MSG_WAITALL);
	MUST_EQ(n, strlen(text));
	MUST(!memcmp(bytes, text, (size_t)n));
}

static void must_end(int fd)
{
	char byte;
	MUST_EQ(recv(fd, &byte, 1, 0), 0);
}

static void must_talk(struct pair p)
{
	MUST_EQ(write(p.client, "ping", 4), 4);
	must_read(p.server, "ping");
	MUST_EQ(write(p.server, "pong", 4), 4);
	must_read(p.client, "pong");
}

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + i / 251); }

/* Until nothing more goes in. */
static size_t fill(int fd)
{
	static unsigned char bytes[MUCH];
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = byte_at(i);
	ssize_t n = send(fd, bytes, MUCH, MSG_DONTWAIT);
	MUST(n > 100000);
	return (size_t)n;
}

static void drain(int fd, size_t len)
{
	static unsigned char bytes[65536];
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (bytes[i] != byte_at(at + (size_t)i))
				judge_fail("byte %zu of %zu is wrong", at + (size_t)i, len);
		at += (size_t)n;
	}
}

struct ends {
	struct sockaddr_storage mine, theirs;
	int nodelay, keepalive;
};

static struct ends ends_of(int fd)
{
	struct ends e = { 0 };
	socklen_t len = sizeof e.mine, ints = sizeof(int);
	MUST_EQ(getsockname(fd, (void *)&e.mine, &len), 0);
	len = sizeof e.theirs;
	MUST_EQ(getpeername(fd, (void *)&e.theirs, &len), 0);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &e.nodelay, &ints);
	getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &e.keepalive, &ints);
	return e;
}

static int reuses(int fd)
{
	int value = -1;
	socklen_t len = sizeof value;
	getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len);
	return value;
}

static int four, six, dual, waiting; /* listeners, and a client that nobody has accepted */
static struct pair quiet, data, v6, mapped, half, full, orphan, both, full_end, deaf, widow, empty;
static size_t much, back, ended; /* bytes that wait */

static void connect_all(void)
{
	int closing = listen_at(AF_INET, 4003, false);
	four = listen_at(AF_INET, 4000, false);
	six = listen_at(AF_INET6, 4001, false);
	dual = listen_at(AF_INET6, 4002, true);
	struct pair *const plain[] = { &quiet, &data, &half, &full, &both, &full_end, &deaf, &widow };
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		*plain[i] = connected(four, AF_INET, 4000);
	v6 = connected(six, AF_INET6, 4001);
	empty = connected(six, AF_INET6, 4001);
	mapped = connected(dual, AF_INET, 4002);
	orphan = connected(closing, AF_INET, 4003);
	close(closing); /* whose connection lives on */
}

static void set_options(void)
{
	const int on = 1;
	MUST_EQ(setsockopt(quiet.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	MUST_EQ(setsockopt(full.server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	MUST_EQ(setsockopt(quiet.server, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
	MUST_EQ(fcntl(quiet.server, F_SETFL, O_NONBLOCK), 0);
}

static void send_and_end(void)
{
	MUST_EQ(write(widow.client, "last words", 10), 10);
	close(widow.client);
	close(empty.client);
	MUST_EQ(write(data.client, "to the server", 13), 13);
	MUST_EQ(write(data.server, "to the ", 7), 7);
	MUST_EQ(write(data.server, "client", 6), 6);
	MUST_EQ(write(v6.client, "over IPv6", 9), 9);
	MUST_EQ(write(mapped.server, "to IPv4", 7), 7);
	MUST_EQ(write(half.client, "last words", 10), 10);
	MUST_EQ(shutdown(half.client, SHUT_WR), 0);
	much = fill(full.client);
	back = fill(full.server);
	ended = fill(full_end.server);
	MUST_EQ(shutdown(full_end.server, SHUT_WR), 0);
	MUST_EQ(shutdown(deaf.client, SHUT_RD), 0);
	MUST_EQ(write(both.client, "both ", 5), 5);
	must_read(both.server, "both ");
	waiting = connect_to(AF_INET, 4000);
}

/* One end in another process. */
static pid_t share_one(void)
{
	pid_t child = fork();
	if (child == 0) {
		close(both.client);
		must_read(both.server, "to the child");
		MUST_EQ(write(both.server, "from the child", 14), 14);
		_exit(0);
	}
	close(both.server);
	return child;
}

static void judge_shared(pid_t child)
{
	int status;
	MUST_EQ(write(both.client, "to the child", 12), 12);
	must_read(both.client, "from the child");
	must_end(both.client);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
}

static void judge_data(void)
{
	int unread = 0;
	MUST_EQ(poll(&(struct pollfd){ .fd = data.server, .events = POLLIN }, 1, JUDGE_PATIENCE_MS), 1);
	MUST(ioctl(data.server, FIONREAD, &unread) == 0 && unread == 13);
	must_read(data.server, "to the server");
	must_read(data.client, "to the client");
	must_talk(data);
	must_read(v6.server, "over IPv6");
	must_talk(v6);
	must_read(mapped.client, "to IPv4");
	must_talk(mapped);
	must_talk(orphan);
	drain(full.server, much);
	drain(full.client, back);
	must_talk(full);
	drain(full_end.client, ended);
	must_end(full_end.client);
	must_end(deaf.client);
	MUST_EQ(write(deaf.client, "ears", 4), 4);
	must_read(deaf.server, "ears");
}

static void judge_ends(void)
{
	must_read(half.server, "last words");
	must_end(half.server);
	MUST_EQ(write(half.server, "answer", 6), 6);
	must_read(half.client, "answer");
	close(half.server);
	must_end(half.client);
	must_read(widow.server, "last words");
	must_end(widow.server);
	must_end(empty.server);
}

static void judge_options(void)
{
	MUST_EQ(fcntl(quiet.server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	MUST_EQ(fcntl(quiet.server, F_SETFL, 0), 0);
	MUST_EQ(reuses(full.server), 1);
	MUST_EQ(reuses(full.client), 0);
}

static void judge_new(void)
{
	struct pair late = { waiting, accept(four, NULL, NULL) };
	must_talk(late);
	must_talk(connected(four, AF_INET, 4000));
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	connect_all();
	set_options();
	must_talk(quiet);
	send_and_end();
	struct ends before = ends_of(quiet.server), client_before = ends_of(waiting);
	pid_t child = share_one();
	judge_settled(child);
	judge_wait();
	struct ends after = ends_of(quiet.server), client_after = ends_of(waiting);
	MUST(!memcmp(&before, &after, sizeof before));
	MUST(!memcmp(&client_before, &client_after, sizeof client_before));
	judge_options();
	judge_shared(child); /* first of all: the child has all other ends too */
	must_talk(quiet);
	judge_data();
	judge_ends();
	judge_new();
	return judge_pass();
}
