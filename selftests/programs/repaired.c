// SPDX-License-Identifier: LGPL-2.1-or-later
/* repaired DIR: a TCP connection with a peer outside of the tree, and a program that asks all the time whether it is in repair mode
 * (TCP_REPAIR of linux/tcp.h), which nobody but ckpt puts it into. It never is. Its address may be used again, before and after. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Left to init, so outside of the tree: accepts and reads to the end. */
static void start_peer(int listener)
{
	char byte;
	pid_t between = fork();
	if (between) {
		MUST_EQ(waitpid(between, NULL, 0), between);
		return;
	}
	if (fork())
		_exit(0);
	int peer = accept(listener, NULL, NULL);
	close(listener);
	while (read(peer, &byte, 1) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(4300), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned long asked = 0, repaired = 0;
	int reuse = 1, mode = 0;
	socklen_t reuse_len = sizeof reuse;
	judge_start(argc, argv);
	int listener = socket(AF_INET, SOCK_STREAM, 0), connection = socket(AF_INET, SOCK_STREAM, 0);
	MUST(bind(listener, (void *)&here, sizeof here) == 0 && listen(listener, 1) == 0);
	MUST_EQ(connect(connection, (void *)&here, sizeof here), 0);
	MUST_EQ(setsockopt(connection, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse), 0);
	start_peer(listener);
	close(listener);
	judge_ready();
	while (asked++ % 1000 || !judge_asked()) {
		socklen_t len = sizeof mode;
		MUST_EQ(getsockopt(connection, IPPROTO_TCP, TCP_REPAIR, &mode, &len), 0);
		repaired += mode != 0;
	}
	if (repaired)
		judge_fail("it was in repair mode %lu times of %lu", repaired, asked);
	MUST_EQ(getsockopt(connection, SOL_SOCKET, SO_REUSEADDR, &reuse, &reuse_len), 0);
	MUST_EQ(reuse, 1); /* do_tcp_setsockopt() takes it away at the end of repair mode */
	return judge_pass();
}
