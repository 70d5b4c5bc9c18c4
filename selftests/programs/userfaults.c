// SPDX-License-Identifier: LGPL-2.1-or-later
/* userfaults DIR [WHAT]: memory whose faults userfaultfd(2) answers: pages that are missing, given by a thread and by a child; one that a
 * thread waits for; pages that are write-protected, with and without answers (UFFD_FEATURE_WP_ASYNC); minor faults of a memfd.
 * outside: a process outside of the tree has the only descriptor; flight: a socket has; locked: memory of missing pages is locked;
 * nobody: a descriptor of the memory of a process that has ended; call, event: a thread waits in a system call for a page, or for its event
 * to be taken. */
#include "judge.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PAGE 4096ul
#define PAGES 512 /* 2 MiB */
#define USER_MODE_ONLY 1
#define WP_UNPOPULATED (1ull << 13)
#define WP_ASYNC (1ull << 15)

/* One descriptor, the memory that it answers for, and how often each page was asked for. */
struct paged {
	int fd;
	volatile char *memory; /* a touch changes what was asked for */
	char *source;          /* what a missing page holds */
	volatile int asked[PAGES];
};
static struct paged missing, tracked, quiet, minor, *childs;
static pthread_mutex_t answers = PTHREAD_MUTEX_INITIALIZER; /* held: no page is given */
static volatile char *waited_for;

static int open_with(int flags, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static char *map(int flags, int fd)
{
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	MUST(memory != MAP_FAILED);
	return memory;
}

/* Where a huge page could be. */
static char *plain(void)
{
	char *memory = mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(memory != MAP_FAILED);
	return memory + -(uintptr_t)memory % (PAGES * PAGE);
}

static void answer_for(const struct paged *p, uint64_t mode)
{
	struct uffdio_register range = { .range = { (uintptr_t)p->memory, PAGES * PAGE }, .mode = mode };
	MUST_EQ(ioctl(p->fd, UFFDIO_REGISTER, &range), 0);
}

static void protect(const struct paged *p, int page, int count, bool on)
{
	struct uffdio_writeprotect w = { .range = { (uintptr_t)p->memory + (uintptr_t)page * PAGE, (uintptr_t)count * PAGE },
					 .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };
	MUST_EQ(ioctl(p->fd, UFFDIO_WRITEPROTECT, &w), 0);
}

/* A page that was given meanwhile is not given again: who was stopped in a fault has it, and tells of it, twice. */
static void give(const struct paged *p, int page)
{
	uintptr_t at = (uintptr_t)p->memory + (uintptr_t)page * PAGE;
	struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)p->source + (uintptr_t)page * PAGE, .len = PAGE };
	MUST(ioctl(p->fd, UFFDIO_COPY, &copy) == 0 || errno == EEXIST);
	struct uffdio_range range = { at, PAGE };
	MUST_EQ(ioctl(p->fd, UFFDIO_WAKE, &range), 0);
}

static void answer(struct paged *p, const struct uffd_msg *msg)
{
	int page = (int)((msg->arg.pagefault.address - (uintptr_t)p->memory) / PAGE);
	MUST(msg->event == UFFD_EVENT_PAGEFAULT && page >= 0 && page < PAGES);
	__atomic_add_fetch(&p->asked[page], 1, __ATOMIC_SEQ_CST);
	if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		protect(p, page, 1, false);
	} else if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) {
		struct uffdio_continue go = { .range = { (uintptr_t)p->memory + (uintptr_t)page * PAGE, PAGE } };
		MUST(ioctl(p->fd, UFFDIO_CONTINUE, &go) == 0 || errno == EEXIST);
	} else {
		pthread_mutex_lock(&answers);
		give(p, page);
		pthread_mutex_unlock(&answers);
	}
}

/* Non-blocking, by poll(2); others read. */
static void *serve(void *arg)
{
	struct paged *p = arg;
	for (;;) {
		struct uffd_msg msg;
		struct pollfd fd = { .fd = p->fd, .events = POLLIN };
		if (p == &tracked)
			MUST_EQ(poll(&fd, 1, -1), 1);
		ssize_t n = read(p->fd, &msg, sizeof msg);
		if (n == sizeof msg)
			answer(p, &msg);
		else
			MUST(n < 0 && (errno == EAGAIN || errno == EINTR));
	}
	return NULL;
}

static void start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	MUST_EQ(pthread_create(&thread, NULL, run, arg), 0);
}

static void *touch(void *arg)
{
	MUST_EQ(*(volatile char *)arg, 'g');
	__atomic_store_n(&waited_for, NULL, __ATOMIC_SEQ_CST);
	return NULL;
}

/* A bit of the page's entry in pagemap. */
static bool page_is(int bit, volatile const char *address)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	MUST_EQ(pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)address / PAGE * sizeof entry)), sizeof entry);
	close(fd);
	return entry >> bit & 1;
}

static bool is_there(volatile const char *address) { return page_is(63, address); }
static bool is_protected(volatile const char *address) { return page_is(57, address); }

/* Pages 0 and 1 were given, 2 is a zero page, 9 is waited for by a thread. */
static void make_missing(void)
{
	missing = (struct paged){ .fd = open_with(0, 0), .memory = plain(), .source = plain() };
	MUST(missing.fd >= 0);
	for (int i = 0; i < 10; i++)
		memset(missing.source + (size_t)i * PAGE, i == 9 ? 'g' : 'A' + i, PAGE);
	madvise((char *)missing.memory, PAGES * PAGE, MADV_HUGEPAGE);
	answer_for(&missing, UFFDIO_REGISTER_MODE_MISSING);
	start(serve, &missing);
	MUST(missing.memory[0] == 'A' && missing.memory[PAGE] == 'B');
	struct uffdio_zeropage zero = { .range = { (uintptr_t)missing.memory + 2 * PAGE, PAGE } };
	MUST_EQ(ioctl(missing.fd, UFFDIO_ZEROPAGE, &zero), 0);
	pthread_mutex_lock(&answers);
	waited_for = missing.memory + 9 * PAGE;
	start(touch, (char *)waited_for);
	while (!__atomic_load_n(&missing.asked[9], __ATOMIC_SEQ_CST))
		judge_nap(1);
}

static void judge_missing(void)
{
	MUST(!is_there(waited_for) && !is_there(missing.memory + 3 * PAGE));
	MUST(is_there(missing.memory) && is_there(missing.memory + 2 * PAGE));
	pthread_mutex_unlock(&answers);
	while (__atomic_load_n(&waited_for, __ATOMIC_SEQ_CST))
		judge_nap(1);
	MUST(missing.memory[0] == 'A' && missing.memory[PAGE] == 'B' && missing.memory[2 * PAGE] == 0);
	MUST(missing.asked[0] == 1 && missing.asked[1] == 1 && !missing.asked[2] && !missing.asked[3]);
	MUST_EQ(missing.memory[3 * PAGE], 'D');
	MUST_EQ(missing.asked[3], 1);
}

/* Pages 0 to 7 have contents; 0 to 3 were protected, and 1 was written. */
static void make_tracked(void)
{
	tracked = (struct paged){ .fd = open_with(O_NONBLOCK, UFFD_FEATURE_PAGEFAULT_FLAG_WP), .memory = plain() };
	if (tracked.fd >= 0) {
		memset((char *)tracked.memory, 't', 8 * PAGE);
		answer_for(&tracked, UFFDIO_REGISTER_MODE_WP);
		start(serve, &tracked);
		protect(&tracked, 0, 4, true);
	}
	if (tracked.fd < 0 || !is_protected(tracked.memory)) /* arm64 before Linux 6.10, where some let it be asked for */
		judge_fail("skip: the kernel protects no pages from writes (userfaultfd)");
	tracked.memory[PAGE] = 'w';
	MUST_EQ(tracked.asked[1], 1);
}

static void judge_tracked(void)
{
	if (tracked.fd < 0)
		return;
	tracked.memory[PAGE] = tracked.memory[5 * PAGE] = tracked.memory[2 * PAGE] = 'x';
	MUST(tracked.asked[1] == 1 && !tracked.asked[5] && tracked.asked[2] == 1);
	MUST(tracked.memory[0] == 't' && tracked.memory[3 * PAGE] == 't' && tracked.memory[2 * PAGE] == 'x');
	MUST_EQ(fcntl(tracked.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

/* Nobody is told: a page that is written loses its protection, be it there or not. All were protected, and 3 and 12 were written. */
static void make_quiet(void)
{
	quiet = (struct paged){ .fd = open_with(USER_MODE_ONLY, WP_ASYNC | WP_UNPOPULATED) };
	if (quiet.fd < 0) /* before Linux 6.7 */
		return;
	quiet.memory = plain();
	memset((char *)quiet.memory, 'q', 8 * PAGE);
	answer_for(&quiet, UFFDIO_REGISTER_MODE_WP);
	protect(&quiet, 0, PAGES, true);
	quiet.memory[3 * PAGE] = quiet.memory[12 * PAGE] = 'w';
}

static void judge_quiet(void)
{
	if (quiet.fd < 0)
		return;
	for (int i = 0; i < PAGES; i++)
		MUST_EQ(is_protected(quiet.memory + (size_t)i * PAGE), i != 3 && i != 12);
	quiet.memory[4 * PAGE] = quiet.memory[13 * PAGE] = 'x';
	MUST(!is_protected(quiet.memory + 4 * PAGE) && !is_protected(quiet.memory + 13 * PAGE));
	MUST(quiet.memory[0] == 'q' && quiet.memory[3 * PAGE] == 'w' && !quiet.memory[20 * PAGE]);
}

/* What another mapping has written is there, but the first touch is told; that of page 0 was. */
static void make_minor(void)
{
	int memory = memfd_create("minor", MFD_CLOEXEC);
	minor.fd = open_with(0, 1 << 10 /* UFFD_FEATURE_MINOR_SHMEM, 5.14 */);
	if (minor.fd < 0)
		return;
	MUST(memory >= 0 && ftruncate(memory, PAGES * PAGE) == 0);
	minor.memory = map(MAP_SHARED, memory);
	minor.source = map(MAP_SHARED, memory);
	memset(minor.source, 'm', 8 * PAGE);
	answer_for(&minor, UFFDIO_REGISTER_MODE_MINOR);
	start(serve, &minor);
	MUST(minor.memory[0] == 'm' && minor.asked[0] == 1);
}

static void judge_minor(void)
{
	if (minor.fd < 0)
		return;
	MUST(!minor.asked[1] && minor.memory[PAGE] == 'm' && minor.asked[1] == 1);
	MUST(minor.memory[0] == 'm' && minor.asked[0] == 1);
}

/* A child answers for memory of its parent, by the descriptor that both have. */
static pid_t make_childs(void)
{
	childs = mmap(NULL, sizeof *childs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(childs != MAP_FAILED);
	*childs = (struct paged){ .fd = open_with(0, 0), .memory = plain(), .source = plain() };
	memset(childs->source, 'a', PAGE);
	memset(childs->source + PAGE, 'b', PAGE);
	answer_for(childs, UFFDIO_REGISTER_MODE_MISSING);
	pid_t child = fork();
	MUST(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(childs);
	}
	MUST(childs->memory[0] == 'a' && childs->asked[0] == 1);
	return child;
}

static void judge_childs(pid_t child)
{
	MUST(!is_there(childs->memory + PAGE) && !childs->asked[1]);
	MUST(childs->memory[PAGE] == 'b' && childs->asked[1] == 1);
	MUST(childs->memory[0] == 'a' && childs->asked[0] == 1);
	MUST(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

/* One that has not been asked what it can do. */
static void judge_unasked(int fd)
{
	struct uffd_msg msg;
	struct uffdio_api api = { .api = UFFD_API };
	MUST(read(fd, &msg, sizeof msg) == -1 && errno == EINVAL);
	MUST_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	MUST(read(fd, &msg, sizeof msg) == -1 && errno == EAGAIN);
}

static void *write_missing(void *arg)
{
	int *ends = arg;
	MUST_EQ(write(ends[1], (const char *)missing.memory, 1), 1);
	return NULL;
}

static void *give_up_memory(void *arg)
{
	MUST_EQ(madvise((char *)missing.memory, PAGE, MADV_DONTNEED), 0);
	return arg;
}

/* A thread that waits inside of a system call for a page, or for an event to be taken, cannot be stopped; the page or the event is there
 * when the verdict is asked for. */
static int unanswered(const char *what)
{
	static int ends[2];
	bool event = !strcmp(what, "event");
	struct uffd_msg msg;
	missing = (struct paged){ .fd = open_with(O_NONBLOCK, event ? UFFD_FEATURE_EVENT_REMOVE : 0), .memory = plain() };
	missing.source = plain();
	MUST(missing.fd >= 0 && pipe(ends) == 0);
	answer_for(&missing, UFFDIO_REGISTER_MODE_MISSING);
	start(event ? give_up_memory : write_missing, ends);
	MUST_EQ(poll(&(struct pollfd){ .fd = missing.fd, .events = POLLIN }, 1, -1), 1);
	judge_wait();
	while (read(missing.fd, &msg, sizeof msg) != sizeof msg) /* who was to be stopped asks, and goes, again and again */
		MUST_EQ(errno, EAGAIN);
	if (!event)
		give(&missing, 0);
	return judge_pass();
}

/* A process outside of the tree has the descriptor until the verdict. */
static void keep_outside(void)
{
	pid_t child = fork();
	MUST(child >= 0);
	if (child == 0 && fork() == 0) {
		while (access(judge_path("verdict"), F_OK) < 0)
			judge_nap(20);
		_exit(0);
	}
	if (child == 0)
		_exit(0);
	MUST_EQ(waitpid(child, NULL, 0), child);
}

/* A descriptor of the memory of a child that has ended. */
static int of_nobody(void)
{
	int fd = -1;
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	MUST(child >= 0);
	if (child == 0)
		_exit(open_with(0, 0) < 0);
	MUST_EQ(waitpid(child, NULL, 0), child);
	for (int i = 3; i < 100 && fd < 0; i++) {
		char link[64] = "";
		char path[32];
		snprintf(path, sizeof path, "/proc/self/fd/%d", i);
		fd = readlink(path, link, sizeof link - 1) > 0 && strstr(link, "userfaultfd") ? i : -1;
	}
	return fd;
}

static void send_to(int fd, int socket)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec byte = { (char[]){ 0 }, 1 };
	struct msghdr msg = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof fd);
	MUST_EQ(sendmsg(socket, &msg, 0), 1);
}

static int refused(const char *what)
{
	int ends[2];
	if (!strcmp(what, "nobody")) {
		MUST(of_nobody() >= 0);
		judge_wait();
		return judge_pass();
	}
	missing = (struct paged){ .fd = open_with(0, 0), .memory = plain() };
	MUST(missing.fd >= 0);
	if (!strcmp(what, "locked"))
		MUST_EQ(mlock((char *)missing.memory, PAGES * PAGE), 0);
	answer_for(&missing, UFFDIO_REGISTER_MODE_MISSING);
	if (!strcmp(what, "outside"))
		keep_outside();
	MUST_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	if (!strcmp(what, "flight"))
		send_to(missing.fd, ends[0]);
	if (strcmp(what, "locked") != 0)
		close(missing.fd);
	judge_wait();
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2)
		return !strcmp(argv[2], "event") || !strcmp(argv[2], "call") ? unanswered(argv[2]) : refused(argv[2]);
	int unasked = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (unasked < 0)
		judge_fail("skip: userfaultfd(2): %s", strerror(errno));
	pid_t child = make_childs();
	make_missing();
	make_tracked();
	make_quiet();
	make_minor();
	judge_wait();
	judge_unasked(unasked);
	judge_childs(child);
	judge_missing();
	judge_tracked();
	judge_quiet();
	judge_minor();
	return judge_pass();
}
