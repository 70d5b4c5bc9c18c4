// SPDX-License-Identifier: LGPL-2.1-or-later
/* talks DIR WHAT: a socket of the internet in a state that ckpt refuses, and does not notice that. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in here(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int bound(int type, int port)
{
	struct sockaddr_in a = here(port);
	int fd = socket(AF_INET, type, 0);
	MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static int listening(int port)
{
	int fd = bound(SOCK_STREAM, port);
	MUST_EQ(listen(fd, 5), 0);
	return fd;
}

static int connected(int port)
{
	struct sockaddr_in a = here(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST_EQ(connect(fd, (void *)&a, sizeof a), 0);
	return fd;
}

/* Left to init: what it holds is outside of the tree. */
static pid_t outsider(void)
{
	int pipes[2];
	pid_t pid = 0;
	MUST_EQ(pipe(pipes), 0);
	pid_t between = fork();
	if (between)
		MUST(read(pipes[0], &pid, sizeof pid) == sizeof pid && waitpid(between, NULL, 0) == between);
	else if ((pid = fork()))
		_exit(write(pipes[1], &pid, sizeof pid) != sizeof pid);
	close(pipes[0]);
	close(pipes[1]);
	return pid;
}

static int filtered(void)
{
	const struct bpf_insn program[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 65536 },
					    { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
				.insns = (uintptr_t)program,
				.insn_cnt = 2,
				.license = (uintptr_t) "GPL" };
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr), udp = bound(SOCK_DGRAM, 4100);
	MUST(fd >= 0 && setsockopt(udp, SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof fd) == 0 && close(fd) == 0);
	return udp;
}

static void hold(const char *what)
{
	int listener = strcmp(what, "full") ? listening(4100) : -1;
	char text[8];
	if (!strcmp(what, "external") || !strcmp(what, "waiting-outside")) {
		if (!outsider()) {
			connected(4100);
			for (;;)
				pause();
		}
		struct pollfd ready = { listener, POLLIN, 0 };
		MUST_EQ(poll(&ready, 1, 5000), 1);
		if (!strcmp(what, "external"))
			MUST(accept(listener, NULL, NULL) >= 0);
	} else if (!strcmp(what, "waiting-data")) {
		MUST_EQ(write(connected(4100), "data", 4), 4);
	} else if (!strcmp(what, "ended")) {
		int client = connected(4100), server = accept(listener, NULL, NULL);
		MUST(shutdown(client, SHUT_WR) == 0 && read(server, text, 1) == 0);
		struct pollfd end = { client, POLLRDHUP, 0 };
		MUST(write(server, "!", 1) == 1 && shutdown(server, SHUT_WR) == 0 && poll(&end, 1, 5000) == 1);
	} else if (!strcmp(what, "urgent")) {
		int client = connected(4100);
		MUST(accept(listener, NULL, NULL) >= 0);
		MUST_EQ(send(client, "!", 1, MSG_OOB), 1);
	} else if (!strcmp(what, "layer")) {
		int client = connected(4100);
		MUST(accept(listener, NULL, NULL) >= 0);
		if (setsockopt(client, IPPROTO_TCP, TCP_ULP, "tls", 4))
			judge_write("unavailable", "no tls in this kernel");
	} else if (!strcmp(what, "multipath")) {
		struct sockaddr_in a = here(4200);
		int ends[2];
		for (int i = 0; i < 2; i++)
			ends[i] = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
		if (ends[0] < 0) {
			judge_write("unavailable", "no multipath TCP in this kernel");
			return;
		}
		MUST(bind(ends[0], (void *)&a, sizeof a) == 0 && listen(ends[0], 1) == 0);
		MUST_EQ(connect(ends[1], (void *)&a, sizeof a), 0);
		MUST(accept(ends[0], NULL, NULL) >= 0);
	} else if (!strcmp(what, "raw")) {
		struct sockaddr_in a = here(4100);
		MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP) >= 0); /* which gets what others are sent */
		MUST_EQ(sendto(bound(SOCK_DGRAM, 4101), "!", 1, 0, (void *)&a, sizeof a), 1);
	} else if (!strcmp(what, "corked")) {
		struct sockaddr_in a = here(4101);
		MUST_EQ(sendto(bound(SOCK_DGRAM, 4100), "half of", 7, MSG_MORE, (void *)&a, sizeof a), 7);
	} else if (!strcmp(what, "error")) {
		int udp = bound(SOCK_DGRAM, 4100);
		struct sockaddr_in a = here(4101);
		MUST_EQ(connect(udp, (void *)&a, sizeof a), 0);
		MUST_EQ(write(udp, "nobody", 6), 6);
	} else if (!strcmp(what, "filter")) {
		filtered();
	} else if (!strcmp(what, "group")) {
		struct ip_mreq_source some = { { inet_addr("239.1.2.3") },
					       { htonl(INADDR_LOOPBACK) },
					       { inet_addr("127.0.0.9") } };
		int udp = bound(SOCK_DGRAM, 4100);
		MUST_EQ(setsockopt(udp, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &some, sizeof some), 0);
	} else if (!strcmp(what, "namespace")) {
		MUST_EQ(unshare(CLONE_NEWNET), 0);
		MUST(socket(AF_INET, SOCK_STREAM, 0) >= 0);
	} else if (!strcmp(what, "shared-queue")) {
		int on = 1, two[2];
		struct sockaddr_in a = here(4100);
		for (int i = 0; i < 2; i++) {
			two[i] = socket(AF_INET, SOCK_DGRAM, 0);
			setsockopt(two[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
			MUST_EQ(bind(two[i], (void *)&a, sizeof a), 0);
		}
		MUST_EQ(sendto(two[0], "to one", 6, 0, (void *)&a, sizeof a), 6);
	} else if (!strcmp(what, "full")) {
		struct sockaddr_in a = here(4100);
		listener = bound(SOCK_STREAM, 4100);
		MUST_EQ(listen(listener, 0), 0);
		connected(4100);
		int one_more = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		MUST(connect(one_more, (void *)&a, sizeof a) == -1 && errno == EINPROGRESS);
	}
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	hold(argc > 2 ? argv[2] : "");
	judge_wait();
	return judge_pass();
}
