// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns locks on files: POSIX locks, which belong to a process, those of open files (flock(2), F_OFD_SETLK), and leases
 * (F_SETLEASE) that nobody wants broken. Who waits for
 * one waits again after a restore, by the call itself. */
#include "base/file.h"
#include "base/map.h"
#include "collect/collect.h"
#include "collect/proc_text.h"
#include "locks.pb-c.h"
#include "resource/file_scope.h"
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const struct kind kind_locks = { .name = "locks", .desc = &ckpt__locks__descriptor };

/* --- collect --- */

/* Is the lock on this file, as far as numbers tell? Some file systems (btrfs, overlay) have other devices for stat(2) than for
 * the list of locks; all of them have none of their own. */
static bool may_be_of(const struct lock_line *l, const Ckpt__File *f)
{
	u32 first = major(f->device), second = minor(f->device);
	if (l->major == 0 && first == 0 && l->minor != second)
		return true;
	return l->inode == f->inode && l->major == first && l->minor == second;
}

/* What the list of all locks says about one process. */
struct view {
	const struct graph *graph;
	const struct lock_line *line;
	size_t n;
	bool known; /* else any file may have locks */
	bool all;   /* no lock is missing in it */
	bool posix; /* the process may have some in the table */
	u32 pid;
	u32 table; /* pid, or a thread of it that has another */
};

/* Processes that share a descriptor table share their locks; each is listed with the one that took it. Of a process whose threads
 * have several tables fdinfo tells which has it. */
static bool is_posix_of(const struct view *v, const struct lock_line *l)
{
	const Ckpt__Task *task = l->pid > 0 ? graph_data(v->graph, &kind_task, (u32)l->pid) : NULL;
	return task && (task->fds == v->pid || v->table != v->pid) && !strcmp(l->kind, "POSIX");
}

static struct view look(struct collector *c, u32 pid, u32 table)
{
	struct view v = { .graph = collector_graph(c), .pid = pid, .table = table };
	v.known = collector_locks(c, &v.line, &v.n, &v.all);
	for (size_t i = 0; !v.posix && i < v.n; i++)
		v.posix = is_posix_of(&v, &v.line[i]);
	return v;
}

static bool is_listed(const struct view *v, const Ckpt__File *f, bool posix)
{
	for (size_t i = 0; i < v->n; i++) {
		bool wanted = posix ? is_posix_of(v, &v->line[i]) : strcmp(v->line[i].kind, "POSIX") != 0;
		if (wanted && may_be_of(&v->line[i], f))
			return true;
	}
	return false;
}

/* Nearly all locks are on such files: only for them is the list read. */
static bool is_worth_a_look(u32 mode) { return S_ISREG(mode) || S_ISDIR(mode); }

/* May the open file have a lock of its own? Where the list is not whole, only the file itself can tell, when that has not been
 * seen already. */
static bool may_be_locked(const struct view *v, const Ckpt__File *f, const struct file_seen *seen)
{
	bool may = !v->known || (!v->all && is_worth_a_look(seen->mode)) || is_listed(v, f, false);
	return seen->locks != LOCKS_NONE && may;
}

/* May the process have a lock by it? What another table has shown of the file are the locks of others. */
static bool may_have_posix(const struct view *v, const Ckpt__File *f, const struct file_seen *seen)
{
	if (v->known)
		return v->posix && is_listed(v, f, true);
	return seen->locks != LOCKS_NONE || (seen->table != v->table && is_worth_a_look(seen->mode));
}

/* What is known of an open file as a descriptor table has it; file 0: of the table. */
static u64 place_key(u32 table, u32 file) { return map_mix(map_mix((uintptr_t)&kind_locks, table), file); }

static const char *kind_name(const struct lock_line *l)
{
	if (strcmp(l->manner, "ADVISORY"))
		return !strcmp(l->kind, "LEASE") && !strcmp(l->manner, "ACTIVE") ? "lease" : l->manner;
	return !strcmp(l->kind, "POSIX")    ? "posix"
	       : !strcmp(l->kind, "OFDLCK") ? "ofd"
	       : !strcmp(l->kind, "FLOCK")  ? "flock"
					    : l->kind;
}

/* Of which descriptor table a lock is, in words of the message; 0: of the process's. */
static u32 lock_table(const struct view *v) { return v->table == v->pid ? 0 : v->table; }

static int add_lock(Ckpt__Locks *m, u32 table, u32 file, const struct lock_line *l)
{
	Ckpt__Lock *lock = MESSAGE_NEW(Ckpt__Lock, ckpt__lock);
	if (!lock || !MESSAGE_APPEND(&m->n_lock, &m->lock, lock)) {
		free(lock);
		return fail_memory();
	}
	SET(lock, file, file);
	if (table)
		SET(lock, table, table);
	SET(lock, start, l->start);
	SET(lock, length, l->length);
	const char *mode = !strcmp(l->mode, "WRITE") ? "write" : !strcmp(l->mode, "READ") ? "read" : l->mode;
	return message_set_string(&lock->kind, kind_name(l)) && message_set_string(&lock->mode, mode) ? 0 : fail_memory();
}

/* Adds what fdinfo tells of a descriptor; own: the locks of the open file itself; posix: those of the process. */
static int add_locks(Ckpt__Locks *m, u32 table, u32 file, const char *fdinfo, bool own, bool posix)
{
	struct lock_line l;
	int r = 0;
	for (const char *at = status_field(fdinfo, "lock"); r == 0 && at; at = status_field(strchr(at, '\n') ?: "", "lock")) {
		if (!lock_parse(at, &l))
			return fail(FD_FDINFO, 0, "lock:%.80s", at);
		bool of_process = !strcmp(l.kind, "POSIX");
		if (of_process ? posix : own)
			r = add_lock(m, of_process ? table : 0, file, &l);
	}
	return r;
}

/* v: the table that has the descriptor; NULL: ckpt's own. */
static int read_locks(struct collector *c, Ckpt__Locks *m, const struct view *v, u32 fd, u32 file, bool own)
{
	_cleanup_text_ struct text fdinfo = { 0 };
	int r = v ? file_readf(&fdinfo, collector_proc(c, v->table), "fdinfo/%u", fd)
		  : file_readf(&fdinfo, AT_FDCWD, "/proc/self/fdinfo/%u", fd);
	if (r < 0 || !fdinfo.data)
		return fail(PROC_READ, r, "fdinfo of descriptor %u", fd);
	if (!v)
		return add_locks(m, 0, file, fdinfo.data, own, true);
	/* POSIX locks are shown at each descriptor of the open file that they were taken by */
	u64 shown = place_key(v->table, file);
	r = add_locks(m, lock_table(v), file, fdinfo.data, own, !collector_recall(c, shown));
	return r == 0 && collector_remember(c, shown, 1) < 0 ? fail_memory() : r;
}

/* Open files that no process has: they are on their way through sockets. Their locks are kept with the root's. */
static int collect_in_flight(struct collector *c, u32 pid, Ckpt__Locks *m)
{
	struct file_seen seen;
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(collector_graph(c), &kind_file, o));) {
		if (!collector_first_seen(c, o->id, &seen) || seen.table || !is_worth_a_look(seen.mode))
			continue;
		struct view v = look(c, pid, pid);
		if (may_be_locked(&v, o->data, &seen))
			r = read_locks(c, m, NULL, seen.fd, o->id, true);
	}
	return r;
}

static int collect_fd(struct collector *c, const struct view *v, const struct fd_entry *e, Ckpt__Locks *m)
{
	struct file_seen seen;
	const Ckpt__File *f = graph_data(collector_graph(c), &kind_file, e->file);
	if (!f || !collector_first_seen(c, e->file, &seen))
		return 0;
	bool own = seen.table == v->table && seen.fd == e->fd && may_be_locked(v, f, &seen);
	return own || may_have_posix(v, f, &seen) ? read_locks(c, m, v, e->fd, e->file, own) : 0;
}

static int collect_table(struct collector *c, u32 pid, u32 table, Ckpt__Locks *m)
{
	const struct object *fds = graph_find(collector_graph(c), &kind_fds, table); /* none when it has that of another */
	const struct fd_entry *e = fds ? fds->data : NULL;
	struct file_seen seen;
	bool worth = false;
	int r = 0;
	for (u32 i = 0; !worth && fds && i < fds->count; i++)
		worth = collector_first_seen(c, e[i].file, &seen) && is_worth_a_look(seen.mode);
	struct view v = worth ? look(c, pid, table) : (struct view){ 0 };
	for (u32 i = 0; r == 0 && worth && i < fds->count; i++)
		r = collect_fd(c, &v, &e[i], m);
	return r;
}

static int locks_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	const struct graph *g = collector_graph(c);
	const Ckpt__Task *task = graph_data(g, &kind_task, o->id);
	u32 pid = subject->task->tgid;
	int r = collect_table(c, pid, pid, o->data);
	for (size_t i = 0; r == 0 && task && i < task->n_tid; i++) {
		const Ckpt__Thread *thread = graph_data(g, &kind_thread, task->tid[i]);
		if (thread && thread->fds == thread->tid)
			r = collect_table(c, pid, thread->tid, o->data);
	}
	return r == 0 && task && !task->ppid ? collect_in_flight(c, o->id, o->data) : r;
}

/* --- judge --- */

static bool is_posix(const Ckpt__Lock *l) { return !strcmp(l->kind, "posix"); }
static bool is_flock(const Ckpt__Lock *l) { return !strcmp(l->kind, "flock"); }
static bool is_lease(const Ckpt__Lock *l) { return !strcmp(l->kind, "lease"); }

static struct flock range_of(const Ckpt__Lock *l)
{
	return (struct flock){ .l_type = !strcmp(l->mode, "write") ? F_WRLCK : F_RDLCK,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)l->start,
			       .l_len = (off_t)l->length };
}

static int flock_of(const Ckpt__Lock *l) { return !strcmp(l->mode, "write") ? LOCK_EX : LOCK_SH; }

/* Notes the first descriptor of each open file that a table has. */
static void note_table(const struct graph *graph, const struct object *fds)
{
	int r = graph_remember(graph, place_key(fds->id, 0), 1);
	for (u32 i = 0; r == 0 && i < fds->count; i++) {
		const struct fd_entry *e = (const struct fd_entry *)fds->data + i;
		u64 key = place_key(fds->id, e->file);
		if (!graph_recall(graph, key))
			r = graph_remember(graph, key, e->fd + 1);
	}
}

/* The descriptor by which the process, or its thread that has the lock, has the file; -1: none. */
static int descriptor_of(const struct graph *graph, u32 pid, const Ckpt__Lock *l)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	const Ckpt__Thread *thread = l->table ? graph_data(graph, &kind_thread, l->table) : NULL;
	bool is_own = thread && thread->pid == pid && thread->fds == l->table;
	const struct object *fds = l->table && !is_own ? NULL
				   : task              ? graph_find(graph, &kind_fds, l->table ?: task->fds)
						       : NULL;
	if (!fds)
		return -1;
	if (!graph_recall(graph, place_key(fds->id, 0)))
		note_table(graph, fds);
	return (int)graph_recall(graph, place_key(fds->id, l->file)) - 1;
}

static int judge_kind(const struct graph *graph, u32 pid, const Ckpt__Lock *l, enum direction direction)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, l->file);
	if (!f || !l->kind || !l->mode)
		return fail(IMAGE_INCONSISTENT, 0, "a lock on file %u", l->file);
	bool known = is_posix(l) || is_flock(l) || is_lease(l) || !strcmp(l->kind, "ofd");
	if (!known && direction == DIRECTION_DUMP)
		return fail(FILE_LEASED, 0, "%s (%s %s)", f->link, l->kind, l->mode);
	if (!known || (strcmp(l->mode, "write") && strcmp(l->mode, "read")))
		return fail(IMAGE_VALUE, 0, "a %s %s lock on %s", l->mode, l->kind, f->link);
	if (is_posix(l) && descriptor_of(graph, pid, l) < 0)
		return fail(IMAGE_INCONSISTENT, 0, "a lock of process %u on %s, which it has not open", pid, f->link);
	return 0;
}

/* Who has a lock on the file, for people. */
static void name_holder(int fd, char *name, size_t room)
{
	_cleanup_text_ struct text locks = { 0 }, comm = { 0 };
	struct stat st;
	struct lock_line l;
	snprintf(name, room, "somebody");
	if (fstat(fd, &st) < 0 || file_read(AT_FDCWD, "/proc/locks", &locks) < 0)
		return;
	for (const char *at = locks.data; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		if (!lock_parse(at, &l) || l.inode != st.st_ino || l.major != major(st.st_dev) || l.minor != minor(st.st_dev) ||
		    l.pid <= 0)
			continue;
		file_readf(&comm, AT_FDCWD, "/proc/%lld/comm", (long long)l.pid);
		snprintf(name, room, "process %lld (%.*s)", (long long)l.pid, (int)strcspn(comm.data ?: "", "\n"),
			 comm.data ?: "");
		return;
	}
}

/* Could the lock be taken now? flock(2) only tells by taking it: it is given back at once. */
static bool is_free(int fd, const Ckpt__Lock *l)
{
	if (is_flock(l))
		return flock(fd, flock_of(l) | LOCK_NB) == 0 || errno != EWOULDBLOCK;
	struct flock range = range_of(l);
	return fcntl(fd, F_OFD_GETLK, &range) < 0 || range.l_type == F_UNLCK;
}

/* Nobody else can have a file that is made again. */
static int judge_free(const struct graph *graph, const Ckpt__Lock *l)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, l->file);
	char holder[64];
	struct stat st;
	if (is_lease(l)) /* to open the file would break somebody else's */
		return 0;
	if (!f->kind || strcmp(f->kind, "reg") || !f->link || f->link[0] != '/')
		return 0;
	if (lstat(f->link, &st) < 0 || !is_worth_a_look(st.st_mode)) /* to open a device may do something */
		return 0;
	_cleanup_close_ int fd = open(f->link, (int)(f->flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || is_free(fd, l))
		return 0;
	name_holder(fd, holder, sizeof holder);
	return fail(FILE_LOCKED, 0, "%s (%s %s), by %s", f->link, l->kind, l->mode, holder);
}

static int locks_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Locks *m = o->data;
	int r = 0;
	for (size_t i = 0; i < m->n_lock; i++) {
		int one = judge_kind(graph, o->id, m->lock[i], direction);
		if (one == 0 && direction == DIRECTION_RESTORE)
			one = judge_free(graph, m->lock[i]);
		r = one < 0 ? one : r;
	}
	return r;
}

/* --- plan --- */

/* What the world has made a process has at its service descriptor too, be it a descriptor of a thread of its own. */
static struct arg locked_by(struct plan *plan, const struct graph *graph, u32 pid, const Ckpt__Lock *l)
{
	const struct plan_home *home = plan_home(plan, l->file);
	return ARG(home && home->maker ? descriptor_of(graph, pid, l) : plan_fd(plan, l->file));
}

/* Every call says at once when somebody was faster. Processes take their locks themselves, so that they are named as those who
 * have them. A POSIX lock goes with any descriptor of the file that its process closes: it is taken when none will be closed
 * any more. */
static void plan_lock(struct plan *plan, const struct graph *graph, u32 pid, const Ckpt__Lock *l)
{
	struct place with_service = AT(pid, STAGE_TIMERS);
	struct flock range = range_of(l);
	struct arg fd = locked_by(plan, graph, pid, l);
	if (is_flock(l)) {
		plan_call(plan, with_service, SYS_flock, fd, ARG(flock_of(l) | LOCK_NB));
		return;
	}
	if (is_lease(l)) { /* somebody else's file needs CAP_LEASE: while the task has the rights of ckpt */
		plan_call(plan, AT(pid, STAGE_TASK), SYS_fcntl, fd, ARG(F_SETLEASE), ARG(range.l_type));
		return;
	}
	struct arg data = ARG_OF_DATA(plan_data(plan, &range, sizeof range, 8));
	if (is_posix(l))
		plan_call(plan, AT(l->table ?: pid, STAGE_LOCKS), SYS_fcntl, ARG(descriptor_of(graph, pid, l)), ARG(F_SETLK),
			  data);
	else
		plan_call(plan, with_service, SYS_fcntl, fd, ARG(F_OFD_SETLK), data);
}

static int locks_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Locks *m = o->data;
	for (size_t i = 0; i < m->n_lock; i++)
		plan_lock(plan, graph, o->id, m->lock[i]);
	return 0;
}

const struct resource resource_locks = {
	.name = "locks",
	.scope = SCOPE_TASK,
	.kind = &kind_locks,
	.collect = locks_collect,
	.judge = locks_judge,
	.plan = locks_plan,
};
