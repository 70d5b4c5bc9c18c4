// SPDX-License-Identifier: LGPL-2.1-or-later
/* mqueues DIR [messages | notify | told | keeps]: message queues with and without a name, of several open files each, empty and not: the
 * same queues, with their limits, rights and messages. */
#include "judge.h"
#include <mqueue.h>
#include <sys/epoll.h>

#define PRIORITY 7
static char name[64];
static int kept, fresh, reader, writer, ep;
static pid_t child;

static int make_queue(const char *which, int flags, mode_t mode, long most, long size)
{
	struct mq_attr attr = { .mq_maxmsg = most, .mq_msgsize = size };
	snprintf(name, sizeof name, "/ckpt-%d-%s", (int)getpid(), which);
	mqd_t q = mq_open(name, flags | O_CREAT | O_EXCL, mode, &attr);
	if (q < 0 && errno == ENOSYS)
		judge_fail("skip: POSIX message queues are not there");
	MUST(q >= 0 && fchmod(q, mode) == 0);
	return q;
}

static void send_text(int queue, const char *text, unsigned priority)
{
	MUST_EQ(mq_send(queue, text, strlen(text) + 1, priority), 0);
}

static void must_receive(int queue, const char *text, unsigned priority)
{
	char bytes[256];
	unsigned got = 0;
	MUST_EQ(mq_receive(queue, bytes, sizeof bytes, &got), (long)strlen(text) + 1);
	MUST(!strcmp(bytes, text) && got == priority);
}

static void must_be(int queue, long most, long size, long waiting, mode_t mode)
{
	struct mq_attr attr;
	struct stat st;
	MUST(mq_getattr(queue, &attr) == 0 && fstat(queue, &st) == 0);
	MUST_EQ(attr.mq_maxmsg, most);
	MUST_EQ(attr.mq_msgsize, size);
	MUST_EQ(attr.mq_curmsgs, waiting);
	MUST_EQ(st.st_mode & 07777, mode);
	MUST_EQ(st.st_uid, getuid());
}

static void run_child(void)
{
	must_receive(reader, "to the child", 1); /* blocked in it across the dump */
	send_text(kept, "from the child", 3);
	for (;;)
		pause();
}

static void make(void)
{
	char text[6];
	kept = make_queue("kept", O_RDWR | O_NONBLOCK, 0640, 5, 256);
	send_text(kept, "first", 1);
	send_text(kept, "urgent", PRIORITY);
	send_text(kept, "second", 1);
	MUST_EQ(read(kept, text, 6), 6);
	fresh = make_queue("fresh", O_RDWR, 0600, 3, 128);
	writer = make_queue("nameless", O_WRONLY, 0606, 4, 64);
	reader = mq_open(name, O_RDONLY | O_CLOEXEC);
	MUST_EQ(fcntl(writer, F_SETFD, 0), 0);
	MUST(reader >= 0 && mq_unlink(name) == 0);
	ep = epoll_create1(0);
	MUST_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fresh, &(struct epoll_event){ .events = EPOLLIN, .data.u64 = 9 }), 0);
	child = fork();
	if (child == 0)
		run_child();
	judge_settled(child);
}

static void judge_queues(void)
{
	struct epoll_event e;
	char bytes[256];
	MUST_EQ(lseek(kept, 0, SEEK_CUR), 6);
	must_be(kept, 5, 256, 3, 0640);
	must_be(fresh, 3, 128, 0, 0600);
	must_be(reader, 4, 64, 0, 0606);
	must_receive(kept, "urgent", PRIORITY);
	must_receive(kept, "first", 1);
	must_receive(kept, "second", 1);
	MUST(mq_receive(kept, bytes, sizeof bytes, NULL) == -1 && errno == EAGAIN);
	MUST(fcntl(reader, F_GETFD) == FD_CLOEXEC && fcntl(writer, F_GETFD) == 0);
	MUST(mq_receive(writer, bytes, sizeof bytes, NULL) == -1 && errno == EBADF);
	MUST_EQ(epoll_wait(ep, &e, 1, 0), 0);
	snprintf(name, sizeof name, "/ckpt-%d-fresh", (int)getpid());
	int again = mq_open(name, O_WRONLY | O_CLOEXEC);
	MUST(again >= 0);
	send_text(again, "by name", 2);
	MUST(epoll_wait(ep, &e, 1, JUDGE_PATIENCE_MS) == 1 && e.data.u64 == 9);
	must_receive(fresh, "by name", 2);
	send_text(writer, "to the child", 1);
	MUST_EQ(poll(&(struct pollfd){ .fd = kept, .events = POLLIN }, 1, JUDGE_PATIENCE_MS), 1);
	must_receive(kept, "from the child", 3);
	must_be(reader, 4, 64, 0, 0606);
}

/* --- who is told of a message --- */

#define VALUE 0x1234567890abcdefl
static volatile sig_atomic_t told_signal;
static volatile long told_value;

static void on_told(int number, siginfo_t *info, void *context)
{
	(void)context;
	told_signal = number;
	told_value = (long)info->si_value.sival_ptr;
}

static void ask(int queue, int by, int number, long value)
{
	struct sigevent event = { .sigev_notify = by, .sigev_signo = number, .sigev_value.sival_ptr = (void *)value };
	MUST_EQ(mq_notify(queue, &event), 0);
}

/* Three queues: one tells by a signal, one has but a name taken, and one tells a child that has it twice. */
static int be_told(void)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct sigaction action = { .sa_sigaction = on_told, .sa_flags = SA_SIGINFO };
	MUST_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	MUST_EQ(sigaction(SIGRTMIN + 3, &action, NULL), 0);
	int mine = make_queue("mine", O_RDWR, 0600, 2, 64), again = dup(mine), quiet = make_queue("quiet", O_RDWR, 0600, 2, 64);
	int childs = make_queue("childs", O_RDWR, 0600, 2, 64);
	MUST(again > mine && mq_unlink(name) == 0);
	ask(mine, SIGEV_SIGNAL, SIGUSR1, VALUE);
	ask(quiet, SIGEV_NONE, 0, 0);
	child = fork();
	if (child == 0) {
		ask(childs, SIGEV_SIGNAL, SIGRTMIN + 3, -5);
		while (!told_signal)
			pause();
		_exit(told_signal == SIGRTMIN + 3 && told_value == -5 ? 0 : 1);
	}
	judge_settled(child);
	judge_wait();
	MUST(mq_notify(mine, &none) == -1 && errno == EBUSY);
	MUST(mq_notify(quiet, &none) == -1 && errno == EBUSY);
	MUST(mq_notify(childs, &none) == -1 && errno == EBUSY);
	MUST_EQ(told_signal, 0);
	send_text(mine, "told", 1);
	while (!told_signal)
		sched_yield();
	MUST(told_signal == SIGUSR1 && told_value == VALUE);
	send_text(childs, "told", 1);
	int status;
	MUST(waitpid(child, &status, 0) == child && status == 0);
	MUST_EQ(mq_notify(mine, &none), 0); /* once is all */
	return judge_pass();
}

static void never(union sigval value) { (void)value; }

/* What is refused, and a queue that somebody takes away. */
static int hold(const char *what)
{
	int queue = make_queue("held", O_RDWR, 0600, 2, 64);
	if (!strcmp(what, "notify"))
		MUST_EQ(mq_notify(queue, &(struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = never }),
			0);
	else
		send_text(queue, "held", 1);
	if (!strcmp(what, "messages"))
		MUST_EQ(mq_unlink(name), 0);
	judge_wait();
	if (strcmp(what, "notify") != 0)
		must_receive(queue, "held", 1);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "told"))
		return be_told();
	if (argc > 2)
		return hold(argv[2]);
	make();
	judge_wait();
	judge_queues();
	return judge_pass();
}
