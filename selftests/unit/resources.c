// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files are made in one process, collected, planned, made again in another process by their plans, and collected again: both
 * must be the same. */
#include "harness/test.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "locks.pb-c.h"
#include "model/reflect.h"
#include "plan/plan.h"
#include "resource/registry.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>

#define ROOM (32ul << 20)
#define FIRST_FD 200

static inline int64_t blob_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	long r = syscall(nr, a, b, c, d, e, f);
	return r < 0 ? -errno : r;
}
static inline void blob_futex_wait(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}
static inline void blob_futex_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0); }
static inline void blob_exit(uint64_t status) { _exit((int)status); }
static inline int64_t blob_tag(uint64_t page _unused_, const uint8_t *tags _unused_) { return -ENOSYS; }
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	return blob_call_birth(arena->data_base - PAGE_BYTES, arena, args, size, index);
}
#include "machine.h"

extern const char parasite_blob_begin[], parasite_blob_end[];

/* Both processes have the same mappings: the arena is there from the beginning. */
static struct shared {
	u32 ready;
	char error[1000];
} * shared;
static char *arena_code, *arena_data;
static const struct resource *file_resources[REGISTRY_COUNT + 1];

static void set_up(void)
{
	shared = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	arena_code = mmap(NULL, PAGE_BYTES + ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(shared != MAP_FAILED && arena_code != MAP_FAILED);
	arena_data = arena_code + PAGE_BYTES;
	memcpy(arena_code, parasite_blob_begin, (size_t)(parasite_blob_end - parasite_blob_begin));
	CHECK_OK(mprotect(arena_code, PAGE_BYTES, PROT_READ | PROT_EXEC));
	size_t n = 0;
	for (const struct resource *const *r = registry; *r; r++)
		if ((*r)->scope == SCOPE_FILE)
			file_resources[n++] = *r;
	CHECK_OK(diag_begin("test", "files"));
}

static void fail_in_child(const char *text)
{
	snprintf(shared->error, sizeof shared->error, "%s", text);
	__atomic_store_n(&shared->ready, 2, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

static void child_ready(void)
{
	__atomic_store_n(&shared->ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

static void await_child(pid_t pid)
{
	while (!__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST)) {
		CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
		usleep(1000);
	}
	if (shared->ready == 2)
		FAIL("%s", shared->error);
	shared->ready = 0;
}

static void end_child(pid_t pid)
{
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void collect_child(pid_t pid, struct graph *graph)
{
	struct caps caps = { 0 };
	struct tree tree = { 0 };
	const struct collect_config config = { .caps = &caps, .resources = file_resources, .no_bpf = true, .no_hijack = true };
	int r = tree_freeze(&tree, pid, &(struct freeze_options){ .timeout = 5000000000ull });
	if (r == 0)
		r = collect(graph, &tree, &config);
	tree_free(&tree);
	if (r < 0)
		diag_print_text(2);
	CHECK_EQ(r, 0);
}

static int judge(const struct graph *graph, enum direction direction)
{
	int r = 0;
	for (const struct resource *const *res = file_resources; *res; res++)
		for (struct object *o = NULL; (o = graph_next(graph, (*res)->kind, o));)
			if ((*res)->judge(graph, o, direction) < 0)
				r = -EINVAL;
	return r;
}

static bool is_named_by_fd(const struct graph *graph, u32 file)
{
	for (struct object *o = NULL; (o = graph_next(graph, &kind_fds, o));)
		for (u32 i = 0; i < o->count; i++)
			if (((const struct fd_entry *)o->data)[i].file == file)
				return true;
	return false;
}

/* The world's plan of all files; mapped ones are not wanted: their contents are not at hand. */
static struct plan *plan_files(const struct graph *graph)
{
	struct plan *plan = plan_new(&(struct plan_config){ .first_service_fd = FIRST_FD });
	for (const struct resource *const *res = file_resources; *res; res++)
		for (struct object *o = NULL; (o = graph_next(graph, (*res)->kind, o));) {
			if (!strcmp((*res)->name, "shmem") && !is_named_by_fd(graph, o->id))
				continue;
			plan_for(plan, "%s %u", (*res)->name, o->id);
			CHECK_EQ((*res)->plan(plan, graph, o), 0);
		}
	CHECK_EQ(plan_seal(plan), 0);
	CHECK(plan_size(plan) < ROOM);
	return plan;
}

static void run_plan(const struct plan *plan)
{
	plan_emit(plan, arena_data, (u64)(uintptr_t)arena_data);
	struct arena *arena = (struct arena *)arena_data;
	struct array *world = (struct array *)(arena_data + arena->arrays);
	machine_run(arena, world);
	if (world->state == ARRAY_PARKED)
		return;
	struct text line = { 0 };
	plan_print_step(&line, plan, (const struct step *)(arena_data + arena->steps) + world->pc);
	FAIL("%s gave %lld", line.data, (long long)world->error);
}

static void restore_child(const struct graph *graph, pid_t first)
{
	const struct object *fds = graph_find(graph, &kind_fds, (u32)first);
	close_range(0, FIRST_FD - 1, 0);
	for (u32 i = 0; i < fds->count; i++) {
		const struct fd_entry *e = (const struct fd_entry *)fds->data + i;
		if (dup3(FIRST_FD + (int)e->file, (int)e->fd, e->cloexec ? O_CLOEXEC : 0) < 0)
			fail_in_child("dup3");
	}
	close_range(FIRST_FD, ~0u, 0);
	child_ready();
}

/* Without what the harness has open. */
static void quiet(void)
{
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_range(3, ~0u, 0);
}

/* Makes, restores, compares; with plan_text the plan as it is printed. */
static void round_trip(void (*make)(void), struct text *plan_text)
{
	static const char *const ignored[] = { "host", "task", "thread", "mm", "vmas", "memory", "vdso", NULL };
	struct graph before = { 0 }, after = { 0 };
	struct text differences = { 0 };
	set_up();
	pid_t first = (pid_t)CHECK_OK(fork());
	if (!first) {
		quiet();
		make();
		child_ready();
	}
	await_child(first);
	collect_child(first, &before);
	if (judge(&before, DIRECTION_DUMP) < 0) {
		diag_print_text(2);
		FAIL("refused");
	}
	end_child(first);
	if (judge(&before, DIRECTION_RESTORE) < 0) {
		diag_print_text(2);
		FAIL("refused at restore");
	}
	struct plan *plan = plan_files(&before);
	if (plan_text)
		plan_print(plan_text, plan, NULL);
	run_plan(plan);
	/* of the same id: descriptor tables are known by it */
	struct clone_args again = { .exit_signal = SIGCHLD, .set_tid = (u64)(uintptr_t)&first, .set_tid_size = 1 };
	if (!CHECK_OK(syscall(SYS_clone3, &again, sizeof again)))
		restore_child(&before, first);
	await_child(first);
	collect_child(first, &after);
	end_child(first);
	if (graph_compare(&differences, &before, &after, ignored))
		FAIL("%s", differences.data);
	plan_free(plan);
	graph_free(&before);
	graph_free(&after);
}

static void must(bool condition, const char *what)
{
	if (!condition)
		fail_in_child(what);
}
#define MUST(condition) must(condition, #condition)

/* --- eventfd --- */

static void make_eventfds(void)
{
	MUST(eventfd(5, EFD_SEMAPHORE | EFD_CLOEXEC) >= 0);
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 large = UINT64_MAX - 1;
	MUST(write(fd, &large, sizeof large) == sizeof large && dup(fd) >= 0);
}

TEST(eventfd, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_eventfds, &plan);
	CHECK_CONTAINS(plan.data, "eventfd2(5, ");
	CHECK_CONTAINS(plan.data, "write(");
	text_free(&plan);
}

/* --- timerfd, signalfd --- */

static void make_timerfds(void)
{
	struct itimerspec late = { .it_value = { 1000, 0 }, .it_interval = { 3, 4 } }, soon = { .it_value = { 0, 1 } };
	int idle = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC), armed = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int expired = timerfd_create(CLOCK_MONOTONIC, 0), absolute = timerfd_create(CLOCK_REALTIME, 0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT };
	MUST(idle >= 0 && timerfd_settime(armed, 0, &late, NULL) == 0 && timerfd_settime(expired, 0, &soon, NULL) == 0);
	late.it_value.tv_sec = time(NULL) + 1000;
	MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &late, NULL) == 0);
	int ep = epoll_create1(0);
	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, expired, &e) == 0 && epoll_wait(ep, &e, 1, 1000) == 1);
}

TEST(timerfds, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_timerfds, &plan);
	CHECK_CONTAINS(plan.data, "timerfd_create(7, ");
	CHECK_CONTAINS(plan.data, "timerfd_settime(");
	text_free(&plan);
}

static void make_signalfds(void)
{
	sigset_t set;
	sigemptyset(&set);
	MUST(signalfd(-1, &set, SFD_NONBLOCK) >= 0);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGRTMAX);
	int fd = signalfd(-1, &set, SFD_CLOEXEC), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	MUST(fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && dup(fd) >= 0);
}

TEST(signalfds, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_signalfds, &plan);
	CHECK_CONTAINS(plan.data, "signalfd4(0xffffffffffffffff, ");
	text_free(&plan);
}

/* --- inotify --- */

static void make_watches(void)
{
	int fd = inotify_init1(IN_NONBLOCK), plain = inotify_init1(IN_CLOEXEC), gone = 0;
	static char events[4096];
	MUST(inotify_add_watch(fd, "/", IN_DELETE_SELF) == 1);
	for (int i = 0; i < 20; i++) {
		gone = inotify_add_watch(fd, "/usr", IN_DELETE_SELF);
		MUST(gone == i + 2 && inotify_rm_watch(fd, gone) == 0);
	}
	MUST(read(fd, events, sizeof events) > 0 && inotify_add_watch(fd, "/usr", IN_MOVE_SELF | IN_EXCL_UNLINK) == gone + 1);
	MUST(inotify_add_watch(fd, "/etc/passwd", IN_DELETE_SELF) == gone + 2);
	MUST(inotify_add_watch(plain, "/proc", IN_DELETE_SELF | IN_ONESHOT) == 1);
}

/* Nothing says that the kernel takes watch descriptors: they are counted up. */
TEST(inotify, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_watches, &plan);
	CHECK_CONTAINS(plan.data, "branch(");
	CHECK_CONTAINS(plan.data, " = 22 ");
	text_free(&plan);
}

/* --- pipes --- */

static void make_pipes(void)
{
	int fds[2], closed[2];
	char path[32];
	static char much[150000];
	MUST(pipe2(fds, O_CLOEXEC) == 0 && write(fds[1], "some data", 9) == 9);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fds[0]);
	MUST(open(path, O_RDWR | O_NONBLOCK) >= 0 && open(path, O_RDONLY) >= 0);
	MUST(pipe2(fds, O_NONBLOCK) == 0 && fcntl(fds[1], F_SETPIPE_SZ, 1 << 18) == 1 << 18);
	memset(much, 'p', sizeof much);
	MUST(write(fds[1], much, sizeof much) == sizeof much);
	MUST(pipe(closed) == 0 && write(closed[1], "last", 4) == 4 && close(closed[1]) == 0);
	MUST(pipe(closed) == 0 && close(closed[0]) == 0);
}

TEST(pipes, .root = true) { round_trip(make_pipes, NULL); }

static void make_packets(void)
{
	int fds[2], one[2], mixed[2];
	MUST(pipe2(fds, O_DIRECT) == 0 && write(fds[1], "one", 3) == 3 && write(fds[1], "three", 5) == 5);
	MUST(pipe2(one, O_DIRECT | O_NONBLOCK) == 0 && write(one[1], "alone", 5) == 5);
	MUST(pipe2(mixed, O_DIRECT) == 0 && write(mixed[1], "a", 1) == 1 && write(mixed[1], "b", 1) == 1);
	MUST(fcntl(mixed[1], F_SETFL, 0) == 0);
}

TEST(packets, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_packets, &plan);
	CHECK_CONTAINS(plan.data, "3) = 3");
	CHECK_CONTAINS(plan.data, "5) = 5");
	text_free(&plan);
}

static void make_fifo(void)
{
	int both = open("fifo", O_RDWR | O_NONBLOCK);
	MUST(both >= 0 && write(both, "in a fifo", 9) == 9);
	MUST(open("fifo", O_RDONLY) >= 0 && open("fifo", O_WRONLY | O_NONBLOCK) >= 0);
}

/* The test has a mount namespace of its own. */
static void in_own_directory(void)
{
	CHECK_OK(mount("none", "/mnt", "tmpfs", 0, NULL));
	CHECK_OK(chdir("/mnt"));
}

TEST(fifo, .root = true)
{
	in_own_directory();
	CHECK_OK(mkfifo("fifo", 0600));
	round_trip(make_fifo, NULL);
}

/* A pipe whose other side is not in the tree is refused by name. */
static int outside[2];
static void make_external(void) { close(outside[1]); }

TEST(pipe_external)
{
	struct graph graph = { 0 };
	CHECK_OK(pipe(outside));
	set_up();
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		make_external();
		child_ready();
	}
	await_child(pid);
	collect_child(pid, &graph);
	CHECK(judge(&graph, DIRECTION_DUMP) < 0);
	CHECK(diag_has(DIAG_PIPE_EXTERNAL));
	end_child(pid);
	graph_free(&graph);
}

/* --- files --- */

static void make_files(void)
{
	int fd = open("file", O_RDWR | O_CREAT | O_APPEND, 0640), dir = open(".", O_RDONLY | O_DIRECTORY);
	MUST(fd >= 0 && dir >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 3, SEEK_SET) == 3);
	MUST(open("file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) >= 0 && open("file", O_WRONLY | O_NONBLOCK | O_DSYNC) >= 0);
	MUST(open("link", O_PATH | O_NOFOLLOW) >= 0 && open(".", O_PATH | O_DIRECTORY) >= 0);
	MUST(open("/dev/null", O_RDWR) >= 0 && open("/dev/urandom", O_RDONLY) >= 0 && open("/dev/full", O_WRONLY) >= 0);
	MUST(open("/proc/sys/kernel/ostype", O_RDONLY) >= 0);
}

TEST(files, .root = true)
{
	struct text plan = { 0 };
	in_own_directory();
	CHECK_OK(symlink("file", "link"));
	round_trip(make_files, &plan);
	CHECK_CONTAINS(plan.data, ", 3) = 3");
	text_free(&plan);
}

/* --- locks --- */

static void make_locks(void)
{
	int memory = memfd_create("locked", 0), file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct flock range = { .l_type = F_WRLCK, .l_start = 3, .l_len = 5 };
	MUST(memory >= 0 && file >= 0 && open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0 && dup(file) >= 0);
	MUST(flock(memory, LOCK_EX) == 0 && fcntl(file, F_SETLK, &range) == 0);
	range.l_type = F_RDLCK, range.l_start = 100, range.l_len = 0;
	MUST(fcntl(file, F_OFD_SETLK, &range) == 0);
}

static void check_lock(const Ckpt__Lock *l, const char *kind, const char *mode, u64 start, u64 length)
{
	CHECK_STR(l->kind, kind);
	CHECK_STR(l->mode, mode);
	CHECK_EQ(l->start, start);
	CHECK_EQ(l->length, length);
}

/* In the host's pid namespace the list of all locks tells which files are asked. */
TEST(locks, .root = true, .host = true)
{
	struct graph graph = { 0 };
	set_up();
	size_t n = 0;
	while (file_resources[n])
		n++;
	file_resources[n] = &resource_locks;
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		quiet();
		make_locks();
		child_ready();
	}
	await_child(pid);
	collect_child(pid, &graph);
	end_child(pid);
	const Ckpt__Locks *m = graph_data(&graph, resource_locks.kind, (u32)pid);
	CHECK(m);
	CHECK_EQ(m->n_lock, 3);
	check_lock(m->lock[0], "flock", "write", 0, 0);
	check_lock(m->lock[1], "posix", "write", 3, 5);
	check_lock(m->lock[2], "ofd", "read", 100, 0);
	CHECK(m->lock[1]->file == m->lock[2]->file && m->lock[0]->file != m->lock[1]->file);
	graph_free(&graph);
}

/* --- unix sockets --- */

static void send_files(int to, const char *text, const int *fds, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int))
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){ CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	MUST(sendmsg(to, &m, 0) == (ssize_t)strlen(text));
}

static void make_streams(void)
{
	int a[2] = { 0 }, b[2] = { 0 }, inner[2] = { 0 }, widow[2] = { 0 }, reset[2] = { 0 }, half[2] = { 0 }, size = 50000;
	struct timeval patience = { 3, 250000 };
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, a) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inner) == 0);
	MUST(write(a[0], "plain, ", 7) == 7 && write(a[0], "and more", 8) == 8);
	send_files(a[0], "with two", (int[]){ inner[0], 0 }, 2);
	send_files(a[0], "and itself and its peer", (int[]){ a[0], a[1] }, 2);
	MUST(write(a[0], "the end", 7) == 7 && write(a[1], "back", 4) == 4);
	send_files(inner[1], "in the inner one", (int[]){ b[0] }, 1);
	close(inner[0]);
	MUST(setsockopt(b[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
	MUST(setsockopt(b[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, widow) == 0 && write(widow[1], "bye", 3) == 3 && close(widow[1]) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, reset) == 0 && write(reset[0], "unread", 6) == 6 && close(reset[1]) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0 && write(half[0], "x", 1) == 1 && shutdown(half[0], SHUT_WR) == 0);
	MUST(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
}

TEST(unix_streams, .root = true)
{
	struct text plan = { 0 };
	round_trip(make_streams, &plan);
	CHECK_CONTAINS(plan.data, "= 15"); /* "plain, and more" in one piece, up to where descriptors begin */
	text_free(&plan);
}

static void make_messages(void)
{
	int dgram[2] = { 0 }, seq[2] = { 0 }, on = 1;
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq) == 0);
	MUST(write(dgram[0], "one", 3) == 3 && send(dgram[0], "", 0, 0) == 0 && write(dgram[0], "three", 5) == 5);
	send_files(dgram[0], "four", (int[]){ dgram[1], 1 }, 2);
	MUST(setsockopt(seq[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
	MUST(write(seq[0], "from me", 7) == 7 && write(seq[0], "again", 5) == 5);
	send_files(seq[0], "with a file", (int[]){ 0 }, 1);
}

TEST(unix_messages, .root = true) { round_trip(make_messages, NULL); }

/* --- terminals --- */

static void make_terminals(void)
{
	struct winsize size = { 44, 123, 5, 6 };
	struct termios termios = { 0 };
	int one = 1, zero = 0, spare[3];
	for (int i = 0; i < 3; i++)
		MUST((spare[i] = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0);
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	MUST(master >= 0 && ioctl(master, TIOCSPTLCK, &zero) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0);
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	MUST(slave >= 0 && tcgetattr(slave, &termios) == 0 && ioctl(slave, TIOCGPTPEER) < 0);
	termios.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	termios.c_cc[VMIN] = 3;
	cfsetspeed(&termios, B115200);
	MUST(tcsetattr(slave, TCSANOW, &termios) == 0);
	MUST(ioctl(spare[1], TIOCSPTLCK, &zero) == 0);
	MUST(close(ioctl(spare[1], TIOCGPTPEER, O_RDWR | O_NOCTTY)) == 0 && ioctl(spare[1], TIOCPKT, &one) == 0);
	close(spare[0]);
	close(spare[2]);
	MUST(setsid() >= 0 && ioctl(slave, TIOCSCTTY, 0) == 0 && open("/dev/tty", O_RDWR) >= 0);
	MUST(ioctl(slave, TIOCNOTTY) == 0);
}

TEST(terminals, .root = true)
{
	struct text plan = { 0 };
	signal(SIGHUP, SIG_IGN);
	round_trip(make_terminals, &plan);
	CHECK_CONTAINS(plan.data, "branch(");
	text_free(&plan);
}

/* --- memory objects --- */

static void make_memory(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING), plain = memfd_create("plain", MFD_CLOEXEC);
	char path[32];
	MUST(fd >= 0 && plain >= 0 && ftruncate(fd, 12345) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	MUST(fchmod(plain, 0640) == 0 && lseek(plain, 99, SEEK_SET) == 99);
	snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
	MUST(open(path, O_RDONLY) >= 0);
}

TEST(memfds, .root = true)
{
#ifdef __SANITIZE_ADDRESS__
	SKIP("the shadow of ASan lies where memory objects are filled");
#endif
	round_trip(make_memory, NULL);
}
