// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the plans of process and thread resources: each plan is run by the machine in the test's own process, which is
 * then asked what became of it. */
#include "harness/plan.h"
#include "harness/test.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "controls.pb-c.h"
#include "fs.pb-c.h"
#include "limits.pb-c.h"
#include "numa.pb-c.h"
#include "persona.pb-c.h"
#include "resource/registry.h"
#include "sched.pb-c.h"
#include "signals.pb-c.h"
#include "timers.pb-c.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static Ckpt__PosixTimer *add_timer(Ckpt__Timers *m, s32 id, s32 clock, u32 notify, u64 left, u64 interval)
{
	Ckpt__PosixTimer *t = MESSAGE_NEW(Ckpt__PosixTimer, ckpt__posix_timer);
	CHECK(MESSAGE_APPEND(&m->n_timer, &m->timer, t));
	SET(t, id, id);
	SET(t, clock, clock);
	SET(t, notify, notify);
	SET(t, signal, notify == SIGEV_NONE ? 0 : SIGRTMIN + 1);
	SET(t, value, 0x1234567890ull + (u64)id);
	SET(t, left, left);
	SET(t, interval, interval);
	if (notify & SIGEV_THREAD_ID)
		SET(t, tid, (u32)getpid());
	return t;
}

static void check_timers(void)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Timers *m = OBJECT(&g, &resource_timers, pid);
	struct itimerspec left;
	add_timer(m, 2, CLOCK_MONOTONIC, SIGEV_SIGNAL, 100000000000, 3000000000);
	add_timer(m, 3, CLOCK_REALTIME, SIGEV_NONE, 0, 0);
	add_timer(m, 40, CLOCK_BOOTTIME, SIGEV_THREAD_ID, 50000000, 0);
	add_timer(m, 41, CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, 100000000000, 0);
	plan_free(run_plan(&resource_timers, &g, pid));
	for (int id = 0; id < 50; id++) {
		bool is = id == 2 || id == 3 || id == 40 || id == 41;
		CHECK_EQ(syscall(SYS_timer_gettime, id, &left), is ? 0 : -1);
		if (id == 2)
			CHECK_EQ(left.it_interval.tv_sec, 3);
		if (id == 2 || id == 41)
			CHECK(left.it_value.tv_sec >= 98);
		if (id == 3)
			CHECK(!left.it_value.tv_sec && !left.it_value.tv_nsec);
	}
	siginfo_t info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){ 5, 0 }), SIGRTMIN + 1);
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK_EQ(info.si_timerid, 40);
	CHECK_EQ((u64)info.si_ptr, 0x1234567890ull + 40);
}

static void block_all(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

TEST(timers_get_their_ids)
{
	block_all();
	check_timers();
}

/* As before Linux 6.15: timer_create gives the next id, whatever is asked for. */
TEST(timers_get_their_ids_by_counting)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	block_all();
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){ ARRAY_SIZE(filter), filter }));
	check_timers();
}

TEST(a_timer_whose_signal_waits_sends_it_itself)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Timers *m = OBJECT(&g, &resource_timers, pid);
	struct itimerspec left;
	siginfo_t info;
	sigset_t set;
	block_all();
	Ckpt__PosixTimer *t = add_timer(m, 0, CLOCK_MONOTONIC, SIGEV_SIGNAL, 0, 10000000000);
	SET(t, queued, true);
	plan_free(run_plan(&resource_timers, &g, pid));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){ 5, 0 }), SIGRTMIN + 1);
	CHECK(info.si_code == SI_TIMER && info.si_timerid == 0);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){ 0, 0 }), -1);
	CHECK_OK(syscall(SYS_timer_gettime, 0, &left));
	CHECK(left.it_value.tv_sec == 9 && left.it_interval.tv_sec == 10);
}

TEST(interval_timers_go_on)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Timers *m = OBJECT(&g, &resource_timers, pid);
	struct itimerval v;
	SET(m, real_left, 77000000000);
	SET(m, real_interval, 5000000000);
	plan_free(run_plan(&resource_timers, &g, pid));
	CHECK_OK(getitimer(ITIMER_REAL, &v));
	CHECK(v.it_value.tv_sec >= 75 && v.it_value.tv_sec <= 77 && v.it_interval.tv_sec == 5);
}

static void add_signal(size_t *n, Ckpt__QueuedSignal ***v, siginfo_t *info)
{
	Ckpt__QueuedSignal *q = MESSAGE_NEW(Ckpt__QueuedSignal, ckpt__queued_signal);
	CHECK(MESSAGE_APPEND(n, v, q));
	SET(q, signal, (u32)info->si_signo);
	q->has_info = message_set_bytes(&q->info, info, sizeof *info);
}

TEST(pending_signals_keep_their_order_and_origin)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Task *task = graph_add(&g, &kind_task, pid)->data;
	Ckpt__Signals *m = OBJECT(&g, &resource_signals, pid);
	sigset_t set;
	struct sigaction old;
	siginfo_t info;
	SET(task, ppid, 0);
	block_all();
	signal(SIGHUP, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		siginfo_t a = { .si_signo = SIGRTMIN, .si_code = SI_QUEUE },
			  b = { .si_signo = SIGRTMIN + 1, .si_code = SI_TIMER };
		a.si_pid = 4;
		a.si_int = b.si_int = i;
		b.si_timerid = 9;
		add_signal(&m->n_shared, &m->shared, &a);
		add_signal(&m->n_pending, &m->pending, &b);
	}
	siginfo_t child = { .si_signo = SIGCHLD, .si_code = CLD_KILLED };
	child.si_pid = 77;
	child.si_status = SIGKILL;
	add_signal(&m->n_shared, &m->shared, &child);
	Ckpt__Action *action = MESSAGE_NEW(Ckpt__Action, ckpt__action);
	CHECK(MESSAGE_APPEND(&m->n_action, &m->action, action));
	SET(action, signal, SIGUSR1);
	SET(action, handler, (u64)SIG_IGN);
	SET(action, flags, SA_RESTART);
	SET(action, mask, 0x42);
	plan_free(run_plan(&resource_signals, &g, pid));
	CHECK_OK(sigaction(SIGHUP, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	CHECK_OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == SIG_IGN && old.sa_flags & SA_RESTART && sigismember(&old.sa_mask, 2) &&
	      sigismember(&old.sa_mask, 7));
	for (int i = 0; i < 6; i++) {
		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + i / 3);
		CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){ 0, 0 }), SIGRTMIN + i / 3);
		CHECK_EQ(info.si_int, i % 3);
		CHECK_EQ(info.si_code, i < 3 ? SI_QUEUE : SI_TIMER);
		CHECK_EQ(i < 3 ? info.si_pid : info.si_timerid, i < 3 ? 4 : 9);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){ 0, 0 }), SIGCHLD);
	CHECK(info.si_pid == 77 && info.si_code == CLD_KILLED && info.si_status == SIGKILL);
}

TEST(limits_are_set)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Limits *m = OBJECT(&g, &resource_limits, pid);
	struct rlimit limit, core;
	CHECK_OK(getrlimit(RLIMIT_CORE, &core));
	for (int i = 0; i < 2; i++) {
		Ckpt__Limit *l = MESSAGE_NEW(Ckpt__Limit, ckpt__limit);
		CHECK(MESSAGE_APPEND(&m->n_limit, &m->limit, l) && message_set_string(&l->name, i ? "core" : "nofile"));
		SET(l, soft, i ? MIN(core.rlim_max, 33u) : 33);
		SET(l, hard, i ? MIN(core.rlim_max, 99u) : 99);
	}
	CHECK_EQ(resource_limits.judge(&g, graph_find(&g, resource_limits.kind, pid), DIRECTION_RESTORE), 0);
	plan_free(run_plan(&resource_limits, &g, pid));
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK(limit.rlim_cur == 33 && limit.rlim_max == 99);
	CHECK_OK(getrlimit(RLIMIT_CORE, &limit));
	CHECK(limit.rlim_cur == MIN(core.rlim_max, 33u) && limit.rlim_max == MIN(core.rlim_max, 99u));
}

TEST(scheduling_is_set)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Sched *m = OBJECT(&g, &resource_sched, pid);
	cpu_set_t cpus;
	char first[16];
	int cpu = 0;
	CHECK_OK(sched_getaffinity(0, sizeof cpus, &cpus));
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	snprintf(first, sizeof first, "%d", cpu);
	CHECK(message_set_string(&m->policy, "batch") && message_set_string(&m->cpus, first));
	SET(m, nice, 7);
	SET(m, reset_on_fork, true);
	SET(m, timer_slack, 12345);
	SET(m, io_priority, 3 << 13);
	CHECK_EQ(resource_sched.judge(&g, graph_find(&g, resource_sched.kind, pid), DIRECTION_RESTORE), 0);
	plan_free(run_plan(&resource_sched, &g, pid));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
	CHECK_OK(sched_getaffinity(0, sizeof cpus, &cpus));
	CHECK(CPU_COUNT(&cpus) == 1 && CPU_ISSET(cpu, &cpus));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 12345);
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 3 << 13);
}

TEST(lists_of_cpus_are_judged)
{
	static const struct {
		const char *cpus;
		bool good;
	} lists[] = {
		{ "0", true },  { "0-3,8", true }, { "8191", true }, { "8192", false }, { "3-1", false },
		{ "a", false }, { "1;2", false },  { "-1", false },  { "0-", false },   { "99999999999999999999", false }
	};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_graph_ struct graph g = { 0 };
		Ckpt__Sched *m = OBJECT(&g, &resource_sched, 1);
		CHECK(message_set_string(&m->policy, "other") && message_set_string(&m->cpus, lists[i].cpus));
		bool good = resource_sched.judge(&g, graph_find(&g, resource_sched.kind, 1), DIRECTION_RESTORE) >= 0;
		if (good != lists[i].good)
			FAIL("'%s' is judged %d", lists[i].cpus, good);
	}
}

TEST(policies_of_memory_are_judged)
{
	static const struct {
		const char *policy;
		bool good;
	} policies[] = { { "default", true },
			 { "local", true },
			 { "bind:0", true },
			 { "bind=static:0", true },
			 { "interleave=relative:0", true },
			 { "prefer (many):0", true },
			 { "prefer=static:0", true },
			 { "bind=:0", true },
			 { "weighted interleave:0", true },
			 { "bind=static|balancing:0", true },
			 { "bind:", false },
			 { "bind:a", false },
			 { "bind:1-0", false },
			 { "bind:0-1024", false },
			 { "bound:0", false },
			 { "bind=firm:0", false },
			 { "bind:0 ", false },
			 { "", false },
			 { "bind:0,", false } };
	int mode;
	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) < 0)
		SKIP("no NUMA");
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		_cleanup_graph_ struct graph g = { 0 };
		Ckpt__Numa *m = OBJECT(&g, &resource_numa, 1);
		CHECK(message_set_string(&m->policy, policies[i].policy));
		bool good = resource_numa.judge(&g, graph_find(&g, resource_numa.kind, 1), DIRECTION_RESTORE) >= 0;
		if (good != policies[i].good)
			FAIL("'%s' is judged %d", policies[i].policy, good);
	}
}

TEST(directories_and_umask_are_set)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Fs *m = OBJECT(&g, &resource_fs, pid);
	char cwd[64];
	CHECK_OK(dup2(open("/usr", O_PATH | O_DIRECTORY), PLAN_FIRST_FD + 3));
	SET(m, cwd, 3);
	SET(m, umask, 0137);
	plan_free(run_plan(&resource_fs, &g, pid));
	CHECK_STR(getcwd(cwd, sizeof cwd), "/usr");
	CHECK_EQ(umask(0), 0137);
}

TEST(what_a_thread_controls_is_set)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Controls *m = OBJECT(&g, &resource_controls, pid);
	CHECK(message_set_string(&m->mce_kill, "early")); /* without its clock this process could not go on */
	plan_free(run_plan(&resource_controls, &g, pid));
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
	CHECK(message_set_string(&m->mce_kill, "never"));
	CHECK(resource_controls.judge(&g, graph_find(&g, resource_controls.kind, pid), DIRECTION_RESTORE) < 0);
}

/* A protection is set where threads have the choice, and its loss is told where nobody is protected. */
TEST(speculation_is_set_or_its_loss_is_told)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Controls *m = OBJECT(&g, &resource_controls, pid);
	int own = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
	bool chosen = own > 0 && own & PR_SPEC_PRCTL, safe = own == PR_SPEC_NOT_AFFECTED || own == PR_SPEC_DISABLE;
	CHECK(message_set_string(&m->store_bypass, own > 0 && own & PR_SPEC_FORCE_DISABLE ? "force-disabled" : "disabled"));
	CHECK_OK(diag_begin("test", "speculation"));
	CHECK_EQ(resource_controls.judge(&g, graph_find(&g, resource_controls.kind, pid), DIRECTION_RESTORE), 0);
	CHECK_EQ(diag_has(DIAG_SPECULATION), !chosen && !safe);
	plan_free(run_plan(&resource_controls, &g, pid));
	if (chosen)
		CHECK(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0) &
		      (PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE));
	CHECK(message_set_string(&m->store_bypass, "perhaps"));
	CHECK(resource_controls.judge(&g, graph_find(&g, resource_controls.kind, pid), DIRECTION_RESTORE) < 0);
}

TEST(personality_and_parent_death_signal_are_set)
{
	_cleanup_graph_ struct graph g = { 0 };
	u32 pid = (u32)getpid();
	Ckpt__Persona *m = OBJECT(&g, &resource_persona, pid);
	int signal = 0;
	SET(m, personality, ADDR_NO_RANDOMIZE);
	SET(m, pdeath_signal, SIGUSR2);
	plan_free(run_plan(&resource_persona, &g, pid));
	CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	CHECK_OK(prctl(PR_GET_PDEATHSIG, &signal));
	CHECK_EQ(signal, SIGUSR2);
}
