// SPDX-License-Identifier: LGPL-2.1-or-later
/* sockets DIR: unix socket pairs with data and descriptors in flight, a socket with a queue of its own inside of a socket, closed
 * and half-closed ends, message boundaries, credentials, options. */
#include "judge.h"
#include <sys/socket.h>
#include <sys/un.h>

static void send_fds(int to, const char *text, size_t len, const int *fds, int n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { (void *)text, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (n) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n);
	}
	MUST_EQ(sendmsg(to, &message, 0), len);
}

/* Receives one message, which must be this text with n descriptors. */
static void receive_fds(int from, const char *text, int *fds, int n)
{
	char bytes[256];
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
		struct cmsghdr align;
	} control;
	struct iovec part = { bytes, sizeof bytes };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control
	};
	ssize_t got = recvmsg(from, &message, MSG_DONTWAIT);
	MUST_EQ(got, strlen(text));
	MUST(!memcmp(bytes, text, (size_t)got));
	int found = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			found = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)(found < n ? found : n));
		}
	MUST_EQ(found, n);
}

static void must_read(int fd, const char *text)
{
	char bytes[4096];
	ssize_t got = read(fd, bytes, sizeof bytes);
	MUST_EQ(got, strlen(text));
	MUST(!memcmp(bytes, text, (size_t)got));
}

static int stream[2], dgram[2], seq[2], outer[2], inner[2], deep[2], pipes[2], half[2], one_left[2], reg;
static char much[60000];

static void make_sockets(void)
{
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dgram), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, outer), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, inner), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, deep), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, half), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, one_left), 0);
	MUST_EQ(pipe(pipes), 0);
	reg = open(judge_path("passed"), O_RDWR | O_CREAT, 0600);
	MUST_EQ(write(reg, "abcdefgh", 8), 8);
	MUST_EQ(lseek(reg, 3, SEEK_SET), 3);
	MUST_EQ(write(pipes[1], "through a pipe", 14), 14);
}

static void send_data(void)
{
	/* Plain data, both directions, with boundaries where the kind has them. */
	MUST_EQ(write(stream[0], "left to right", 13), 13);
	MUST_EQ(write(stream[1], "right to left", 13), 13);
	MUST_EQ(write(dgram[0], "one", 3), 3);
	MUST_EQ(write(dgram[0], "three", 5), 5);
	MUST_EQ(write(seq[1], "packet", 6), 6);
	MUST_EQ(write(seq[1], "another packet", 14), 14);
	memset(much, 'm', sizeof much);
	MUST_EQ(write(outer[1], much, sizeof much), sizeof much);
}

static void send_descriptors(void)
{
	/* A shared open file, kept and sent: the offset is one. */
	send_fds(stream[0], "file", 4, &reg, 1);
	/* A pipe whose only reader is in flight. */
	send_fds(dgram[0], "pipe", 4, (int[]){ pipes[0] }, 1);
	close(pipes[0]);
	/* deep[0] with data and a descriptor in its queue is inside of inner, and inner[0] is inside of outer: all closed here. */
	send_fds(deep[1], "in the deep", 11, &reg, 1);
	send_fds(inner[1], "inner", 5, (int[]){ deep[0], pipes[1] }, 2);
	send_fds(outer[0], "outer", 5, (int[]){ inner[0], reg }, 2);
	close(deep[0]);
	close(inner[0]);
}

static void close_ends(void)
{
	/* Half closed, and an end whose peer is gone after its last words. */
	MUST_EQ(write(half[0], "before the shutdown", 19), 19);
	MUST_EQ(shutdown(half[0], SHUT_WR), 0);
	MUST_EQ(write(one_left[1], "last words", 10), 10);
	close(one_left[1]);
}

static void judge_options(void)
{
	int yes = 0;
	socklen_t len = sizeof yes;
	MUST_EQ(getsockopt(seq[0], SOL_SOCKET, SO_PASSCRED, &yes, &len), 0);
	MUST_EQ(yes, 1);
	MUST_EQ(fcntl(stream[0], F_GETFD), FD_CLOEXEC);
	MUST(fcntl(dgram[0], F_GETFL) & O_NONBLOCK);
	MUST(!(fcntl(stream[0], F_GETFL) & O_NONBLOCK));
}

static void judge_stream(void)
{
	char bytes[64];
	int fds[1];
	must_read(stream[0], "right to left");
	MUST_EQ(recv(stream[1], bytes, 13, MSG_WAITALL), 13);
	MUST(!memcmp(bytes, "left to right", 13));
	receive_fds(stream[1], "file", fds, 1);
	MUST_EQ(lseek(fds[0], 0, SEEK_CUR), 3);
	MUST_EQ(read(reg, bytes, 1), 1);
	MUST_EQ(bytes[0], 'd');
	MUST_EQ(lseek(fds[0], 0, SEEK_CUR), 4);
	MUST_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, fds[0], reg), 0);
}

static void judge_messages(void)
{
	char byte;
	int fds[1];
	must_read(dgram[1], "one");
	must_read(dgram[1], "three");
	receive_fds(dgram[1], "pipe", fds, 1);
	must_read(fds[0], "through a pipe");
	MUST(read(dgram[1], &byte, 1) == -1 && errno == EAGAIN);
	must_read(seq[0], "packet");
	must_read(seq[0], "another packet");
}

static void judge_nested(void)
{
	int fds[2];
	for (size_t got = 0; got < sizeof much;) {
		ssize_t n = read(outer[0], much, sizeof much);
		MUST(n > 0 && much[n - 1] == 'm');
		got += (size_t)n;
	}
	receive_fds(outer[1], "outer", fds, 2);
	MUST_EQ(lseek(fds[1], 0, SEEK_CUR), 4);
	int in = fds[0];
	receive_fds(in, "inner", fds, 2);
	int bottom = fds[0], writer = fds[1];
	receive_fds(bottom, "in the deep", fds, 1);
	MUST_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, fds[0], reg), 0);
	MUST_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, writer, pipes[1]), 0);
	MUST_EQ(write(deep[1], "still connected", 15), 15);
	must_read(bottom, "still connected");
	MUST_EQ(write(in, "and this one", 12), 12);
	must_read(inner[1], "and this one");
}

static void judge_closed_ends(void)
{
	char byte;
	must_read(half[1], "before the shutdown");
	MUST_EQ(read(half[1], &byte, 1), 0);
	MUST_EQ(write(half[1], "other way", 9), 9);
	must_read(half[0], "other way");
	must_read(one_left[0], "last words");
	MUST_EQ(read(one_left[0], &byte, 1), 0);
	MUST(send(one_left[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
}

int main(int argc, char **argv)
{
	const int yes = 1;
	judge_start(argc, argv);
	make_sockets();
	send_data();
	send_descriptors();
	close_ends();
	MUST_EQ(setsockopt(seq[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes), 0);
	judge_wait();
	judge_options();
	judge_stream();
	judge_messages();
	judge_nested();
	judge_closed_ends();
	return judge_pass();
}
