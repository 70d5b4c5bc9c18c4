// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns POSIX message queues. Those with a name are opened again, with what is in them, or made anew when they were empty; those
 * without one have it for a moment. */
#include "collect/collect.h"
#include "mqueue.pb-c.h"
#include "resource/nameless.h"
#include <limits.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>

#define KEPT_FLAGS ((u32)(O_ACCMODE | O_NONBLOCK))

static const struct kind kind_mqueue = { .name = "mqueue", .desc = &ckpt__mqueue__descriptor };

static bool mqueue_claims(const struct record_file *file, const char *link) { return is_message_queue(file, link); }

/* --- collect --- */

static int queue_attributes(int fd, struct mq_attr *ret)
{
	return syscall(SYS_mq_getsetattr, fd, NULL, ret) < 0 ? neg_errno() : 0;
}

/* "QSIZE:0 NOTIFY:0 SIGNO:10 NOTIFY_PID:12": what a queue tells who reads it as a file. Another open file reads it, since this one
 * may be for writing only. The value that comes with the signal eBPF alone tells. */
static int collect_notify(struct collector *c, int fd, Ckpt__Mqueue *m)
{
	char path[32], text[160];
	unsigned by, signal, pid;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	_cleanup_close_ int own = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = own < 0 ? -1 : pread(own, text, sizeof text - 1, 0);
	if (n < 0 && errno != EACCES)
		return fail(PROC_READ, neg_errno(), "%s", path);
	text[MAX(n, 0)] = 0;
	const char *notify = strstr(text, "NOTIFY:");
	if (!notify || sscanf(notify, "NOTIFY:%u SIGNO:%u NOTIFY_PID:%u", &by, &signal, &pid) != 3 || !pid ||
	    !graph_find(collector_graph(c), &kind_task, pid))
		return 0;
	SET(m, notifies, pid);
	SET(m, notify_by, by);
	if (by != SIGEV_SIGNAL)
		return 0;
	SET(m, notify_signal, signal);
	const struct record_file *file = collector_kernel_file(c);
	if (file && file->notify_known)
		SET(m, notify_value, file->notify_value);
	return 0;
}

static int mqueue_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Mqueue *m = o->data;
	struct mq_attr attr = { 0 };
	struct stat st = { 0 };
	char path[4096];
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "a message queue");
	int r = queue_attributes(fd, &attr);
	if (r == 0 && fstat(fd, &st) < 0)
		r = neg_errno();
	if (r < 0)
		return fail(SYSCALL, r, "mq_getattr");
	bool deleted = !st.st_nlink && nameless_path(subject->link, path);
	if (!message_set_string(&m->name, deleted ? path : subject->link))
		return fail_memory();
	if (deleted)
		SET(m, deleted, true);
	SET(m, most, (u64)attr.mq_maxmsg);
	SET(m, message_size, (u64)attr.mq_msgsize);
	SET(m, messages, (u64)attr.mq_curmsgs);
	SET(m, mode, st.st_mode & 07777);
	SET(m, uid, st.st_uid);
	SET(m, gid, st.st_gid);
	return collect_notify(c, fd, m);
}

/* --- judge --- */

/* The descriptor by which the process that is told has the open file; -1: none. */
static int descriptor_of(const struct graph *graph, u32 pid, u32 file)
{
	const Ckpt__Task *task = graph_data(graph, &kind_task, pid);
	const struct object *fds = task ? graph_find(graph, &kind_fds, task->fds) : NULL;
	const struct fd_entry *e = fds ? fds->data : NULL;
	for (u32 i = 0; e && i < fds->count; i++)
		if (e[i].file == file)
			return (int)e[i].fd;
	return -1;
}

static bool is_same_queue(const struct graph *graph, const struct object *a, const struct object *b)
{
	const Ckpt__File *x = graph_data(graph, &kind_file, a->id), *y = graph_data(graph, &kind_file, b->id);
	const Ckpt__Mqueue *p = a->data, *q = b->data;
	return x && y && x->inode == y->inode && x->device == y->device && p->deleted == q->deleted &&
	       !strcmp(p->name, q->name);
}

/* The open file of the queue by which the process asks again; NULL: it has none. */
static const struct object *asks_by(const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	const struct object *other = NULL;
	while ((other = graph_next(graph, &kind_mqueue, other)))
		if (is_same_queue(graph, o, other) && descriptor_of(graph, m->notifies, other->id) >= 0)
			return other;
	return NULL;
}

static int judge_notify(const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	const char *why = m->notify_by == SIGEV_THREAD ? "by a thread"
			  : !asks_by(graph, o)         ? "which has not opened it for itself"
						       : NULL;
	if (!why && m->notify_by == SIGEV_SIGNAL && !m->has_notify_value)
		return fail(MQUEUE_VALUE, 0, "%s, to process %u", m->name, m->notifies);
	return why ? fail(MQUEUE_NOTIFY, 0, "%s, to process %u, %s", m->name, m->notifies, why) : 0;
}

static int judge_notify_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	bool by_signal = m->notify_by == SIGEV_SIGNAL && m->notify_signal - 1 < 64;
	return (by_signal || m->notify_by == SIGEV_NONE) && asks_by(graph, o)
		       ? 0
		       : fail(IMAGE_INCONSISTENT, 0, "process %u is told of messages of %s", m->notifies, m->name);
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	int r = m->notifies ? judge_notify(graph, o) : 0;
	if (m->deleted && m->messages)
		r = fail(MQUEUE_MESSAGES, 0, "%s has %llu", m->name, (unsigned long long)m->messages);
	return r;
}

/* Is what has the name the queue, or one that can be taken for it? */
static int judge_named(const struct graph *graph, const struct object *o, const Ckpt__Mqueue *m)
{
	const Ckpt__File *f = graph_data(graph, &kind_file, o->id);
	struct mq_attr attr = { 0 };
	struct stat st;
	_cleanup_close_ int fd = (int)syscall(SYS_mq_open, m->name + 1, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, NULL);
	int err = fd < 0 ? neg_errno() : 0;
	if (err == -ENOENT)
		return m->messages ? fail(MQUEUE_GONE, 0, "%s had %llu messages", m->name, (unsigned long long)m->messages) : 0;
	if (err == -EACCES) /* for writing only: the plan will tell */
		return 0;
	if (err == 0)
		err = queue_attributes(fd, &attr);
	if (err < 0 || fstat(fd, &st) < 0)
		return fail(SYSCALL, err < 0 ? err : neg_errno(), "mq_open(%s)", m->name);
	if ((u64)attr.mq_maxmsg != m->most || (u64)attr.mq_msgsize != m->message_size)
		return fail(MQUEUE_GONE, 0, "%s is for %ld messages of %ld bytes now", m->name, attr.mq_maxmsg,
			    attr.mq_msgsize);
	bool same = f && f->inode == st.st_ino && f->device == st.st_dev;
	return same || !m->messages ? 0 : fail(MQUEUE_GONE, 0, "%s is another one", m->name);
}

static int mqueue_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Mqueue *m = o->data;
	size_t len = m->name ? strlen(m->name) : 0;
	if (len < 2 || len + sizeof NAMELESS_SUFFIX > NAME_MAX || m->name[0] != '/' || strchr(m->name + 1, '/') ||
	    m->most - 1 >= INT_MAX || m->message_size - 1 >= INT_MAX)
		return fail(IMAGE_VALUE, 0, "a queue for %llu messages of %llu bytes", (unsigned long long)m->most,
			    (unsigned long long)m->message_size);
	if (direction == DIRECTION_DUMP)
		return judge_dump(graph, o);
	if (m->notifies && judge_notify_restore(graph, o) < 0)
		return -EINVAL;
	return m->deleted ? 0 : judge_named(graph, o, m);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

/* Opens the queue, or makes it: the umask of ckpt does not count. Its descriptor is closed by exec anyway; a queue that is opened
 * with O_CLOEXEC shows that for ever (ipc/mqueue.c). */
static void plan_open(struct plan *plan, const struct graph *graph, const struct object *o, struct arg name)
{
	const Ckpt__Mqueue *m = o->data;
	const struct mq_attr attr = { .mq_maxmsg = (long)m->most, .mq_msgsize = (long)m->message_size };
	u32 flags = (file_flags(graph, o->id) & KEPT_FLAGS) | O_CREAT;
	struct arg data = ARG_OF_DATA(plan_data(plan, &attr, sizeof attr, 8));
	struct arg umask = ARG_OF_SLOT(step_result(plan, plan_call(plan, CREATE, SYS_umask, ARG(0))));
	struct plan_step *open = plan_call(plan, CREATE, SYS_mq_open, name, ARG(flags), ARG(m->mode & 07777), data);
	u32 slot = step_result(plan, open);
	plan_call(plan, CREATE, SYS_umask, umask);
	plan_place_fd(plan, slot, o->id);
	plan_position(plan, graph, o->id); /* read(2) tells what the queue holds */
	/* of one that is there already it may not be allowed, nor needed: the comparison will tell */
	step_any(plan_call(plan, CREATE, SYS_fchown, ARG(plan_fd(plan, o->id)), ARG(m->uid), ARG(m->gid)));
}

/* The first of those that have opened a queue without a name makes it for all. Another restore may have the name at the same
 * moment: it is taken away before and behind. */
static void plan_deleted(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	char name[NAME_MAX + 1];
	const struct object *other = NULL;
	while ((other = graph_next(graph, &kind_mqueue, other)) && other != o)
		if (is_same_queue(graph, o, other))
			return;
	snprintf(name, sizeof name, "%s" NAMELESS_SUFFIX, m->name + 1);
	struct arg arg = arg_string(plan, name);
	step_any(plan_call(plan, CREATE, SYS_mq_unlink, arg));
	for (other = o; other; other = graph_next(graph, &kind_mqueue, other))
		if (is_same_queue(graph, o, other))
			plan_open(plan, graph, other, arg);
	step_any(plan_call(plan, CREATE, SYS_mq_unlink, arg));
}

/* To be told ends with any descriptor of the queue that the process closes: it asks when none will be closed any more. */
static void plan_notify(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	if (!m->notifies || asks_by(graph, o) != o || plan_array(plan, m->notifies) == UINT32_MAX)
		return;
	struct sigevent event = { .sigev_notify = (int)m->notify_by, .sigev_signo = (int)m->notify_signal };
	event.sigev_value.sival_ptr = (void *)(uintptr_t)m->notify_value;
	plan_call(plan, AT(m->notifies, STAGE_LOCKS), SYS_mq_notify, ARG(descriptor_of(graph, m->notifies, o->id)),
		  ARG_OF_DATA(plan_data(plan, &event, sizeof event, 8)));
}

static int mqueue_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Mqueue *m = o->data;
	if (m->deleted)
		plan_deleted(plan, graph, o);
	else
		plan_open(plan, graph, o, arg_string(plan, m->name + 1));
	plan_notify(plan, graph, o);
	return 0;
}

const struct resource resource_mqueue = {
	.name = "mqueue",
	.scope = SCOPE_FILE,
	.kind = &kind_mqueue,
	.claims = mqueue_claims,
	.collect = mqueue_collect,
	.judge = mqueue_judge,
	.plan = mqueue_plan,
};
