// SPDX-License-Identifier: LGPL-2.1-or-later
/* signals DIR [WHAT]: handlers with their flags and masks, the blocked mask, alternate stacks, queued signals with their values, of
 * the process and of one thread, one of them without an entry in the queue. WHAT: "limited", no more signals may be queued,
 * nor timers made, than there are; "continued", a SIGCONT waits that is blocked, of the process and of the thread. */
#include "judge.h"

static volatile int seen[200], n_seen, on_altstack;
static char altstack[65536], thread_altstack[65536];
static volatile pid_t thread_tid;

static void handler(int signal, siginfo_t *info, void *context)
{
	char here;
	(void)context;
	seen[n_seen++] = signal * 1000 + info->si_value.sival_int;
	on_altstack = &here >= altstack && &here < altstack + sizeof altstack;
}

static void queue(int signal, int value)
{
	union sigval v = { .sival_int = value };
	MUST_EQ(sigqueue(getpid(), signal, v), 0);
}

/* It has no entry in the queue: there is no room for one. */
static void lose_info(int signal)
{
	struct rlimit limit, none;
	MUST_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	MUST_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	MUST_EQ(raise(signal), 0);
	MUST_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
}

static bool continued;

static void *thread(void *arg)
{
	stack_t stack = { .ss_sp = thread_altstack, .ss_size = sizeof thread_altstack }, now;
	siginfo_t info;
	sigset_t set, old;
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	sigaddset(&set, SIGUSR2);
	if (continued)
		MUST_EQ(pthread_kill(pthread_self(), SIGCONT), 0);
	MUST_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	MUST_EQ(sigaltstack(&stack, NULL), 0);
	union sigval v = { .sival_int = 77 };
	MUST_EQ(pthread_sigqueue(pthread_self(), SIGRTMIN + 5, v), 0);
	lose_info(SIGUSR2);
	thread_tid = (pid_t)syscall(SYS_gettid);
	while (!judge_asked())
		judge_nap(10);
	MUST_EQ(pthread_sigmask(SIG_SETMASK, NULL, &old), 0);
	MUST(sigismember(&old, SIGUSR2) == 1 && sigismember(&old, SIGRTMIN + 5) == 1 && sigismember(&old, SIGTERM) == 0);
	MUST_EQ(sigaltstack(NULL, &now), 0);
	MUST(now.ss_sp == stack.ss_sp && now.ss_size == stack.ss_size && now.ss_flags == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	MUST_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 5);
	MUST_EQ(info.si_value.sival_int, 77);
	MUST_EQ(info.si_code, SI_QUEUE);
	MUST_EQ(info.si_pid, getpid());
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	MUST_EQ(sigwaitinfo(&set, &info), SIGUSR2);
	MUST_EQ(info.si_code, SI_USER);
	MUST_EQ(info.si_pid, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART }, now;
	stack_t stack = { .ss_sp = altstack, .ss_size = sizeof altstack };
	sigset_t blocked;
	pthread_t t;
	judge_start(argc, argv);
	bool limited = argc > 2 && !strcmp(argv[2], "limited");
	continued = argc > 2 && !strcmp(argv[2], "continued");
	sigfillset(&act.sa_mask);
	sigdelset(&act.sa_mask, SIGCHLD);
	MUST_EQ(sigaction(SIGRTMIN + 1, &act, NULL), 0);
	MUST_EQ(sigaction(SIGRTMIN + 2, &act, NULL), 0);
	MUST_EQ(sigaction(SIGUSR1, &act, NULL), 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN + 1);
	sigaddset(&blocked, SIGRTMIN + 2);
	sigaddset(&blocked, SIGRTMIN + 5);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGALRM);
	if (continued)
		sigaddset(&blocked, SIGCONT);
	MUST_EQ(pthread_sigmask(SIG_SETMASK, &blocked, NULL), 0);
	if (continued)
		MUST_EQ(kill(getpid(), SIGCONT), 0);
	MUST_EQ(pthread_create(&t, NULL, thread, NULL), 0);
	while (!thread_tid)
		judge_nap(1);
	MUST_EQ(sigaltstack(&stack, NULL), 0);
	queue(SIGRTMIN + 2, 20);
	for (int i = 0; i < 40; i++)
		queue(SIGRTMIN + 1, i);
	queue(SIGUSR1, 1);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5 };
	struct rlimit limit, limit_now;
	timer_t timer;
	MUST_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	if (limited) {
		MUST_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
		limit.rlim_cur = 0;
		MUST_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	}
	judge_wait();
	MUST_EQ(getrlimit(RLIMIT_SIGPENDING, &limit_now), 0);
	MUST(limit_now.rlim_cur == limit.rlim_cur && limit_now.rlim_max == limit.rlim_max);
	MUST(!limited || timer_delete(timer) == 0);
	sigset_t pending, mask;
	sigpending(&pending);
	MUST(sigismember(&pending, SIGRTMIN + 1) && sigismember(&pending, SIGRTMIN + 2) && sigismember(&pending, SIGUSR1));
	MUST(!sigismember(&pending, SIGRTMIN + 5)); /* that one is the thread's own */
	MUST_EQ(sigismember(&pending, SIGCONT), continued);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < 64; s++)
		MUST(s == 32 || s == 33 || sigismember(&mask, s) == sigismember(&blocked, s));
	MUST_EQ(sigaction(SIGUSR1, NULL, &now), 0);
	MUST(now.sa_sigaction == handler &&
	     (now.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESTART)) == (SA_SIGINFO | SA_ONSTACK | SA_RESTART));
	MUST(sigismember(&now.sa_mask, SIGTERM) == 1 && sigismember(&now.sa_mask, SIGCHLD) == 0);
	MUST_EQ(sigaction(SIGPIPE, NULL, &now), 0);
	MUST(now.sa_handler == SIG_IGN);
	MUST_EQ(sigaction(SIGTERM, NULL, &now), 0);
	MUST(now.sa_handler == SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	MUST_EQ(n_seen, 42);
	MUST(on_altstack);
	MUST_EQ(seen[0], SIGUSR1 * 1000 + 1);
	for (int i = 0; i < 40; i++)
		MUST_EQ(seen[1 + i], (SIGRTMIN + 1) * 1000 + i);
	MUST_EQ(seen[41], (SIGRTMIN + 2) * 1000 + 20);
	pthread_join(t, NULL);
	return judge_pass();
}
