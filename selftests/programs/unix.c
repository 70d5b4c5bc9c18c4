// SPDX-License-Identifier: LGPL-2.1-or-later
/* unix DIR [WHAT]: unix sockets and their names: datagrams to names and from names, deleted and replaced names, connections
 * whose listener is gone, connections that nobody has accepted yet, clients with a name, a circle of sockets in flight. WHAT: what
 * ckpt refuses. */
#include "judge.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un name_of(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (*name == '@')
		snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "%s", name + 1);
	else
		snprintf(a.sun_path, sizeof a.sun_path, "%.80s/%s", judge_dir, name);
	return a;
}

static int made(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);
	struct sockaddr_un a = name_of(name ?: "");
	if (name)
		MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static int listening(int type, const char *name, int backlog)
{
	int fd = made(type, name);
	MUST_EQ(listen(fd, backlog), 0);
	return fd;
}

static void connect_to(int fd, const char *name)
{
	struct sockaddr_un a = name_of(name);
	MUST_EQ(connect(fd, (void *)&a, sizeof a), 0);
}

static int connected(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);
	connect_to(fd, name);
	return fd;
}

static void send_to(int fd, const char *name, const char *text)
{
	struct sockaddr_un a = name_of(name);
	MUST_EQ(sendto(fd, text, strlen(text), 0, (void *)&a, sizeof a), strlen(text));
}

/* from: a name, or NULL: of a socket that has none. */
static void must_get(int fd, const char *text, const char *from)
{
	struct sockaddr_un a = { 0 }, b = name_of(from ?: "");
	socklen_t len = sizeof a;
	char bytes[64];
	ssize_t n = recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (void *)&a, &len);
	MUST_EQ(n, strlen(text));
	MUST(!memcmp(bytes, text, (size_t)n));
	if (from)
		MUST(len > sizeof a.sun_family && !memcmp(a.sun_path, b.sun_path, len - sizeof a.sun_family));
	else
		MUST(len <= sizeof a.sun_family);
}

static void must_talk(int a, int b)
{
	char text[8];
	MUST_EQ(write(a, "ping", 4), 4);
	MUST(recv(b, text, sizeof text, MSG_DONTWAIT) == 4 && !memcmp(text, "ping", 4));
	MUST_EQ(write(b, "pong", 4), 4);
	MUST(recv(a, text, sizeof text, MSG_DONTWAIT) == 4 && !memcmp(text, "pong", 4));
}

static void must_be_named(int fd, const char *name, bool peer)
{
	struct sockaddr_un a = { 0 }, b = name_of(name);
	socklen_t len = sizeof a;
	MUST_EQ(peer ? getpeername(fd, (void *)&a, &len) : getsockname(fd, (void *)&a, &len), 0);
	MUST(len > sizeof a.sun_family && !strcmp(a.sun_path + (*name == '@'), b.sun_path + (*name == '@')));
}

static pid_t peer_of(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	MUST_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	return cred.pid;
}

static int datagrams(void)
{
	int server = made(SOCK_DGRAM, "server"), client = made(SOCK_DGRAM, "client"), nobody = made(SOCK_DGRAM, NULL);
	int left = made(SOCK_DGRAM, "left"), right = made(SOCK_DGRAM, "@ckpt right"), gone = made(SOCK_DGRAM, "gone");
	int log = connected(SOCK_DGRAM, "server"), to_gone = connected(SOCK_DGRAM, "gone"), half[2], on = 1;
	int self = made(SOCK_DGRAM, "self"), relay = made(SOCK_DGRAM, "relay"), to_relay = connected(SOCK_DGRAM, "relay");
	int to_self = connected(SOCK_DGRAM, "self");
	connect_to(client, "server");
	MUST_EQ(write(to_relay, "to the relay", 12), 12);
	MUST_EQ(write(to_self, "before it was alone", 19), 19);
	connect_to(relay, "server"); /* from then on nobody else is heard there */
	send_to(left, "server", "from left");
	send_to(nobody, "server", "from nobody");
	MUST_EQ(write(client, "from the client", 15), 15);
	MUST_EQ(write(log, "to the log", 10), 10);
	connect_to(self, "self");
	MUST_EQ(write(self, "to myself", 9), 9);
	send_to(right, "left", "before they met");
	send_to(left, "gone", "to one that is gone");
	connect_to(left, "@ckpt right");
	connect_to(right, "left");
	MUST_EQ(write(right, "and after", 9), 9);
	MUST_EQ(unlink(judge_path("gone")), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, half), 0);
	struct sockaddr_un a = name_of("half");
	MUST_EQ(bind(half[1], (void *)&a, sizeof a), 0);
	MUST_EQ(write(half[0], "to half", 7), 7);
	MUST_EQ(write(half[1], "from half", 9), 9);
	MUST_EQ(setsockopt(nobody, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
	MUST_EQ(setsockopt(nobody, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
	judge_wait();
	must_get(relay, "to the relay", NULL);
	MUST(write(to_relay, "more", 4) < 0 && errno == EPERM && write(to_self, "more", 4) < 0 && errno == EPERM);
	must_get(self, "before it was alone", NULL);
	must_get(self, "to myself", "self");
	MUST_EQ(write(self, "again", 5), 5);
	must_get(self, "again", "self");
	must_get(server, "from left", "left");
	must_get(server, "from nobody", NULL);
	must_get(server, "from the client", "client");
	must_get(server, "to the log", NULL);
	must_get(left, "before they met", "@ckpt right");
	must_get(left, "and after", "@ckpt right");
	must_get(gone, "to one that is gone", "left");
	must_get(half[1], "to half", NULL);
	must_get(half[0], "from half", "half");
	must_talk(left, right);
	must_talk(half[0], half[1]);
	MUST(write(log, "more", 4) == 4 && write(client, "most", 4) == 4 && write(to_gone, "still", 5) == 5);
	must_get(server, "more", NULL);
	must_get(server, "most", "client");
	must_get(gone, "still", NULL);
	must_be_named(client, "server", true);
	must_be_named(gone, "gone", false);
	return judge_pass();
}

static void must_be_refused(int fd)
{
	errno = 0;
	MUST(write(fd, "lost", 4) < 0 && errno == ECONNREFUSED);
}

/* Datagrams to names whose owners are gone; another socket has one of the names by now. */
static int lost(void)
{
	int log = made(SOCK_DGRAM, "log"), abstract = made(SOCK_DGRAM, "@ckpt lost"), own = made(SOCK_DGRAM, "own");
	int to_log = connected(SOCK_DGRAM, "log"), to_abstract = connected(SOCK_DGRAM, "@ckpt lost");
	connect_to(own, "log");
	MUST(close(log) == 0 && close(abstract) == 0 && unlink(judge_path("log")) == 0);
	log = made(SOCK_DGRAM, "log");
	judge_wait();
	must_be_named(to_log, "log", true);
	must_be_named(to_abstract, "@ckpt lost", true);
	must_be_named(own, "log", true);
	must_be_named(own, "own", false);
	must_be_refused(to_log);
	must_be_refused(to_abstract);
	must_be_refused(own);
	connect_to(to_log, "log");
	MUST_EQ(write(to_log, "found", 5), 5);
	must_get(log, "found", NULL);
	return judge_pass();
}

static int listeners(void)
{
	int removed = listening(SOCK_STREAM, "removed", 3), replaced = listening(SOCK_STREAM, "replaced", 3);
	int closed = listening(SOCK_STREAM, "closed", 3), bare = listening(SOCK_SEQPACKET, "@ckpt bare", 3);
	int a = connected(SOCK_STREAM, "removed"), a2 = accept(removed, NULL, NULL);
	int b = connected(SOCK_STREAM, "replaced"), b2 = accept(replaced, NULL, NULL);
	int c = connected(SOCK_STREAM, "closed"), c2 = accept(closed, NULL, NULL);
	int d = connected(SOCK_STREAM, "closed"), d2 = accept(closed, NULL, NULL);
	int e = connected(SOCK_SEQPACKET, "@ckpt bare"), e2 = accept(bare, NULL, NULL);
	int server = listening(SOCK_STREAM, "later", 3), f = made(SOCK_STREAM, "f");
	connect_to(f, "later");
	int f2 = accept(server, NULL, NULL), go[2], status;
	MUST(pipe(go) == 0 && close(closed) == 0 && close(bare) == 0);
	MUST(unlink(judge_path("removed")) == 0 && unlink(judge_path("replaced")) == 0);
	close(open(judge_path("replaced"), O_CREAT | O_WRONLY, 0600));
	MUST_EQ(write(c, "on its way", 10), 10);
	pid_t child = fork();
	if (child == 0) { /* it listens from now on */
		MUST_EQ(listen(server, 7), 0);
		int g = connected(SOCK_STREAM, "later");
		judge_write("child", "");
		char byte;
		MUST_EQ(read(go[0], &byte, 1), 1);
		must_talk(g, accept(server, NULL, NULL));
		_exit(0);
	}
	while (access(judge_path("child"), F_OK))
		judge_nap(2);
	judge_wait();
	must_talk(a, a2);
	must_talk(b, b2);
	must_talk(d, d2);
	must_talk(e, e2);
	must_talk(f, f2);
	must_get(c2, "on its way", NULL);
	must_talk(c, c2);
	must_be_named(a2, "removed", false);
	must_be_named(removed, "removed", false);
	must_be_named(b, "replaced", true);
	must_be_named(c2, "closed", false);
	must_be_named(e, "@ckpt bare", true);
	must_be_named(f2, "f", true);
	struct stat st;
	MUST(access(judge_path("removed"), F_OK) == -1 && errno == ENOENT);
	MUST(stat(judge_path("replaced"), &st) == 0 && S_ISREG(st.st_mode));
	MUST(stat(judge_path("closed"), &st) == 0 && S_ISSOCK(st.st_mode));
	MUST_EQ(peer_of(f), getpid());
	int late = connected(SOCK_STREAM, "later");
	MUST_EQ(peer_of(late), child);
	MUST_EQ(write(go[1], "g", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	must_talk(late, accept(server, NULL, NULL));
	return judge_pass();
}

static int waiting(void)
{
	int stream = listening(SOCK_STREAM, "stream", 5), packets = listening(SOCK_SEQPACKET, "@ckpt packets", 5);
	int go[2], status, first = connected(SOCK_STREAM, "stream");
	MUST_EQ(pipe(go), 0);
	pid_t child = fork();
	if (child == 0) {
		char byte;
		int fd = connected(SOCK_STREAM, "stream");
		judge_write("child", "");
		MUST_EQ(read(go[0], &byte, 1), 1);
		MUST_EQ(write(fd, "child", 5), 5);
		_exit(0);
	}
	while (access(judge_path("child"), F_OK))
		judge_nap(2);
	int third = connected(SOCK_STREAM, "stream"), other = connected(SOCK_SEQPACKET, "@ckpt packets");
	judge_wait();
	int a = accept(stream, NULL, NULL), b = accept(stream, NULL, NULL), c = accept(stream, NULL, NULL);
	MUST_EQ(peer_of(a), getpid());
	MUST_EQ(peer_of(b), child);
	must_talk(first, a);
	must_talk(third, c);
	must_talk(other, accept(packets, NULL, NULL));
	MUST_EQ(write(go[1], "g", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	must_get(b, "child", NULL);
	return judge_pass();
}

/* Left to init: what it holds is outside of the tree. */
static bool in_outsider(void)
{
	int pipes[2];
	char byte;
	MUST_EQ(pipe(pipes), 0);
	pid_t between = fork();
	if (!between && fork())
		_exit(0);
	if (between)
		MUST_EQ(waitpid(between, NULL, 0), between);
	if (between)
		close(pipes[1]);
	if (between)
		MUST_EQ(read(pipes[0], &byte, 1), 0); /* until it has what it needs */
	if (!between)
		close(pipes[0]);
	return !between;
}

static void hold(const char *what)
{
	if (!strcmp(what, "data")) {
		listening(SOCK_STREAM, "stream", 5);
		MUST_EQ(write(connected(SOCK_STREAM, "stream"), "data", 4), 4);
	} else if (!strcmp(what, "source")) {
		int server = made(SOCK_DGRAM, "server"), gone = made(SOCK_DGRAM, "gone");
		send_to(gone, "server", "last words");
		MUST(server >= 0 && close(gone) == 0);
	} else if (!strcmp(what, "both")) {
		int listener = listening(SOCK_STREAM, "stream", 5), client = made(SOCK_STREAM, "client");
		connect_to(client, "stream");
		MUST(accept(listener, NULL, NULL) >= 0 && close(listener) == 0);
	} else if (!strcmp(what, "moved")) { /* and then removed */
		struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "name" };
		MUST_EQ(chdir(judge_dir), 0);
		MUST_EQ(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a), 0);
		MUST_EQ(rename("name", "other"), 0);
		MUST_EQ(unlink("other"), 0);
	} else if (!strcmp(what, "creator")) {
		int listener = listening(SOCK_STREAM, "stream", 5), client = socket(AF_UNIX, SOCK_STREAM, 0);
		char text[16];
		pid_t child = fork();
		if (child == 0) {
			connect_to(client, "stream");
			_exit(0);
		}
		MUST_EQ(waitpid(child, NULL, 0), child);
		MUST_EQ(peer_of(accept(listener, NULL, NULL)), child);
		snprintf(text, sizeof text, "%d", child);
		judge_write("creator", text);
	} else if (!strcmp(what, "namespace")) {
		MUST_EQ(unshare(CLONE_NEWNET), 0);
		MUST(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	} else if (!strcmp(what, "outside")) {
		int listener = listening(SOCK_STREAM, "stream", 5);
		if (in_outsider()) {
			close_range(4, ~0u, 0);
			for (;;)
				pause();
		}
		close(listener);
		connected(SOCK_STREAM, "stream");
	}
}

/* A circle of sockets, each in the queue of the other, and one that listens with them, of which nobody has a descriptor. */
static int circle(void)
{
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr header;
	} control = { .header = { CMSG_LEN(3 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	int ends[2], listener = listening(SOCK_STREAM, "@ckpt circle", 5);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	int sent[3] = { ends[0], ends[1], listener };
	char byte = 'x';
	struct msghdr m = { .msg_iov = &(struct iovec){ &byte, 1 },
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof control };
	memcpy(CMSG_DATA(&control.header), sent, sizeof sent);
	MUST_EQ(sendmsg(ends[0], &m, 0), 1);
	close(listener);
	judge_wait();
	MUST_EQ(recvmsg(ends[1], &m, MSG_DONTWAIT), 1);
	memcpy(sent, CMSG_DATA(&control.header), sizeof sent);
	int client = connected(SOCK_STREAM, "@ckpt circle");
	must_talk(client, accept(sent[2], NULL, NULL));
	return judge_pass();
}

/* So many that the kernel is asked for all of them at once; each pair and each connection is known by its number. */
static int many(void)
{
	enum { PAIRS = 100, CLIENTS = 20 };
	int ends[PAIRS + CLIENTS][2], listener = listening(SOCK_STREAM, "@many", CLIENTS), number;
	for (int i = 0; i < PAIRS + CLIENTS; i++) {
		if (i < PAIRS)
			MUST_EQ(socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends[i]), 0);
		else
			MUST((ends[i][0] = connected(SOCK_STREAM, "@many")) >= 0 &&
			     (ends[i][1] = accept(listener, NULL, NULL)) >= 0);
		MUST_EQ(write(ends[i][0], &i, sizeof i), sizeof i);
		if (i % 3 == 0)
			MUST_EQ(shutdown(ends[i][0], SHUT_WR), 0);
	}
	judge_wait();
	for (int i = 0; i < PAIRS + CLIENTS; i++) {
		MUST_EQ(read(ends[i][1], &number, sizeof number), sizeof number);
		MUST_EQ(number, i);
		MUST_EQ(write(ends[i][1], &i, sizeof i), sizeof i);
		MUST_EQ(read(ends[i][0], &number, sizeof number), sizeof number);
		MUST_EQ(number, i);
		if (i % 3 == 0)
			MUST_EQ(read(ends[i][1], &number, sizeof number), 0);
	}
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	if (!strcmp(what, "datagrams"))
		return datagrams();
	if (!strcmp(what, "lost"))
		return lost();
	if (!strcmp(what, "listeners"))
		return listeners();
	if (!strcmp(what, "waiting"))
		return waiting();
	if (!strcmp(what, "many"))
		return many();
	if (!strcmp(what, "circle"))
		return circle();
	hold(what);
	judge_wait();
	return judge_pass();
}
