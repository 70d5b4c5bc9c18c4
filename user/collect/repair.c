// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns TCP connections in repair mode and the guard that lets them go. */
#include "collect/repair.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#ifndef TCP_REPAIR_OFF_NO_WP /* without a window probe */
#define TCP_REPAIR_OFF_NO_WP -1
#endif

enum { CLOSE_WAIT = 8, LISTEN = 10 }; /* include/net/tcp_states.h */

static int set_repair(int fd, int mode)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &mode, sizeof mode) < 0 ? neg_errno() : 0;
}

int repair_allowed(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? neg_errno() : set_repair(fd, 1);
}

static int end_repair(int fd, u8 reuse)
{
	int value = reuse, r = set_repair(fd, TCP_REPAIR_OFF_NO_WP);
	if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value) < 0)
		r = neg_errno();
	return r;
}

/* What the guard is told: the connection that goes into repair mode, and its SO_REUSEADDR; -1: it came out of it. */
static bool receive_fd(int wire, int *ret_fd, u8 *ret_reuse)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { ret_reuse, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (recvmsg(wire, &m, MSG_CMSG_CLOEXEC) != 1)
		return false;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*ret_fd = -1;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
	return true;
}

/* Ends by SIGKILL, or at the end of the wire: then ckpt dies. do_exit() closes its files (exit_files(), exit_task_work()) before it
 * lets go of the program (exit_notify()), and there, at the latest, the CPU goes to a process of a real-time class that was woken on
 * it: so the guard is through before the program runs. Without the right to such a class it mostly is. */
static _Noreturn void be_guard(int wire)
{
	const struct sched_param first = { .sched_priority = 1 };
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	int last = -1;
	u8 reuse = 0;
	for (int fd; receive_fd(wire, &fd, &reuse); last = fd) /* one at a time is in repair mode */
		closep(&last);
	if (last >= 0) /* it may be out of it already, and lack SO_REUSEADDR */
		end_repair(last, reuse);
	_exit(0);
}

static int start_guard(struct connections *c)
{
	int wires[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wires) < 0)
		return neg_errno();
	c->guard = fork();
	if (c->guard == 0) {
		close(wires[0]);
		be_guard(wires[1]);
	}
	close(wires[1]);
	c->wire = wires[0];
	if (c->guard > 0)
		return 0;
	c->guard = 0;
	int r = neg_errno();
	close(wires[0]);
	return r;
}

static int send_fd(int wire, int fd, u8 reuse)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &reuse, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(wire, &m, MSG_NOSIGNAL) == 1 ? 0 : neg_errno();
}

int connections_add(struct connections *c, int fd)
{
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct connection *place = own < 0 ? NULL : vector_add(&c->list);
	if (!place)
		return own < 0 ? neg_errno() : -ENOMEM;
	place->fd = take_fd(&own);
	int r = map_set(&c->place, (u64)place->fd, (u32)c->list.n);
	return r < 0 ? r : place->fd;
}

static struct connection *find(struct connections *c, int own)
{
	u32 at = map_get(&c->place, (u64)own);
	return at && c->list.v[at - 1].fd == own ? &c->list.v[at - 1] : NULL;
}

/* What came: segments to a connection; to a socket that listens, connections that wait. */
static u32 received_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_state == LISTEN ? info.tcpi_unacked : info.tcpi_segs_in;
}

void connections_mark_outside(struct connections *c, int own)
{
	struct connection *connection = find(c, own);
	if (!connection)
		return;
	connection->outside = true;
	connection->received = received_of(own);
}

void connections_give_up(struct connections *c, int own)
{
	struct connection *connection = find(c, own);
	if (connection)
		connection->given_up = true;
}

bool connections_moved(const struct connections *c)
{
	for (size_t i = 0; i < c->list.n; i++)
		if (c->list.v[i].outside && received_of(c->list.v[i].fd) != c->list.v[i].received)
			return true;
	return false;
}

int repair_begin(struct connections *c, int fd, u8 *ret_reuse)
{
	int reuse = 0;
	socklen_t len = sizeof reuse;
	if (getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &len) < 0)
		return neg_errno();
	*ret_reuse = reuse != 0;
	int r = c->guard ? 0 : start_guard(c);
	if (r == 0)
		r = send_fd(c->wire, fd, *ret_reuse);
	if (r < 0)
		return r;
	struct cpu_stay ignored;
	cpu_stay(&c->stay);
	cpu_bring(&ignored, c->guard, &c->stay);
	r = set_repair(fd, 1);
	if (r < 0)
		cpu_leave(&c->stay);
	return r;
}

int repair_end(struct connections *c, int fd, u8 reuse)
{
	int r = end_repair(fd, reuse), told = send_fd(c->wire, -1, 0);
	cpu_leave(&c->stay);
	return r ?: told;
}

static void end_guard(struct connections *c)
{
	if (c->guard <= 0)
		return;
	kill(c->guard, SIGKILL);
	waitpid(c->guard, NULL, 0);
	close(c->wire);
	c->guard = 0;
}

/* Of a connection whose other end was closed the kernel keeps that end for a minute (tcp_fin_timeout), with its address. A
 * reset makes it forget. What it keeps of a connection that is given up lets others have the address. */
static void end_one(const struct connection *connection)
{
	const struct linger at_once = { 1, 0 };
	const int on = 1;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	if (connection->given_up)
		setsockopt(connection->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	else if (!connection->outside && getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		 info.tcpi_state == CLOSE_WAIT)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	else
		set_repair(connection->fd, 1);
}

void connections_end(struct connections *c)
{
	end_guard(c);
	for (size_t i = 0; i < c->list.n; i++)
		end_one(&c->list.v[i]);
}

void connections_free(struct connections *c)
{
	end_guard(c);
	for (size_t i = 0; i < c->list.n; i++)
		close(c->list.v[i].fd);
	vector_free(&c->list);
	map_free(&c->place);
	*c = (struct connections){ 0 };
}
