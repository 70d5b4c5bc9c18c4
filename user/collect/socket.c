// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns questions that sockets of all families answer. */
#include "collect/socket.h"
#include "base/file.h"
#include "diag/diag.h"
#include "model/model.h"
#include <linux/filter.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

int socket_family(int fd)
{
	int family;
	socklen_t len = sizeof family;
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 ? neg_errno() : family;
}

static int same_cookie(int fd)
{
	_cleanup_close_ int own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	u64 theirs, ours;
	socklen_t len = sizeof theirs;
	if (own < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &theirs, &len) < 0 ||
	    getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &ours, &len) < 0)
		return neg_errno();
	return theirs == ours;
}

/* The cookie needs no right (Linux 5.14), the descriptor needs cap_net_admin (4.10). */
int socket_is_near(int fd)
{
	int r = same_cookie(fd);
	if (r >= 0)
		return r;
	struct stat theirs, ours;
	_cleanup_close_ int ns = ioctl(fd, SIOCGSKNS);
	if (ns < 0 || fstat(ns, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0)
		return neg_errno();
	return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

bool socket_lacks(int error)
{
	static const int others[] = { ENOMEM, ENOBUFS, EIO, EINTR, EAGAIN, EPERM, ENOSPC };
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (error == others[i])
			return false;
	return true;
}

int socket_option(int fd, int level, int option, void *ret, socklen_t *len)
{
	if (getsockopt(fd, level, option, ret, len) == 0)
		return 1;
	return socket_lacks(errno) ? 0 : fail(SYSCALL, neg_errno(), "getsockopt of level %d, option %d", level, option);
}

int socket_queue(int fd, unsigned long request, int *ret)
{
	*ret = 0;
	if (ioctl(fd, request, ret) == 0)
		return 1;
	return socket_lacks(errno) ? 0 : fail(SYSCALL, neg_errno(), "ioctl %#lx of a socket", request);
}

#define TRIES 3

int socket_set_back(int fd, int option, int value)
{
	for (int i = 0; i < TRIES; i++)
		if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0)
			return 0;
	return neg_errno();
}

int socket_int(int fd, int option, int *ret)
{
	socklen_t len = sizeof *ret;
	*ret = 0;
	return MIN(socket_option(fd, SOL_SOCKET, option, ret, &len), 0);
}

static int read_filter(int fd, struct socket_head *ret)
{
	struct sock_filter program[BPF_MAXINSNS];
	socklen_t count = BPF_MAXINSNS;
	int r = socket_option(fd, SOL_SOCKET, SO_GET_FILTER, program, &count);
	if (r <= 0) {
		ret->hidden_filter = r == 0 && errno == EACCES;
		return r;
	}
	return !count || message_set_bytes(&ret->filter, program, count * sizeof *program) ? 0 : fail_memory();
}

int socket_head(int fd, const char *link, struct socket_head *ret)
{
	struct stat st;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", link);
	if (fstat(fd, &st) < 0)
		return fail(SYSCALL, neg_errno(), "fstat");
	*ret = (struct socket_head){ .inode = st.st_ino, .uid = st.st_uid, .gid = st.st_gid, .near = socket_is_near(fd) };
	return read_filter(fd, ret);
}
