// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns inotify(7): what is watched, under the same watch descriptors. */
#include "inotify.pb-c.h"
#include "resource/watched.h"
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, s32)
#endif
#define WATCH_MASK ((u32)(IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT))
/* Where the kernel only counts watch descriptors up, that many watches (about 2 us each) are made and removed at most. */
#define WD_ROUNDS 5000000u

static const struct kind kind_inotify = { .name = "inotify", .desc = &ckpt__inotify__descriptor };

static bool inotify_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:inotify");
}

/* --- collect --- */

/* "inotify wd:1 ino:a764 sdev:fe00000 mask:fff ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:0f64a7004ace4b80": from
 * "wd:" on; without a handle where the file system has none. */
static bool parse(const char *line, Ckpt__InotifyWatch *w, struct inode_name *n)
{
	unsigned wd, device, mask;
	unsigned long long inode;
	int end = 0;
	*n = (struct inode_name){ 0 };
	if (sscanf(line, "wd:%x ino:%llx sdev:%x mask:%x ignored_mask:%*x%n", &wd, &inode, &device, &mask, &end) != 4 || !end)
		return false;
	*n = (struct inode_name){ .major = device >> 20, .minor = device & 0xfffffu, .inode = inode };
	SET(w, wd, (s32)wd);
	SET(w, mask, mask & WATCH_MASK);
	SET(w, inode, inode);
	SET(w, device, (u32)makedev(n->major, n->minor));
	parse_handle(line + end, n);
	return true;
}

static int add_watch(Ckpt__Inotify *m, const char *line, struct inode_name *n)
{
	Ckpt__InotifyWatch *w = MESSAGE_NEW(Ckpt__InotifyWatch, ckpt__inotify_watch);
	if (!w || !MESSAGE_APPEND(&m->n_watch, &m->watch, w)) {
		free(w);
		return fail_memory();
	}
	return parse(line, w, n) ? 0 : fail(FD_FDINFO, 0, "inotify %.80s", line);
}

static int name_targets(struct collector *c, Ckpt__Inotify *m, struct targets *t)
{
	bool may_list = true;
	for (size_t i = 0; i < m->n_watch; i++)
		may_list &= !(m->watch[i]->mask & (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE));
	int r = collector_find_inodes(c, t->list.v, t->list.n, may_list);
	for (size_t i = 0; r == 0 && i < m->n_watch; i++) {
		const struct inode_name *n = &t->list.v[i];
		Ckpt__InotifyWatch *w = m->watch[i];
		SET(w, directory, S_ISDIR(n->mode));
		if (!(n->path ? message_set_string(&w->path, n->path) : message_set_string(&w->lost, lost_by(c, n))))
			r = fail_memory();
	}
	return r;
}

static int by_wd(const void *a, const void *b)
{
	const Ckpt__InotifyWatch *x = *(Ckpt__InotifyWatch *const *)a, *y = *(Ckpt__InotifyWatch *const *)b;
	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

/* Its lines begin with "inotify wd:" and have no colon behind the first word. */
static int inotify_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	(void)subject;
	Ckpt__Inotify *m = o->data;
	int fd = collector_fd(c), unread = 0;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "anon_inode:inotify");
	if (ioctl(fd, FIONREAD, &unread) < 0)
		return fail(SYSCALL, neg_errno(), "ioctl(FIONREAD)");
	SET(m, unread, (u32)unread);
	if (unread && collector_policy(c, POLICY_INOTIFY_EVENTS) == POLICY_DROP)
		SET(m, dropped, true);
	_cleanup_(targets_free) struct targets targets = { 0 };
	int r = 0;
	for (const char *line = collector_fdinfo(c, "pos"); r == 0 && line && (line = strstr(line, "\ninotify wd:"));) {
		struct inode_name *n = vector_add(&targets.list);
		line += sizeof "\ninotify";
		r = n ? add_watch(m, line, n) : fail_memory();
	}
	if (r == 0 && m->n_watch)
		r = name_targets(c, m, &targets);
	if (m->n_watch)
		qsort(m->watch, m->n_watch, sizeof *m->watch, by_wd);
	return r;
}

/* What no name leads to, a file does that the tree has open. */
static int inotify_settle(struct collector *c, struct object *o)
{
	const Ckpt__Inotify *m = o->data;
	for (size_t i = 0; i < m->n_watch; i++) {
		Ckpt__InotifyWatch *w = m->watch[i];
		for (const struct object *f = NULL;
		     !w->path && !w->file && (f = graph_next(collector_graph(c), &kind_file, f));) {
			const Ckpt__File *file = f->data;
			if (file->inode == w->inode && file->device == w->device)
				SET(w, file, f->id);
		}
	}
	return 0;
}

/* --- judge --- */

static int judge_dump(const Ckpt__Inotify *m)
{
	int r = m->unread && !m->dropped ? fail(INOTIFY_UNREAD, 0, "%u bytes", m->unread) : 0;
	if (m->unread && m->dropped)
		warn(INOTIFY_DROPPED, 0, "%u bytes, of up to %zu events", m->unread, m->unread / sizeof(struct inotify_event));
	for (size_t i = 0; i < m->n_watch; i++)
		if (!m->watch[i]->path && !m->watch[i]->file)
			r = fail(INOTIFY_TARGET, 0, "watch %d of inode %llu on device %u:%u: %s", m->watch[i]->wd,
				 (unsigned long long)m->watch[i]->inode, major(m->watch[i]->device), minor(m->watch[i]->device),
				 m->watch[i]->lost ?: "no path");
	return r;
}

static int judge_restore(const struct graph *graph, const Ckpt__InotifyWatch *w, s32 above)
{
	if (w->wd <= above || w->mask & ~WATCH_MASK || (w->path && w->path[0] != '/'))
		return fail(IMAGE_VALUE, 0, "watch %d", w->wd);
	if (!w->path && !graph_find(graph, &kind_file, w->file))
		return fail(IMAGE_INCONSISTENT, 0, "watch %d of file %u, which is not there", w->wd, w->file);
	return w->path ? judge_watched(w->path, w->directory) : 0;
}

static int inotify_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Inotify *m = o->data;
	int r = 0;
	if (direction == DIRECTION_DUMP)
		return judge_dump(m);
	for (size_t i = 0; i < m->n_watch; i++)
		if (judge_restore(graph, m->watch[i], i ? m->watch[i - 1]->wd : 0) < 0)
			r = -EINVAL;
	return r;
}

/* --- plan --- */

#define NOTIFY AT(PLAN_WORLD, STAGE_NOTIFY)

/* Watches are made and removed until the number before the wanted one was met; each leaves an event, which is read. */
static void count_up(struct plan *plan, struct arg fd, struct arg path, u32 follow, s32 wanted)
{
	struct plan_step *add = plan_call(plan, NOTIFY, SYS_inotify_add_watch, fd, path, ARG(IN_DELETE_SELF | follow));
	struct arg got = ARG_OF_SLOT(step_result(plan, add));
	plan_call(plan, NOTIFY, SYS_inotify_rm_watch, fd, got);
	plan_call(plan, NOTIFY, SYS_read, fd, ARG_OF_DATA(plan_data(plan, NULL, 4096, 8)), ARG(4096));
	plan_op(plan, NOTIFY, OP_BRANCH, 0, (struct arg[6]){ got, ARG(wanted - 1), ARG(3), ARG(WD_ROUNDS) });
}

/* The path is that of what is watched: a last symbolic link is not followed, but for that of an open file. */
static void plan_watch(struct plan *plan, u32 file, const Ckpt__InotifyWatch *w, bool is_next)
{
	const struct caps *caps = plan_config(plan)->caps;
	char open_file[32];
	snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", plan_fd(plan, w->file));
	struct arg fd = ARG(plan_fd(plan, file)), path = arg_string(plan, w->path ?: open_file);
	u32 follow = w->path ? IN_DONT_FOLLOW : 0;
	if (!is_next && caps && caps_has(caps, CAN_INOTIFY_NEXT_WD))
		plan_call(plan, NOTIFY, SYS_ioctl, fd, ARG(INOTIFY_IOC_SETNEXTWD), ARG(w->wd));
	else if (!is_next)
		count_up(plan, fd, path, follow, w->wd);
	step_expect(plan_call(plan, NOTIFY, SYS_inotify_add_watch, fd, path, ARG(w->mask | follow)), w->wd);
}

static int inotify_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Inotify *m = o->data;
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	u32 flags = file_flags(graph, o->id), made = IN_CLOEXEC | (flags & O_NONBLOCK);
	plan_place_fd(plan, step_result(plan, plan_call(plan, at, SYS_inotify_init1, ARG(made))), o->id);
	plan_status_flags(plan, at, o->id, flags, made);
	for (size_t i = 0; i < m->n_watch; i++)
		plan_watch(plan, o->id, m->watch[i], m->watch[i]->wd == (i ? m->watch[i - 1]->wd : 0) + 1);
	return 0;
}

const struct resource resource_inotify = {
	.name = "inotify",
	.scope = SCOPE_FILE,
	.kind = &kind_inotify,
	.claims = inotify_claims,
	.collect = inotify_collect,
	.settle = inotify_settle,
	.judge = inotify_judge,
	.plan = inotify_plan,
};
