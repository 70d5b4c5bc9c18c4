// SPDX-License-Identifier: LGPL-2.1-or-later
/* pidfds DIR [outside]: descriptors of processes that live, that are dead and that have been waited for: of itself, a parent, children
 * and the child of a sibling, with every flag, shared by fork, watched by epoll in every manner. They mean the same processes, and the
 * same descriptors share flags, and what ended tells how. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define PIDFD_OF_THREAD O_EXCL

struct told { /* linux/pidfd.h: PIDFD_GET_INFO, PIDFD_INFO_EXIT */
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t exit_code;
};
#define TELL _IOWR(0xFF, 11, struct told)
#define TELL_EXIT (1ull << 3)

static struct shared {
	pid_t nephew;
	int nephew_ready, checked;
} * shared;
static int self, living, nonblock, sharing, thread = -1, zombie, exited[2], killed, nephew, level, edge, to_child[2],
					    to_nephew[2];
static pid_t child, dead;
static bool tells_exit;
#define MANY 70 /* shared: more than there are numbers below service descriptors */
static int many[MANY];

static int pidfd_of(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }

static pid_t pid_of(int fd)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY | O_CLOEXEC);
	MUST(info >= 0);
	ssize_t n = read(info, text, sizeof text - 1);
	close(info);
	MUST(n > 0);
	text[n] = 0;
	char *at = strstr(text, "\nPid:");
	MUST(at);
	return atoi(at + 5);
}

static bool is_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, 0);
	return n == 1 && p.revents & POLLIN;
}

static void await_byte(int fd)
{
	char c;
	while (read(fd, &c, 1) != 1)
		MUST_EQ(errno, EINTR);
}

/* A nephew: it holds its uncle's sibling, its grandparent and itself. */
static void run_nephew(pid_t grandparent, int of_grandparent)
{
	int of_self = pidfd_of(getpid(), 0), of_parent = pidfd_of(getppid(), O_NONBLOCK);
	pid_t me = getpid(), parent = getppid();
	shared->nephew_ready = 1;
	await_byte(to_nephew[0]);
	MUST_EQ(pid_of(of_self), me);
	MUST_EQ(pid_of(of_parent), parent);
	MUST_EQ(fcntl(of_parent, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	MUST_EQ(pid_of(of_grandparent), grandparent);
	MUST_EQ(fcntl(of_grandparent, F_GETFL) & O_NONBLOCK, O_NONBLOCK); /* set by the grandparent, in what is shared */
	MUST(!is_ready(of_grandparent));
	shared->checked = 1;
	for (;;)
		pause();
}

static void run_child(pid_t parent, int of_parent)
{
	pid_t pid = fork();
	if (pid == 0)
		run_nephew(parent, of_parent);
	shared->nephew = pid;
	await_byte(to_child[0]);
	for (int i = 0; i < MANY; i++)
		MUST_EQ(pid_of(many[i]), parent);
	MUST_EQ(pid_of(of_parent), parent);
	MUST_EQ(syscall(SYS_pidfd_send_signal, of_parent, 0, NULL, 0), 0);
	for (;;)
		pause();
}

static int reaped(int exit_code, int signal, int flags)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (signal)
			raise(signal);
		_exit(exit_code);
	}
	int fd = pidfd_of(pid, flags), status;
	MUST(fd >= 0);
	exited[1] = exit_code ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : exited[1]; /* another number for the same */
	MUST_EQ(waitpid(pid, &status, 0), pid);
	return fd;
}

static void watch(int ep, int fd, uint32_t events, uint64_t data)
{
	MUST_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = events, .data.u64 = data }), 0);
}

static void make(void)
{
	struct epoll_event e;
	siginfo_t info;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(shared != MAP_FAILED && pipe(to_child) == 0 && pipe(to_nephew) == 0);
	self = pidfd_of(getpid(), 0);
	sharing = pidfd_of(getpid(), 0);
	MUST(self >= 0 && sharing >= 0);
	for (int i = 0; i < MANY; i++)
		MUST((many[i] = pidfd_of(getpid(), 0)) >= 0);
	pid_t me = getpid();
	child = fork();
	if (child == 0)
		run_child(me, sharing);
	dead = fork();
	if (dead == 0)
		_exit(3);
	zombie = pidfd_of(dead, 0);
	MUST_EQ(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT), 0);
	exited[0] = reaped(7, 0, O_NONBLOCK);
	killed = reaped(0, SIGTERM, 0);
	struct told told = { .mask = TELL_EXIT };
	tells_exit = ioctl(killed, TELL, &told) == 0 && told.mask & TELL_EXIT;
	living = pidfd_of(child, 0);
	nonblock = pidfd_of(child, O_NONBLOCK);
	thread = pidfd_of(getpid(), PIDFD_OF_THREAD); /* from Linux 6.9 on */
	while (!__atomic_load_n(&shared->nephew_ready, __ATOMIC_SEQ_CST))
		judge_nap(2);
	nephew = pidfd_of(shared->nephew, 0);
	level = epoll_create1(EPOLL_CLOEXEC);
	edge = epoll_create1(EPOLL_CLOEXEC);
	watch(level, living, EPOLLIN, 1);
	watch(level, zombie, EPOLLIN, 2);
	watch(level, nephew, EPOLLIN | EPOLLONESHOT, 3);
	watch(edge, zombie, EPOLLIN | EPOLLET, 4);
	watch(edge, exited[0], EPOLLIN | EPOLLET, 5);
	watch(edge, nephew, EPOLLIN | EPOLLET, 6);
	MUST_EQ(epoll_wait(edge, &e, 1, 0), 1); /* told: not again */
	MUST_EQ(epoll_wait(edge, &e, 1, 0), 1);
	judge_settled(child);
	judge_settled(shared->nephew);
}

static void judge_ended(int fd, int status)
{
	siginfo_t info;
	struct told told = { .mask = TELL_EXIT };
	MUST_EQ(pid_of(fd), -1);
	MUST(is_ready(fd));
	MUST(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == -1 && errno == ECHILD);
	MUST(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == -1 && errno == ESRCH);
	if (!tells_exit)
		return;
	MUST_EQ(ioctl(fd, TELL, &told), 0);
	MUST_EQ(told.exit_code, status);
}

static void judge_living(void)
{
	MUST_EQ(pid_of(self), getpid());
	MUST_EQ(pid_of(living), child);
	MUST_EQ(pid_of(nonblock), child);
	MUST_EQ(pid_of(nephew), shared->nephew);
	MUST(thread < 0 || (pid_of(thread) == getpid() && judge_flags(thread) & PIDFD_OF_THREAD));
	MUST(!is_ready(living) && !is_ready(nephew) && !is_ready(self));
	MUST(fcntl(nonblock, F_GETFL) & O_NONBLOCK && !(fcntl(living, F_GETFL) & O_NONBLOCK));
	MUST_EQ(fcntl(living, F_GETFD), FD_CLOEXEC);
}

static void judge_shared(void)
{
	MUST_EQ(fcntl(sharing, F_SETFL, O_NONBLOCK), 0);
	MUST_EQ(write(to_child[1], "", 1), 1);
	MUST_EQ(write(to_nephew[1], "", 1), 1);
	while (!__atomic_load_n(&shared->checked, __ATOMIC_SEQ_CST))
		judge_nap(2);
}

static void judge_zombie(void)
{
	struct epoll_event e;
	siginfo_t info = { 0 };
	MUST_EQ(pid_of(zombie), dead);
	MUST_EQ(epoll_wait(edge, &e, 1, 0), 0);
	MUST_EQ(epoll_wait(level, &e, 1, 0), 1);
	MUST_EQ(e.data.u64, 2);
	MUST_EQ(waitid(P_PIDFD, (id_t)zombie, &info, WEXITED), 0);
	MUST(info.si_pid == dead && info.si_code == CLD_EXITED && info.si_status == 3);
	judge_ended(zombie, 3 << 8);
	MUST_EQ(epoll_ctl(level, EPOLL_CTL_DEL, zombie, NULL), 0);
}

/* The signal reaches who is meant, and epoll tells that it has ended. */
static void judge_death(int fd, uint64_t data)
{
	struct epoll_event e;
	siginfo_t info;
	MUST_EQ(epoll_wait(level, &e, 1, 0), 0);
	MUST_EQ(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), 0);
	MUST_EQ(epoll_wait(level, &e, 1, JUDGE_PATIENCE_MS), 1);
	MUST_EQ(e.data.u64, data);
	MUST_EQ(epoll_ctl(level, EPOLL_CTL_DEL, fd, NULL), 0);
	if (fd == nephew)
		return;
	MUST_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
	MUST(info.si_pid == child && info.si_code == CLD_KILLED);
	judge_ended(nonblock, SIGKILL);
}

static int hold_outside(void)
{
	int fd = pidfd_of(getppid(), 0);
	pid_t parent = getppid();
	MUST(fd >= 0);
	judge_wait();
	if (pid_of(fd) == parent)
		return judge_pass();
	judge_ended(fd, SIGKILL);
	judge_write("verdict", "it has ended");
	return 0;
}

static void *sleep_long(void *arg)
{
	*(pid_t *)arg = gettid();
	judge_nap(100000);
	return NULL;
}

/* What is refused: of a thread that is not the first, or on its way through a socket. */
static int hold_other(bool flies)
{
	static volatile pid_t tid;
	pthread_t other;
	int pair[2], fd;
	MUST_EQ(pthread_create(&other, NULL, sleep_long, (void *)&tid), 0);
	while (!tid)
		judge_nap(2);
	MUST_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	fd = flies ? pidfd_of(getpid(), 0) : pidfd_of(tid, PIDFD_OF_THREAD);
	if (fd < 0)
		judge_fail("skip: PIDFD_THREAD is not there");
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct msghdr m = {
		.msg_iov = &(struct iovec){ "x", 1 }, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (flies)
		MUST(sendmsg(pair[0], &m, 0) == 1 && close(fd) == 0);
	judge_wait();
	return judge_pass();
}

/* What is refused: no process is meant by what is opened again. */
static int hold_path(void)
{
	char path[64];
	int fd = pidfd_of(getpid(), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	MUST(fd >= 0 && open(path, O_PATH) >= 0);
	judge_wait();
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "outside"))
		return hold_outside();
	if (argc > 2 && !strcmp(argv[2], "path"))
		return hold_path();
	if (argc > 2)
		return hold_other(!strcmp(argv[2], "flight"));
	make();
	judge_wait();
	judge_living();
	judge_ended(exited[0], 7 << 8);
	judge_ended(exited[1], 7 << 8);
	judge_ended(killed, SIGTERM);
	MUST_EQ(fcntl(exited[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	judge_shared();
	judge_zombie();
	judge_death(living, 1);
	judge_death(nephew, 3);
	return judge_pass();
}
