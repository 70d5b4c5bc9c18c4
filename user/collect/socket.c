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

int socket_int(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof value;
	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? 0 : value;
}

static int read_filter(int fd, struct socket_head *ret)
{
	struct sock_filter program[BPF_MAXINSNS];
	socklen_t count = BPF_MAXINSNS;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, program, &count) < 0) {
		ret->hidden_filter = errno == EACCES;
		return 0;
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
