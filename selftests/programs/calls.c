// SPDX-License-Identifier: LGPL-2.1-or-later
/* calls DIR CALL [SECONDS]: sits in one blocking system call while it is dumped; the call must end with the right result, at the
 * right time, never with a stray EINTR. */
#include "judge.h"
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

static double seconds = 1;
static int ends[2], pid;
static uint32_t word;
static volatile sig_atomic_t handled;

static struct timespec span(void)
{
	return (struct timespec){ (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
}
static int milliseconds(void) { return (int)(seconds * 1000); }

static long in_nanosleep(void)
{
	struct timespec t = span();
	return nanosleep(&t, &t);
}
static long in_clock_nanosleep(void)
{
	struct timespec t = span();
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, &t);
}
static long in_clock_nanosleep_abs(void)
{
	struct timespec t, s = span();
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += s.tv_sec;
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long in_poll(void)
{
	struct pollfd p = { ends[0], POLLIN, 0 };
	return poll(&p, 1, milliseconds());
}
static long in_ppoll(void)
{
	struct pollfd p = { ends[0], POLLIN, 0 };
	struct timespec t = span();
	sigset_t none;
	sigemptyset(&none);
	return ppoll(&p, 1, &t, &none);
}
static long in_select(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	struct timeval t = { (time_t)seconds, 0 };
	return select(ends[0] + 1, &set, NULL, NULL, &t);
}
static long in_pselect(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	struct timespec t = span();
	sigset_t none;
	sigemptyset(&none);
	return pselect(ends[0] + 1, &set, NULL, NULL, &t, &none);
}
static long in_futex_timeout(void)
{
	struct timespec t = span();
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
}
static long in_futex_bitset(void)
{
	struct timespec t, s = span();
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += s.tv_sec;
	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY);
}
/* A wait that is entered again (ERESTARTSYS, as after any handler with SA_RESTART) looks at the word again: when the waker
 * was faster, the answer is EAGAIN. */
static long in_futex(void)
{
	long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return result < 0 && errno == EAGAIN && word ? 0 : result;
}
static long in_epoll_wait(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	MUST_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &e), 0);
	return epoll_wait(ep, &e, 1, milliseconds());
}
static long in_semtimedop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf op = { 0, -1, 0 };
	struct timespec t = span();
	long r = semtimedop(id, &op, 1, &t);
	int saved = errno;
	semctl(id, 0, IPC_RMID);
	errno = saved;
	return r;
}
static long in_sigtimedwait(void)
{
	sigset_t set;
	struct timespec t = span();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &t);
}
static long in_io_getevents(void)
{
	aio_context_t context = 0;
	struct io_event event;
	struct timespec t = span();
	MUST_EQ(syscall(SYS_io_setup, 4, &context), 0);
	return syscall(SYS_io_getevents, context, 1, 1, &event, &t);
}
static long in_read(void)
{
	char c;
	return read(ends[0], &c, 1);
}
static void receive_timeout(int fd)
{
	struct timeval t = { (time_t)seconds, 0 };
	MUST_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), 0);
}
static long in_recv(void)
{
	int pair[2];
	char c;
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	receive_timeout(pair[0]);
	return recv(pair[0], &c, 1, 0);
}
static long in_accept(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST_EQ(bind(fd, (void *)&name, sizeof name.sun_family), 0);
	MUST_EQ(listen(fd, 1), 0);
	receive_timeout(fd);
	return accept(fd, NULL, NULL);
}
static void count(int signal)
{
	(void)signal;
	handled++;
}
static long in_pause(void) { return pause(); }
static long in_sigsuspend(void)
{
	sigset_t usr1, none, now;
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &usr1, NULL);
	long r = sigsuspend(&none);
	int saved = errno;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	MUST(sigismember(&now, SIGUSR1));
	errno = saved;
	return r;
}
static long in_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;
	int id = msgget(IPC_PRIVATE, 0600);
	word = (uint32_t)id;
	long r = msgrcv(id, &message, sizeof message.text, 0, 0);
	msgctl(id, IPC_RMID, NULL);
	return r;
}
static long in_wait4(void)
{
	int status = 0;
	pid = fork();
	if (pid == 0) {
		while (!judge_asked())
			judge_nap(20);
		_exit(7);
	}
	long r = waitpid(pid, &status, 0);
	MUST_EQ(r, pid);
	MUST_EQ(WEXITSTATUS(status), 7);
	return 7;
}

static void wake_pipe(void) { MUST_EQ(write(ends[1], "x", 1), 1); }
static void wake_futex(void)
{
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void wake_signal(void) { syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1); }
static void wake_message(void)
{
	struct {
		long type;
		char text[8];
	} message = { 1, "hello" };
	MUST_EQ(msgsnd((int)word, &message, 6, 0), 0);
}
static void wake_nothing(void) {}

/* wake: who ends the call when DIR/stop is seen; NULL: the call's own timeout ends it. late: in timeouts. */
static const struct call {
	const char *name;
	long (*enter)(void);
	long result;
	int error;
	void (*wake)(void);
	bool absolute;
	int late;
} calls[] = {
	{ "nanosleep", in_nanosleep, 0, 0, NULL, false, 0 },
	{ "clock_nanosleep", in_clock_nanosleep, 0, 0, NULL, false, 0 },
	{ "clock_nanosleep_abs", in_clock_nanosleep_abs, 0, 0, NULL, true, 0 },
	{ "poll", in_poll, 0, 0, NULL, false, 0 },
	{ "ppoll", in_ppoll, 0, 0, NULL, false, 0 },
	{ "select", in_select, 0, 0, NULL, false, 0 },
	{ "pselect", in_pselect, 0, 0, NULL, false, 0 },
	{ "futex_timeout", in_futex_timeout, -1, ETIMEDOUT, NULL, false, 0 },
	{ "futex_bitset", in_futex_bitset, -1, ETIMEDOUT, NULL, true, 0 },
	{ "futex", in_futex, 0, 0, wake_futex, false, 0 },
	{ "epoll_wait", in_epoll_wait, 0, 0, NULL, false, 1 },
	{ "semtimedop", in_semtimedop, -1, EAGAIN, NULL, false, 1 },
	{ "sigtimedwait", in_sigtimedwait, -1, EAGAIN, NULL, false, 1 },
	{ "io_getevents", in_io_getevents, 0, 0, NULL, false, 1 },
	{ "read", in_read, 1, 0, wake_pipe, false, 0 },
	{ "recv", in_recv, -1, EAGAIN, NULL, false, 1 },
	{ "accept", in_accept, -1, EAGAIN, NULL, false, 1 },
	{ "pause", in_pause, -1, EINTR, wake_signal, false, 0 },
	{ "sigsuspend", in_sigsuspend, -1, EINTR, wake_signal, false, 0 },
	{ "msgrcv", in_msgrcv, 6, 0, wake_message, false, 0 },
	{ "wait4", in_wait4, 7, 0, wake_nothing, false, 0 },
};

static void *waker(void *call)
{
	while (!judge_asked())
		judge_nap(20);
	((const struct call *)call)->wake();
	return NULL;
}

#define UNTOLD 30 /* seconds that dumps and restores may take on a machine with much to do: a call goes on meanwhile */

static void judge_call(const struct call *call)
{
	pthread_t thread = 0;
	struct sigaction action = { .sa_handler = count };
	sigaction(SIGUSR1, &action, NULL);
	MUST_EQ(pipe(ends), 0);
	if (call->wake)
		MUST_EQ(pthread_create(&thread, NULL, waker, (void *)call), 0);
	double start = judge_clock(CLOCK_MONOTONIC);
	judge_ready();
	errno = 0;
	long result = call->enter();
	int error = result < 0 ? errno : 0;
	/* in this order: who was slow to dump has met a call that was over, and its program was not away meanwhile */
	double gap = judge_gap(), took = judge_clock(CLOCK_MONOTONIC) - start;
	if (result != call->result || error != call->error)
		judge_fail("%s gave %ld (%s) after %.3f s, not %ld (%s)", call->name, result, strerror(error), took,
			   call->result, strerror(call->error));
	if (call->wake) {
		pthread_join(thread, NULL);
		MUST_EQ(handled, call->error == EINTR);
		return;
	}
	/* The time that the program did not exist does not count, unless the call waits for a point in time. */
	double least = seconds + (call->absolute ? 0 : gap * 0.8), most = seconds * (1 + call->late) + gap + UNTOLD;
	if (took < least || took > most)
		judge_fail("%s took %.3f s, not between %.3f and %.3f", call->name, took, least, most);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 3)
		seconds = atof(argv[3]);
	for (size_t i = 0; argc > 2 && i < sizeof calls / sizeof *calls; i++)
		if (!strcmp(calls[i].name, argv[2])) {
			judge_call(&calls[i]);
			judge_wait(); /* who dumped it may still look whether it lives */
			return judge_pass();
		}
	judge_fail("there is no such call");
}
