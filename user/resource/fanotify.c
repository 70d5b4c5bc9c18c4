// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns groups of fanotify(7) and their marks. What the group is asked about (permission events) is refused. */
#include "base/file.h"
#include "collect/proc_text.h"
#include "fanotify.pb-c.h"
#include "resource/watched.h"
#include <linux/capability.h>
#include <linux/fanotify.h>
#include <stdio.h>
#include <sys/ioctl.h>

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x1000
#endif
#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif
#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x100000
#endif
#define PERMISSION ((u64)(FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM | FAN_PRE_ACCESS))
#define MARK_FLAGS ((u32)(FAN_MARK_IGNORED_SURV_MODIFY | FAN_MARK_EVICTABLE | FAN_MARK_IGNORE))
/* What fanotify_init(2) grants to everybody (FANOTIFY_USER_INIT_FLAGS, Linux 5.13). */
#define EVERYBODYS ((u32)(FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DFID_NAME | FAN_REPORT_TARGET_FID))

static const struct kind kind_fanotify = { .name = "fanotify", .desc = &ckpt__fanotify__descriptor };

static bool fanotify_claims(const struct record_file *file, const char *link)
{
	(void)file;
	return !strcmp(link, "anon_inode:[fanotify]");
}

/* --- collect --- */

/* "fanotify ino:a7e0c9 sdev:fe00000 mflags:40 mask:8000300 ignored_mask:20 fhandle-bytes:8 ...", "fanotify sdev:fe00000 mflags:0 ...",
 * "fanotify mnt_id:16 mflags:0 ...": from behind the first word. False: a mark of another kind. */
static bool parse(const char *line, Ckpt__FanotifyMark *m, struct inode_name *n)
{
	unsigned device = 0, mount = 0, flags, mask, ignored;
	unsigned long long inode = 0;
	int end = 0, more = 0;
	*n = (struct inode_name){ 0 };
	if (sscanf(line, "ino:%llx sdev:%x%n", &inode, &device, &end) == 2)
		SET(m, type, FAN_MARK_INODE);
	else if (sscanf(line, "sdev:%x%n", &device, &end) == 1)
		SET(m, type, FAN_MARK_FILESYSTEM);
	else if (sscanf(line, "mnt_id:%x%n", &mount, &end) == 1)
		SET(m, type, FAN_MARK_MOUNT);
	if (!end || sscanf(line + end, " mflags:%x mask:%x ignored_mask:%x%n", &flags, &mask, &ignored, &more) != 3)
		return false;
	*n = (struct inode_name){ .major = device >> 20, .minor = device & 0xfffffu, .inode = inode };
	parse_handle(line + end + more, n);
	SET(m, flags, flags);
	SET(m, mask, mask);
	if (ignored)
		SET(m, ignored, ignored);
	if (inode)
		SET(m, inode, inode);
	if (device)
		SET(m, device, (u32)makedev(n->major, n->minor));
	if (mount)
		SET(m, mount, mount);
	return true;
}

static int add_mark(Ckpt__Fanotify *f, const char *line, struct inode_name *n)
{
	Ckpt__FanotifyMark *m = MESSAGE_NEW(Ckpt__FanotifyMark, ckpt__fanotify_mark);
	if (!m || !MESSAGE_APPEND(&f->n_mark, &f->mark, m)) {
		free(m);
		return fail_memory();
	}
	return parse(line, m, n) ? 0 : fail(FD_FDINFO, 0, "fanotify %.80s", line);
}

/* A mark of a mount or a file system is made by any path that leads there. */
static int name_mark(struct collector *c, Ckpt__FanotifyMark *m, const struct inode_name *n)
{
	_cleanup_free_ char *point = m->type ? collector_mount_point(c, m->mount, m->device) : NULL;
	const char *path = m->type ? point : n->path;
	SET(m, directory, m->type || S_ISDIR(n->mode));
	bool done = path ? message_set_string(&m->path, path)
			 : message_set_string(&m->lost, m->type ? "no path leads to its mount" : lost_by(c, n));
	return done ? 0 : fail_memory();
}

/* Directories are not read: that is an event to who marks them for it. */
static int name_marks(struct collector *c, Ckpt__Fanotify *f, struct targets *t)
{
	int r = t->list.n ? collector_find_inodes(c, t->list.v, t->list.n, false) : 0;
	for (size_t i = 0; r == 0 && i < f->n_mark; i++)
		r = name_mark(c, f->mark[i], &t->list.v[i]);
	return r;
}

static int by_path(const void *a, const void *b)
{
	const Ckpt__FanotifyMark *x = *(Ckpt__FanotifyMark *const *)a, *y = *(Ckpt__FanotifyMark *const *)b;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return strcmp(x->path ?: "", y->path ?: "");
}

static int collect_marks(struct collector *c, Ckpt__Fanotify *f)
{
	_cleanup_(targets_free) struct targets targets = { 0 };
	int r = 0;
	for (const char *line = collector_fdinfo(c, "pos"); r == 0 && line && (line = strstr(line, "\nfanotify "));) {
		line += sizeof "\nfanotify";
		if (sscanf(line, "flags:%x event-flags:%x", &f->flags, &f->event_flags) == 2) {
			f->has_flags = f->has_event_flags = true;
			continue;
		}
		struct inode_name *n = vector_add(&targets.list);
		r = n ? add_mark(f, line, n) : fail_memory();
	}
	if (r == 0)
		r = name_marks(c, f, &targets);
	if (f->n_mark)
		qsort(f->mark, f->n_mark, sizeof *f->mark, by_path);
	return r;
}

/* Has the process given CAP_SYS_ADMIN up, or never had it? */
static bool lacks_rights(struct collector *c, u32 pid)
{
	_cleanup_text_ struct text status = { 0 };
	int proc = pid ? collector_proc(c, pid) : -1;
	const char *effective =
		proc >= 0 && file_read_once(proc, "status", &status) >= 0 ? status_field(status.data, "CapEff") : NULL;
	return effective && !(strtoull(effective, NULL, 16) >> CAP_SYS_ADMIN & 1);
}

static int fanotify_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Fanotify *f = o->data;
	int fd = collector_fd(c), unread = 0;
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (ioctl(fd, FIONREAD, &unread) < 0)
		return fail(SYSCALL, neg_errno(), "ioctl(FIONREAD)");
	SET(f, unread, (u32)unread);
	if (unread && collector_policy(c, POLICY_INOTIFY_EVENTS) == POLICY_DROP)
		SET(f, dropped, true);
	if (lacks_rights(c, subject->file->tgid))
		SET(f, unprivileged, true);
	int r = collect_marks(c, f);
	return r < 0 || f->has_flags ? r : fail(FD_FDINFO, 0, "fanotify flags");
}

/* --- judge --- */

/* Only who has CAP_SYS_ADMIN gets a group like this. */
static bool is_privileged(const Ckpt__Fanotify *f)
{
	for (size_t i = 0; i < f->n_mark; i++)
		if (f->mark[i]->type)
			return true;
	return f->flags & ~EVERYBODYS;
}

static int judge_dump(const Ckpt__Fanotify *f)
{
	int r = f->unread && !f->dropped ? fail(INOTIFY_UNREAD, 0, "%u bytes of a fanotify group", f->unread) : 0;
	if (f->unread && f->dropped)
		warn(INOTIFY_DROPPED, 0, "%u bytes of a fanotify group", f->unread);
	if (f->unprivileged && !is_privileged(f))
		r = fail(FANOTIFY_RIGHTS, 0, "flags %#x", f->flags);
	for (size_t i = 0; i < f->n_mark; i++) {
		const Ckpt__FanotifyMark *m = f->mark[i];
		if ((m->mask | m->ignored) & PERMISSION)
			r = fail(FANOTIFY_PERMISSION, 0, "%s", m->path ?: "");
		if (!m->path)
			r = fail(INOTIFY_TARGET, 0, "a mark of inode %llu on device %u:%u, mount %u: %s",
				 (unsigned long long)m->inode, major(m->device), minor(m->device), m->mount,
				 m->lost ?: "no path");
	}
	return r;
}

static int judge_restore(const Ckpt__FanotifyMark *m)
{
	bool known = m->type == FAN_MARK_INODE || m->type == FAN_MARK_MOUNT || m->type == FAN_MARK_FILESYSTEM;
	if (!known || !m->path || m->path[0] != '/' || m->flags & ~MARK_FLAGS)
		return fail(IMAGE_VALUE, 0, "a mark with flags %#x", m->flags);
	return judge_watched(m->path, m->directory);
}

static int fanotify_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	const Ckpt__Fanotify *f = o->data;
	int r = 0;
	if (direction == DIRECTION_DUMP)
		return judge_dump(f);
	for (size_t i = 0; i < f->n_mark; i++)
		if (judge_restore(f->mark[i]) < 0)
			r = -EINVAL;
	return r;
}

/* --- plan --- */

static void add(struct plan *plan, u32 file, const Ckpt__FanotifyMark *m, u32 flags, u64 mask)
{
	if (mask)
		step_expect(plan_call(plan, AT(PLAN_WORLD, STAGE_NOTIFY), SYS_fanotify_mark, ARG(plan_fd(plan, file)),
				      ARG(FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW | m->type | flags), ARG(mask), ARG(AT_FDCWD),
				      arg_string(plan, m->path)),
			    0);
}

/* What is ignored is a second call, by one of two flags that exclude each other (FAN_MARK_IGNORE: Linux 6.0). */
static void plan_mark(struct plan *plan, u32 file, const Ckpt__FanotifyMark *m)
{
	u32 held = m->flags & FAN_MARK_EVICTABLE, survives = m->flags & FAN_MARK_IGNORED_SURV_MODIFY;
	u32 ignore = m->flags & FAN_MARK_IGNORE ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK;
	add(plan, file, m, held, m->mask);
	add(plan, file, m, held | ignore | survives, m->ignored);
}

static int fanotify_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Fanotify *f = o->data;
	struct place at = AT(PLAN_WORLD, STAGE_CREATE);
	struct plan_step *init = plan_call(plan, at, SYS_fanotify_init, ARG(f->flags), ARG(f->event_flags));
	plan_place_fd(plan, step_result(plan, init), o->id);
	plan_status_flags(plan, at, o->id, file_flags(graph, o->id), f->flags & FAN_NONBLOCK ? O_NONBLOCK : 0);
	for (size_t i = 0; i < f->n_mark; i++)
		plan_mark(plan, o->id, f->mark[i]);
	return 0;
}

const struct resource resource_fanotify = {
	.name = "fanotify",
	.scope = SCOPE_FILE,
	.kind = &kind_fanotify,
	.claims = fanotify_claims,
	.collect = fanotify_collect,
	.judge = fanotify_judge,
	.plan = fanotify_plan,
};
