// SPDX-License-Identifier: LGPL-2.1-or-later
/* parts DIR WHAT: a TCP connection with a peer that is not in the tree, which is given up: the program finds it "closed" or "reset";
 * "waits": a connection that the program has not accepted, from outside; "sends": one from itself besides, with data, and one without,
 * which is there afterwards. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Left to init: it is not in the tree, and ends when its connection does. */
static void start_peer(const struct sockaddr_in *to, int listener)
{
	char byte;
	pid_t between = fork();
	if (between == 0) {
		if (fork())
			_exit(0);
		setsid();
		close(listener);
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		MUST_EQ(connect(fd, (void *)to, sizeof *to), 0);
		_exit(read(fd, &byte, 1) > 0);
	}
	MUST_EQ(waitpid(between, NULL, 0), between);
}

static int connected(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST_EQ(connect(fd, (void *)to, sizeof *to), 0);
	return fd;
}

/* So many connections can be accepted, and no more. */
static void must_accept(int listener, int count)
{
	struct pollfd poll_fd = { .fd = listener, .events = POLLIN };
	MUST_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	for (; count; count--)
		MUST(poll(&poll_fd, 1, JUDGE_PATIENCE_MS) == 1 && accept(listener, NULL, NULL) >= 0);
	MUST(accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
}

static void must_be_reset(int fd)
{
	char byte;
	MUST(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
}

/* With and without connections of its own. */
static int waits(const struct sockaddr_in *here, int listener, bool sends)
{
	int sender = sends ? connected(here) : -1, quiet = sends ? connected(here) : -1;
	if (sends)
		MUST_EQ(send(sender, "data", 4, 0), 4);
	judge_wait();
	must_accept(listener, sends ? 1 : 0);
	if (!sends)
		return judge_pass();
	must_be_reset(sender);
	MUST_EQ(send(quiet, "more", 4, MSG_NOSIGNAL), 4);
	return judge_pass();
}

int main(int argc, char **argv)
{
	const struct sockaddr_in here = { .sin_family = AF_INET,
					  .sin_port = htons(4300),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd poll_fd = { .events = POLLIN };
	const int on = 1;
	char byte;
	judge_start(argc, argv);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	MUST(bind(listener, (void *)&here, sizeof here) == 0 && listen(listener, 5) == 0);
	start_peer(&here, listener);
	poll_fd.fd = listener;
	MUST_EQ(poll(&poll_fd, 1, JUDGE_PATIENCE_MS), 1);
	if (!strcmp(argv[2], "waits") || !strcmp(argv[2], "sends"))
		return waits(&here, listener, !strcmp(argv[2], "sends"));
	int fd = accept(listener, NULL, NULL);
	MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	judge_wait();
	int value = 0;
	socklen_t len = sizeof value;
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value == 1);
	poll_fd.fd = fd;
	MUST_EQ(poll(&poll_fd, 1, 0), 1);
	if (!strcmp(argv[2], "reset"))
		must_be_reset(fd);
	else
		MUST_EQ(recv(fd, &byte, 1, 0), 0);
	MUST(send(fd, "", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	return judge_pass();
}
