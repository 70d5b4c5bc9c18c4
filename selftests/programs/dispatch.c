// SPDX-License-Identifier: LGPL-2.1-or-later
/* dispatch DIR: threads that handle system calls themselves (PR_SET_SYSCALL_USER_DISPATCH), each other ones: calls that the kernel
 * does not know are answered by the program where they are handed over, and by the kernel elsewhere. */
#include "judge.h"
#include <linux/futex.h>
#include <sys/ptrace.h>
#include <ucontext.h>

#define NO_CALL 4000 /* of the kernel */
#define ANSWER 1234
#define DISPATCH 59 /* PR_SET_SYSCALL_USER_DISPATCH */
enum { OFF, OUTSIDE, INSIDE };
enum { ALLOW, BLOCK };

/* A range of addresses of its own: __start_own to __stop_own. */
extern const char __start_own[], __stop_own[];

#if defined(__x86_64__)
__attribute__((section("own"), noinline)) static long own_call(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return nr;
}
static void answer(ucontext_t *at) { at->uc_mcontext.gregs[REG_RAX] = ANSWER; }
#else
__attribute__((section("own"), noinline)) static long own_call(long nr, long a, long b, long c, long d)
{
	register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	register long x8 __asm__("x8") = nr;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x8) : "memory");
	return x0;
}
static void answer(ucontext_t *at) { at->uc_mcontext.regs[0] = ANSWER; }
#endif

static const struct way {
	const char *name;
	int mode;
	bool ranged, selects;
	bool waits_inside;     /* it waits in a call of its own range, with all others handed over */
	bool takes_own, takes; /* is a call of the range handed over, and one from elsewhere? */
} ways[] = {
	{ "off", OFF, false, false, false, false, false },
	{ "all that the selector says", OUTSIDE, false, true, false, true, true },
	{ "all but those of a range", OUTSIDE, true, true, true, false, true },
	{ "those of a range", INSIDE, true, false, false, true, false },
	{ "those of a range that the selector says", INSIDE, true, true, false, true, false },
};
#define WAYS (sizeof ways / sizeof *ways)

static __thread volatile char selector;
static __thread volatile int handed;
static uint32_t go;
static int ready, done;

static void handle(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	selector = ALLOW; /* what leaves the handler is a call, too */
	if (info->si_syscall == NO_CALL)
		handed++;
	answer(context);
}

static void judge_call(const struct way *w, bool own)
{
	bool takes = own ? w->takes_own : w->takes;
	int before = handed;
	selector = BLOCK;
	long got = own ? own_call(NO_CALL, 0, 0, 0, 0) : syscall(NO_CALL);
	selector = ALLOW;
	if (handed != before + takes || (takes ? got != ANSWER : got != (own ? -ENOSYS : -1)))
		judge_fail("%s, a call %s: %d handed over, gave %ld", w->name, own ? "of the range" : "from elsewhere",
			   handed - before, got);
}

static void judge_way(const struct way *w)
{
	judge_call(w, true);
	judge_call(w, false);
}

static long turn_on(const struct way *w)
{
	long len = w->ranged ? __stop_own - __start_own : 0;
	return prctl(DISPATCH, w->mode, len ? __start_own : NULL, len, w->selects ? &selector : NULL);
}

static void *live(void *arg)
{
	const struct way *w = arg;
	if (turn_on(w) < 0)
		judge_fail("%s: %s", w->name, strerror(errno));
	judge_way(w);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	selector = w->waits_inside ? BLOCK : ALLOW;
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		if (w->waits_inside)
			own_call(SYS_futex, (long)&go, FUTEX_WAIT, 0, 0);
		else
			syscall(SYS_futex, &go, FUTEX_WAIT, 0, NULL);
	selector = ALLOW;
	judge_way(w);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Can a tracer set it here (Linux 6.4)? */
static bool is_tracers(void)
{
	uint64_t config[4];
	int status;
	pid_t child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	MUST_EQ(waitpid(child, &status, 0), child);
	bool can = syscall(SYS_ptrace, 0x4211 /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG */, child, sizeof config, config) == 0;
	MUST_EQ(kill(child, SIGKILL), 0);
	MUST_EQ(waitpid(child, &status, 0), child);
	return can;
}

/* Does the kernel have this way? */
static bool is_there(const struct way *w)
{
	bool there = turn_on(w) == 0;
	return there && prctl(DISPATCH, OFF, 0, 0, 0) == 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO };
	pthread_t threads[WAYS];
	int started = 0;
	judge_start(argc, argv);
	MUST_EQ(sigaction(SIGSYS, &action, NULL), 0);
	if (!is_tracers())
		judge_fail("skip: system calls are not handed over, or no tracer can say so");
	for (size_t i = 0; i < WAYS; i++)
		if (is_there(&ways[i]))
			MUST_EQ(pthread_create(&threads[started++], NULL, live, (void *)&ways[i]), 0);
	MUST(started >= 3);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < started)
		judge_nap(1);
	judge_wait();
	judge_way(&ways[0]);
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &go, FUTEX_WAKE, INT_MAX);
	for (int i = 0; i < started; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	MUST_EQ(done, started);
	return judge_pass();
}
