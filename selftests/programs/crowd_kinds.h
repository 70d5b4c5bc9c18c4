/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a crowd may have many of beside files and sockets: how each is made, and how one is told from another. A part of crowd.c. */
#pragma once
#include "judge.h"
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int me, each; /* of which process, how many */
static int *made;    /* its descriptors, by number */

static char *own_path(int number)
{
	static char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%d.%d", judge_dir, me, number);
	return path;
}

static void must_hold(int fd, int i)
{
	int found;
	MUST_EQ(pread(fd, &found, sizeof found, 0), sizeof found);
	MUST_EQ(found, me * each + i);
}

static void put_number(int fd, int i)
{
	int number = me * each + i;
	MUST_EQ(write(fd, &number, sizeof number), sizeof number);
}

/* --- timerfd: of different times and intervals --- */

#define LONG 100000

static void make_timer(int i)
{
	struct itimerspec t = { .it_value.tv_sec = LONG + i * 1000, .it_interval.tv_sec = i };
	made[i] = timerfd_create(i & 2 ? CLOCK_BOOTTIME : CLOCK_MONOTONIC, i & 1 ? TFD_CLOEXEC : TFD_NONBLOCK);
	MUST(made[i] >= 0);
	MUST_EQ(timerfd_settime(made[i], 0, &t, NULL), 0);
}

static void look_at_timer(int i)
{
	struct itimerspec t;
	MUST_EQ(timerfd_gettime(made[i], &t), 0);
	MUST_EQ(t.it_interval.tv_sec, i);
	MUST(t.it_value.tv_sec <= LONG + i * 1000 && t.it_value.tv_sec > LONG + i * 1000 - 1000);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

/* --- signalfd: what each of them waits for is seen when the signal has come --- */

static void make_signalfd(int i)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + i % 20);
	sigprocmask(SIG_BLOCK, &set, NULL);
	made[i] = signalfd(-1, &set, i & 1 ? SFD_CLOEXEC : SFD_NONBLOCK);
	MUST(made[i] >= 0);
}

static void look_at_signalfd(int i)
{
	struct signalfd_siginfo info;
	MUST_EQ(raise(SIGRTMIN + i % 20), 0);
	for (int k = 0; k < 20 && i + k < each; k++)
		MUST_EQ(poll(&(struct pollfd){ .fd = made[i + k], .events = POLLIN }, 1, 0), k == 0);
	MUST_EQ(read(made[i], &info, sizeof info), sizeof info);
	MUST_EQ(info.ssi_signo, SIGRTMIN + i % 20);
}

/* --- eventfds --- */

static void make_eventfd(int i)
{
	made[i] = eventfd((unsigned)(me * each + i + 1), EFD_NONBLOCK | (i & 1 ? EFD_CLOEXEC : 0));
	MUST(made[i] >= 0);
}

static void look_at_eventfd(int i)
{
	uint64_t count;
	MUST_EQ(read(made[i], &count, sizeof count), sizeof count);
	MUST_EQ(count, me * each + i + 1);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

/* --- memfds, files that were removed, and files without a name --- */

static void make_memfd(int i)
{
	made[i] = memfd_create("crowd", i & 1 ? MFD_CLOEXEC : MFD_ALLOW_SEALING);
	MUST(made[i] >= 0);
	put_number(made[i], i);
	if (!(i & 1))
		MUST_EQ(fcntl(made[i], F_ADD_SEALS, F_SEAL_GROW), 0);
}

static void look_at_memfd(int i)
{
	must_hold(made[i], i);
	MUST_EQ(lseek(made[i], 0, SEEK_CUR), sizeof(int));
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
	MUST_EQ(fcntl(made[i], F_GET_SEALS), i & 1 ? F_SEAL_SEAL : F_SEAL_GROW);
}

static void make_removed(int i)
{
	made[i] = open(own_path(i), O_CREAT | O_EXCL | O_RDWR | (i & 1 ? O_CLOEXEC : 0), 0600);
	MUST(made[i] >= 0);
	put_number(made[i], i);
	MUST_EQ(unlink(own_path(i)), 0);
}

static void make_tmpfile(int i)
{
	made[i] = open(judge_dir, O_TMPFILE | O_RDWR | (i & 1 ? O_CLOEXEC : 0), 0600);
	MUST(made[i] >= 0);
	put_number(made[i], i);
}

static void look_at_nameless(int i)
{
	struct stat st;
	must_hold(made[i], i);
	MUST_EQ(fstat(made[i], &st), 0);
	MUST_EQ(st.st_nlink, 0);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

/* --- mapped, and open no more: files, memfds and files that were removed --- */

static int *mapped[10000];

static void make_mapped(int i)
{
	if (i % 3 == 0)
		made[i] = open(own_path(i), O_CREAT | O_RDWR, 0600);
	if (i % 3 == 0)
		put_number(made[i], i);
	else if (i % 3 == 1)
		make_memfd(i);
	else
		make_removed(i);
	mapped[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, made[i], 0);
	MUST(mapped[i] != MAP_FAILED);
	close(made[i]);
}

static void look_at_mapped(int i)
{
	MUST_EQ(*mapped[i], me * each + i);
	*mapped[i] = 0;
}

/* --- named pipes, which one process has open for both --- */

static void make_fifo(int i)
{
	MUST_EQ(mkfifo(own_path(i), 0600), 0);
	made[i] = open(own_path(i), O_RDWR | O_NONBLOCK | (i & 1 ? O_CLOEXEC : 0));
	MUST(made[i] >= 0);
	put_number(made[i], i);
}

static void look_at_fifo(int i)
{
	int found;
	MUST_EQ(read(made[i], &found, sizeof found), sizeof found);
	MUST_EQ(found, me * each + i);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

/* --- who gets the signals of a file --- */

static void make_owned(int i)
{
	made[i] = i & 2 ? socket(AF_INET, SOCK_DGRAM, 0) : open("/dev/null", O_RDWR);
	MUST(made[i] >= 0);
	MUST_EQ(fcntl(made[i], F_SETOWN, getpid()), 0);
	MUST_EQ(fcntl(made[i], F_SETSIG, SIGRTMIN + i % 20), 0);
	if (i & 2 && i & 1)
		MUST_EQ(fcntl(made[i], F_SETFL, O_ASYNC), 0);
}

static void look_at_owned(int i)
{
	MUST_EQ(fcntl(made[i], F_GETOWN), getpid());
	MUST_EQ(fcntl(made[i], F_GETSIG), SIGRTMIN + i % 20);
	MUST_EQ(!!(judge_flags(made[i]) & O_ASYNC), i & 2 && i & 1);
}

/* --- flock(2) --- */

static void make_flock(int i)
{
	made[i] = open(own_path(i), O_CREAT | O_RDWR | (i & 1 ? O_CLOEXEC : 0), 0600);
	MUST(made[i] >= 0);
	MUST_EQ(flock(made[i], LOCK_EX), 0);
}

static void look_at_flock(int i)
{
	int other = open(own_path(i), O_RDWR | O_CLOEXEC);
	MUST_EQ(flock(other, LOCK_EX | LOCK_NB), -1);
	MUST_EQ(errno, EWOULDBLOCK);
	close(other);
	MUST_EQ(flock(made[i], LOCK_UN), 0);
}

/* --- an epoll instance that watches a socket that listens, a signalfd, and what it serves --- */

static int all = -1;

static void watch_one(int all, int fd, int data, unsigned events)
{
	struct epoll_event event = { .events = events, .data.fd = data };
	MUST(fd >= 0);
	MUST_EQ(epoll_ctl(all, EPOLL_CTL_ADD, fd, &event), 0);
}

static void make_watched(int i)
{
	if (i == 0) {
		made[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		MUST_EQ(listen(made[0], 10), 0);
		all = epoll_create1(EPOLL_CLOEXEC);
		watch_one(all, made[0], 0, EPOLLIN);
		return;
	}
	if (i == 1) {
		make_signalfd(i);
		watch_one(all, made[i], i, EPOLLIN);
		return;
	}
	made[i] = eventfd(0, EFD_NONBLOCK);
	watch_one(all, made[i], i, i & 1 ? EPOLLIN : EPOLLIN | EPOLLET);
}

static void look_at_watched(int i)
{
	struct epoll_event event;
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	uint64_t one = 1;
	MUST_EQ(epoll_wait(all, &event, 1, 0), 0);
	int fd = made[i];
	if (i == 0) {
		MUST_EQ(getsockname(made[0], (struct sockaddr *)&name, &len), 0);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		MUST_EQ(connect(fd, (struct sockaddr *)&name, len), 0);
	} else if (i == 1) {
		MUST_EQ(raise(SIGRTMIN + 1), 0);
	} else {
		MUST_EQ(write(fd, &one, sizeof one), sizeof one);
	}
	MUST_EQ(epoll_wait(all, &event, 1, -1), 1);
	MUST_EQ(event.data.fd, i);
	struct signalfd_siginfo info;
	if (i == 0)
		close(accept(made[0], NULL, NULL));
	else if (i == 1)
		MUST_EQ(read(fd, &info, sizeof info), sizeof info);
	else
		MUST_EQ(read(fd, &one, sizeof one), sizeof one);
}

/* --- files in a directory that is watched --- */

static int notified = -1;

static void make_notified(int i)
{
	made[i] = open(own_path(i), O_CREAT | O_RDWR | (i & 1 ? O_CLOEXEC : 0), 0600);
	MUST(made[i] >= 0);
	if (i < each - 1)
		return;
	notified = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	MUST(notified >= 0);
	for (int k = 0; k < each; k++)
		MUST(inotify_add_watch(notified, own_path(k), IN_MODIFY | IN_OPEN | IN_ATTRIB) > 0);
}

static void look_at_notified(int i)
{
	char event[4096];
	MUST_EQ(read(notified, event, sizeof event), -1);
	MUST_EQ(errno, EAGAIN);
	put_number(made[i], i);
	MUST(read(notified, event, sizeof event) > 0);
	MUST_EQ(((struct inotify_event *)event)->wd, i + 1);
}

/* --- netlink --- */

static void make_netlink(int i)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = (unsigned)(100000 + me * each + i) };
	made[i] = socket(AF_NETLINK, SOCK_RAW | (i & 1 ? SOCK_CLOEXEC : 0), NETLINK_ROUTE);
	MUST(made[i] >= 0);
	MUST_EQ(bind(made[i], (void *)&a, sizeof a), 0);
}

static void look_at_netlink(int i)
{
	struct sockaddr_nl a;
	socklen_t len = sizeof a;
	MUST_EQ(getsockname(made[i], (void *)&a, &len), 0);
	MUST_EQ(a.nl_pid, 100000 + me * each + i);
	MUST_EQ(fcntl(made[i], F_GETFD), i & 1);
}

/* --- pidfds: of the parent, and of the process itself --- */

static void make_pidfd(int i)
{
	made[i] = (int)syscall(SYS_pidfd_open, i & 1 ? getppid() : getpid(), 0);
	MUST(made[i] >= 0);
}

static void look_at_pidfd(int i)
{
	char path[64], text[1024], *found;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", made[i]);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof text - 1);
	MUST(len > 0);
	text[len] = 0;
	close(fd);
	found = strstr(text, "\nPid:");
	MUST(found);
	MUST_EQ(atoi(found + 5), i & 1 ? getppid() : getpid());
}
