// SPDX-License-Identifier: LGPL-2.1-or-later
/* fanotify DIR [WHAT]: groups of fanotify with marks of inodes, a mount and a file system: no event comes from the dump or the restore,
 * later ones come as before. unread: an event waits; permission: it is asked whether a file may be opened; unprivileged: who has
 * no rights has made the group. */
#include "judge.h"
#include <sys/fanotify.h>
#include <sys/mount.h>
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif

static int plain, named, far;
static bool can_ignore;

static int group(unsigned flags)
{
	int fd = fanotify_init(flags | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		judge_fail("skip: fanotify_init: %s", strerror(errno));
	return fd;
}

static void mark(int fd, unsigned how, uint64_t mask, const char *name)
{
	if (fanotify_mark(fd, FAN_MARK_ADD | how, mask, AT_FDCWD, judge_path(name)))
		judge_fail("skip: fanotify_mark(%#x, %#llx): %s", how, (unsigned long long)mask, strerror(errno));
}

static void touch(const char *name)
{
	int fd = open(judge_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
}

/* All events that wait, by their masks; the descriptors that come with them are closed. -1: there are none. */
static long long events_of(int fd)
{
	_Alignas(struct fanotify_event_metadata) char room[8192];
	long long masks = 0;
	ssize_t len = read(fd, room, sizeof room);
	if (len < 0) {
		MUST_EQ(errno, EAGAIN);
		return -1;
	}
	for (struct fanotify_event_metadata *e = (void *)room; FAN_EVENT_OK(e, len); e = FAN_EVENT_NEXT(e, len)) {
		masks |= (long long)e->mask;
		MUST_EQ(e->pid, getpid());
		if (e->fd >= 0)
			MUST((fcntl(e->fd, F_GETFD) & FD_CLOEXEC) && close(e->fd) == 0);
	}
	return masks;
}

static void make_groups(void)
{
	const char *const dirs[] = { "dir", "dir/sub", "far" };
	for (size_t i = 0; i < 3; i++)
		MUST_EQ(mkdir(judge_path(dirs[i]), 0700), 0);
	MUST_EQ(mount("far", judge_path("far"), "tmpfs", 0, NULL), 0);
	touch("dir/told");
	touch("dir/quiet");
	touch("far/file");
	plain = group(FAN_CLASS_NOTIF);
	mark(plain, 0, FAN_OPEN | FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD, "dir");
	mark(plain, FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN | FAN_CLOSE_WRITE, "dir/quiet");
	named = group(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME);
	mark(named, 0, FAN_CREATE | FAN_DELETE | FAN_ONDIR, "dir");
	mark(named, 0, FAN_CREATE | FAN_DELETE | FAN_ONDIR, "dir/sub");
	can_ignore = fanotify_mark(named, FAN_MARK_ADD | FAN_MARK_IGNORE | FAN_MARK_IGNORED_SURV_MODIFY, FAN_DELETE, AT_FDCWD,
				   judge_path("dir/sub")) == 0;
	far = group(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE);
	mark(far, FAN_MARK_MOUNT, FAN_CLOSE_WRITE, "far");
	mark(far, FAN_MARK_FILESYSTEM, FAN_OPEN, "far/file");
}

static void judge_groups(void)
{
	MUST_EQ(events_of(plain), -1);
	MUST_EQ(events_of(named), -1);
	MUST_EQ(events_of(far), -1);
	touch("dir/quiet");
	MUST_EQ(events_of(plain), -1);
	touch("dir/told");
	MUST_EQ(events_of(plain), FAN_OPEN | FAN_CLOSE_WRITE);
	MUST_EQ(mkdir(judge_path("dir/new"), 0700), 0);
	MUST_EQ(events_of(named), FAN_CREATE | FAN_ONDIR);
	touch("dir/sub/file");
	MUST_EQ(events_of(named), FAN_CREATE);
	MUST_EQ(unlink(judge_path("dir/sub/file")), 0);
	MUST_EQ(events_of(named), can_ignore ? -1 : FAN_DELETE);
	touch("far/file");
	MUST_EQ(events_of(far), FAN_OPEN | FAN_CLOSE_WRITE);
	/* a mark that is there can be taken away */
	MUST_EQ(fanotify_mark(far, FAN_MARK_REMOVE | FAN_MARK_MOUNT, FAN_CLOSE_WRITE, AT_FDCWD, judge_path("far")), 0);
	touch("far/file");
	MUST_EQ(events_of(far), FAN_OPEN);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	if (!strcmp(what, "unprivileged")) {
		MUST(chown(judge_dir, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
		group(FAN_CLASS_NOTIF | FAN_REPORT_FID);
	} else if (!strcmp(what, "permission")) {
		touch("asked");
		mark(group(FAN_CLASS_CONTENT), 0, FAN_OPEN_PERM, "asked");
	} else {
		make_groups();
	}
	if (!strcmp(what, "unread"))
		touch("far/file");
	judge_wait();
	if (!*what)
		judge_groups();
	if (!strcmp(what, "unread"))
		MUST_EQ(events_of(far), FAN_OPEN | FAN_CLOSE_WRITE);
	return judge_pass();
}
