// SPDX-License-Identifier: LGPL-2.1-or-later
/* expired DIR: timers that have expired while their signals are blocked: each signal waits once, is the timer's own, and the
 * periodic ones go on when it was taken. */
#include "judge.h"

static int make(int notify, int signal, int first_ms, int interval_ms)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_int = signal };
	struct itimerspec when = { { 0, interval_ms * 1000000l }, { 0, first_ms * 1000000l } };
	int id = -1;
	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = (int)syscall(SYS_gettid);
	MUST_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), 0);
	MUST_EQ(syscall(SYS_timer_settime, id, 0, &when, NULL), 0);
	return id;
}

/* Takes the signal, which must come within the time (0: wait already). */
static void take(int signal, int id, int ms)
{
	siginfo_t info;
	sigset_t set;
	struct timespec patience = { ms / 1000, ms % 1000 * 1000000l };
	sigemptyset(&set);
	sigaddset(&set, signal);
	MUST_EQ(sigtimedwait(&set, &info, &patience), signal);
	MUST_EQ(info.si_code, id < 0 ? SI_KERNEL : SI_TIMER);
	if (id >= 0)
		MUST_EQ(info.si_timerid, id);
	if (id >= 0)
		MUST_EQ(info.si_value.sival_int, signal);
}

static bool waits(int signal)
{
	sigset_t set;
	struct timespec now = { 0, 0 };
	sigemptyset(&set);
	sigaddset(&set, signal);
	int got = sigtimedwait(&set, NULL, &now);
	MUST(got == signal || errno == EAGAIN);
	return got == signal;
}

static void none(int signal) { MUST(!waits(signal)); }

/* It waits once: another one may be there at once only since the timer has expired again meanwhile, which is no fault. */
static void take_alone(int signal, int id)
{
	struct itimerspec left;
	for (int ms = 0;; ms = JUDGE_PATIENCE_MS) {
		double before = judge_clock(CLOCK_MONOTONIC);
		MUST_EQ(syscall(SYS_timer_gettime, id, &left), 0);
		take(signal, id, ms);
		if (!waits(signal))
			return;
		MUST(judge_clock(CLOCK_MONOTONIC) - before >=
		     (double)left.it_value.tv_sec + (double)left.it_value.tv_nsec / 1e9);
	}
}

static void *thread(void *arg)
{
	int id = make(SIGEV_THREAD_ID, SIGRTMIN + 2, 1, 100);
	*(volatile int *)arg = 1;
	while (!judge_asked())
		judge_nap(10);
	take(SIGRTMIN + 2, id, 0);
	take(SIGRTMIN + 2, id, JUDGE_PATIENCE_MS);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t other;
	sigset_t all;
	volatile int started = 0;
	judge_start(argc, argv);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	MUST_EQ(pthread_create(&other, NULL, thread, (void *)&started), 0);
	while (!started)
		judge_nap(1);
	int periodic = make(SIGEV_SIGNAL, SIGRTMIN, 1, 200), once = make(SIGEV_SIGNAL, SIGRTMIN + 1, 1, 0);
	int fast = make(SIGEV_SIGNAL, SIGRTMIN + 3, 1, 1), soon = make(SIGEV_SIGNAL, SIGRTMIN + 4, 60, 0);
	struct itimerval real = { { 0, 50000 }, { 0, 1000 } };
	MUST_EQ(setitimer(ITIMER_REAL, &real, NULL), 0);
	judge_nap(40);
	judge_wait();
	judge_nap(100);
	take_alone(SIGRTMIN, periodic);
	take(SIGRTMIN, periodic, JUDGE_PATIENCE_MS);
	take(SIGRTMIN + 1, once, 0);
	none(SIGRTMIN + 1);
	take(SIGRTMIN + 3, fast, 0);
	take(SIGRTMIN + 3, fast, JUDGE_PATIENCE_MS);
	take(SIGRTMIN + 4, soon, 0);
	none(SIGRTMIN + 4);
	take(SIGALRM, -1, 0);
	take(SIGALRM, -1, JUDGE_PATIENCE_MS);
	pthread_join(other, NULL);
	return judge_pass();
}
