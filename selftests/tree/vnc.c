// SPDX-License-Identifier: LGPL-2.1-or-later
/* A desktop session in user namespaces: an X server that shows itself by VNC, and a terminal on it. A viewer outside of the tree stays
 * connected over dumps and restores, and what it sees goes on changing (RFC 6143). */
#include "harness/load.h"
#include "harness/target.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT 5977
#define WIDE 320
#define HIGH 240
#define PIXEL 4 /* bytes */

/* usage: session LEVELS: so many user namespaces, each in the one before, and the desktop in the last. */
static const char session[] =
	"cd " WORK " || exit\n"
	"if [ $1 -gt 0 ]; then\n"
	"  unshare -U sh -c 'until [ -e mapped$0 ]; do sleep 0.01; done; exec sh session $(($0 - 1))' $1 &\n"
	"  until [ \"$(readlink /proc/$!/ns/user)\" != \"$(readlink /proc/self/ns/user)\" ]; do sleep 0.01; done\n"
	"  echo 0 0 65536 >/proc/$!/gid_map && echo 0 0 65536 >/proc/$!/uid_map && >mapped$1\n"
	"  wait; exit\n"
	"fi\n"
	"export HOME=" WORK " DISPLAY=:77\n"
	"Xvnc :77 -SecurityTypes None -rfbport 5977 -localhost -geometry 640x480 -depth 24 </dev/null >xvnc.log 2>&1 &\n"
	"until [ -S /tmp/.X11-unix/X77 ]; do sleep 0.01; done\n"
	"xterm -geometry 80x24+0+0 -e sh -c 'i=0; while i=$((i + 1)); do echo $i; echo $i >count; sleep 0.05; done' </dev/null "
	">xterm.log 2>&1 &\n"
	"wait\n";

/* X servers know of each other by files in /tmp. What was built may lie there too, and is found again at its place. */
static void own_tmp(void)
{
	char path[PATH_MAX], source[64];
	int build = (int)CHECK_OK(open(test_build_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC));
	CHECK(realpath(test_build_dir(), path));
	CHECK_OK(mount("tmp", "/tmp", "tmpfs", 0, "mode=1777"));
	CHECK_OK(mkdir("/tmp/.X11-unix", 0));
	CHECK_OK(chmod("/tmp/.X11-unix", 01777));
	if (access(path, F_OK) < 0) {
		for (char *slash = path; (slash = strchr(slash + 1, '/')); *slash = '/') {
			*slash = 0;
			if (mkdir(path, 0755) < 0)
				CHECK_EQ(errno, EEXIST);
		}
		CHECK_OK(mkdir(path, 0755));
		snprintf(source, sizeof source, "/proc/self/fd/%d", build);
		CHECK_OK(mount(source, path, NULL, MS_BIND, NULL));
	}
	CHECK_OK(close(build));
}

static void start(struct target *t, const char *levels)
{
	need_program("/usr/bin/Xvnc");
	need_program("/usr/bin/xterm");
	own_tmp();
	write_text(WORK "/session", session);
	target_spawn(t, "/bin/sh", WORK "/session", levels);
	free(wait_text(WORK "/count"));
}

/* --- the viewer --- */

static void receive(int fd, void *ret, size_t len)
{
	for (size_t have = 0; have < len;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		if (poll(&ready, 1, (int)(WAIT_MS * test_patience())) != 1)
			FAIL("the server is silent");
		ssize_t n = recv(fd, (char *)ret + have, len - have, 0);
		if (n <= 0)
			FAIL("the viewer has lost its connection: %zd", n);
		have += (size_t)n;
	}
}

static void pass(int fd, size_t len)
{
	for (char bytes[4096]; len; len -= MIN(len, sizeof bytes))
		receive(fd, bytes, MIN(len, sizeof bytes));
}

static u32 number(const u8 *bytes, size_t len)
{
	u32 value = 0;
	for (size_t i = 0; i < len; i++)
		value = value << 8 | bytes[i];
	return value;
}

static int viewer_connect(void)
{
	static const u8 raw_only[] = { 2, 0, 0, 1, 0, 0, 0, 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	u8 said[24];
	int fd = (int)CHECK_OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	CHECK_OK(connect(fd, (void *)&to, sizeof to));
	receive(fd, said, 12);
	CHECK(!memcmp(said, "RFB 003.", 8));
	CHECK_EQ(send(fd, "RFB 003.008\n", 12, 0), 12);
	receive(fd, said, 1);
	pass(fd, said[0]);                   /* the kinds of security */
	CHECK_EQ(send(fd, "\001", 1, 0), 1); /* none */
	receive(fd, said, 4);
	CHECK_EQ(number(said, 4), 0);
	CHECK_EQ(send(fd, "\001", 1, 0), 1); /* shared */
	receive(fd, said, 24);
	CHECK_EQ(said[4], PIXEL * 8);
	pass(fd, number(said + 20, 4)); /* the name of the desktop */
	CHECK_EQ(send(fd, raw_only, sizeof raw_only, 0), (ssize_t)sizeof raw_only);
	return fd;
}

/* What the corner of the screen with the terminal shows, as a number. */
static u64 viewer_look(int fd)
{
	static const u8 request[] = { 3, 0, 0, 0, 0, 0, WIDE >> 8, WIDE & 0xff, HIGH >> 8, HIGH & 0xff };
	u8 head[12], row[WIDE * PIXEL];
	u64 sum = 0;
	CHECK_EQ(send(fd, request, sizeof request, 0), (ssize_t)sizeof request);
	receive(fd, head, 4);
	CHECK_EQ(head[0], 0); /* FramebufferUpdate */
	for (u32 left = number(head + 2, 2); left; left--) {
		receive(fd, head, 12);
		u32 wide = number(head + 4, 2), high = number(head + 6, 2);
		CHECK(wide && wide <= WIDE && high && high <= HIGH);
		CHECK_EQ(number(head + 8, 4), 0); /* raw */
		for (u32 y = 0; y < high; y++) {
			receive(fd, row, (size_t)wide * PIXEL);
			for (u32 i = 0; i < wide * PIXEL; i++)
				sum = sum * 31 + row[i];
		}
	}
	return sum;
}

static int counted(void)
{
	_cleanup_free_ char *text = wait_text(WORK "/count");
	return text ? atoi(text) : 0;
}

/* The terminal has a shell, the shell counts, the terminal draws it, the server shows it. */
static void expect_alive(int viewer)
{
	int begin = counted();
	u64 first = viewer_look(viewer);
	WAIT_UNTIL(counted() > begin);
	WAIT_UNTIL(viewer_look(viewer) != first);
}

static void carry(const char *levels)
{
	struct target t;
	start(&t, levels);
	int viewer = viewer_connect();
	expect_alive(viewer);
	for (int i = 0; i < 2; i++) {
		snprintf(t.image, sizeof t.image, WORK "/image%d", i);
		check_no_blocker(t.pid); /* the terminal works meanwhile */
		target_dump(&t, false);
		int before = counted();
		target_restore(&t, 0);
		expect_alive(viewer);
		CHECK(counted() > before);
		int another = viewer_connect();
		expect_alive(another);
		CHECK_OK(close(another));
	}
}

TEST(desktop, .root = true, .net = true, .seconds = 120) { carry("0"); }

TEST(desktop_in_user_namespace, .root = true, .net = true, .seconds = 120) { carry("1"); }

TEST(desktop_in_nested_user_namespace, .root = true, .net = true, .seconds = 120) { carry("2"); }
