// SPDX-License-Identifier: LGPL-2.1-or-later
/* A process tells about itself what it was told to be; one whose filter would not let it is left alone. */
#include "harness/target.h"
#include "diag/diag.h"
#include "infect/ask.h"
#include "infect/seccomp.h"
#include <linux/audit.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define THREADS 3
#define ALTSTACK_BYTES 65536

static struct shared {
	volatile int ready, tick;
	bool has_tsc; /* PR_SET_TSC; the leader alone */
	u64 altstack[THREADS], clear_tid[THREADS], brk;
	int timer[2];
} * shared;

static void on_signal(int signo _unused_) {}

static void use_altstack(int i)
{
	stack_t stack = { .ss_sp = malloc(ALTSTACK_BYTES), .ss_size = ALTSTACK_BYTES };
	CHECK_OK(sigaltstack(&stack, NULL));
	shared->altstack[i] = (u64)(uintptr_t)stack.ss_sp;
	CHECK_OK(prctl(PR_GET_TID_ADDRESS, &shared->clear_tid[i]));
}

static void *thread(void *which)
{
	use_altstack((int)(long)which);
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	while (pause())
		;
	return which;
}

static void make_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 77 };
	timer_t timer;
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_interval.tv_sec = 7, .it_value.tv_sec = 1000 }, NULL);
	for (int i = 0; i < 2; i++) {
		CHECK_OK(timer_create(i ? CLOCK_REALTIME : CLOCK_MONOTONIC, &event, &timer));
		shared->timer[i] = (int)(long)timer;
	}
	CHECK_OK(timer_settime(timer, 0, &(struct itimerspec){ .it_interval.tv_nsec = 500, .it_value.tv_sec = 100 }, NULL));
}

static void target(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigaddset(&action.sa_mask, SIGTERM);
	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	signal(SIGHUP, SIG_IGN);
	make_timers();
	CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 54321));
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	use_altstack(0);
	pthread_t t;
	for (long i = 1; i < THREADS; i++)
		pthread_create(&t, NULL, thread, (void *)i);
	while (shared->ready < THREADS - 1)
		usleep(1000);
	shared->brk = (u64)syscall(SYS_brk, 0);
	shared->has_tsc = prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0;
	for (shared->ready++;; shared->tick++)
		usleep(1000);
}

static pid_t start(void (*run)(void), int ready)
{
	CHECK_OK(diag_begin("ask", "target"));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (!pid) {
		run();
		_exit(1);
	}
	while (shared->ready < ready)
		usleep(1000);
	return pid;
}

static void check_ticks(pid_t pid)
{
	int before = shared->tick;
	WAIT_UNTIL(shared->tick >= before + 2);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(a_process_tells_everything, .root = true)
{
	_cleanup_tree_ struct tree tree = { 0 };
	struct record_task tasks[THREADS] = { 0 };
	struct record_sighand sighand;
	pid_t pid = start(target, THREADS);
	CHECK_OK(tree_freeze(&tree, pid, NULL));
	CHECK_EQ(tree.processes.v[0].threads.n, THREADS);
	struct ask ask = { .process = &tree.processes.v[0], .tasks = tasks, .sighand = &sighand, .want_timers = true };
	CHECK_OK(ask_process(&ask));
	tree_thaw(&tree);
	for (int i = 0; i < THREADS; i++) {
		u64 must = KNOWN_ALTSTACK | KNOWN_CLEAR_TID | KNOWN_PRCTL | KNOWN_SECUREBITS | KNOWN_ITIMERS | KNOWN_MM_BRK |
			   KNOWN_THP_MDWE;
		CHECK_EQ(tasks[i].known & must, must);
		bool found = false;
		for (int k = 0; k < THREADS; k++)
			found |=
				tasks[i].altstack_sp == shared->altstack[k] && tasks[i].clear_child_tid == shared->clear_tid[k];
		CHECK(found);
		CHECK_EQ(tasks[i].altstack_size, ALTSTACK_BYTES);
		CHECK_EQ(tasks[i].brk, shared->brk);
		CHECK_EQ(tasks[i].subreaper, 1);
		CHECK_EQ(tasks[i].thp_disable, 1);
		CHECK_EQ(tasks[i].itimer_interval[ITIMER_REAL], 7000000000ll);
		CHECK(tasks[i].itimer_value[ITIMER_REAL] > 990000000000ull && tasks[i].itimer_value[ITIMER_PROF] == 0);
		if (tasks[i].known & KNOWN_MEMBARRIER)
			CHECK_EQ(tasks[i].membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	}
	CHECK_EQ(tasks[0].pdeath_signal, SIGKILL);
	CHECK_EQ(tasks[0].timer_slack, 54321);
	for (int i = 0; i < THREADS; i++) {
		CHECK(tasks[i].known & KNOWN_CONTROLS);
		CHECK_EQ(tasks[i].tsc, !shared->has_tsc ? 0 : i ? PR_TSC_ENABLE : PR_TSC_SIGSEGV);
	}
	CHECK_EQ(sighand.action[SIGUSR1 - 1].handler, (u64)(uintptr_t)on_signal);
	CHECK_EQ(sighand.action[SIGUSR1 - 1].mask, 1ull << (SIGTERM - 1));
	CHECK(sighand.action[SIGUSR1 - 1].flags & SA_RESTART);
	CHECK_EQ(sighand.action[SIGHUP - 1].handler, (u64)(uintptr_t)SIG_IGN);
	CHECK_EQ(ask.timer_count, 2);
	CHECK_EQ(ask.timers[0].id, shared->timer[0]);
	CHECK_EQ(ask.timers[0].clock, CLOCK_MONOTONIC);
	CHECK_EQ(ask.timers[0].value, 0);
	CHECK_EQ(ask.timers[1].clock, CLOCK_REALTIME);
	CHECK_EQ(ask.timers[1].signo, SIGRTMIN + 1);
	CHECK_EQ(ask.timers[1].sigev_value & 0xffffffff, 77);
	CHECK_EQ(ask.timers[1].notify, SIGEV_SIGNAL);
	CHECK_EQ(ask.timers[1].interval, 500);
	CHECK(ask.timers[1].value > 90000000000ull);
	free(ask.timers);
	check_ticks(pid);
}

TEST(what_is_known_is_not_asked, .root = true)
{
	_cleanup_tree_ struct tree tree = { 0 };
	struct record_task tasks[THREADS] = { 0 };
	pid_t pid = start(target, THREADS);
	CHECK_OK(tree_freeze(&tree, pid, NULL));
	for (int i = 0; i < THREADS; i++)
		tasks[i].known = ~(u64)KNOWN_MEMBARRIER;
	for (size_t i = 0; i < THREADS; i++)
		tree.processes.v[0].threads.v[i].stop_signal = SIGSTOP; /* a hijack would be refused */
	struct ask ask = { .process = &tree.processes.v[0], .tasks = tasks };
	CHECK_OK(ask_process(&ask));
	CHECK_EQ(tasks[0].brk, 0);
	tree_thaw(&tree);
	check_ticks(pid);
}

static void load_filter(struct sock_filter *code, unsigned short count)
{
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){ count, code }));
	for (shared->ready = 1;; shared->tick++)
		usleep(1000);
}

static void kill_on_ppoll(void)
{
	load_filter((struct sock_filter[]){ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
					    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 0, 1),
					    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
					    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		    4);
}

static void kill_on_mprotect(void)
{
	load_filter((struct sock_filter[]){ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
					    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 1),
					    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
					    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		    4);
}

static int ask_filtered(void (*run)(void))
{
	_cleanup_tree_ struct tree tree = { 0 };
	struct record_task task = { 0 };
	pid_t pid = start(run, 1);
	CHECK_OK(tree_freeze(&tree, pid, NULL));
	int err = ask_process(&(struct ask){ .process = &tree.processes.v[0], .tasks = &task });
	CHECK_EQ(err == 0, (task.known & KNOWN_MM_BRK) != 0);
	tree_thaw(&tree);
	check_ticks(pid);
	return err;
}

TEST(a_filter_that_would_kill_is_seen, .root = true)
{
	CHECK(ask_filtered(kill_on_ppoll) < 0);
	CHECK(diag_has(DIAG_HIJACK_REFUSED));
}

TEST(a_filter_that_does_not_matter_is_passed, .root = true) { CHECK_EQ(ask_filtered(kill_on_mprotect), 0); }

TEST(programs_of_filters_are_interpreted)
{
	struct seccomp_data data = { .nr = 42, .arch = AUDIT_ARCH_X86_64, .args = { 0x1122334455667788, 7 } };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 4), /* 0x11223344 */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff),                                 /* 0x3344 */
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_W | BPF_MEM, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_IMM, 0x3300),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 0x44),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, sizeof(struct seccomp_data), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	CHECK_EQ(seccomp_run(code, ARRAY_SIZE(code), &data), 0x3344);
	CHECK_EQ(seccomp_run(code, 5, &data), SECCOMP_RET_KILL_PROCESS);
}
