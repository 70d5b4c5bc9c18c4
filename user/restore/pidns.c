// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the restore into a pid namespace of its own: its first process, who restores in there, and what they tell ckpt. */
#include "restore/pidns.h"
#include "model/shape.h"
#include "base/file.h"
#include "diag/diag.h"
#include "reaper.h"
#include "tty.pb-c.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern const char parasite_reaper_begin[], parasite_reaper_end[];

struct nursery {
	const struct restore_config *config;
	u32 root, restorer; /* ids inside */
	u32 uid, gid;       /* of ckpt */
	int ours, theirs;   /* ends of the channel */
	int reaper;         /* the program of pid 1 */
	bool own_terminals; /* it gets a /dev/pts */
	u64 mask;           /* of signals, as ckpt was started */
	int (*run)(void *, int);
	void *arg;
};

static void nursery_free(struct nursery *n)
{
	closep(&n->ours);
	closep(&n->theirs);
	closep(&n->reaper);
}

static u64 set_mask(u64 mask)
{
	u64 old = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, sizeof old);
	return old;
}

/* --- before --- */

#define RESTORER_DISTANCE 250 /* helpers of the restore have ids just above the tree's */

static u64 highest_id(const struct graph *g)
{
	u64 highest = 300;
	for (struct object *o = NULL; (o = graph_next(g, &kind_thread, o));)
		highest = MAX(highest, (u64)o->id);
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		highest = MAX(highest, (u64)MAX(t->pid, MAX(t->sid, t->pgid)));
	}
	return highest;
}

/* The restorer's own id: above all others, so that what it makes by the way does not meet them; else any that is free. */
static u32 choose_restorer(const struct graph *g)
{
	u64 highest = highest_id(g), limit = file_number("/proc/sys/kernel/pid_max", 32768);
	if (highest + RESTORER_DISTANCE + 50 < limit)
		return (u32)highest + RESTORER_DISTANCE;
	u32 id = 2;
	while (shape_wants(g, id))
		id++;
	return id;
}

static int make_reaper(struct nursery *n)
{
	size_t len = (size_t)(parasite_reaper_end - parasite_reaper_begin);
	n->reaper = memfd_create("ckpt-reaper", MFD_CLOEXEC | 0x0010u /* MFD_EXEC, Linux 6.3 */);
	if (n->reaper < 0 && errno == EINVAL)
		n->reaper = memfd_create("ckpt-reaper", MFD_CLOEXEC);
	int r = n->reaper < 0 ? neg_errno() : file_write_full(n->reaper, parasite_reaper_begin, len);
	return r < 0 ? fail(ARENA, r, "the program of process 1") : 0;
}

static int make_channel(struct nursery *n)
{
	int ends[2], one = 1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return fail(SYSCALL, neg_errno(), "socketpair");
	n->ours = ends[0];
	n->theirs = ends[1];
	if (setsockopt(n->ours, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) < 0)
		return fail(SYSCALL, neg_errno(), "SO_PASSCRED");
	return 0;
}

/* --- process 1 --- */

static bool has_terminals(const struct graph *g)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (g->objects.v[i]->kind->desc == &ckpt__tty__descriptor &&
		    ((const Ckpt__Tty *)g->objects.v[i]->data)->has_index)
			return true;
	return false;
}

static int write_own(const char *name, const char *text)
{
	char path[40];
	snprintf(path, sizeof path, "/proc/self/%s", name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = fd < 0 ? neg_errno() : file_write_full(fd, text, strlen(text));
	return r < 0 ? fail(USERNS, r, "write(%s)", path) : 0;
}

/* user_namespaces(7): who has no right outside may map himself alone, and gives up setgroups(2) for it. */
static int map_ids(const struct nursery *n)
{
	char uid[40], gid[40];
	if (!n->config->userns)
		return 0;
	snprintf(uid, sizeof uid, "%u %u 1", n->uid, n->uid);
	snprintf(gid, sizeof gid, "%u %u 1", n->gid, n->gid);
	int r = write_own("setgroups", "deny");
	if (r == 0)
		r = write_own("gid_map", gid);
	return r == 0 ? write_own("uid_map", uid) : r;
}

/* A tree with terminals of its own gets a /dev/pts where all numbers are free; a terminal that is handed over is another's. */
static int own_mounts(const struct nursery *n)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail(PIDNS, neg_errno(), "mount(MS_SLAVE)");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return fail(PIDNS, neg_errno(), "mount(/proc)");
	if (n->own_terminals && mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
				      n->config->userns ? "ptmxmode=0666,mode=620" : "ptmxmode=0666,mode=620,gid=5") < 0)
		return fail(PIDNS, neg_errno(), "mount(/dev/pts)");
	return 0;
}

/* Ids that nobody chooses come after the restorer's, and not where the tree's will be. */
static void move_ids(u32 last)
{
	char text[16];
	int len = snprintf(text, sizeof text, "%u", last);
	_cleanup_close_ int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return; /* then they only may meet */
}

static int spawn_restorer(struct nursery *n)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (u64)(uintptr_t)&n->restorer, .set_tid_size = 1 };
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0) {
		set_mask(n->mask);
		_exit(n->run(n->arg, n->theirs) < 0);
	}
	return pid < 0 ? fail(SET_TID, neg_errno(), "clone3(set_tid %u), who restores", n->restorer) : 0;
}

static void become_reaper(struct nursery *n)
{
	char root[16], restorer[16];
	snprintf(root, sizeof root, "%u", n->root);
	snprintf(restorer, sizeof restorer, "%u", n->restorer);
	char *const argv[] = { "ckpt-reaper", root, restorer, n->config->detach ? "0" : "1", NULL };
	if (chdir("/") < 0 || dup2(n->theirs, 0) < 0)
		fail(SYSCALL, neg_errno(), "dup2");
	syscall(SYS_execveat, n->reaper, "", argv, (char *[]){ NULL }, AT_EMPTY_PATH);
	fail(ARENA, neg_errno(), "execveat of the program of process 1");
}

/* It dies with ckpt, and all in the namespace with it, until the reaper knows that the tree was let go. */
static void be_first(struct nursery *n)
{
	struct pollfd life = { .fd = n->theirs };
	closep(&n->ours);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&life, 1, 0) != 0) /* ckpt is dead already */
		_exit(1);
	if (n->config->detach)
		setsid();
	int r = map_ids(n);
	if (r == 0)
		r = own_mounts(n);
	if (r == 0) {
		move_ids(n->restorer);
		r = spawn_restorer(n);
	}
	if (r == 0)
		become_reaper(n);
	_exit(1);
}

/* --- ckpt --- */

static int spawn_first(struct nursery *n, struct restored *ret)
{
	u64 user = n->config->userns ? CLONE_NEWUSER : 0;
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD | user,
				   .exit_signal = SIGCHLD,
				   .pidfd = (u64)(uintptr_t)&ret->reaper_fd };
	n->mask = set_mask(~0ull);
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		be_first(n);
	int err = neg_errno();
	set_mask(n->mask);
	closep(&n->theirs);
	if (pid < 0) {
		ret->reaper_fd = -1;
		if (user)
			return fail(USERNS, err, "clone3(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS)");
		return fail(PIDNS, err, "clone3(CLONE_NEWPID | CLONE_NEWNS)");
	}
	ret->reaper = (pid_t)pid;
	return 0;
}

/* One packet; *ret_sender: the process that it is about, as ckpt sees it. -ECONNRESET: there is nobody any more. */
static int receive(int channel, struct reaper_packet *ret, pid_t *ret_sender)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { ret, sizeof *ret };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(channel, &header, 0);
	while (n < 0 && errno == EINTR);
	const struct cmsghdr *c = n == sizeof *ret ? CMSG_FIRSTHDR(&header) : NULL;
	struct ucred who;
	if (!c || c->cmsg_type != SCM_CREDENTIALS)
		return -ECONNRESET;
	memcpy(&who, CMSG_DATA(c), sizeof who);
	*ret_sender = who.pid;
	return 0;
}

int pidns_ready(int channel, pid_t root)
{
	struct reaper_packet packet = { .news = NEWS_READY };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))] = { 0 };
	struct iovec iov = { &packet, sizeof packet };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	struct ucred who = { .pid = root, .uid = getuid(), .gid = getgid() };
	*c = (struct cmsghdr){ CMSG_LEN(sizeof who), SOL_SOCKET, SCM_CREDENTIALS };
	memcpy(CMSG_DATA(c), &who, sizeof who);
	return sendmsg(channel, &header, MSG_NOSIGNAL) < 0 ? fail(SYSCALL, neg_errno(), "sendmsg(SCM_CREDENTIALS)") : 0;
}

/* Until the tree was let go: what had been made dies with the namespace when it was not. */
static int await_release(struct nursery *n, struct restored *ret)
{
	struct reaper_packet packet;
	pid_t sender;
	for (;;) {
		int r = receive(n->ours, &packet, &sender);
		if (r < 0) {
			int status = 0;
			waitpid(ret->reaper, &status, __WALL);
			closep(&ret->reaper_fd);
			return diag_failed() ? -EINVAL : fail(PIDNS_ENDED, 0, "process 1 has the wait status 0x%x", status);
		}
		if (packet.news == NEWS_READY)
			ret->root = sender;
		if (packet.news == NEWS_RELEASED)
			return 0;
	}
}

int pidns_restore(const struct restore_config *config, const struct graph *graph, int (*run)(void *arg, int channel), void *arg,
		  struct restored *ret)
{
	const Ckpt__Host *host = graph_data(graph, &kind_host, 1);
	_cleanup_(nursery_free) struct nursery n = { .config = config,
						     .ours = -1,
						     .theirs = -1,
						     .reaper = -1,
						     .run = run,
						     .arg = arg,
						     .uid = geteuid(),
						     .gid = getegid() };
	if (!host || !graph_find(graph, &kind_thread, shape_first(graph, host->root_pid)))
		return fail(IMAGE_INCONSISTENT, 0, "it has no root");
	if (shape_wants(graph, 1))
		return fail(PID_ONE, 0, "the image holds a process 1");
	n.root = host->root_pid;
	n.restorer = choose_restorer(graph);
	n.own_terminals = ret->terminal.fd < 0 && has_terminals(graph);
	int r = make_reaper(&n);
	if (r == 0)
		r = make_channel(&n);
	if (r == 0)
		r = spawn_first(&n, ret);
	if (r == 0)
		r = await_release(&n, ret);
	if (r == 0)
		ret->channel = take_fd(&n.ours);
	return r;
}

int pidns_ended(struct restored *p, int *ret_status)
{
	struct reaper_packet packet = { 0 };
	pid_t sender;
	int r = receive(p->channel, &packet, &sender);
	if (r == 0 && packet.news != NEWS_ENDED)
		return -EAGAIN;
	*ret_status = packet.status;
	if (r < 0 && waitpid(p->reaper, ret_status, __WALL) < 0) /* the reaper was killed, and all with it */
		return fail(SYSCALL, neg_errno(), "waitpid(%d)", (int)p->reaper);
	return 0;
}

/* --- what lies outside --- */

static bool seen_before(const struct graph *g, const struct object *end, bool session, u32 id)
{
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o)) && o != end;) {
		const Ckpt__Task *t = o->data;
		if (session ? !t->sid && t->session_outside == id : !t->pgid && t->group_outside == id)
			return true;
	}
	return false;
}

void pidns_note_outside(const struct restore_config *config, const struct graph *g)
{
	u32 now = config->detach ? 1 : 0; /* that of process 1 which is its own; or of ckpt, which is not seen */
	for (struct object *o = NULL; (o = graph_next(g, &kind_task, o));) {
		const Ckpt__Task *t = o->data;
		WORKING_ON_TASK(t->pid);
		if (!t->ppid && t->parent_outside != 1)
			note(PIDNS_OUTSIDE, "its parent is process 1, was %u", t->parent_outside);
		if (!t->sid && t->session_outside != now && !seen_before(g, o, true, t->session_outside))
			note(PIDNS_OUTSIDE, "its session is %u, was %u", now, t->session_outside);
		if (!t->pgid && t->group_outside != now && !seen_before(g, o, false, t->group_outside))
			note(PIDNS_OUTSIDE, "its process group is %u, was %u", now, t->group_outside);
	}
}
