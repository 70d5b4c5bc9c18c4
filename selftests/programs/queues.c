// SPDX-License-Identifier: LGPL-2.1-or-later
/* queues DIR [large | huge | empty | closed]: what waits in sockets and pipes comes out exactly as it went in: descriptors with their byte, senders, packets,
 * errors that were not told yet. */
#include "judge.h"
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static void send_file(int to, const char *text, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_len = CMSG_LEN(sizeof(int));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	MUST_EQ(sendmsg(to, &m, 0), strlen(text));
}

/* One recvmsg of at most room bytes: the text, whether a descriptor came, the sender. */
static void receive(int from, size_t room, const char *text, bool with_file, struct ucred *sender)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	char bytes[256];
	struct iovec iov = { bytes, room };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(from, &m, MSG_DONTWAIT);
	MUST_EQ(n, strlen(text));
	MUST(!memcmp(bytes, text, (size_t)n));
	bool file = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_type == SCM_RIGHTS) {
			int fd;
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
			MUST_EQ(close(fd), 0);
			file = true;
		} else if (c->cmsg_type == SCM_CREDENTIALS && sender) {
			memcpy(sender, CMSG_DATA(c), sizeof *sender);
		}
	}
	MUST_EQ(file, with_file);
}

static void must_be_me(const struct ucred *who, pid_t pid)
{
	MUST_EQ(who->pid, pid);
	MUST_EQ(who->uid, getuid());
	MUST_EQ(who->gid, getgid());
}

/* The kernel keeps the groups that who made a pair had then. */
static const gid_t groups[] = { 5, 7, 70000 };
static bool grouped;

static void make_grouped(int ends[2])
{
	grouped = setgroups(3, groups) == 0;
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	MUST(!grouped || setgroups(1, groups) == 0);
}

static void judge_grouped(const int ends[2])
{
	gid_t now[8];
	for (int i = 0; i < 2 && grouped; i++) {
		socklen_t len = sizeof now;
		MUST_EQ(getsockopt(ends[i], SOL_SOCKET, 59 /* SO_PEERGROUPS */, now, &len), 0);
		MUST(len == sizeof groups && !memcmp(now, groups, len));
	}
}

/* More than a socket may have by itself: a stream, and packets. */
#define PIECE 50000
#define PIECES 60
static char piece[PIECE];

static int sender_of(int type, int ends[2])
{
	int room = 16 << 20;
	MUST_EQ(socketpair(AF_UNIX, type, 0, ends), 0);
	if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
		judge_fail("skip: not without CAP_NET_ADMIN");
	return ends[0];
}

static void receive_piece(int from, int i)
{
	char bytes[PIECE];
	memset(piece, i, PIECE);
	MUST_EQ(recv(from, bytes, PIECE, MSG_DONTWAIT | MSG_WAITALL), PIECE);
	MUST(!memcmp(bytes, piece, PIECE));
}

static int hold_much(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	int ends[2][2], own;
	socklen_t len = sizeof own;
	for (int t = 0; t < 2; t++) {
		int from = sender_of(types[t], ends[t]);
		for (int i = 0; i < PIECES; i++) {
			memset(piece, i, PIECE);
			MUST_EQ(send(from, piece, PIECE, MSG_DONTWAIT), PIECE);
		}
	}
	judge_wait();
	for (int t = 0; t < 2; t++) {
		MUST_EQ(getsockopt(ends[t][0], SOL_SOCKET, SO_SNDBUF, &own, &len), 0);
		MUST_EQ(own, 32 << 20);
		for (int i = 0; i < PIECES; i++)
			receive_piece(ends[t][1], i);
		MUST(recv(ends[t][1], piece, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	}
	return judge_pass();
}

/* Messages without data, behind others and before them. */
static int hold_empty(bool closed)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	static const char *const texts[] = { "", "one", "", "", "two", "" };
	int packets[2], udp = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof a;
	char text[8];
	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), 0);
	MUST(bind(udp, (void *)&a, sizeof a) == 0 && getsockname(udp, (void *)&a, &len) == 0);
	MUST_EQ(connect(from, (void *)&a, sizeof a), 0);
	for (int i = 0; i < 6; i++) {
		MUST_EQ(send(packets[0], texts[i], strlen(texts[i]), 0), strlen(texts[i]));
		MUST_EQ(send(from, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
	}
	if (closed)
		MUST_EQ(shutdown(packets[0], SHUT_WR), 0);
	judge_wait();
	for (int i = 0; i < 6; i++) {
		MUST_EQ(recv(packets[1], text, sizeof text, MSG_DONTWAIT), strlen(texts[i]));
		poll(&(struct pollfd){ .fd = udp, .events = POLLIN }, 1, JUDGE_PATIENCE_MS);
		MUST_EQ(recv(udp, text, sizeof text, MSG_DONTWAIT), strlen(texts[i]));
	}
	MUST_EQ(recv(udp, text, sizeof text, MSG_DONTWAIT), -1);
	MUST_EQ(recv(packets[1], text, sizeof text, MSG_DONTWAIT), closed ? 0 : -1);
	return judge_pass();
}

/* More than one gets without a right. */
static int hold_more(void)
{
	int ends[2], scratch = socket(AF_UNIX, SOCK_DGRAM, 0), most = INT32_MAX / 2, from = 0;
	socklen_t len = sizeof most;
	MUST(setsockopt(scratch, SOL_SOCKET, SO_SNDBUF, &most, sizeof most) == 0);
	MUST(getsockopt(scratch, SOL_SOCKET, SO_SNDBUF, &most, &len) == 0 && close(scratch) == 0);
	int pieces = most / PIECE + 1;
	from = sender_of(SOCK_STREAM, ends);
	for (int i = 0; i < pieces; i++)
		if (send(from, piece, PIECE, MSG_DONTWAIT) != PIECE)
			judge_fail("skip: net.core.wmem_max is large");
	judge_wait();
	for (int i = 0; i < pieces; i++)
		MUST_EQ(recv(ends[1], piece, PIECE, MSG_DONTWAIT | MSG_WAITALL), PIECE);
	return judge_pass();
}

/* Of sockets each of which has the next one in flight, and is closed when that was taken out. */
static int innermost(int outermost, int levels)
{
	char text[64];
	for (int inner = outermost; levels--; outermost = inner) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		struct iovec iov = { text, sizeof text };
		struct msghdr m = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
		};
		MUST_EQ(recvmsg(outermost, &m, MSG_DONTWAIT), 6);
		MUST(CMSG_FIRSTHDR(&m));
		memcpy(&inner, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof inner);
		MUST_EQ(close(outermost), 0);
	}
	return outermost;
}

int main(int argc, char **argv)
{
	int stream[2], known[2], reset[2], packets[2], deep[2], on = 1;
	struct ucred who;
	char text[64];
	socklen_t len = sizeof who;
	judge_start(argc, argv);
	if (argc > 2)
		return !strcmp(argv[2], "huge")    ? hold_more()
		       : !strcmp(argv[2], "large") ? hold_much()
						   : hold_empty(!strcmp(argv[2], "closed"));
	int file = open(judge_path("file"), O_RDWR | O_CREAT, 0600);

	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
	MUST_EQ(write(stream[0], "head", 4), 4);
	MUST_EQ(write(stream[0], "er,", 3), 3);
	send_file(stream[0], "first", file);
	send_file(stream[0], "second", stream[0]);
	MUST_EQ(write(stream[0], "tail", 4), 4);

	/* Of two senders, one of which is gone. */
	make_grouped(known);
	MUST_EQ(setsockopt(known[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(write(known[0], "from the child", 14) != 14);
	MUST_EQ(waitpid(child, NULL, 0), child);
	MUST_EQ(write(known[0], "from me", 7), 7);

	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, reset), 0);
	MUST_EQ(write(reset[1], "last", 4), 4);
	MUST_EQ(write(reset[0], "never read", 10), 10);
	close(reset[1]);

	MUST_EQ(pipe2(packets, O_DIRECT), 0);
	MUST(write(packets[1], "one", 3) == 3 && write(packets[1], "three", 5) == 5);

	/* A socket inside of a socket inside of a socket... each with data of its own. */
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, deep), 0);
	int outermost = deep[1], levels;
	for (levels = 0; levels < 20; levels++) {
		int next[2];
		MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, next), 0);
		send_file(deep[0], "inside", next[1]);
		close(next[1]);
		close(deep[0]);
		deep[0] = next[0];
	}
	MUST_EQ(write(deep[0], "the bottom", 10), 10);
	judge_wait();

	receive(stream[1], 4, "head", false, NULL);
	receive(stream[1], 2, "er", false, NULL);
	receive(stream[1], 3, ",fi", true, NULL);
	receive(stream[1], 100, "rstsecond", true, NULL);
	receive(stream[1], 100, "tail", false, NULL);
	MUST_EQ(getsockopt(stream[0], SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	must_be_me(&who, getpid());
	judge_grouped(known);
	receive(known[1], 100, "from the child", false, &who);
	must_be_me(&who, child);
	receive(known[1], 100, "from me", false, &who);
	must_be_me(&who, getpid());
	MUST_EQ(read(reset[0], text, sizeof text), 4);
	MUST_EQ(read(reset[0], text, sizeof text), -1);
	MUST_EQ(errno, ECONNRESET);
	MUST_EQ(read(reset[0], text, sizeof text), 0);
	MUST_EQ(read(packets[0], text, 2), 2); /* the rest of a packet is lost with it */
	MUST_EQ(read(packets[0], text, sizeof text), 5);
	outermost = innermost(outermost, levels);
	MUST_EQ(read(outermost, text, sizeof text), 10);
	MUST_EQ(write(outermost, "answer", 6), 6);
	MUST_EQ(read(deep[0], text, sizeof text), 6);
	return judge_pass();
}
