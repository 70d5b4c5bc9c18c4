// SPDX-License-Identifier: LGPL-2.1-or-later
/* timers DIR: interval timers and POSIX timers keep their ids (with gaps), clocks, targets, remaining time and intervals. */
#include "judge.h"

static volatile int ticks[16], alarms, profiles;

static void on_timer(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	ticks[info->si_value.sival_int & 15]++;
}
static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}
static void on_profile(int signal)
{
	(void)signal;
	profiles++;
}

static int make(clockid_t clock, int notify, int signal, int value, double first, double interval)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_int = value };
	struct itimerspec when = { .it_value = { (time_t)first, (long)((first - (double)(time_t)first) * 1e9) },
				   .it_interval = { (time_t)interval, (long)((interval - (double)(time_t)interval) * 1e9) } };
	int id = -1;
	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = (int)syscall(SYS_gettid);
	MUST_EQ(syscall(SYS_timer_create, clock, &event, &id), 0);
	MUST_EQ(syscall(SYS_timer_settime, id, 0, &when, NULL), 0);
	return id;
}

static double left(int id, double *interval)
{
	struct itimerspec now;
	MUST_EQ(syscall(SYS_timer_gettime, id, &now), 0);
	*interval = (double)now.it_interval.tv_sec + (double)now.it_interval.tv_nsec / 1e9;
	return (double)now.it_value.tv_sec + (double)now.it_value.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART };
	double interval;
	judge_start(argc, argv);
	sigaction(SIGRTMIN, &act, NULL);
	sigaction(SIGRTMIN + 1, &act, NULL);
	signal(SIGALRM, on_alarm);
	signal(SIGPROF, on_profile);
	int dead0 = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0, 0);
	int fast = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 1, 0.01, 0.02);
	int dead1 = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0, 0);
	int slow = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN, 2, 1000, 500);
	int mine = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 1, 3, 0.05, 0.05);
	int silent = make(CLOCK_BOOTTIME, SIGEV_NONE, 0, 4, 300, 0.25);
	int disarmed = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 5, 0, 0);
	int cpu = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN, 6, 3000, 0);
	MUST_EQ(syscall(SYS_timer_delete, dead0), 0);
	MUST_EQ(syscall(SYS_timer_delete, dead1), 0);
	struct itimerval real = { { 0, 50000 }, { 0, 50000 } }, prof = { { 5, 0 }, { 100, 0 } },
			 virt = { { 0, 0 }, { 200, 0 } }, now;
	MUST_EQ(setitimer(ITIMER_REAL, &real, NULL), 0);
	MUST_EQ(setitimer(ITIMER_PROF, &prof, NULL), 0);
	MUST_EQ(setitimer(ITIMER_VIRTUAL, &virt, NULL), 0);
	judge_wait();
	int before[3] = { ticks[1], ticks[3], alarms };
	do /* who waits for the verdict gives up when one of them does not go on */
		judge_nap(400);
	while (ticks[1] <= before[0] + 3 || ticks[3] <= before[1] + 1 || alarms <= before[2] + 1);
	MUST(left(fast, &interval) <= 0.02 && interval > 0.0199 && interval < 0.0201);
	double remaining = left(slow, &interval);
	MUST(remaining > 900 && remaining <= 1000 && interval == 500);
	MUST(left(mine, &interval) <= 0.05 && interval > 0.0499 && interval < 0.0501);
	remaining = left(silent, &interval);
	MUST(remaining > 200 && remaining <= 300 && interval == 0.25);
	MUST(left(disarmed, &interval) == 0 && interval == 0);
	remaining = left(cpu, &interval);
	MUST(remaining > 2900 && remaining <= 3000 && interval == 0);
	struct itimerspec none;
	MUST(syscall(SYS_timer_gettime, dead0, &none) == -1 && errno == EINVAL);
	MUST(syscall(SYS_timer_gettime, dead1, &none) == -1 && errno == EINVAL);
	MUST(ticks[2] == 0 && ticks[4] == 0 && ticks[5] == 0 && ticks[6] == 0);
	MUST_EQ(getitimer(ITIMER_PROF, &now), 0);
	MUST(now.it_value.tv_sec <= 100 && now.it_value.tv_sec > 90 && now.it_interval.tv_sec == 5);
	MUST_EQ(getitimer(ITIMER_VIRTUAL, &now), 0);
	MUST(now.it_value.tv_sec <= 200 && now.it_value.tv_sec > 190 && now.it_interval.tv_sec == 0);
	/* A new timer gets an id that nobody has. */
	int fresh = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0, 0);
	MUST(fresh != fast && fresh != slow && fresh != mine && fresh != silent && fresh != disarmed && fresh != cpu);
	return judge_pass();
}
