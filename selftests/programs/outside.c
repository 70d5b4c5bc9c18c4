// SPDX-License-Identifier: LGPL-2.1-or-later
/* outside DIR ADDRESS [NETNS]: TCP connections with a peer that is not in the tree, on this host or (NETNS, a path) in another
 * network namespace: quiet, with data in both queues, half closed both ways, over, with options; one on which the peer never stops
 * to send. The peer judges too: it must not see a reset. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MUCH 10000000
enum { QUIET, UNREAD, FULL, HALF, ENDED, BOTH, TICKS, CONTROL, CONNECTIONS };

static struct sockaddr_storage here;
static socklen_t here_len;

static void address_of(const char *text, int port)
{
	struct sockaddr_in *four = (void *)&here;
	struct sockaddr_in6 *six = (void *)&here;
	here_len = strchr(text, ':') ? sizeof *six : sizeof *four;
	here.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	MUST_EQ(inet_pton(here.ss_family, text, strchr(text, ':') ? (void *)&six->sin6_addr : &four->sin_addr), 1);
	four->sin_port = htons((uint16_t)port);
}

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + i / 251); }

static void must_read(int fd, const char *text)
{
	char bytes[256] = "";
	ssize_t n = recv(fd, bytes, strlen(text), MSG_WAITALL);
	if (n != (ssize_t)strlen(text) || memcmp(bytes, text, (size_t)n))
		judge_fail("read %zd bytes, \"%s\", for \"%s\" (errno %d)", n, bytes, text, errno);
}

static void must_write(int fd, const char *text) { MUST_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

static void must_end(int fd)
{
	char byte;
	MUST_EQ(recv(fd, &byte, 1, 0), 0);
}

static void drain(int fd, size_t len)
{
	static unsigned char bytes[65536];
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(fd, bytes, sizeof bytes < len - at ? sizeof bytes : len - at, 0);
		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (bytes[i] != byte_at(at + (size_t)i))
				judge_fail("byte %zu of %zu is wrong", at + (size_t)i, len);
		at += (size_t)n;
	}
}

/* Until nothing more goes in. */
static size_t fill(int fd)
{
	static unsigned char bytes[MUCH];
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = byte_at(i);
	size_t len = 0;
	for (ssize_t n; (n = send(fd, bytes + len, MUCH - len, MSG_DONTWAIT)) > 0; usleep(20000))
		len += (size_t)n;
	MUST(len > 10000 && len < MUCH);
	return len;
}

/* --- the peer --- */

static volatile bool done;

static void *send_ticks(void *arg)
{
	char line[16];
	for (int i = 0;; i++) {
		snprintf(line, sizeof line, "%07d\n", i);
		if (send(*(int *)arg, line, 8, MSG_NOSIGNAL) == 8)
			usleep(5000);
		else if (done)
			return NULL;
		else
			judge_fail("a send failed: errno %d", errno);
	}
}

static void be_peer(const char *netns, int listener)
{
	int fds[CONNECTIONS];
	pthread_t ticks;
	size_t filled = 0;
	setsid();
	close(listener);
	if (netns) {
		int ns = open(netns, O_RDONLY);
		MUST(ns >= 0 && setns(ns, CLONE_NEWNET) == 0);
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		fds[i] = socket(here.ss_family, SOCK_STREAM, 0);
		MUST_EQ(connect(fds[i], (void *)&here, here_len), 0);
	}
	must_write(fds[UNREAD], "to the program");
	must_write(fds[ENDED], "last words");
	MUST_EQ(shutdown(fds[ENDED], SHUT_WR), 0);
	MUST_EQ(shutdown(fds[BOTH], SHUT_WR), 0);
	filled = fill(fds[FULL]);
	MUST_EQ(pthread_create(&ticks, NULL, send_ticks, &fds[TICKS]), 0);
	MUST_EQ(write(fds[CONTROL], &filled, sizeof filled), sizeof filled);
	/* the program is dumped and restored, and then says so */
	must_read(fds[CONTROL], "now");
	must_read(fds[QUIET], "ping");
	must_write(fds[QUIET], "pong");
	must_read(fds[UNREAD], "to the peer");
	must_read(fds[HALF], "last words");
	must_end(fds[HALF]);
	must_write(fds[HALF], "answer");
	MUST_EQ(read(fds[CONTROL], &filled, sizeof filled), sizeof filled);
	drain(fds[FULL], filled);
	must_write(fds[FULL], "end");
	must_read(fds[ENDED], "still here");
	must_end(fds[BOTH]);
	done = true;
	must_write(fds[CONTROL], "ok");
	must_end(fds[CONTROL]);
	_exit(0);
}

/* Left to init: it is not in the tree. */
static void start_peer(const char *netns, int listener)
{
	pid_t between = fork();
	if (between == 0) {
		if (fork() == 0)
			be_peer(netns, listener);
		_exit(0);
	}
	MUST_EQ(waitpid(between, NULL, 0), between);
}

/* --- the program --- */

struct seen {
	struct sockaddr_storage mine, theirs;
	int nodelay, keepalive, idle, timeout;
	char congestion[16];
};

static struct seen look(int fd)
{
	struct seen s = { 0 };
	socklen_t len = sizeof s.mine, ints = sizeof(int), text = sizeof s.congestion;
	MUST_EQ(getsockname(fd, (void *)&s.mine, &len), 0);
	len = sizeof s.theirs;
	MUST_EQ(getpeername(fd, (void *)&s.theirs, &len), 0);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &s.nodelay, &ints);
	getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &s.keepalive, &ints);
	getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &s.idle, &ints);
	getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &s.timeout, &ints);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, s.congestion, &text);
	return s;
}

static void set_options(int fd)
{
	const int on = 1, idle = 77, timeout = 123456;
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	MUST_EQ(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle), 0);
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout), 0);
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
}

/* Every line of the peer's, once and in order, until it is past the time of the restore. */
static void read_ticks(int fd)
{
	int waiting = 0;
	MUST_EQ(ioctl(fd, FIONREAD, &waiting), 0);
	for (int i = 0; i < waiting / 8 + 200; i++) {
		char line[16];
		snprintf(line, sizeof line, "%07d\n", i);
		must_read(fd, line);
	}
}

static void wait_state(int fd, int state)
{
	for (struct tcp_info info = { 0 }; info.tcpi_state != state; usleep(1000)) {
		socklen_t len = sizeof info;
		MUST_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	}
}

int main(int argc, char **argv)
{
	int fds[CONNECTIONS];
	size_t back = 0;
	const int on = 1;
	judge_start(argc, argv);
	MUST(argc > 2);
	address_of(argv[2], 4000);
	int listener = socket(here.ss_family, SOCK_STREAM, 0);
	MUST_EQ(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	MUST(bind(listener, (void *)&here, here_len) == 0 && listen(listener, 20) == 0);
	if (!strncmp(argv[2], "::ffff:", 7)) /* the peer speaks IPv4 */
		address_of(argv[2] + 7, 4000);
	start_peer(argc > 3 ? argv[3] : NULL, listener);
	for (int i = 0; i < CONNECTIONS; i++) {
		fds[i] = accept(listener, NULL, NULL);
		MUST(fds[i] >= 0);
	}
	MUST_EQ(recv(fds[CONTROL], &back, sizeof back, MSG_WAITALL), sizeof back);
	set_options(fds[QUIET]);
	struct seen before = look(fds[QUIET]);
	must_write(fds[UNREAD], "to the peer");
	must_write(fds[HALF], "last words");
	MUST_EQ(shutdown(fds[HALF], SHUT_WR), 0);
	wait_state(fds[HALF], TCP_FIN_WAIT2);
	size_t filled = fill(fds[FULL]);
	wait_state(fds[ENDED], TCP_CLOSE_WAIT);
	wait_state(fds[BOTH], TCP_CLOSE_WAIT);
	MUST_EQ(shutdown(fds[BOTH], SHUT_WR), 0);
	wait_state(fds[BOTH], TCP_CLOSE);
	judge_wait();

	struct seen after = look(fds[QUIET]);
	MUST(!memcmp(&before, &after, sizeof before));
	must_write(fds[CONTROL], "now");
	must_write(fds[QUIET], "ping");
	must_read(fds[QUIET], "pong");
	must_read(fds[UNREAD], "to the program");
	must_read(fds[HALF], "answer");
	drain(fds[FULL], back);
	MUST_EQ(write(fds[CONTROL], &filled, sizeof filled), sizeof filled);
	must_read(fds[FULL], "end");
	must_read(fds[ENDED], "last words");
	must_end(fds[ENDED]);
	must_write(fds[ENDED], "still here");
	must_end(fds[BOTH]);
	MUST(send(fds[BOTH], "", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	read_ticks(fds[TICKS]);
	must_read(fds[CONTROL], "ok");
	return judge_pass();
}
