// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns questions that sockets of all families answer. */
#include "collect/socket.h"
#include "base/file.h"
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

int socket_filter(int fd, ProtobufCBinaryData *ret)
{
	struct sock_filter program[BPF_MAXINSNS];
	socklen_t count = BPF_MAXINSNS;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, program, &count) < 0)
		return errno == EACCES ? -EACCES : 0;
	if (!count)
		return 0;
	return message_set_bytes(ret, program, count * sizeof *program) ? 1 : -ENOMEM;
}
