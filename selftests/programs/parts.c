// SPDX-License-Identifier: LGPL-2.1-or-later
/* parts DIR WHAT: a TCP connection with a peer that is not in the tree, which is given up: the program finds it "closed" or "reset";
 * "waits": a connection that the program has not accepted, from outside. */
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

int main(int argc, char **argv)
{
	const struct sockaddr_in here = { .sin_family = AF_INET,
					  .sin_port = htons(4300),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd poll_fd = { .events = POLLIN };
	const int on = 1;
	char byte;
	judge_start(argc, argv);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = -1;
	MUST(bind(listener, (void *)&here, sizeof here) == 0 && listen(listener, 5) == 0);
	start_peer(&here, listener);
	poll_fd.fd = listener;
	MUST_EQ(poll(&poll_fd, 1, 5000), 1);
	if (strcmp(argv[2], "waits")) {
		fd = accept(listener, NULL, NULL);
		MUST_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	}
	judge_wait();
	int value = 0;
	socklen_t len = sizeof value;
	if (fd < 0) {
		MUST(fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
		return judge_pass();
	}
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value == 1);
	poll_fd.fd = fd;
	MUST_EQ(poll(&poll_fd, 1, 0), 1);
	if (!strcmp(argv[2], "reset"))
		MUST(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
	else
		MUST_EQ(recv(fd, &byte, 1, 0), 0);
	MUST(send(fd, "", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	return judge_pass();
}
