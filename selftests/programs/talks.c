// SPDX-License-Identifier: LGPL-2.1-or-later
/* talks DIR WHAT: a socket of the internet in a state that ckpt refuses, and does not notice that. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/filter.h>
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

/* What was sent over lo is there at once, unless the machine has much to do: then ksoftirqd brings it. */
static void await(int fd, short events)
{
	struct pollfd p = { fd, events, 0 };
	MUST(poll(&p, 1, JUDGE_PATIENCE_MS) == 1 && p.revents & events);
}

/* Until the other end has all that was written. */
static void await_sent(int fd)
{
	for (int unsent = 1; unsent; judge_nap(1))
		MUST_EQ(ioctl(fd, TIOCOUTQ, &unsent), 0);
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

/* A client of a listener, and what the listener has accepted of it. */
static void connection(int ends[2])
{
	int listener = listening(4100);
	ends[0] = connected(4100);
	ends[1] = accept(listener, NULL, NULL);
	MUST(ends[1] >= 0);
}

static int wait_for_outsider(void)
{
	int listener = listening(4100);
	if (!outsider()) {
		connected(4100);
		for (;;)
			pause();
	}
	struct pollfd ready = { listener, POLLIN, 0 };
	MUST_EQ(poll(&ready, 1, JUDGE_PATIENCE_MS), 1);
	return listener;
}

static void hold_waiting_outside(void) { wait_for_outsider(); }

static void hold_external(void) { MUST(accept(wait_for_outsider(), NULL, NULL) >= 0); }

static void hold_waiting_data(void)
{
	int listener = listening(4100), client = connected(4100);
	MUST_EQ(write(client, "data", 4), 4);
	await(listener, POLLIN);
	await_sent(client);
}

static void hold_urgent(void)
{
	int ends[2];
	connection(ends);
	MUST_EQ(send(ends[0], "!", 1, MSG_OOB), 1);
	await(ends[1], POLLPRI);
}

/* It is in its place among the other data, and marked. */
static void hold_urgent_inline(void)
{
	int ends[2], on = 1;
	char text[8];
	connection(ends);
	MUST_EQ(setsockopt(ends[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
	MUST_EQ(send(ends[0], "marked!", 7, MSG_OOB), 7);
	MUST_EQ(recv(ends[1], text, 6, MSG_PEEK | MSG_WAITALL), 6);
}

/* Urgent data was read, and what was sent after it was not. */
static void hold_behind_urgent(void)
{
	int ends[2];
	char text[8];
	connection(ends);
	MUST_EQ(send(ends[0], "!", 1, MSG_OOB), 1);
	while (recv(ends[1], text, 1, MSG_OOB) != 1)
		judge_nap(1);
	MUST_EQ(write(ends[0], "behind", 6), 6);
	MUST_EQ(recv(ends[1], text, 6, MSG_PEEK | MSG_WAITALL), 6);
}

static void hold_layer(void)
{
	int ends[2];
	connection(ends);
	if (setsockopt(ends[0], IPPROTO_TCP, TCP_ULP, "tls", 4))
		judge_write("unavailable", "no tls in this kernel");
}

/* A socket whose segments to and from this host are signed (TCP-MD5). */
static void sign(int fd)
{
	struct tcp_md5sig key = { .tcpm_keylen = 6, .tcpm_key = "secret" };
	struct sockaddr_in a = here(0);
	memcpy(&key.tcpm_addr, &a, sizeof a);
	if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof key))
		judge_write("unavailable", "no TCP-MD5 in this kernel");
}

static void hold_keys(void) { sign(listening(4300)); }

static void hold_signed(void)
{
	struct sockaddr_in a = here(4300);
	int listener = listening(4300), client = socket(AF_INET, SOCK_STREAM, 0);
	sign(listener);
	sign(client);
	MUST_EQ(connect(client, (void *)&a, sizeof a), 0);
	MUST(accept(listener, NULL, NULL) >= 0);
	close(listener);
}

static void hold_multipath(void)
{
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
}

/* It gets what others are sent. */
static void hold_raw(void)
{
	struct sockaddr_in a = here(4100);
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	MUST(raw >= 0);
	MUST_EQ(sendto(bound(SOCK_DGRAM, 4101), "!", 1, 0, (void *)&a, sizeof a), 1);
	await(raw, POLLIN);
}

static void hold_corked(void)
{
	struct sockaddr_in a = here(4101);
	MUST_EQ(sendto(bound(SOCK_DGRAM, 4100), "half of", 7, MSG_MORE, (void *)&a, sizeof a), 7);
}

static void hold_error(void)
{
	int udp = bound(SOCK_DGRAM, 4100);
	struct sockaddr_in a = here(4101);
	MUST_EQ(connect(udp, (void *)&a, sizeof a), 0);
	MUST_EQ(write(udp, "nobody", 6), 6);
	await(udp, POLLERR);
}

static void hold_filter(void)
{
	const struct bpf_insn program[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 65536 },
					    { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
				.insns = (uintptr_t)program,
				.insn_cnt = 2,
				.license = (uintptr_t) "GPL" };
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr), udp = bound(SOCK_DGRAM, 4100);
	MUST(fd >= 0 && setsockopt(udp, SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof fd) == 0 && close(fd) == 0);
}

/* The first socket of the port gets all. */
static void hold_chooser(void)
{
	struct sock_filter first = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog program = { 1, &first };
	struct sockaddr_in a = here(4100);
	int on = 1, udp = socket(AF_INET, SOCK_DGRAM, 0);
	MUST_EQ(setsockopt(udp, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
	MUST_EQ(bind(udp, (void *)&a, sizeof a), 0);
	MUST_EQ(setsockopt(udp, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program), 0);
}

static void hold_group(void)
{
	struct ip_mreq_source some = { { inet_addr("239.1.2.3") }, { htonl(INADDR_LOOPBACK) }, { inet_addr("127.0.0.9") } };
	int udp = bound(SOCK_DGRAM, 4100), limit = open("/proc/sys/net/ipv4/igmp_max_msf", O_WRONLY | O_CLOEXEC);
	MUST(write(limit, "70", 2) == 2 && close(limit) == 0);
	for (u_int i = 0; i < 65; i++) {
		some.imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK + i);
		MUST_EQ(setsockopt(udp, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &some, sizeof some), 0);
	}
}

static void hold_namespace(void)
{
	MUST_EQ(unshare(CLONE_NEWNET), 0);
	MUST(socket(AF_INET, SOCK_STREAM, 0) >= 0);
}

static void hold_shared_queue(void)
{
	int on = 1, two[2];
	struct sockaddr_in a = here(4100);
	for (int i = 0; i < 2; i++) {
		two[i] = socket(AF_INET, SOCK_DGRAM, 0);
		setsockopt(two[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
		MUST_EQ(bind(two[i], (void *)&a, sizeof a), 0);
	}
	MUST_EQ(sendto(two[0], "to one", 6, 0, (void *)&a, sizeof a), 6);
	struct pollfd either[2] = { { two[0], POLLIN, 0 }, { two[1], POLLIN, 0 } };
	MUST_EQ(poll(either, 2, JUDGE_PATIENCE_MS), 1);
}

/* Data goes along with the SYN, whether the other end has allowed that or not. */
static void hold_fast(void)
{
	struct sockaddr_in a = here(4100);
	MUST_EQ(listen(bound(SOCK_STREAM, 4100), 0), 0);
	connected(4100);
	int one_more = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
	    allowed = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY);
	MUST(allowed >= 0 && write(allowed, "5", 1) == 1 && close(allowed) == 0);
	MUST_EQ(sendto(one_more, "data", 4, MSG_FASTOPEN, (void *)&a, sizeof a), 4);
}

static const struct state {
	const char *name;
	void (*hold)(void);
} states[] = {
	{ "external", hold_external },
	{ "waiting-outside", hold_waiting_outside },
	{ "waiting-data", hold_waiting_data },
	{ "urgent", hold_urgent },
	{ "behind-urgent", hold_behind_urgent },
	{ "urgent-inline", hold_urgent_inline },
	{ "layer", hold_layer },
	{ "keys", hold_keys },
	{ "signed", hold_signed },
	{ "multipath", hold_multipath },
	{ "raw", hold_raw },
	{ "corked", hold_corked },
	{ "error", hold_error },
	{ "filter", hold_filter },
	{ "chooser", hold_chooser },
	{ "group", hold_group },
	{ "namespace", hold_namespace },
	{ "shared-queue", hold_shared_queue },
	{ "fast", hold_fast },
};

int main(int argc, char **argv)
{
	const struct state *state = NULL;
	judge_start(argc, argv);
	for (size_t i = 0; argc > 2 && i < sizeof states / sizeof *states; i++)
		if (!strcmp(states[i].name, argv[2]))
			state = &states[i];
	MUST(state);
	state->hold();
	judge_wait();
	return judge_pass();
}
