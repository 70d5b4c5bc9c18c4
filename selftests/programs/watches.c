// SPDX-License-Identifier: LGPL-2.1-or-later
/* watches DIR [WHAT]: inotify instances with gaps between their watch descriptors, every manner of watching, names that need
 * care, a mount, a shared instance: no event comes from the dump or the restore, later ones come by the old numbers. */
#include "overlay.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static int all, few, ep, wd_dir, wd_file, wd_once, wd_odd, wd_link, wd_far, wd_mount, wd_inside, wd_few, to_child[2];
static pid_t child;

struct event {
	int wd;
	uint32_t mask;
	char name[64];
};

/* Events that wait, oldest first. */
static int events_of(int fd, struct event *events, int max)
{
	_Alignas(struct inotify_event) char room[8192];
	int waiting = 0, count = 0;
	MUST_EQ(ioctl(fd, FIONREAD, &waiting), 0);
	if (!waiting)
		return 0;
	ssize_t len = read(fd, room, sizeof room);
	MUST(len > 0);
	for (char *at = room; at < room + len && count < max; count++) {
		struct inotify_event *e = (struct inotify_event *)at;
		events[count] = (struct event){ e->wd, e->mask, "" };
		snprintf(events[count].name, sizeof events[count].name, "%s", e->len ? e->name : "");
		at += sizeof *e + e->len;
	}
	return count;
}

static void must_tell(int fd, int wd, uint32_t mask, const char *name)
{
	struct event e[64];
	int n = events_of(fd, e, 64);
	for (int i = 0; i < n; i++)
		if (e[i].wd == wd && (e[i].mask & mask) && !strcmp(e[i].name, name))
			return;
	judge_fail("watch %d did not tell %#x of \"%s\": %d events, the first %#x of %d \"%s\"", wd, mask, name, n,
		   n ? e[0].mask : 0, n ? e[0].wd : 0, n ? e[0].name : "");
}

static int watch(int fd, const char *name, uint32_t mask)
{
	int wd = inotify_add_watch(fd, judge_path(name), mask);
	MUST(wd > 0);
	return wd;
}

static void touch(const char *name)
{
	int fd = open(judge_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
}

static void drain(int fd)
{
	struct event e[64];
	while (events_of(fd, e, 64))
		;
}

/* The mask of a watch as fdinfo tells it; 0: there is none. */
static uint32_t mask_of(int fd, int wd)
{
	char path[64], line[512];
	unsigned at, mask, found = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "r");
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "inotify wd:%x ino:%*x sdev:%*x mask:%x", &at, &mask) == 2 && (int)at == wd)
			found = mask;
	fclose(file);
	return found;
}

static void make(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	char c;
	MUST(mkdir(judge_path("dir"), 0700) == 0 && mkdir(judge_path("odd \n\\040 \xff\xc3\xa9"), 0700) == 0);
	MUST(mkdir(judge_path("far"), 0700) == 0 && mkdir(judge_path("mount point"), 0700) == 0);
	MUST_EQ(mount("none", judge_path("mount point"), "tmpfs", 0, NULL), 0);
	MUST_EQ(mkdir(judge_path("mount point/inside"), 0700), 0);
	MUST_EQ(symlink("nowhere", judge_path("link")), 0);
	touch("file");
	all = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	few = inotify_init();
	wd_dir = watch(all, "dir", IN_ALL_EVENTS);
	MUST_EQ(inotify_rm_watch(all, watch(all, "far", IN_CREATE)), 0);
	wd_file = watch(all, "file", IN_MODIFY | IN_ATTRIB | IN_EXCL_UNLINK);
	wd_odd = watch(all, "odd \n\\040 \xff\xc3\xa9", IN_CREATE | IN_ONLYDIR);
	wd_link = watch(all, "link", IN_DONT_FOLLOW | IN_DELETE_SELF);
	wd_mount = watch(all, "mount point", IN_ALL_EVENTS);
	wd_inside = watch(all, "mount point/inside", IN_ALL_EVENTS);
	for (int i = 0; i < 3000; i++) {
		MUST_EQ(inotify_rm_watch(all, watch(all, "far", IN_CREATE)), 0);
		if (i % 100 == 0)
			drain(all);
	}
	wd_far = watch(all, "far", IN_CREATE);
	MUST(wd_far > 3000);
	wd_few = watch(few, "dir", IN_DELETE | IN_ISDIR);
	wd_once = watch(few, "file", IN_MODIFY | IN_ONESHOT);
	ep = epoll_create1(0);
	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, all, &event) == 0 && pipe(to_child) == 0);
	drain(all);
	drain(few);
	child = fork();
	if (!child) {
		MUST_EQ(read(to_child[0], &c, 1), 1);
		must_tell(few, wd_few, IN_DELETE, "by parent");
		_exit(6);
	}
	judge_settled(child);
	while (epoll_wait(ep, &event, 1, 0) == 1)
		;
}

static void judge_watches(void)
{
	struct epoll_event event;
	struct event e[4];
	int status;
	MUST_EQ(events_of(all, e, 4), 0);
	MUST_EQ(events_of(few, e, 4), 0);
	MUST_EQ(epoll_wait(ep, &event, 1, 0), 0);
	MUST_EQ(mask_of(all, wd_dir), IN_ALL_EVENTS);
	MUST_EQ(mask_of(all, wd_link), IN_DELETE_SELF);
	MUST_EQ(mask_of(all, wd_file) & ~IN_EXCL_UNLINK, IN_MODIFY | IN_ATTRIB);
	MUST_EQ(mask_of(all, wd_far + 1), 0);
	touch("dir/new");
	MUST_EQ(epoll_wait(ep, &event, 1, JUDGE_PATIENCE_MS), 1);
	must_tell(all, wd_dir, IN_CREATE, "new");
	touch("far/one");
	must_tell(all, wd_far, IN_CREATE, "one");
	touch("odd \n\\040 \xff\xc3\xa9/two");
	must_tell(all, wd_odd, IN_CREATE, "two");
	touch("mount point/three");
	must_tell(all, wd_mount, IN_CLOSE_WRITE, "three");
	touch("mount point/inside/four");
	must_tell(all, wd_inside, IN_OPEN, "four");
	MUST_EQ(unlink(judge_path("link")), 0);
	must_tell(all, wd_link, IN_DELETE_SELF, "");
	drain(all);
	touch("file");
	must_tell(all, wd_file, IN_MODIFY, "");
	must_tell(few, wd_once, IN_MODIFY, "");
	touch("file");
	MUST_EQ(mask_of(few, wd_once), 0); /* once */
	drain(few);
	MUST_EQ(watch(all, "dir", IN_CREATE), wd_dir);
	MUST(watch(few, "far", IN_CREATE) > wd_once);
	MUST_EQ(watch(all, ".", IN_MOVED_FROM), wd_far + 1);
	MUST_EQ(inotify_rm_watch(all, wd_far), 0);
	must_tell(all, wd_far, IN_IGNORED, "");
	touch("dir/by parent");
	MUST_EQ(unlink(judge_path("dir/by parent")), 0);
	MUST_EQ(write(to_child[1], "g", 1), 1);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST(WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), 6);
	MUST_EQ(events_of(few, e, 4), 0); /* the child has read them */
	MUST(fcntl(all, F_GETFD) == FD_CLOEXEC && fcntl(few, F_GETFD) == 0);
	MUST((fcntl(all, F_GETFL) & O_NONBLOCK) && !(fcntl(few, F_GETFL) & O_NONBLOCK));
	umount2(judge_path("mount point"), MNT_DETACH);
}

/* A file system without handles: names are found from what is open, and from there on. */
static int hold_overlay(bool events)
{
	MUST(mkdir(judge_path("lower"), 0700) == 0 && mkdir(judge_path("lower/a"), 0700) == 0);
	MUST_EQ(mkdir(judge_path("lower/a/b"), 0700), 0);
	touch("lower/a/file");
	if (!judge_overlay()) {
		judge_wait(); /* not here */
		return judge_pass();
	}
	int dir = open(judge_path("merged"), O_RDONLY | O_DIRECTORY);
	uint32_t mask = IN_CREATE | IN_MODIFY | (events ? IN_OPEN : 0);
	all = inotify_init1(IN_NONBLOCK);
	wd_inside = watch(all, "merged/a/b", mask);
	wd_file = watch(all, "merged/a/file", mask);
	wd_dir = watch(all, "merged/a", mask);
	judge_wait();
	MUST_EQ(mask_of(all, wd_inside), mask);
	touch("merged/a/b/new");
	must_tell(all, wd_inside, IN_CREATE, "new");
	touch("merged/a/file");
	must_tell(all, wd_file, IN_MODIFY, "");
	touch("merged/a/other");
	must_tell(all, wd_dir, IN_CREATE, "other");
	MUST(dir >= 0 && close(dir) == 0);
	umount2(judge_path("merged"), MNT_DETACH);
	return judge_pass();
}

static int hold_unread(const char *what)
{
	touch("file");
	few = inotify_init();
	wd_file = watch(few, "file", IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF);
	struct event event;
	touch("file");
	judge_wait();
	if (!strcmp(what, "dropped")) { /* it is given up, and a later one comes */
		MUST_EQ(events_of(few, &event, 1), 0);
		touch("file");
	}
	must_tell(few, wd_file, IN_MODIFY, "");
	return judge_pass();
}

/* No name leads to them any more, but the program has them open: one only mapped. */
static int hold_deleted(void)
{
	touch("file");
	touch("mapped");
	MUST_EQ(mkdir(judge_path("empty"), 0700), 0);
	few = inotify_init();
	wd_file = watch(few, "file", IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF);
	MUST_EQ(inotify_rm_watch(few, watch(few, "empty", IN_ATTRIB)), 0);
	wd_dir = watch(few, "empty", IN_DELETE_SELF);
	wd_inside = watch(few, "mapped", IN_DELETE_SELF | IN_CLOSE_WRITE);
	int fd = open(judge_path("file"), O_RDWR), dir = open(judge_path("empty"), O_RDONLY | O_DIRECTORY);
	int mapped = open(judge_path("mapped"), O_RDONLY);
	char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, mapped, 0);
	MUST(map != MAP_FAILED && close(mapped) == 0 && rmdir(judge_path("empty")) == 0);
	MUST(unlink(judge_path("file")) == 0 && unlink(judge_path("mapped")) == 0);
	drain(few);
	judge_wait();
	MUST_EQ(mask_of(few, wd_file), IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF);
	MUST_EQ(mask_of(few, wd_dir), IN_DELETE_SELF);
	MUST_EQ(write(fd, "y", 1), 1);
	must_tell(few, wd_file, IN_MODIFY, "");
	MUST_EQ(close(fd), 0);
	must_tell(few, wd_file, IN_DELETE_SELF, "");
	MUST_EQ(munmap(map, 4096), 0);
	must_tell(few, wd_inside, IN_DELETE_SELF, "");
	MUST_EQ(close(dir), 0);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strncmp(argv[2], "overlay", 7))
		return hold_overlay(!strcmp(argv[2], "overlay-open"));
	if (argc > 2 && !strcmp(argv[2], "deleted"))
		return hold_deleted();
	if (argc > 2)
		return hold_unread(argv[2]);
	make();
	judge_wait();
	judge_watches();
	return judge_pass();
}
