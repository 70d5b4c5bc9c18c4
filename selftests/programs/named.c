// SPDX-License-Identifier: LGPL-2.1-or-later
/* named DIR [WHAT]: unix sockets with a name: absolute, relative, abstract, chosen by the kernel; that listen or only wait for
 * datagrams. WHAT: a state that ckpt refuses. */
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

static int hold_refused(const char *what)
{
	char path[108], text[8];
	snprintf(path, sizeof path, "%.90s/socket", judge_dir);
	int listener = bound(SOCK_STREAM, path), client = -1, server = -1;
	MUST_EQ(listen(listener, 5), 0);
	if (!strcmp(what, "gone"))
		MUST_EQ(unlink(path), 0);
	else
		client = connected(SOCK_STREAM, path);
	if (!strcmp(what, "connection"))
		server = accept(listener, NULL, NULL);
	judge_wait();
	if (client >= 0 && server < 0)
		server = accept(listener, NULL, NULL);
	if (client >= 0) {
		MUST_EQ(write(client, "hello", 5), 5);
		MUST_EQ(read(server, text, sizeof text), 5);
	}
	return judge_pass();
}

int main(int argc, char **argv)
{
	char path[108], abstract[64], text[64];
	judge_start(argc, argv);
	if (argc > 2)
		return hold_refused(argv[2]);
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
