// SPDX-License-Identifier: LGPL-2.1-or-later
/* aio DIR [WHAT]: contexts of asynchronous I/O (io_setup(2)): a new one, one whose ring has come round and holds events that nobody has
 * taken, one whose events the program takes from the ring itself, a large one, one that was moved. part: one of them is protected in
 * part; busy: one has a request that does not complete; inherited: a child has their rings mapped. */
#include "judge.h"
#include <linux/aio_abi.h>

/* struct aio_ring of fs/aio.c */
struct ring {
	unsigned id, events, head, tail, magic, compatible, incompatible, header;
	struct io_event event[];
};

static aio_context_t fresh, wrapped, own, large, moved;
static int null, ends[2];

static struct ring *ring_of(aio_context_t context) { return (struct ring *)(uintptr_t)context; }

static aio_context_t set_up(unsigned requests)
{
	aio_context_t context = 0;
	MUST_EQ(syscall(SYS_io_setup, requests, &context), 0);
	return context;
}

/* Reads of the file's first bytes that complete at once, with their number as data. */
static void submit(aio_context_t context, int fd, void *to, size_t len, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct iocb iocb = { .aio_lio_opcode = IOCB_CMD_PREAD,
				     .aio_fildes = (unsigned)fd,
				     .aio_buf = (uintptr_t)to,
				     .aio_nbytes = len,
				     .aio_data = first + i };
		struct iocb *list = &iocb;
		MUST_EQ(syscall(SYS_io_submit, context, 1, &list), 1);
	}
}

/* Takes events, which must be those with these numbers, and that many bytes long. */
static void take(aio_context_t context, unsigned first, unsigned count, long len)
{
	for (unsigned i = 0; i < count; i++) {
		struct io_event event;
		struct timespec none = { 0 };
		MUST_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, &none), 1);
		MUST_EQ(event.data, first + i);
		MUST_EQ(event.res, len);
	}
}

static void must_be_empty(aio_context_t context)
{
	struct io_event event;
	struct timespec none = { 0 };
	MUST_EQ(syscall(SYS_io_getevents, context, 0, 1, &event, &none), 0);
}

/* More than the ring has room for, so that the events left end behind its beginning. */
static void come_round(aio_context_t context, unsigned left)
{
	unsigned room = ring_of(context)->events, before = room - left / 2;
	for (unsigned done = 0; done < before; done++) {
		submit(context, null, NULL, 0, done, 1);
		take(context, done, 1, 0);
	}
	submit(context, null, NULL, 0, before, left);
	MUST(ring_of(context)->head > ring_of(context)->tail);
}

static void make(void)
{
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	MUST(null >= 0);
	fresh = set_up(1);
	wrapped = set_up(20);
	come_round(wrapped, 12);
	own = set_up(7);
	submit(own, null, NULL, 0, 500, 9);
	ring_of(own)->head = 4; /* io_getevents(2) need not be asked */
	large = set_up(6000);
	submit(large, null, NULL, 0, 0, 3000);
	take(large, 0, 2900, 0);
	moved = set_up(3);
	submit(moved, null, NULL, 0, 40, 2);
	char *to = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(to != MAP_FAILED);
	MUST(mremap(ring_of(moved), 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, to + 4096) == to + 4096);
	moved = (uintptr_t)to + 4096;
}

/* What a context is for: it reads, it takes as many requests as before, it goes. */
static void work(aio_context_t context)
{
	char text[16] = "";
	int fd = open(judge_path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST_EQ(pwrite(fd, "asynchronous", 12, 0), 12);
	submit(context, fd, text, 12, 7, 1);
	take(context, 7, 1, 12);
	MUST(!memcmp(text, "asynchronous", 12));
	close(fd);
	unsigned half = ring_of(context)->events / 2;
	for (unsigned round = 0; round < 4; round++) {
		submit(context, null, NULL, 0, 1000 * round, half);
		take(context, 1000 * round, half, 0);
	}
	must_be_empty(context);
	MUST_EQ(syscall(SYS_io_destroy, context), 0);
	MUST(syscall(SYS_io_destroy, context) < 0);
}

static void judge_contexts(unsigned rooms[5])
{
	const aio_context_t all[] = { fresh, wrapped, own, large, moved };
	for (int i = 0; i < 5; i++)
		MUST_EQ(ring_of(all[i])->events, rooms[i]);
	take(wrapped, rooms[1] - 6, 12, 0);
	take(own, 504, 5, 0);
	take(large, 2900, 100, 0);
	take(moved, 40, 2, 0);
	for (int i = 0; i < 5; i++) {
		must_be_empty(all[i]);
		work(all[i]);
	}
}

static void be_busy(void)
{
	struct iocb iocb = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN }, *list = &iocb;
	MUST_EQ(pipe(ends), 0);
	iocb.aio_fildes = (unsigned)ends[0];
	MUST_EQ(syscall(SYS_io_submit, fresh, 1, &list), 1);
}

static void finish_busy(void)
{
	struct io_event event;
	MUST_EQ(write(ends[1], "x", 1), 1);
	MUST_EQ(syscall(SYS_io_getevents, fresh, 1, 1, &event, NULL), 1);
	MUST(event.res & POLLIN);
}

int main(int argc, char **argv)
{
	unsigned rooms[5];
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	make();
	const aio_context_t all[] = { fresh, wrapped, own, large, moved };
	for (int i = 0; i < 5; i++)
		rooms[i] = ring_of(all[i])->events;
	pid_t child = !strcmp(what, "inherited") ? fork() : 0;
	if (!strcmp(what, "inherited") && child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (!strcmp(what, "busy"))
		be_busy();
	if (!strcmp(what, "part"))
		MUST_EQ(mprotect((char *)ring_of(large) + 4096, 4096, PROT_READ), 0);
	judge_wait();
	if (!strcmp(what, "busy"))
		finish_busy();
	if (!strcmp(what, "part"))
		MUST_EQ(mprotect((char *)ring_of(large) + 4096, 4096, PROT_READ | PROT_WRITE), 0);
	judge_contexts(rooms);
	if (child) {
		kill(child, SIGKILL);
		MUST_EQ(waitpid(child, NULL, 0), child);
	}
	return judge_pass();
}
