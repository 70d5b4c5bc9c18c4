// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs that judge themselves are hijacked, and the hijacker is killed after every one of its steps: none may notice.
 * Few instants are tried by default; HIJACK_STRIDE=1 tries all of them, HIJACK_RANDOM=N as many moments in between. */
#include "harness/test.h"
#include "raw.h"
#include "base/file.h"
#include "diag/diag.h"
#include "infect/hijack.h"
#include "infect/remote.h"
#include "task/tree.h"
#include <elf.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define MS 1000000l
#define THREADS 5
#define REFUSED 77 /* exit status of a worker whose target has no room left */

static struct shared {
	volatile long beat[THREADS], eintr;
	volatile int failed;
	char message[160];
} * shared;
static int data_pipe[2];

#define WRONG(...)                                                                                                             \
	do {                                                                                                                   \
		if (!shared->failed)                                                                                           \
			snprintf(shared->message, sizeof shared->message, __VA_ARGS__);                                        \
		shared->failed = 1;                                                                                            \
	} while (0)

static long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* --- programs that judge themselves --- */

#if defined(__x86_64__)
/* Computes without a stack, with every register, flags and vector registers holding patterns; 0 when all of them do. */
long spin_without_stack(long rounds);
__asm__(".pushsection .text\n"
	"spin_without_stack:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	movq %rsp, %xmm15\n"
	"	mov %rdi, %rcx\n"
	"	mov $0x1111, %rbx; mov $0x2222, %rbp; mov $0x3333, %r12; mov $0x4444, %r13; mov $0x5555, %r14; mov $0x6666, "
	"%r15\n"
	"	mov $0x7777, %r8; mov $0x8888, %r9; mov $0x9999, %r10; mov $0xaaaa, %r11; mov $0xbbbb, %rdx; mov $0xcccc, "
	"%rsi\n"
	"	mov $0xdddd, %rdi; movq %rdi, %xmm0; movq %rsi, %xmm7\n"
	"	mov $0xdead, %rsp\n"
	"1:	cmp $0x1111, %rbx; jne 9f; cmp $0x2222, %rbp; jne 9f; cmp $0x3333, %r12; jne 9f; cmp $0x4444, %r13; jne 9f\n"
	"	cmp $0x5555, %r14; jne 9f; cmp $0x6666, %r15; jne 9f; cmp $0x7777, %r8; jne 9f; cmp $0x8888, %r9; jne 9f\n"
	"	cmp $0x9999, %r10; jne 9f; cmp $0xaaaa, %r11; jne 9f; cmp $0xbbbb, %rdx; jne 9f; cmp $0xcccc, %rsi; jne 9f\n"
	"	cmp $0xdddd, %rdi; jne 9f; cmp $0xdead, %rsp; jne 9f\n"
	"	movq %xmm0, %rax; cmp $0xdddd, %rax; jne 9f; movq %xmm7, %rax; cmp $0xcccc, %rax; jne 9f\n"
	"	stc; jnc 9f; std; pause; pause; cld; clc; jc 9f\n"
	"	lea -1(%rcx), %rcx; mov $0, %eax; jrcxz 2f; jmp 1b\n"
	"9:	mov $1, %eax\n"
	"2:	movq %xmm15, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".popsection\n");
#elif defined(__aarch64__)
/* The same; x0 is the only one that holds none, x1 counts. */
long spin_without_stack(long rounds);
__asm__(".pushsection .text\n"
	"spin_without_stack:\n"
	"	mov x1, x0\n"
	"	fmov d16, x19\n"
	"	fmov d17, x20\n"
	"	fmov d18, x21\n"
	"	fmov d19, x22\n"
	"	fmov d20, x23\n"
	"	fmov d21, x24\n"
	"	fmov d22, x25\n"
	"	fmov d23, x26\n"
	"	fmov d24, x27\n"
	"	fmov d25, x28\n"
	"	fmov d26, x29\n"
	"	fmov d27, x30\n"
	"	mov x0, sp; fmov d28, x0\n"
	"	mov x0, #0xdead0000; mov sp, x0\n"
	"	mov x2, #0x22\n"
	"	mov x3, #0x33\n"
	"	mov x4, #0x44\n"
	"	mov x5, #0x55\n"
	"	mov x6, #0x66\n"
	"	mov x7, #0x77\n"
	"	mov x8, #0x88\n"
	"	mov x9, #0x99\n"
	"	mov x10, #0xaa\n"
	"	mov x11, #0xbb\n"
	"	mov x12, #0xcc\n"
	"	mov x13, #0xdd\n"
	"	mov x14, #0xee\n"
	"	mov x15, #0xff\n"
	"	mov x16, #0x110\n"
	"	mov x17, #0x121\n"
	"	mov x18, #0x132\n"
	"	mov x19, #0x143\n"
	"	mov x20, #0x154\n"
	"	mov x21, #0x165\n"
	"	mov x22, #0x176\n"
	"	mov x23, #0x187\n"
	"	mov x24, #0x198\n"
	"	mov x25, #0x1a9\n"
	"	mov x26, #0x1ba\n"
	"	mov x27, #0x1cb\n"
	"	mov x28, #0x1dc\n"
	"	mov x29, #0x1ed\n"
	"	mov x30, #0x1fe\n"
	"	fmov d0, x30; fmov v31.d[1], x29\n"
	"1:\n"
	"	subs x0, x2, #0x22; b.ne 9f\n"
	"	subs x0, x3, #0x33; b.ne 9f\n"
	"	subs x0, x4, #0x44; b.ne 9f\n"
	"	subs x0, x5, #0x55; b.ne 9f\n"
	"	subs x0, x6, #0x66; b.ne 9f\n"
	"	subs x0, x7, #0x77; b.ne 9f\n"
	"	subs x0, x8, #0x88; b.ne 9f\n"
	"	subs x0, x9, #0x99; b.ne 9f\n"
	"	subs x0, x10, #0xaa; b.ne 9f\n"
	"	subs x0, x11, #0xbb; b.ne 9f\n"
	"	subs x0, x12, #0xcc; b.ne 9f\n"
	"	subs x0, x13, #0xdd; b.ne 9f\n"
	"	subs x0, x14, #0xee; b.ne 9f\n"
	"	subs x0, x15, #0xff; b.ne 9f\n"
	"	subs x0, x16, #0x110; b.ne 9f\n"
	"	subs x0, x17, #0x121; b.ne 9f\n"
	"	subs x0, x18, #0x132; b.ne 9f\n"
	"	subs x0, x19, #0x143; b.ne 9f\n"
	"	subs x0, x20, #0x154; b.ne 9f\n"
	"	subs x0, x21, #0x165; b.ne 9f\n"
	"	subs x0, x22, #0x176; b.ne 9f\n"
	"	subs x0, x23, #0x187; b.ne 9f\n"
	"	subs x0, x24, #0x198; b.ne 9f\n"
	"	subs x0, x25, #0x1a9; b.ne 9f\n"
	"	subs x0, x26, #0x1ba; b.ne 9f\n"
	"	subs x0, x27, #0x1cb; b.ne 9f\n"
	"	subs x0, x28, #0x1dc; b.ne 9f\n"
	"	subs x0, x29, #0x1ed; b.ne 9f\n"
	"	subs x0, x30, #0x1fe; b.ne 9f\n"
	"	mov x0, sp; mov x16, #0xdead0000; cmp x0, x16; b.ne 9f; mov x16, #0x110\n"
	"	fmov x0, d0; cmp x0, #0x1fe; b.ne 9f; fmov x0, v31.d[1]; cmp x0, #0x1ed; b.ne 9f\n"
	"	cmp x1, x1; nop; nop; b.ne 9f; b.lo 9f; cmp xzr, x2; nop; nop; b.pl 9f; b.hs 9f\n"
	"	sub x1, x1, #1; mov x0, #0; cbz x1, 2f; b 1b\n"
	"9:	mov x0, #1\n"
	"2:	fmov x1, d28; mov sp, x1\n"
	"	fmov x19, d16\n"
	"	fmov x20, d17\n"
	"	fmov x21, d18\n"
	"	fmov x22, d19\n"
	"	fmov x23, d20\n"
	"	fmov x24, d21\n"
	"	fmov x25, d22\n"
	"	fmov x26, d23\n"
	"	fmov x27, d24\n"
	"	fmov x28, d25\n"
	"	fmov x29, d26\n"
	"	fmov x30, d27\n"
	"	ret\n"
	".popsection\n");
#endif

static void spin(int beat)
{
	for (;; shared->beat[beat]++)
		if (spin_without_stack(20000))
			WRONG("a register changed");
}

static void sleep_often(int beat)
{
	struct timespec t = { .tv_nsec = 5 * MS }, rest;
	for (;; shared->beat[beat]++) {
		long begin = now(), r = raw_call(SYS_nanosleep, (long)&t, (long)&rest, 0, 0, 0, 0);
		if (r)
			WRONG("nanosleep gave %ld", r);
		if (now() - begin < t.tv_nsec)
			WRONG("nanosleep was short");
	}
}

static void read_pipe(int beat)
{
	unsigned char want = 0, got = 0;
	for (;; shared->beat[beat]++, want++) {
		long r = raw_call(SYS_read, data_pipe[0], (long)&got, 1, 0, 0, 0);
		if (r != 1 || got != want)
			WRONG("read gave %ld, byte %d, not %d", r, got, want);
	}
}

static void wait_futex(int beat)
{
	static int word;
	struct timespec t = { .tv_nsec = 5 * MS };
	for (;; shared->beat[beat]++) {
		long begin = now(), r = raw_call(SYS_futex, (long)&word, FUTEX_WAIT, 0, (long)&t, 0, 0);
		if (r != -ETIMEDOUT)
			WRONG("futex gave %ld", r);
		if (now() - begin < t.tv_nsec)
			WRONG("futex was short");
	}
}

static void wait_epoll(int beat)
{
	int epoll = epoll_create1(0);
	struct epoll_event event;
	for (;; shared->beat[beat]++) {
		long r = raw_call(SYS_epoll_pwait, epoll, (long)&event, 1, 5, 0, 8);
		if (r == -EINTR)
			shared->eintr++;
		else if (r)
			WRONG("epoll_wait gave %ld", r);
	}
}

static void in_handler(int signo _unused_)
{
	sigset_t mask;
	for (;; shared->beat[0]++) {
		if (spin_without_stack(20000))
			WRONG("a register changed");
		sigprocmask(SIG_SETMASK, NULL, &mask);
		if (!sigismember(&mask, SIGUSR1) || sigismember(&mask, SIGUSR2) || !sigismember(&mask, SIGTERM))
			WRONG("the mask changed");
	}
}

static void spin_in_handler(int beat _unused_)
{
	struct sigaction action = { .sa_handler = in_handler };
	sigaddset(&action.sa_mask, SIGTERM);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

static volatile long handled;
static void count_signal(int signo _unused_) { handled++; }

static timer_t make_timer(int signo)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo };
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		WRONG("timer_create");
	return timer;
}

/* One shot: a wake-up that is lost is never made good. */
static void suspend_for_timer(int beat)
{
	sigset_t blocked, before, mask;
	signal(SIGALRM, count_signal);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	timer_t timer = make_timer(SIGALRM);
	for (;; shared->beat[beat]++) {
		long had = handled;
		timer_settime(timer, 0, &(struct itimerspec){ .it_value.tv_nsec = (2 + had % 3) * MS }, NULL);
		sigsuspend(&before);
		sigprocmask(SIG_SETMASK, NULL, &mask);
		if (handled != had + 1 || !sigismember(&mask, SIGALRM))
			WRONG("sigsuspend: %ld signals", handled - had);
	}
}

/* A queued signal that is blocked all the time is taken once, with its value. */
static void keep_pending(int beat)
{
	sigset_t mask, set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;; shared->beat[beat]++) {
		sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = (int)shared->beat[beat] });
		for (long end = now() + 5 * MS; now() < end;)
			if (spin_without_stack(1000))
				WRONG("a register changed");
		if (sigtimedwait(&set, &info, &(struct timespec){ 0 }) != SIGRTMIN + 3 ||
		    info.si_int != (int)shared->beat[beat])
			WRONG("the signal was lost");
		if (sigtimedwait(&set, &info, &(struct timespec){ 0 }) >= 0)
			WRONG("the signal came twice");
		sigprocmask(SIG_SETMASK, NULL, &mask);
		if (!sigismember(&mask, SIGRTMIN + 3) || sigismember(&mask, SIGUSR1))
			WRONG("the mask changed");
	}
}

static void *thread(void *which)
{
	static void (*const job[THREADS])(int) = { spin, sleep_often, wait_futex, read_pipe, wait_epoll };
	job[(long)which]((int)(long)which);
	return NULL;
}

static void five_threads(int beat _unused_)
{
	pthread_t t;
	for (long i = 1; i < THREADS; i++)
		pthread_create(&t, NULL, thread, (void *)i);
	spin(0);
}

/* No stack, no libc, and every signal that could end a batch is taken: the calls are made one by one. */
static void no_signal_is_free(int beat)
{
	signal(SIGWINCH, count_signal);
	signal(SIGCHLD, count_signal);
	signal(SIGURG, count_signal);
	sleep_often(beat);
}

#if defined(__x86_64__)
static void without_stack(int beat)
{
	static struct timespec t = { .tv_nsec = 5 * MS };
	volatile long *word = &shared->beat[beat];
	volatile int *failed = &shared->failed;
	__asm__ volatile("mov $0xdead, %%rsp\n"
			 "mov $0xbeef, %%rbp\n"
			 "1: mov $35, %%eax\n"
			 "mov %0, %%rdi\n"
			 "xor %%esi, %%esi\n"
			 "syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 2f\n"
			 "cmp $0xdead, %%rsp\n"
			 "jne 2f\n"
			 "cmp $0xbeef, %%rbp\n"
			 "jne 2f\n"
			 "incq (%1)\n"
			 "jmp 1b\n"
			 "2: movl $1, (%2)\n"
			 "jmp 1b\n" ::"r"(&t),
			 "r"(word), "r"(failed)
			 : "rax", "rcx", "rdi", "rsi", "r11", "memory");
}
#else
static void without_stack(int beat)
{
	static struct timespec t = { .tv_nsec = 5 * MS };
	volatile long *word = &shared->beat[beat];
	volatile int *failed = &shared->failed;
	__asm__ volatile("mov x9, #0xdead0000\n"
			 "mov sp, x9\n"
			 "mov x29, #0xbeef\n"
			 "1: mov x0, %0\n"
			 "mov x1, #0\n"
			 "mov x8, #101\n"
			 "svc #0\n"
			 "cbnz x0, 2f\n"
			 "cbnz x1, 2f\n"
			 "mov x10, #0xdead0000\n"
			 "cmp sp, x10\n"
			 "b.ne 2f\n"
			 "cmp x9, x10\n"
			 "b.ne 2f\n"
			 "mov x10, #0xbeef\n"
			 "cmp x29, x10\n"
			 "b.ne 2f\n"
			 "ldr x10, [%1]\n"
			 "add x10, x10, #1\n"
			 "str x10, [%1]\n"
			 "b 1b\n"
			 "2: mov w10, #1\n"
			 "str w10, [%2]\n"
			 "b 1b\n" ::"r"(&t),
			 "r"(word), "r"(failed)
			 : "x0", "x1", "x8", "x9", "x10", "x29", "memory", "cc");
	__builtin_unreachable();
}
#endif

/* --- hijacking them --- */

static struct hijack_call calls[80];

static size_t prepare_calls(void)
{
	size_t n = 0;
	calls[n++] = (struct hijack_call){ .nr = SYS_gettid };
	for (int i = 1; i <= 64; i++)
		calls[n++] =
			(struct hijack_call){ .nr = SYS_rt_sigaction, .arg = { (u64)i, 0, HIJACK_ARENA + (u64)i * 32, 8 } };
	calls[n++] = (struct hijack_call){ .nr = SYS_sigaltstack, .arg = { 0, HIJACK_ARENA + 4096 } };
	calls[n++] = (struct hijack_call){ .nr = SYS_prctl, .arg = { PR_GET_TIMERSLACK } };
	calls[n++] = (struct hijack_call){ .nr = SYS_brk };
	return n;
}

#if defined(__x86_64__)
static u64 thread_pointer(pid_t tid)
{
	arch_regs regs = { 0 };
	CHECK_OK(remote_get_regs(tid, &regs));
	return regs.fs_base;
}
#else
static u64 thread_pointer(pid_t tid)
{
	u64 pointer = 0;
	struct iovec iov = { &pointer, sizeof pointer };
	CHECK_OK(ptrace(PTRACE_GETREGSET, tid, NT_ARM_TLS, &iov));
	return pointer;
}
#endif

/* What eBPF tells a dump where ptrace does not tell it (before Linux 5.13). Targets are forks of this program, whose C library has the
 * areas of its threads at one distance from their thread pointers. */
static void tell_rseq(struct tree_process *process)
{
	for (size_t i = 0; i < process->threads.n; i++) {
		struct tree_thread *t = &process->threads.v[i];
		struct rseq_area told;
		t->rseq_told = rseq_get_area(t->tid, &told) == -EIO;
		if (t->rseq_told && __rseq_size)
			t->rseq = (struct rseq_area){ thread_pointer(t->tid) + (u64)__rseq_offset, __rseq_size, RSEQ_SIG };
	}
}

/* A hijack from freeze to thaw, in every thread when there are some. Exit status: 0, REFUSED, or 1. */
static void worker(pid_t target)
{
	_cleanup_tree_ struct tree tree = { 0 };
	char data[HIJACK_ARENA_DATA] = { 0 };
	diag_begin("hijack", "target");
	if (tree_freeze(&tree, target, NULL) < 0)
		_exit(1);
	tell_rseq(&tree.processes.v[0]);
	size_t n = prepare_calls();
	for (size_t i = 0; i < tree.processes.v[0].threads.n; i++) {
		pid_t tid = tree.processes.v[0].threads.v[i].tid;
		int err = hijack_run(&tree.processes.v[0], tid, calls, n, data, sizeof data);
		if (err < 0 || calls[0].result != tid || calls[n - 1].result < 4096) {
			diag_print_text(2);
			_exit(diag_has(DIAG_HIJACK_REFUSED) ? REFUSED : 1);
		}
	}
	tree_thaw(&tree);
	_exit(0);
}

static bool counts(long nr)
{
	return nr == SYS_ptrace || nr == SYS_pwrite64 || nr == SYS_process_vm_writev || nr == SYS_wait4 || nr == SYS_waitid;
}

#if defined(__x86_64__)
static long call_number(const arch_regs *r) { return (long)r->orig_rax; }
#else
static long call_number(const arch_regs *r) { return (long)r->regs[8]; }
#endif

/* Runs a worker and kills it behind its n-th step (0: never); its wait status, and how many steps it made. */
static int run_worker(pid_t target, long n, long *ret_steps)
{
	int status;
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		raise(SIGSTOP);
		worker(target);
	}
	CHECK_OK(waitpid(pid, &status, WUNTRACED));
	CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	kill(pid, SIGCONT);
	*ret_steps = 0;
	for (bool exit_stop = false;;) {
		CHECK_OK(waitpid(pid, &status, __WALL));
		if (!WIFSTOPPED(status))
			return status;
		bool syscall_stop = WSTOPSIG(status) == (SIGTRAP | 0x80);
		arch_regs regs;
		if (syscall_stop && exit_stop) {
			CHECK_OK(remote_get_regs(pid, &regs));
			if (counts(call_number(&regs)) && ++*ret_steps == n)
				kill(pid, SIGKILL);
		}
		if (syscall_stop)
			exit_stop = !exit_stop;
		int event = status >> 16;
		ptrace(PTRACE_SYSCALL, pid, 0, syscall_stop || event || WSTOPSIG(status) == SIGCONT ? 0 : WSTOPSIG(status));
	}
}

/* Runs a worker and kills it at a random moment. */
static void kill_worker_sometime(pid_t target, long longest)
{
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid)
		worker(target);
	for (long end = now() + random() % longest; now() < end;)
		;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static pid_t feeder = -1;

static pid_t start(void (*run)(int))
{
	if (feeder > 0) {
		kill(feeder, SIGKILL);
		waitpid(feeder, NULL, 0);
		close(data_pipe[0]);
		close(data_pipe[1]);
	}
	memset(shared, 0, sizeof *shared);
	CHECK_OK(pipe(data_pipe));
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(0);
	}
	feeder = (pid_t)CHECK_OK(fork());
	if (!feeder) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned char c = 0;; c++) {
			usleep(4000);
			if (write(data_pipe[1], &c, 1) != 1)
				_exit(1);
		}
	}
	return pid;
}

/* Every thread goes on, and found nothing wrong. */
static void check_lives(pid_t pid, int threads, long step)
{
	long before[THREADS];
	memcpy(before, (const void *)shared->beat, sizeof before);
	int slow = threads;
	for (int tries = 0; tries < 30000 && slow; tries++) {
		int status;
		if (waitpid(pid, &status, WNOHANG) == pid)
			FAIL("killed at step %ld: the target died, status %#x", step, status);
		usleep(1000);
		slow = 0;
		for (int i = 0; i < threads; i++)
			slow += shared->beat[i] < before[i] + 2;
	}
	if (shared->failed)
		FAIL("killed at step %ld: %s", step, shared->message);
	if (slow)
		FAIL("killed at step %ld: %d threads hang", step, slow);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);
	return text ? atol(text) : otherwise;
}

static void sweep(void (*run)(int), int threads)
{
	long stride = setting("HIJACK_STRIDE", 7), steps, unused, restarts = 0, swept = 0;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = start(run);
	check_lives(pid, threads, 0); /* all are made */
	CHECK_EQ(run_worker(pid, 0, &steps), 0);
	check_lives(pid, threads, 0);
	CHECK_EQ(run_worker(pid, 0, &steps), 0);
	check_lives(pid, threads, 0);
	CHECK_EQ(shared->eintr, 0);
	for (long n = 1 + (stride > 1 ? now() / 1000 % stride : 0); n <= steps; n += stride, swept++) {
		int status = run_worker(pid, n, &unused);
		if (WIFEXITED(status) &&
		    WEXITSTATUS(status) == REFUSED) { /* places of killed hijacks are not always known to be free */
			end(pid);
			pid = start(run);
			check_lives(pid, threads, 0);
			restarts++;
			status = run_worker(pid, n, &unused);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status))
			FAIL("the hijack failed, to be killed at step %ld", n);
		check_lives(pid, threads, n);
	}
	for (long i = 0; i < setting("HIJACK_RANDOM", 0); i++) {
		kill_worker_sometime(pid, 3 * MS * threads);
		check_lives(pid, threads, -i);
	}
	printf("%ld of %ld steps, %ld restarts, %ld EINTR\n", swept, steps, restarts, shared->eintr);
	end(pid);
}

static void read_all(pid_t pid, const char *file, struct text *ret)
{
	CHECK_OK(file_readf(ret, AT_FDCWD, "/proc/%d/%s", pid, file));
}

/* The bytes of the vDSO's mapping. */
static void read_vdso(pid_t pid, const char *maps, struct text *ret)
{
	unsigned long start, end;
	const char *line = strstr(maps, "[vdso]");
	CHECK(line != NULL);
	while (line > maps && line[-1] != '\n')
		line--;
	CHECK_EQ(sscanf(line, "%lx-%lx", &start, &end), 2);
	char *bytes = malloc(end - start);
	struct iovec here = { bytes, end - start }, there = { (void *)start, end - start };
	CHECK_EQ(process_vm_readv(pid, &here, 1, &there, 1, 0), end - start);
	text_add(ret, bytes, end - start);
	free(bytes);
}

TEST(a_hijack_leaves_no_trace, .root = true, .seconds = 120)
{
	struct text maps[2] = { 0 }, vdso[2] = { 0 };
	long steps;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = start(five_threads);
	check_lives(pid, THREADS, 0); /* all are made */
	for (int i = 0; i < 2; i++) {
		read_all(pid, "maps", &maps[i]);
		read_vdso(pid, maps[i].data, &vdso[i]);
		CHECK_EQ(run_worker(pid, 0, &steps), 0);
	}
	CHECK_STR(maps[0].data, maps[1].data);
	CHECK_EQ(vdso[0].len, vdso[1].len);
	CHECK_MEM(vdso[0].data, vdso[1].data, vdso[0].len);
	check_lives(pid, THREADS, 0);
	end(pid);
	for (int i = 0; i < 2; i++) {
		text_free(&maps[i]);
		text_free(&vdso[i]);
	}
}

/* A hijacker that is killed in its batch leaves an arena and a stub: the next hijack takes them away. */
TEST(the_next_hijack_cleans_up, .root = true, .seconds = 120)
{
	long steps, unused;
	bool cleaned = false;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = start(sleep_often);
	CHECK_EQ(run_worker(pid, 0, &steps), 0);
	end(pid);
	for (long n = 1; n <= steps && !cleaned; n++) {
		struct text maps[3] = { 0 };
		pid = start(sleep_often);
		check_lives(pid, 1, 0);
		read_all(pid, "maps", &maps[0]);
		run_worker(pid, n, &unused);
		check_lives(pid, 1, n);
		read_all(pid, "maps", &maps[1]);
		int status = run_worker(pid, 0, &unused);
		CHECK(status == 0 || WEXITSTATUS(status) == REFUSED); /* no room beside a stub that may still be in use */
		read_all(pid, "maps", &maps[2]);
		cleaned = strcmp(maps[0].data, maps[1].data) && !strcmp(maps[0].data, maps[2].data);
		end(pid);
		for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
			text_free(&maps[i]);
	}
	CHECK(cleaned);
}

TEST(user_code, .root = true, .seconds = 120) { sweep(spin, 1); }
TEST(nanosleep, .root = true, .seconds = 120) { sweep(sleep_often, 1); }
TEST(read_from_pipe, .root = true, .seconds = 120) { sweep(read_pipe, 1); }
TEST(futex_with_timeout, .root = true, .seconds = 120) { sweep(wait_futex, 1); }
TEST(epoll, .root = true, .seconds = 120) { sweep(wait_epoll, 1); }
TEST(signal_handler, .root = true, .seconds = 120) { sweep(spin_in_handler, 1); }
TEST(sigsuspend_once, .root = true, .seconds = 120) { sweep(suspend_for_timer, 1); }
TEST(pending_signal, .root = true, .seconds = 120) { sweep(keep_pending, 1); }
TEST(threads, .root = true, .seconds = 240) { sweep(five_threads, THREADS); }
TEST(calls_one_by_one, .root = true, .seconds = 120) { sweep(no_signal_is_free, 1); }
TEST(no_stack_no_libc, .root = true, .seconds = 120) { sweep(without_stack, 1); }
