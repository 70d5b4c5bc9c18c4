// SPDX-License-Identifier: LGPL-2.1-or-later
/* Interrupted system calls move from one process to a twin that was never in them, as a restore does it, and go on. */
#include "harness/target.h"
#include "raw.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "task/tree.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define MS 1000000ll
#define TOTAL (300 * MS) /* at first: a machine that is busy gets more */
#define LONG (1000 * 1000 * MS)

/* What the twins share with the test, at one address; its first bytes are a system call instruction. */
static struct shared {
	char code[64];
	char scratch[REARM_SCRATCH];
	struct timespec request, remaining, deadline;
	struct pollfd polled;
	struct epoll_event event;
	int word, handled, done;
	long long total; /* ns that a call waits for; two fifths of it in the first process */
	long result;
	u64 mask, ended;
} * shared;
static int gate; /* private: open in the first process, closed in the twin */
static int pipe_fds[2];

struct call {
	long nr, a[6];
	int in_ms; /* the argument that tells the time in ms, 0: it is in memory */
};

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void on_signal(int signo _unused_) { shared->handled++; }

static __attribute__((noinline, noreturn)) void target(const struct call *call)
{
	while (raw_call(SYS_futex, (long)&gate, FUTEX_WAIT, 0, 0, 0, 0) == 0)
		;
	long result = raw_call(call->nr, call->a[0], call->a[1], call->a[2], call->a[3], call->a[4], call->a[5]);
	shared->ended = (u64)now();
	shared->result = result;
	__atomic_store_n(&shared->done, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

static pid_t start(const struct call *call, int open)
{
	gate = open;
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		signal(SIGUSR1, on_signal);
		target(call);
	}
	return pid;
}

static void freeze(pid_t pid, struct remote_home *home)
{
	CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	CHECK_OK(remote_interrupt(pid, false));
	CHECK_OK(remote_freeze_point(pid, false, home));
}

static void setup(void)
{
	CHECK_OK(diag_begin("test", "rearm"));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	memcpy(shared->code, RAW_SYSCALL_CODE, sizeof RAW_SYSCALL_CODE - 1);
	shared->total = LONG;
	shared->request.tv_sec = LONG / MS / 1000;
	CHECK_OK(pipe(pipe_fds));
	shared->polled = (struct pollfd){ .fd = pipe_fds[0], .events = POLLIN };
}

/* A twin that waits for its turn, frozen. */
static pid_t start_twin(const struct call *call)
{
	struct remote_home parked;
	pid_t twin = start(call, 0);
	WAIT_UNTIL(target_call(twin) == SYS_futex);
	freeze(twin, &parked);
	CHECK_OK(remote_set_sigmask(twin, ~0ull));
	return twin;
}

/* Lets call run in one process for a while, takes its registers, and gives them to a twin; its pid. */
static pid_t move(const struct call *call, struct rearm rearm, struct remote_home *home)
{
	pid_t first = start(call, 1);
	long long begin = now();
	WAIT_UNTIL(shared->done || target_call(first) == call->nr);
	usleep(shared->total < LONG ? (useconds_t)(shared->total * 2 / 5 / 1000) : 20000);
	freeze(first, home);
	if (rearm.known && !rearm.left)
		rearm.left = (u64)MAX(shared->total - (now() - begin), 1);
	home->at_exit = false; /* of the twin */
	kill(first, SIGKILL);
	waitpid(first, NULL, __WALL);
	pid_t twin = start_twin(call);
	if (home->call.interrupted && home->call.code == 516)
		CHECK_OK(remote_rearm(twin, home, &rearm, (u64)(uintptr_t)shared->code, (u64)(uintptr_t)shared->scratch,
				      shared->scratch));
	return twin;
}

static void let_go(pid_t twin, struct remote_home *home, u64 mask)
{
	CHECK_OK(remote_resume(twin, home, mask));
	CHECK_OK(ptrace(PTRACE_DETACH, twin, 0, 0));
}

static void await_end(pid_t twin)
{
	WAIT_UNTIL(__atomic_load_n(&shared->done, __ATOMIC_SEQ_CST));
	kill(twin, SIGKILL);
	waitpid(twin, NULL, 0);
}

/* The call waits for so long, by whatever it is told it. */
static void set_total(struct call *call, long long total)
{
	long long until = now() + total;
	shared->total = total;
	shared->request = (struct timespec){ .tv_sec = total / (1000 * MS), .tv_nsec = total % (1000 * MS) };
	shared->deadline = (struct timespec){ .tv_sec = until / (1000 * MS), .tv_nsec = until % (1000 * MS) };
	if (call->in_ms)
		call->a[call->in_ms] = total / MS;
}

/* How long a call took that was moved in between; 0: the machine was so busy that it ended before it could be. */
static long long time_moved(struct call *call, long long total, long result)
{
	struct remote_home home;
	long long begin = now(); /* before the point in time is chosen that some calls wait for */
	set_total(call, total);
	shared->done = 0;
	pid_t twin = move(call, (struct rearm){ .known = true, .clock = CLOCK_MONOTONIC }, &home);
	if (shared->done || home.call.code != 516) {
		kill(twin, SIGKILL);
		waitpid(twin, NULL, __WALL);
		return 0;
	}
	let_go(twin, &home, 0);
	await_end(twin);
	CHECK_EQ(shared->result, result);
	return (long long)shared->ended - begin;
}

#define TIMES 6

/* A call that gives result when its time is up: the twin waits for what is left, not for all of it, which would take 7/5 of the
 * time. A busy machine is asked again, with twice as long a time. */
static void check_timed(struct call call, long result)
{
	long long spent = 0, total = TOTAL;
	for (int i = 0; i < TIMES; i++, total *= 2) {
		spent = time_moved(&call, total, result);
		if (spent && spent < total)
			FAIL("%lld of %lld ms passed", spent / MS, total / MS);
		if (spent && spent < total + total / 3)
			return;
	}
	FAIL("%lld ms passed where %lld are right", spent / MS, total / 2 / MS);
}

TEST(nanosleep_goes_on)
{
	setup();
	check_timed((struct call){ SYS_nanosleep, { (long)&shared->request, (long)&shared->remaining } }, 0);
}

TEST(clock_nanosleep_goes_on)
{
	setup();
	check_timed((struct call){ SYS_clock_nanosleep, { CLOCK_MONOTONIC, 0, (long)&shared->request, 0 } }, 0);
}

#ifdef SYS_poll
TEST(poll_goes_on)
{
	setup();
	check_timed((struct call){ SYS_poll, { (long)&shared->polled, 1 }, .in_ms = 2 }, 0);
}

TEST(endless_poll_goes_on)
{
	struct remote_home home;
	setup();
	pid_t twin =
		move(&(struct call){ SYS_poll, { (long)&shared->polled, 1, -1 } }, (struct rearm){ .endless = true }, &home);
	CHECK_EQ(home.call.code, 516);
	let_go(twin, &home, 0);
	usleep(50000);
	CHECK_EQ(shared->done, 0);
	CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
	await_end(twin);
	CHECK_EQ(shared->result, 1);
}
#endif

TEST(futex_wait_goes_on)
{
	setup();
	check_timed((struct call){ SYS_futex, { (long)&shared->word, FUTEX_WAIT, 0, (long)&shared->request } }, -ETIMEDOUT);
}

TEST(futex_wait_until_goes_on)
{
	setup();
	check_timed((struct call){ SYS_futex, { (long)&shared->word, FUTEX_WAIT_BITSET, 0, (long)&shared->deadline, 0, -1 } },
		    -ETIMEDOUT);
}

TEST(what_the_armed_call_gives_is_the_result)
{
	struct remote_home home;
	setup();
	struct call call = { SYS_futex, { (long)&shared->word, FUTEX_WAIT, 0, (long)&shared->request } };
	pid_t first = start(&call, 1);
	WAIT_UNTIL(target_call(first) == call.nr);
	freeze(first, &home);
	home.at_exit = false;
	kill(first, SIGKILL);
	waitpid(first, NULL, __WALL);
	shared->word = 1;
	pid_t twin = start_twin(&call);
	CHECK_OK(remote_rearm(twin, &home, &(struct rearm){ .known = true, .left = 1000 * MS }, (u64)(uintptr_t)shared->code,
			      (u64)(uintptr_t)shared->scratch, shared->scratch));
	CHECK_EQ(home.call.interrupted, false);
	let_go(twin, &home, 0);
	await_end(twin);
	CHECK_EQ(shared->result, -EAGAIN);
}

TEST(without_the_time_left_it_is_eintr_and_said)
{
	struct remote_home home;
	setup();
	pid_t twin = move(&(struct call){ SYS_nanosleep, { (long)&shared->request, 0 } }, (struct rearm){ 0 }, &home);
	let_go(twin, &home, 0);
	await_end(twin);
	CHECK_EQ(shared->result, -EINTR);
	CHECK(diag_has(DIAG_RESTART_LOST));
}

TEST(a_signal_ends_a_rearmed_call)
{
	struct remote_home home;
	setup();
	pid_t twin =
		move(&(struct call){ SYS_nanosleep, { (long)&shared->request, 0 } }, (struct rearm){ .known = true }, &home);
	kill(twin, SIGUSR1);
	let_go(twin, &home, 0);
	await_end(twin);
	CHECK_EQ(shared->result, -EINTR);
	CHECK_EQ(shared->handled, 1);
}

TEST(read_goes_on)
{
	struct remote_home home;
	setup();
	pid_t twin = move(&(struct call){ SYS_read, { pipe_fds[0], (long)shared->scratch, 1 } }, (struct rearm){ 0 }, &home);
	CHECK_EQ(home.call.code, 512);
	let_go(twin, &home, 0);
	CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
	await_end(twin);
	CHECK_EQ(shared->result, 1);
}

/* The kernel ends it with EINTR at the freeze: the freeze makes it one that goes on, in place and in a twin. */
TEST(epoll_wait_goes_on)
{
	_cleanup_tree_ struct tree tree = { 0 };
	struct remote_home home;
	setup();
	int epoll = (int)CHECK_OK(epoll_create1(0));
	CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &(struct epoll_event){ .events = EPOLLIN }));
	struct call call = { SYS_epoll_pwait, { epoll, (long)&shared->event, 1, -1, 0, 8 } };
	pid_t first = start(&call, 1);
	WAIT_UNTIL(target_call(first) == call.nr);
	CHECK_OK(tree_freeze(&tree, first, NULL));
	CHECK_OK(remote_freeze_point(first, false, &home));
	CHECK_EQ(home.call.nr, SYS_epoll_pwait);
	CHECK_EQ(home.call.code, 514);
	CHECK_EQ(home.call.arg[0], epoll);
	tree_thaw(&tree);
	usleep(50000);
	CHECK_EQ(shared->done, 0);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);

	pid_t twin = start_twin(&call);
	home.at_exit = false;
	let_go(twin, &home, 0);
	usleep(20000);
	CHECK_EQ(shared->done, 0);
	CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
	await_end(twin);
	CHECK_EQ(shared->result, 1);
}

TEST(sigsuspend_meets_a_signal_that_came_meanwhile)
{
	struct remote_home home;
	setup();
	pid_t twin = move(&(struct call){ SYS_rt_sigsuspend, { (long)&shared->mask, 8 } }, (struct rearm){ 0 }, &home);
	CHECK_EQ(home.call.code, 514);
	kill(twin, SIGUSR1);
	let_go(twin, &home, 1ull << (SIGUSR1 - 1));
	await_end(twin);
	CHECK_EQ(shared->result, -EINTR);
	CHECK_EQ(shared->handled, 1);
}

TEST(a_thread_makes_calls_and_goes_on)
{
	struct remote_home home;
	s64 result;
	setup();
	pid_t pid = start(&(struct call){ SYS_nanosleep, { (long)&shared->request, 0 } }, 1);
	usleep(20000);
	freeze(pid, &home);
	u64 code = (u64)(uintptr_t)shared->code, none[6] = { 0 };
	CHECK_OK(remote_set_sigmask(pid, ~0ull));
	CHECK_OK(remote_call(pid, &home.regs, code, SYS_getppid, none, &result));
	CHECK_EQ(result, getpid());
	CHECK_OK(remote_call_trapped(pid, &home.regs, code, SYS_getpgid, none, &result));
	CHECK_EQ(result, getpgid(0));
	/* the page goes away below the call */
	CHECK_OK(remote_call_trapped(pid, &home.regs, code, SYS_munmap, (u64[6]){ code, 4096 }, &result));
	CHECK_EQ(result, 0);
	kill(pid, SIGKILL);
}
