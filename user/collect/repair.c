// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns TCP connections in repair mode and the guard that lets them go. */
#include "collect/repair.h"
#include "base/child.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

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

/* What ckpt and its guard share. The word is a robust futex (set_robust_list(2)) that the thread which traces the program owns: when it
 * dies the kernel marks the word and wakes the guard. */
struct watch {
	struct robust_list_head head; /* of that thread, with one entry */
	struct robust_list entry;
	void *before; /* the head that the C library had given */
	_Atomic u32 tracer;
	_Atomic int fd; /* comes into repair mode, is in it, or was just taken out of it; -1: none */
	u8 reuse;       /* its SO_REUSEADDR */
};

/* Ends by SIGKILL, or when the tracer dies: of exit_robust_list() every kernel lets others run behind each entry that it has woken
 * (cond_resched()), and there, at the latest, the CPU of the tracer goes to a process of a real-time class that was woken on it. That is
 * in exit_mm(), before exit_notify() lets go of the program: so the guard is through before the program runs. Without the right to such a
 * class it mostly is. It shares ckpt's descriptors, since none could be handed over then. */
static _Noreturn void be_guard(struct watch *w)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (u32 tracer; !((tracer = w->tracer) & FUTEX_OWNER_DIED);)
		syscall(SYS_futex, &w->tracer, FUTEX_WAIT, tracer, NULL, NULL, 0);
	if (w->fd >= 0) /* it may be out of it already, and lack SO_REUSEADDR */
		end_repair(w->fd, w->reuse);
	_exit(0);
}

static int own_watch(struct watch *w)
{
	size_t len;
	*w = (struct watch){
		.head = { { &w->entry }, offsetof(struct watch, tracer) - offsetof(struct watch, entry), NULL },
		.entry = { &w->head.list },
		.tracer = (u32)gettid() | FUTEX_WAITERS,
		.fd = -1,
	};
	if (syscall(SYS_get_robust_list, 0, &w->before, &len) < 0 || syscall(SYS_set_robust_list, &w->head, sizeof w->head) < 0)
		return neg_errno();
	return 0;
}

static void disown_watch(struct watch *w)
{
	if (w->before)
		syscall(SYS_set_robust_list, w->before, sizeof w->head);
	munmap(w, sizeof *w);
}

/* Who traces ckpt does not stop it (CLONE_UNTRACED). */
static int start_guard(struct connections *c)
{
	const struct sched_param first = { .sched_priority = sched_get_priority_max(SCHED_FIFO) };
	struct watch *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED)
		return neg_errno();
	int r = own_watch(w);
	long guard = r < 0 ? r : syscall(SYS_clone, CLONE_FILES | CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
	if (guard == 0)
		be_guard(w);
	if (guard < 0) {
		r = r < 0 ? r : neg_errno();
		disown_watch(w);
		return r;
	}
	(void)sched_setscheduler((pid_t)guard, SCHED_FIFO, &first);
	c->guard = (pid_t)guard;
	c->watch = w;
	return 0;
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

static int open_connection(const struct connection *connection)
{
	if (!connection->holder)
		return fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, connection->holder, 0);
	if (process < 0) /* it leads no process */
		process = (int)syscall(SYS_pidfd_open, connection->holder, O_EXCL /* PIDFD_THREAD, Linux 6.9 */);
	return process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, connection->number, 0);
}

int connections_add_listener(struct connections *c, u32 file, pid_t holder, int number)
{
	struct connection *place = vector_add(&c->list);
	if (!place)
		return -ENOMEM;
	*place = (struct connection){ .fd = holder ? -1 : fcntl(number, F_DUPFD_CLOEXEC, 3),
				      .holder = holder,
				      .number = number };
	if (!holder && place->fd < 0)
		return neg_errno();
	return map_set(&c->listeners, file, (u32)c->list.n);
}

int connections_open_listener(const struct connections *c, u32 file)
{
	u32 at = map_get(&c->listeners, file);
	int fd = at ? open_connection(&c->list.v[at - 1]) : -1;
	return fd >= 0 ? fd : at ? neg_errno() : -EBADF;
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

void connections_mark_listener(struct connections *c, u32 file, int fd)
{
	u32 at = map_get(&c->listeners, file);
	if (!at)
		return;
	c->list.v[at - 1].outside = true;
	c->list.v[at - 1].received = received_of(fd);
}

void connections_give_up(struct connections *c, int own)
{
	struct connection *connection = find(c, own);
	if (connection)
		connection->given_up = true;
}

static bool has_moved(const struct connection *connection)
{
	if (!connection->outside)
		return false;
	_cleanup_close_ int opened = connection->fd < 0 ? open_connection(connection) : -1;
	return received_of(connection->fd < 0 ? opened : connection->fd) != connection->received;
}

bool connections_moved(const struct connections *c)
{
	for (size_t i = 0; i < c->list.n; i++)
		if (has_moved(&c->list.v[i]))
			return true;
	return false;
}

static void let_go(struct connections *c)
{
	c->watch->fd = -1;
	cpu_leave(&c->stay);
}

int repair_begin(struct connections *c, int fd, u8 *ret_reuse)
{
	int reuse = 0;
	socklen_t len = sizeof reuse;
	if (getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &len) < 0)
		return neg_errno();
	*ret_reuse = reuse != 0;
	int r = c->guard ? 0 : start_guard(c);
	if (r < 0)
		return r;
	struct cpu_stay ignored;
	cpu_stay(&c->stay);
	cpu_bring(&ignored, c->guard, &c->stay); /* and there it runs first, until it waits */
	c->watch->reuse = *ret_reuse;
	c->watch->fd = fd;
	r = set_repair(fd, 1);
	if (r < 0)
		let_go(c);
	return r;
}

int repair_end(struct connections *c, int fd, u8 reuse)
{
	int r = end_repair(fd, reuse);
	let_go(c);
	return r;
}

static void end_guard(struct connections *c)
{
	if (c->guard <= 0)
		return;
	child_end(c->guard);
	disown_watch(c->watch);
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
		if (c->list.v[i].fd >= 0)
			end_one(&c->list.v[i]);
}

void connections_free(struct connections *c)
{
	end_guard(c);
	for (size_t i = 0; i < c->list.n; i++)
		closep(&c->list.v[i].fd);
	vector_free(&c->list);
	map_free(&c->place);
	map_free(&c->listeners);
	*c = (struct connections){ 0 };
}
