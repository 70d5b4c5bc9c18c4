// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns TCP connections in repair mode and the guard that lets them go. */
#include "collect/repair.h"
#include "base/child.h"
#include "collect/socket.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

int repair_allowed(struct connections *c)
{
	_cleanup_close_ int fd = c->asked ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!c->asked)
		c->allowed = fd < 0 ? neg_errno() : set_repair(fd, 1);
	c->asked = true;
	return c->allowed;
}

/* The program is mute at a connection that stays in repair mode: one error is no reason to leave it there. */
#define TRIES 3

static int end_repair(int fd, u8 reuse)
{
	int r = -EINVAL;
	for (int i = 0; r < 0 && i < TRIES; i++)
		r = set_repair(fd, TCP_REPAIR_OFF_NO_WP);
	int back = socket_set_back(fd, SO_REUSEADDR, reuse);
	return r < 0 ? r : back;
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

static u64 cookie_of(int fd)
{
	u64 cookie = 0;
	socklen_t len = sizeof cookie;
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static u8 state_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? 0 : info.tcpi_state;
}

int connections_add(struct connections *c, u32 file, int fd, pid_t holder, int number)
{
	_cleanup_close_ int own = holder ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!holder && own < 0)
		return neg_errno();
	struct connection *place = vector_add(&c->list);
	if (!place)
		return -ENOMEM;
	*place = (struct connection){ .fd = take_fd(&own),
				      .holder = holder,
				      .number = number,
				      .cookie = cookie_of(fd),
				      .listens = state_of(fd) == LISTEN };
	return map_set(&c->place, file, (u32)c->list.n);
}

static int open_connection(const struct connection *connection)
{
	if (!connection->holder) {
		int own = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);
		return own < 0 ? neg_errno() : own;
	}
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, connection->holder, 0);
	if (process < 0 && errno != EMFILE) /* it leads no process */
		process = (int)syscall(SYS_pidfd_open, connection->holder, O_EXCL /* PIDFD_THREAD, Linux 6.9 */);
	_cleanup_close_ int fd = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, connection->number, 0);
	if (fd < 0)
		return neg_errno();
	return cookie_of(fd) == connection->cookie ? take_fd(&fd) : -ESTALE;
}

int connections_open(const struct connections *c, u32 file)
{
	u32 at = map_get(&c->place, file);
	return at ? open_connection(&c->list.v[at - 1]) : -EBADF;
}

static struct connection *find(struct connections *c, u32 file)
{
	u32 at = map_get(&c->place, file);
	return at ? &c->list.v[at - 1] : NULL;
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

void connections_mark_outside(struct connections *c, u32 file, int fd)
{
	struct connection *connection = find(c, file);
	if (!connection)
		return;
	connection->outside = true;
	connection->received = received_of(fd);
}

void connections_give_up(struct connections *c, u32 file)
{
	struct connection *connection = find(c, file);
	if (connection)
		connection->given_up = true;
}

static bool has_moved(const struct connection *connection)
{
	if (!connection->outside)
		return false;
	_cleanup_close_ int fd = open_connection(connection);
	return received_of(fd) != connection->received;
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
	if (connection->given_up)
		setsockopt(connection->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	else if (!connection->outside && state_of(connection->fd) == CLOSE_WAIT)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	else
		set_repair(connection->fd, 1);
}

/* --- from just before the tree's death to just behind it --- */

#define PORTION 1024
#define SPARE 64 /* descriptors that whoever ends a tree may need besides */

/* Those of the list from first to before end that are open by now. */
struct portion {
	const struct connections *all;
	size_t first, end;
};

static void end_portion(const void *arg)
{
	const struct portion *p = arg;
	for (size_t i = p->first; i < p->end; i++)
		if (p->all->list.v[i].fd >= 0 && !p->all->list.v[i].listens)
			end_one(&p->all->list.v[i]);
}

/* To a process that has them from now on instead of ckpt. What nobody but ckpt has ckpt keeps. */
static int hand_over(struct connections *c, const struct tree *tree, size_t first, size_t end)
{
	int r = tree_keep_files(&c->keepers, tree, end_portion, &(struct portion){ c, first, end });
	for (size_t i = first; r == 0 && i < end; i++)
		if (c->list.v[i].holder)
			closep(&c->list.v[i].fd);
	return r;
}

int connections_keep(struct connections *c, const struct tree *tree)
{
	struct rlimit limit = { PORTION, PORTION };
	getrlimit(RLIMIT_NOFILE, &limit);
	size_t first = 0, open = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->list.n; i++) {
		struct connection *connection = &c->list.v[i];
		if (connection->listens || !connection->holder)
			continue;
		connection->fd = open_connection(connection);
		if (connection->fd < 0)
			return connection->fd;
		if (++open < PORTION && (rlim_t)connection->fd + SPARE < limit.rlim_cur)
			continue;
		r = hand_over(c, tree, first, i + 1);
		first = i + 1, open = 0;
	}
	return r == 0 && open && c->keepers.pid ? hand_over(c, tree, first, c->list.n) : r;
}

void connections_end(struct connections *c)
{
	end_guard(c);
	end_portion(&(struct portion){ c, 0, c->list.n });
	tree_guard_end(&c->keepers);
}

void connections_free(struct connections *c)
{
	end_guard(c);
	tree_guard_dismiss(&c->keepers);
	for (size_t i = 0; i < c->list.n; i++)
		closep(&c->list.v[i].fd);
	vector_free(&c->list);
	map_free(&c->place);
	*c = (struct connections){ 0 };
}
