// SPDX-License-Identifier: LGPL-2.1-or-later
/* named DIR [WHAT]: unix sockets with a name: absolute, relative, abstract, chosen by the kernel; that listen or only wait for
 * datagrams. WHAT: "connections", which were accepted; "moved", sockets whose name does not lead to their file. */
#include "judge.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t address_of(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*name)
		return sizeof a->sun_family;
	snprintf(a->sun_path, sizeof a->sun_path, "%s", name);
	if (*name != '@')
		return sizeof *a;
	a->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
}

static int bound(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_of(&a, name);
	int fd = socket(AF_UNIX, type, 0);
	MUST_EQ(bind(fd, (void *)&a, len), 0);
	return fd;
}

static int connected(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_of(&a, name);
	int fd = socket(AF_UNIX, type, 0);
	MUST_EQ(connect(fd, (void *)&a, len), 0);
	return fd;
}

struct name {
	struct sockaddr_un address;
	socklen_t len;
};
static struct name name_of(int fd)
{
	struct name n = { .len = sizeof n.address };
	MUST_EQ(getsockname(fd, (void *)&n.address, &n.len), 0);
	return n;
}

static void judge_name(int fd, const struct name *before)
{
	struct name now = name_of(fd);
	MUST_EQ(now.len, before->len);
	MUST(!memcmp(&now.address, &before->address, now.len));
}

/* A new connection reaches the listener and carries its credentials. */
static void judge_listener(int listener, int type, const struct name *name)
{
	char text[8];
	int client = socket(AF_UNIX, type, 0);
	struct ucred cred;
	socklen_t len = sizeof cred;
	MUST_EQ(connect(client, (void *)&name->address, name->len), 0);
	int server = accept(listener, NULL, NULL);
	MUST(server >= 0);
	MUST_EQ(write(client, "hello", 5), 5);
	MUST_EQ(read(server, text, sizeof text), 5);
	MUST_EQ(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	MUST_EQ(cred.pid, getpid());
	judge_name(server, name);
	close(client);
	close(server);
}

static void judge_talk(int from, int to, const char *text)
{
	char got[64];
	MUST_EQ(write(from, text, strlen(text)), strlen(text));
	MUST_EQ(recv(to, got, sizeof got, MSG_DONTWAIT), strlen(text));
	MUST(!memcmp(got, text, strlen(text)));
}

static void must_receive(int fd, const char *text)
{
	char got[64];
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, JUDGE_PATIENCE_MS);
	MUST_EQ(recv(fd, got, sizeof got, MSG_DONTWAIT), strlen(text));
	MUST(!memcmp(got, text, strlen(text)));
}

static struct ucred peer_of(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	MUST_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	return cred;
}

/* Accepted: one of a child with other rights, one with data on its way, one whose client is gone and one whose server is. */
static int connections(void)
{
	char path[108], c;
	int to_child[2], status;
	snprintf(path, sizeof path, "%.90s/server", judge_dir);
	int abstract = bound(SOCK_SEQPACKET, "@ckpt connections"), listener = bound(SOCK_STREAM, path);
	MUST(listen(listener, 0) == 0 && listen(abstract, 1) == 0 && chmod(path, 0777) == 0 && pipe(to_child) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(to_child[1]);
		MUST(chmod(judge_dir, 0755) == 0 && setresgid(1001, 1001, 1001) == 0 && setresuid(1000, 1000, 1000) == 0);
		int fd = connected(SOCK_STREAM, path);
		MUST_EQ(read(to_child[0], &c, 1), 1);
		MUST_EQ(write(fd, "from the child", 14), 14);
		MUST_EQ(read(fd, &c, 1), 1);
		_exit(c);
	}
	int of_child = accept(listener, NULL, NULL);
	int client = connected(SOCK_STREAM, path), server = accept(listener, NULL, NULL);
	int gone_client = connected(SOCK_STREAM, path), widow = accept(listener, NULL, NULL);
	int orphan = connected(SOCK_SEQPACKET, "@ckpt connections"), gone_server = accept(abstract, NULL, NULL);
	int packets = connected(SOCK_SEQPACKET, "@ckpt connections"), served = accept(abstract, NULL, NULL);
	struct name name = name_of(server), name_of_child = name_of(of_child), name_of_abstract = name_of(served);
	MUST_EQ(write(gone_client, "last words", 10), 10);
	MUST_EQ(write(client, "to the server", 13), 13);
	MUST_EQ(write(server, "to the client", 13), 13);
	MUST_EQ(shutdown(server, SHUT_WR), 0);
	MUST_EQ(write(packets, "one", 3), 3);
	MUST_EQ(write(packets, "two", 3), 3);
	close(gone_client);
	close(gone_server);
	MUST_EQ(chmod(path, 0600), 0);
	MUST_EQ(fcntl(server, F_SETFL, O_NONBLOCK), 0);
	judge_wait();
	struct ucred cred = peer_of(of_child);
	MUST(cred.pid == child && cred.uid == 1000 && cred.gid == 1001);
	MUST_EQ(peer_of(client).pid, getpid());
	MUST_EQ(peer_of(server).pid, getpid());
	judge_name(server, &name);
	judge_name(of_child, &name_of_child);
	judge_name(served, &name_of_abstract);
	must_receive(server, "to the server");
	must_receive(client, "to the client");
	MUST_EQ(recv(client, &c, 1, 0), 0);
	judge_talk(client, server, "again");
	must_receive(widow, "last words");
	MUST_EQ(recv(widow, &c, 1, 0), 0);
	MUST_EQ(recv(orphan, &c, 1, 0), 0);
	must_receive(served, "one");
	must_receive(served, "two");
	MUST_EQ(fcntl(server, F_GETFL), O_RDWR | O_NONBLOCK);
	MUST_EQ(fcntl(client, F_GETFL), O_RDWR);
	MUST_EQ(write(to_child[1], "g", 1), 1);
	must_receive(of_child, "from the child");
	MUST_EQ(write(of_child, "\x07", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(WEXITSTATUS(status), 7);
	judge_listener(listener, SOCK_STREAM, &name);
	return judge_pass();
}

/* A file that is renamed when its socket listens; where another socket has its old name now; one that was bound through a link; and
 * one whose name has more in it than it needs. */
static int moved(void)
{
	char path[108];
	snprintf(path, sizeof path, "%.90s/early", judge_dir);
	MUST_EQ(chdir(judge_dir), 0);
	MUST(mkdir("below", 0700) == 0 && symlink("below", "link") == 0);
	int early = bound(SOCK_STREAM, path), old = bound(SOCK_DGRAM, "old"), linked = bound(SOCK_STREAM, "link/linked");
	MUST(listen(early, 4) == 0 && listen(linked, 4) == 0);
	MUST(chmod("early", 0640) == 0 && rename("early", "below/ready") == 0 && rename("old", "older") == 0);
	int new = bound(SOCK_DGRAM, "old"), round = bound(SOCK_STREAM, "below/.././/below/round");
	MUST_EQ(listen(round, 4), 0);
	int client = connected(SOCK_STREAM, "below/ready"), server = accept(early, NULL, NULL);
	int waiting = connected(SOCK_STREAM, "below/linked"), sender = connected(SOCK_DGRAM, "older");
	MUST(server >= 0 && write(client, "connected", 9) == 9);
	MUST_EQ(write(sender, "to the older one", 16), 16);
	struct name names[] = { name_of(early), name_of(old), name_of(linked), name_of(new), name_of(round), name_of(server) };
	int all[] = { early, old, linked, new, round, server };
	judge_wait();
	struct stat st;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		judge_name(all[i], &names[i]);
	MUST(stat("below/ready", &st) == 0 && st.st_mode == (S_IFSOCK | 0640));
	MUST(access("early", F_OK) < 0 && errno == ENOENT);
	must_receive(server, "connected");
	must_receive(old, "to the older one");
	judge_talk(waiting, accept(linked, NULL, NULL), "accepted now");
	judge_talk(client, server, "again");
	judge_talk(connected(SOCK_DGRAM, "old"), new, "to the new one");
	judge_talk(sender, old, "to the older one again");
	static const char *const reached[] = { "below/ready", "below/linked", "below/round" };
	static const int listeners[] = { 0, 2, 4 };
	for (size_t i = 0; i < sizeof reached / sizeof *reached; i++) {
		int asks = connected(SOCK_STREAM, reached[i]), answers = accept(all[listeners[i]], NULL, NULL);
		judge_talk(asks, answers, "new");
		judge_name(answers, &names[listeners[i]]);
	}
	return judge_pass();
}

int main(int argc, char **argv)
{
	char path[108], abstract[64], text[64];
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "moved"))
		return moved();
	if (argc > 2 && !strcmp(argv[2], "connections"))
		return connections();
	snprintf(path, sizeof path, "%.90s/stream", judge_dir);
	snprintf(abstract, sizeof abstract, "@ckpt named %d", getpid());
	MUST_EQ(chdir(judge_dir), 0);
	MUST_EQ(mkdir("below", 0700), 0);
	int stream = bound(SOCK_STREAM, path), seq = bound(SOCK_SEQPACKET, abstract), chosen = bound(SOCK_STREAM, "");
	int relative = bound(SOCK_STREAM, "below/relative"), datagram = bound(SOCK_DGRAM, "datagram");
	MUST_EQ(chdir("/"), 0);
	MUST_EQ(chmod(path, 0620), 0);
	MUST_EQ(chown(path, 12, 34), 0);
	MUST_EQ(listen(stream, 7), 0);
	MUST_EQ(listen(seq, 1), 0);
	MUST_EQ(listen(relative, 100), 0);
	struct name names[] = { name_of(stream), name_of(seq), name_of(chosen), name_of(relative), name_of(datagram) };
	judge_wait();
	struct stat st;
	MUST_EQ(stat(path, &st), 0);
	MUST_EQ(st.st_mode, S_IFSOCK | 0620);
	MUST(st.st_uid == 12 && st.st_gid == 34);
	judge_name(chosen, &names[2]);
	judge_name(datagram, &names[4]);
	judge_listener(stream, SOCK_STREAM, &names[0]);
	judge_listener(seq, SOCK_SEQPACKET, &names[1]);
	MUST_EQ(chdir(judge_dir), 0);
	judge_listener(relative, SOCK_STREAM, &names[3]);
	MUST(accept4(chosen, NULL, NULL, SOCK_NONBLOCK) == -1 && errno == EINVAL); /* does not listen */
	int sender = connected(SOCK_DGRAM, "datagram");
	MUST_EQ(write(sender, "datagram", 8), 8);
	MUST_EQ(read(datagram, text, sizeof text), 8);
	return judge_pass();
}
