// SPDX-License-Identifier: LGPL-2.1-or-later
/* listens DIR ADDRESS [shares]: a TCP socket listens at port 4000 and has no connection; whoever connects after the dump is answered
 * (shares: with SO_REUSEPORT, and nobody comes). */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static int listen_at(const char *text, bool shares)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(4000) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(4000) };
	bool is_six = strchr(text, ':');
	const int on = 1;
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	MUST_EQ(inet_pton(is_six ? AF_INET6 : AF_INET, text, is_six ? (void *)&six.sin6_addr : &four.sin_addr), 1);
	MUST_EQ(setsockopt(fd, SOL_SOCKET, shares ? SO_REUSEPORT : SO_REUSEADDR, &on, sizeof on), 0);
	MUST_EQ(is_six ? bind(fd, (void *)&six, sizeof six) : bind(fd, (void *)&four, sizeof four), 0);
	MUST_EQ(listen(fd, 5), 0);
	return fd;
}

int main(int argc, char **argv)
{
	char word[6] = "";
	judge_start(argc, argv);
	MUST(argc > 2);
	int listener = listen_at(argv[2], argc > 3);
	judge_wait();
	if (argc > 3)
		return judge_pass();
	int fd = accept(listener, NULL, NULL);
	MUST(fd >= 0);
	MUST_EQ(recv(fd, word, 5, MSG_WAITALL), 5);
	MUST(!strcmp(word, "hello"));
	MUST_EQ(send(fd, "world", 5, MSG_NOSIGNAL), 5);
	return judge_pass();
}
