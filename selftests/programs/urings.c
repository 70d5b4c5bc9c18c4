// SPDX-License-Identifier: LGPL-2.1-or-later
/* urings DIR [WHAT]: rings of io_uring(7): a new one; one whose queues have come round, with completions that nobody has taken and a
 * request that was written but not submitted; one with large entries; one of a thread that alone submits; one that is not switched on
 * yet. busy: one waits for a pipe; worker: its last request was done by a worker of the kernel; registered: one has registered files,
 * buffers and an eventfd; orphan, personality: what is not carried; skipped: a request without a completion; unmapped: its entries are not
 * mapped; polled: there are two for which a thread of the kernel submits, with less rights than root has; regained: the program has got
 * its rights back since. */
#include "judge.h"
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1u << 12)
#define IORING_SETUP_DEFER_TASKRUN (1u << 13)
#endif

struct ring {
	int fd;
	unsigned flags, entries, completions, local; /* local: where the next request goes */
	char *queues, *sqes;
	struct io_uring_params p;
};

static struct ring fresh, wrapped, large, own, off, polled, asleep;
static int null, ends[2], epoll, told;
static char *buffer; /* two pages */
static pid_t child;
static pthread_t owner;
static pthread_barrier_t step; /* of main and the owner of `own` */

static unsigned *word(const struct ring *r, unsigned offset) { return (unsigned *)(r->queues + offset); }
static size_t sqe_bytes(const struct ring *r) { return r->flags & IORING_SETUP_SQE128 ? 128 : 64; }
static size_t cqe_bytes(const struct ring *r) { return r->flags & IORING_SETUP_CQE32 ? 32 : 16; }

static void set_up(struct ring *r, unsigned entries, unsigned flags)
{
	*r = (struct ring){ .p.flags = flags, .p.sq_thread_idle = 20, .flags = flags, .entries = entries };
	r->fd = (int)syscall(SYS_io_uring_setup, entries, &r->p);
	if (r->fd < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM))
		judge_fail("skip: the kernel makes no rings of this kind (%s)", strerror(errno));
	MUST(r->fd >= 0);
	r->completions = r->p.cq_entries;
	size_t bytes = r->p.cq_off.cqes + r->completions * cqe_bytes(r) + r->entries * sizeof(unsigned);
	r->queues = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, entries * sqe_bytes(r), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	MUST(r->queues != MAP_FAILED && r->sqes != MAP_FAILED);
	for (unsigned i = 0; i < entries; i++)
		word(r, r->p.sq_off.array)[i] = i;
}

/* Writes a request; it is not submitted yet. */
static struct io_uring_sqe *prepare(struct ring *r, unsigned char opcode, int fd, unsigned long long data)
{
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)(r->sqes + (r->local++ & (r->entries - 1)) * sqe_bytes(r));
	memset(sqe, 0, sqe_bytes(r));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = data;
	return sqe;
}

/* The kernel's thread sees it, or is woken when it says that it sleeps. */
static void submit_polled(struct ring *r)
{
	__atomic_store_n(word(r, r->p.sq_off.tail), r->local, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(word(r, r->p.sq_off.flags), __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
		MUST_EQ(syscall(SYS_io_uring_enter, r->fd, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0), 0);
	while (__atomic_load_n(word(r, r->p.cq_off.tail), __ATOMIC_ACQUIRE) != r->local)
		sched_yield();
}

static void submit(struct ring *r, unsigned wait)
{
	unsigned count = r->local - *word(r, r->p.sq_off.head);
	if (r->flags & IORING_SETUP_SQPOLL) {
		submit_polled(r);
		return;
	}
	__atomic_store_n(word(r, r->p.sq_off.tail), r->local, __ATOMIC_RELEASE);
	MUST_EQ(syscall(SYS_io_uring_enter, r->fd, count, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0), count);
	MUST_EQ(*word(r, r->p.sq_off.head), r->local);
}

static unsigned waiting(const struct ring *r)
{
	return __atomic_load_n(word(r, r->p.cq_off.tail), __ATOMIC_ACQUIRE) - *word(r, r->p.cq_off.head);
}

/* Takes the next completion, which must be this one. */
static void take(struct ring *r, unsigned long long data, int result)
{
	MUST(waiting(r));
	unsigned head = *word(r, r->p.cq_off.head);
	struct io_uring_cqe *cqe =
		(struct io_uring_cqe *)(r->queues + r->p.cq_off.cqes + (head & (r->completions - 1)) * cqe_bytes(r));
	MUST_EQ(cqe->user_data, data);
	MUST_EQ(cqe->res, result);
	__atomic_store_n(word(r, r->p.cq_off.head), head + 1, __ATOMIC_RELEASE);
}

static void come_round(struct ring *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		prepare(r, IORING_OP_NOP, -1, i);
		submit(r, 0);
		take(r, i, 0);
	}
}

/* What a ring is for: data goes there and back, and all of it is used several times. */
static void work(struct ring *r)
{
	char text[16] = "";
	struct io_uring_sqe *sqe;
	int fd = open(judge_path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	sqe = prepare(r, IORING_OP_WRITE, fd, 70);
	sqe->addr = (uintptr_t) "turning round";
	sqe->len = 13;
	submit(r, 1);
	take(r, 70, 13);
	sqe = prepare(r, IORING_OP_READ, fd, 71);
	sqe->addr = (uintptr_t)text;
	sqe->len = 13;
	submit(r, 1);
	take(r, 71, 13);
	MUST(!memcmp(text, "turning round", 13));
	close(fd);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < r->entries; i++)
			prepare(r, IORING_OP_NOP, -1, 1000 * round + i);
		submit(r, r->entries);
		MUST_EQ(waiting(r), r->entries);
		for (unsigned i = 0; i < r->entries; i++)
			take(r, 1000 * round + i, 0);
	}
	MUST_EQ(waiting(r), 0);
}

/* Nobody else may submit to its ring. */
static void *own_ring(void *arg)
{
	(void)arg;
	set_up(&own, 8, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	come_round(&own, 21);
	prepare(&own, IORING_OP_NOP, -1, 300);
	submit(&own, 1);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	take(&own, 300, 0);
	work(&own);
	return NULL;
}

static void make(void)
{
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	MUST(null >= 0);
	set_up(&fresh, 4, 0);
	set_up(&wrapped, 8, 0);
	come_round(&wrapped, 45); /* completions 45 to 54 stand at 13, 14, 15, 0, ... 6 */
	for (unsigned i = 0; i < 10; i++) {
		prepare(&wrapped, IORING_OP_NOP, -1, 500 + i);
		submit(&wrapped, 0);
	}
	prepare(&wrapped, IORING_OP_NOP, -1, 600);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	MUST_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, wrapped.fd, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = 5 }), 0);
	set_up(&large, 256, IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL);
	come_round(&large, 3000);
	set_up(&off, 4, IORING_SETUP_R_DISABLED);
	MUST_EQ(pthread_barrier_init(&step, NULL, 2), 0);
	MUST_EQ(pthread_create(&owner, NULL, own_ring, NULL), 0);
	pthread_barrier_wait(&step);
}

/* Root may read every file; who has not that right may not, and neither may the kernel's thread. */
static void have_rights(bool all)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	unsigned rights = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
	MUST_EQ(syscall(SYS_capget, &header, data), 0);
	data[0].effective = all ? data[0].effective | rights : data[0].effective & ~rights;
	MUST_EQ(syscall(SYS_capset, &header, data), 0);
}

static void make_polled(void)
{
	have_rights(false);
	close(open(judge_path("secret"), O_WRONLY | O_CREAT | O_CLOEXEC, 0));
	set_up(&asleep, 4, IORING_SETUP_SQPOLL);
	set_up(&polled, 8, IORING_SETUP_SQPOLL);
	come_round(&polled, 77); /* four times the 16 completions, and some; then five that nobody takes */
	for (unsigned i = 0; i < 5; i++) {
		prepare(&polled, IORING_OP_NOP, -1, 700 + i);
		submit(&polled, 0);
	}
	MUST_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, asleep.fd, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = 6 }), 0);
}

static void judge_polled(void)
{
	struct epoll_event ready[2];
	struct io_uring_sqe *sqe = prepare(&asleep, IORING_OP_OPENAT, AT_FDCWD, 800);
	sqe->addr = (uintptr_t)judge_path("secret");
	submit(&asleep, 1);
	MUST_EQ(epoll_wait(epoll, ready, 2, 0), 2);
	take(&asleep, 800, -EACCES);
	for (unsigned i = 0; i < 5; i++)
		take(&polled, 700 + i, 0);
	work(&polled);
	while (!(*word(&polled, polled.p.sq_off.flags) & IORING_SQ_NEED_WAKEUP)) /* after 20 ms of nothing */
		judge_nap(5);
	work(&polled);
	work(&asleep);
}

static void judge_rings(void)
{
	struct epoll_event ready;
	MUST_EQ(epoll_wait(epoll, &ready, 1, 0), 1);
	MUST_EQ(ready.data.u32, 5);
	MUST_EQ(waiting(&wrapped), 10);
	submit(&wrapped, 0); /* what was written before */
	for (unsigned i = 0; i < 10; i++)
		take(&wrapped, 500 + i, 0);
	take(&wrapped, 600, 0);
	pthread_barrier_wait(&step);
	MUST_EQ(pthread_join(owner, NULL), 0);
	MUST(syscall(SYS_io_uring_enter, own.fd, 1, 0, 0, NULL, 0) < 0);
	MUST_EQ(errno, EEXIST); /* it is another's */
	MUST(syscall(SYS_io_uring_enter, off.fd, 0, 0, 0, NULL, 0) < 0);
	MUST_EQ(errno, EBADFD);
	MUST_EQ(syscall(SYS_io_uring_register, off.fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
	work(&fresh);
	work(&wrapped);
	work(&large);
	work(&off);
}

/* Of four files there are two, of three buffers one; the kernel may choose among the last two files. */
static void register_all(void)
{
	buffer = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(buffer != MAP_FAILED);
	strcpy(buffer + 4000, "what lies in a registered buffer");
	MUST_EQ(pipe(ends), 0);
	told = eventfd(3, EFD_CLOEXEC);
	int files[] = { -1, ends[1], -1, ends[0] };
	struct iovec parts[] = { { NULL, 0 }, { buffer + 4000, 200 }, { NULL, 0 } };
	unsigned long long tags[] = { 0, 77, 0, 0 };
	struct io_uring_rsrc_register table = { .nr = 4, .data = (uintptr_t)files, .tags = (uintptr_t)tags };
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_FILES2, &table, sizeof table), 0);
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_BUFFERS, parts, 3), 0);
	struct io_uring_file_index_range range = { .off = 2, .len = 2 };
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0), 0);
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_EVENTFD, &told, 1), 0);
}

/* To the pipe and back, by the numbers that they are registered with. */
static void judge_registered(void)
{
	unsigned long long count;
	char text[40] = "";
	struct io_uring_sqe *sqe = prepare(&fresh, IORING_OP_WRITE_FIXED, 1, 40);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->addr = (uintptr_t)buffer + 4000;
	sqe->len = 32;
	sqe->buf_index = 1;
	submit(&fresh, 1);
	take(&fresh, 40, 32);
	MUST_EQ(read(ends[0], text, sizeof text), 32);
	MUST(!strcmp(text, "what lies in a registered buffer"));
	MUST_EQ(read(told, &count, sizeof count), sizeof count);
	MUST_EQ(count, 3 + 1); /* one completion */
	sqe = prepare(&fresh, IORING_OP_OPENAT, AT_FDCWD, 41);
	sqe->addr = (uintptr_t) "/dev/null";
	sqe->file_index = IORING_FILE_INDEX_ALLOC;
	submit(&fresh, 1);
	take(&fresh, 41, 2); /* the free one of those that the kernel may choose */
	struct io_uring_rsrc_update2 none = { .offset = 1, .nr = 1, .data = (uintptr_t) & (int){ -1 }, .tags = 0 };
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_FILES_UPDATE2, &none, sizeof none), 1);
	while (!waiting(&fresh)) /* older kernels leave it to a work queue */
		judge_nap(5);
	take(&fresh, 77, 0); /* the tag of what is not used any more */
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_UNREGISTER_EVENTFD, NULL, 0), 0);
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_UNREGISTER_FILES, NULL, 0), 0);
}

/* A file that is open as a registered one alone. */
static void register_orphan(void)
{
	MUST_EQ(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_FILES, &null, 1), 0);
	close(null);
}

/* With a child, which has come to rest when this is done. */
static void share(void)
{
	char byte;
	MUST_EQ(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		MUST_EQ(write(ends[1], "x", 1), 1);
		while (!judge_asked())
			judge_nap(20);
		work(&fresh);
		_exit(0);
	}
	MUST_EQ(read(ends[0], &byte, 1), 1);
}

/* Something that a dump has to refuse, or not. */
static void become(const char *what)
{
	if (!strcmp(what, "busy")) {
		MUST_EQ(pipe(ends), 0);
		prepare(&fresh, IORING_OP_POLL_ADD, ends[0], 900)->poll_events = POLLIN;
		submit(&fresh, 0);
	}
	if (!strcmp(what, "worker")) { /* it forks its own, which stays for some seconds */
		prepare(&fresh, IORING_OP_READ, null, 901)->flags = IOSQE_ASYNC;
		submit(&fresh, 1);
		take(&fresh, 901, 0);
	}
	if (!strcmp(what, "shared"))
		share();
	if (!strcmp(what, "skipped")) {
		prepare(&fresh, IORING_OP_NOP, -1, 902)->flags = IOSQE_CQE_SKIP_SUCCESS;
		submit(&fresh, 0);
	}
	if (!strcmp(what, "polled") || !strcmp(what, "regained"))
		make_polled();
	if (!strcmp(what, "regained"))
		have_rights(true);
	if (!strcmp(what, "registered"))
		register_all();
	if (!strcmp(what, "orphan"))
		register_orphan();
	if (!strcmp(what, "personality"))
		MUST(syscall(SYS_io_uring_register, fresh.fd, IORING_REGISTER_PERSONALITY, NULL, 0) > 0);
	if (!strcmp(what, "unmapped"))
		MUST_EQ(munmap(large.sqes, 256 * 128), 0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	make();
	become(what);
	judge_wait();
	if (!strcmp(what, "busy")) {
		MUST_EQ(write(ends[1], "x", 1), 1);
		MUST_EQ(syscall(SYS_io_uring_enter, fresh.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), 0);
		take(&fresh, 900, POLLIN);
	}
	if (child) {
		int status;
		MUST_EQ(waitpid(child, &status, 0), child);
		MUST_EQ(status, 0);
		fresh.local = *word(&fresh, fresh.p.sq_off.tail);
		MUST_EQ(fresh.local, 2 + 5 * fresh.entries);
	}
	if (!strcmp(what, "unmapped"))
		large.sqes = mmap(NULL, 256 * 128, PROT_READ | PROT_WRITE, MAP_SHARED, large.fd, IORING_OFF_SQES);
	if (!strcmp(what, "polled"))
		judge_polled();
	if (!strcmp(what, "registered"))
		judge_registered();
	judge_rings();
	return judge_pass();
}
