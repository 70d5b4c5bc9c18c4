// SPDX-License-Identifier: LGPL-2.1-or-later
/* Two sources, one truth: what eBPF tells of a process must equal what /proc tells, and what only eBPF knows must equal
 * what the process itself says. */
#include "resource/source.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define TIMERS 40
#define MS 1000000ll

struct kernel_sigaction {
	u64 handler, flags, restorer, mask;
};

/* What the target says about itself; shared memory. */
struct said {
	int ready;
	struct kernel_sigaction action[64];
	stack_t altstack;
	struct itimerval itimer[3];
	struct {
		int id, clock, notify, signo, tid;
		u64 value;
		struct itimerspec left;
	} timer[TIMERS];
	int ntimers;
	u64 rseq, robust, clear_tid, brk, fs_mask;
	u32 rseq_len, rseq_sig;
	int pdeath, subreaper, slack, dumpable, thp, mdwe, merge, securebits, membarrier, umask;
	int tsc, mce, speculation[2];
	u64 mask;
	struct timespec at;
};

static struct said *said_new(void)
{
	void *at = mmap(NULL, sizeof(struct said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	return at;
}

static void on_signal(int signo) { (void)signo; }

#define FAST_SIGNAL (SIGRTMIN + 9)

static void add_timer(struct said *s, int clock, int notify, int signo, s64 first, s64 interval)
{
	struct sigevent event = { .sigev_notify = notify,
				  .sigev_signo = signo,
				  .sigev_value.sival_ptr = (void *)(0x1234567800000000ul + (unsigned)s->ntimers) };
	struct itimerspec spec = { .it_value = { first / 1000000000, first % 1000000000 },
				   .it_interval = { interval / 1000000000, interval % 1000000000 } };
	int n = s->ntimers, id;

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	if (syscall(SYS_timer_create, clock, &event, &id) < 0)
		return; /* a clock that this kernel or user may not have */
	CHECK_OK(syscall(SYS_timer_settime, id, 0, &spec, NULL));
	s->timer[n].id = id;
	s->timer[n].clock = clock;
	s->timer[n].notify = notify;
	s->timer[n].signo = signo;
	s->timer[n].tid = event._sigev_un._tid;
	s->timer[n].value = (u64)event.sigev_value.sival_ptr;
	s->ntimers++;
}

static void make_timers(struct said *s)
{
	static const int clocks[] = { CLOCK_MONOTONIC,          CLOCK_REALTIME,          CLOCK_BOOTTIME,
				      CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_BOOTTIME_ALARM,
				      CLOCK_REALTIME_ALARM };

	for (size_t i = 0; i < ARRAY_SIZE(clocks); i++) {
		add_timer(s, clocks[i], SIGEV_SIGNAL, SIGUSR2, 500000 * MS + (s64)i * 1000 * MS, 0);
		add_timer(s, clocks[i], SIGEV_THREAD_ID, SIGRTMIN + 3, 700000 * MS, 3000 * MS);
		add_timer(s, clocks[i], SIGEV_SIGNAL, SIGUSR2, 0, 0); /* disarmed */
	}
	add_timer(s, CLOCK_MONOTONIC, SIGEV_NONE, 0, 600000 * MS, 0);
	add_timer(s, CLOCK_MONOTONIC, SIGEV_SIGNAL, FAST_SIGNAL, 1 * MS, 7 * MS); /* blocked: fires and waits */
	while (s->ntimers < TIMERS)
		add_timer(s, CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 900000 * MS, 0);
}

static void register_own_rseq(struct said *s)
{
	static char area[64] __attribute__((aligned(64)));
	void *libc_area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		syscall(SYS_rseq, libc_area, 32, 1, RSEQ_SIG);
	if (syscall(SYS_rseq, area, 32, 0, 0xdeadbee5) < 0)
		return;
	s->rseq = (u64)area;
	s->rseq_len = 32;
	s->rseq_sig = 0xdeadbee5;
}

static void say_signals(struct said *s)
{
	sigset_t mask;

	for (int i = 0; i < 64; i++)
		if (syscall(SYS_rt_sigaction, i + 1, NULL, &s->action[i], 8) < 0)
			memset(&s->action[i], 0, sizeof(s->action[i]));
	CHECK_OK(sigaltstack(NULL, &s->altstack));
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
	memcpy(&s->mask, &mask, 8);
}

static void say_prctl(struct said *s)
{
	prctl(PR_GET_PDEATHSIG, &s->pdeath);
	prctl(PR_GET_CHILD_SUBREAPER, &s->subreaper);
	s->slack = prctl(PR_GET_TIMERSLACK);
	s->dumpable = prctl(PR_GET_DUMPABLE);
	s->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	s->mdwe = prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0);
	s->merge = prctl(68 /* PR_GET_MEMORY_MERGE */, 0, 0, 0, 0);
	s->securebits = prctl(PR_GET_SECUREBITS);
	s->membarrier = (int)syscall(SYS_membarrier, 512 /* MEMBARRIER_CMD_GET_REGISTRATIONS */, 0, 0);
	prctl(PR_GET_TID_ADDRESS, &s->clear_tid);
	size_t len;
	syscall(SYS_get_robust_list, 0, &s->robust, &len);
	s->brk = (u64)syscall(SYS_brk, 0);
	s->umask = (int)umask(0);
	umask((mode_t)s->umask);
}

static void say_times(struct said *s)
{
	for (int i = 0; i < 3; i++)
		CHECK_OK(getitimer((__itimer_which_t)i, &s->itimer[i]));
	for (int i = 0; i < s->ntimers; i++)
		CHECK_OK(syscall(SYS_timer_gettime, s->timer[i].id, &s->timer[i].left));
	clock_gettime(CLOCK_MONOTONIC, &s->at);
}

static void make_state(struct said *s)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	struct itimerval real = { { 3, 5 }, { 300, 0 } }, virtual = { { 1, 0 }, { 200, 0 } }, prof = { { 2, 0 }, { 100, 0 } };
	sigset_t mask;

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGRTMAX, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	CHECK_OK(sigaltstack(&stack, NULL));
	sigemptyset(&mask);
	for (int i = SIGRTMIN; i < SIGRTMAX; i++)
		sigaddset(&mask, i);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	raise(SIGTERM);
	kill(getpid(), SIGRTMIN + 1);
	setitimer(ITIMER_REAL, &real, NULL);
	setitimer(ITIMER_VIRTUAL, &virtual, NULL);
	setitimer(ITIMER_PROF, &prof, NULL);
	make_timers(s);
	register_own_rseq(s);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_TIMERSLACK, 12345);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0);
	prctl(67 /* PR_SET_MEMORY_MERGE */, 1, 0, 0, 0);
	/* by its number: the sanitizer's mlockall() does nothing */
	CHECK_OK(syscall(SYS_mlockall, MCL_FUTURE | MCL_ONFAULT));
	prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
	umask(027);
	syscall(SYS_brk, syscall(SYS_brk, 0) + 12345);
}

/* The clocks of the C library read the time stamp counter: no more of them from here on. */
static void say_controls(struct said *s)
{
	prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
	if (prctl(PR_GET_TSC, &s->tsc) < 0)
		s->tsc = 0;
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	s->mce = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		prctl(PR_SET_SPECULATION_CTRL, i, PR_SPEC_DISABLE, 0, 0);
		s->speculation[i] = prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
	}
}

static void target(struct said *s)
{
	make_state(s);
	say_signals(s);
	say_prctl(s);
	say_times(s);
	say_controls(s);
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static pid_t start(void (*run)(struct said *), struct said *s)
{
	pid_t pid = (pid_t)CHECK_OK(fork());
	if (pid == 0) {
		run(s);
		_exit(1);
	}
	WAIT_UNTIL(__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE));
	return pid;
}

static void freeze(struct tree *tree, pid_t pid) { CHECK_OK(tree_freeze(tree, pid, &(struct freeze_options){ 0 })); }

static void read_tasks(struct bpf_source *bpf, struct facts *facts, struct tree *tree)
{
	CHECK_OK(facts_begin(facts, tree));
	CHECK_OK(bpf_tasks(bpf, facts, tree));
}

static struct record_task *leader(struct facts *f, pid_t pid)
{
	struct record_task *t = facts_task(f, (u32)pid);
	CHECK(t);
	return t;
}

static void check_near(const char *what, u64 got, u64 said, u64 slack)
{
	if (said ? got > said || got + slack < said || !got : got != 0)
		FAIL("%s: %llu ns left, the target said %llu", what, (unsigned long long)got, (unsigned long long)said);
}

static u64 ns(const struct timespec *t) { return (u64)t->tv_sec * 1000000000u + (u64)t->tv_nsec; }

/* How much time may have gone by since the target asked its clocks; CPU-time clocks are behind by up to a tick. */
static u64 gone(const struct said *s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ns(&now) - ns(&s->at) + 20 * MS;
}

static void check_timers(const struct facts *f, const struct said *s)
{
	CHECK_EQ(f->timers.n, s->ntimers);
	for (int i = 0; i < s->ntimers; i++) {
		const struct record_timer *t = &f->timers.v[i];
		char name[64];
		snprintf(name, sizeof(name), "timer %d on clock %d", t->id, t->clock);
		CHECK_EQ(t->id, s->timer[i].id);
		CHECK_EQ(t->clock, s->timer[i].clock);
		CHECK_EQ(t->notify, s->timer[i].notify);
		if (t->notify != SIGEV_NONE)
			CHECK_EQ(t->signo, s->timer[i].signo);
		CHECK_EQ(t->sigev_value, s->timer[i].value);
		CHECK_EQ(t->notify_tid, t->notify == SIGEV_THREAD_ID ? s->timer[i].tid : 0);
		CHECK_EQ(t->interval, ns(&s->timer[i].left.it_interval));
		if (t->interval == 7 * MS)
			CHECK(t->value > 0 && t->value <= 7 * MS);
		else
			check_near(name, t->value, ns(&s->timer[i].left.it_value), gone(s));
	}
}

static void check_signals(const struct facts *f, const struct record_task *t, const struct said *s)
{
	CHECK(f->have_sighands);
	CHECK_EQ(f->sighands.n, 1);
	CHECK_EQ(f->sighands.v[0].tgid, t->tgid);
	CHECK_MEM(f->sighands.v[0].action, s->action, sizeof(s->action));
	CHECK_EQ(t->altstack_sp, (u64)s->altstack.ss_sp);
	CHECK_EQ(t->altstack_size, s->altstack.ss_size);
	CHECK_EQ(t->altstack_flags, s->altstack.ss_flags);
	CHECK_EQ(t->pending, 1ull << (SIGTERM - 1));
	CHECK(t->shared_pending & 1ull << SIGRTMIN);
	if (t->known & KNOWN_SIGMASK)
		CHECK_EQ(t->sigmask, s->mask);
}

#define PF_MCE 0x08000080u /* PF_MCE_PROCESS | PF_MCE_EARLY */

static void check_controls(const struct record_task *t, const struct said *s)
{
	const u32 told[] = { t->store_bypass, t->indirect_branch };
	CHECK(t->known & KNOWN_CONTROLS);
	CHECK_EQ(t->tsc, s->tsc);
	CHECK_EQ(s->mce, PR_MCE_KILL_EARLY);
	CHECK_EQ(t->flags & PF_MCE, PF_MCE);
	for (int i = 0; i < 2; i++)
		if (s->speculation[i] > 0 && s->speculation[i] & PR_SPEC_PRCTL)
			CHECK_EQ(told[i], s->speculation[i] & ~PR_SPEC_PRCTL);
}

static void check_self(const struct record_task *t, const struct said *s)
{
	if (s->rseq) {
		CHECK_EQ(t->rseq, s->rseq);
		CHECK_EQ(t->rseq_len, s->rseq_len);
		CHECK_EQ(t->rseq_sig, s->rseq_sig);
	}
	CHECK_EQ(t->robust_list, s->robust);
	CHECK_EQ(t->clear_child_tid, s->clear_tid);
	CHECK_EQ(t->brk, s->brk);
	CHECK_EQ(t->umask, s->umask);
	CHECK_EQ(t->pdeath_signal, s->pdeath);
	CHECK_EQ(t->subreaper, s->subreaper);
	CHECK_EQ(t->timer_slack, s->slack);
	CHECK_EQ(t->dumpable, s->dumpable);
	CHECK_EQ(t->securebits, s->securebits);
	CHECK(t->known & KNOWN_THP_MDWE);
	CHECK_EQ(t->thp_disable, s->thp);
	CHECK_EQ(t->mdwe, MAX(s->mdwe, 0));
	CHECK_EQ(t->memory_merge, MAX(s->merge, 0));
	CHECK(t->known & KNOWN_LOCKS);
	CHECK_EQ(t->future_locks, VMA_LOCKED | VMA_LOCKONFAULT);
	if (s->membarrier >= 0)
		CHECK_EQ(t->membarrier, s->membarrier);
	CHECK_EQ(t->no_new_privs, 1);
	CHECK_EQ(t->sud_on, 0);
	CHECK_EQ(t->has_aio, 0);
	for (int i = 0; i < 3; i++) {
		char name[32];
		snprintf(name, sizeof(name), "interval timer %d", i);
		check_near(name, t->itimer_value[i],
			   (u64)s->itimer[i].it_value.tv_sec * 1000000000u + (u64)s->itimer[i].it_value.tv_usec * 1000u + 999,
			   gone(s));
		CHECK_EQ(t->itimer_interval[i] / 1000,
			 s->itimer[i].it_interval.tv_sec * 1000000ll + s->itimer[i].it_interval.tv_usec);
	}
}

TEST(what_only_bpf_knows_is_what_the_target_says, .root = true, .seconds = 60)
{
	_cleanup_facts_ struct facts facts = { 0 };
	_cleanup_tree_ struct tree tree = { 0 };
	struct said *s = said_new();
	struct bpf_source *bpf = source();
	pid_t pid = start(target, s);

	WAIT_UNTIL(target_pending(pid) & 1ull << (FAST_SIGNAL - 1));
	freeze(&tree, pid);
	read_tasks(bpf, &facts, &tree);
	bpf_close(bpf);
	CHECK_EQ(facts.tasks.n, 1);
	check_signals(&facts, leader(&facts, pid), s);
	check_self(leader(&facts, pid), s);
	check_controls(leader(&facts, pid), s);
	CHECK(facts.have_timers);
	check_timers(&facts, s);
}

/* --- restart blocks --- */

static void sleep_in(long nr, struct said *s)
{
	struct timespec time = { 1000, 0 };
	struct pollfd none = { .fd = -1 };
	int word = 7;

	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
	if (nr == SYS_nanosleep)
		syscall(nr, &time, NULL);
	else if (nr == SYS_futex)
		syscall(nr, &word, FUTEX_WAIT_PRIVATE, 7, &time, NULL, 0);
#ifdef SYS_poll
	else if (nr == SYS_poll)
		syscall(nr, &none, 1, 1000000);
#endif
	else
		pause();
	(void)none;
}
static void in_nanosleep(struct said *s) { sleep_in(SYS_nanosleep, s); }
static void in_futex(struct said *s) { sleep_in(SYS_futex, s); }
static void in_poll(struct said *s) { sleep_in(7 /* poll of x86-64 */, s); }
static void in_pause(struct said *s) { sleep_in(-1, s); }

static u64 monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ns(&now);
}

static void check_restart(void (*run)(struct said *), enum restart_call call)
{
	_cleanup_facts_ struct facts facts = { 0 };
	_cleanup_tree_ struct tree tree = { 0 };
	struct bpf_source *bpf = source();
	pid_t pid = start(run, said_new());
	u64 end = 0;

	WAIT_UNTIL(target_call(pid) >= 0);
	freeze(&tree, pid);
	read_tasks(bpf, &facts, &tree);
	bpf_close(bpf);
	const struct record_task *t = leader(&facts, pid);
	CHECK_EQ(t->restart_call, call);
	if (call == RESTART_NANOSLEEP)
		end = t->restart_nanosleep_expires;
	else if (call == RESTART_FUTEX)
		end = t->restart_futex_time;
	else if (call == RESTART_POLL)
		end = t->restart_poll_seconds * 1000000000u + t->restart_poll_nanoseconds;
	if (end)
		CHECK(end > monotonic() + 990000 * MS && end < monotonic() + 1000000 * MS);
}

TEST(restart_blocks_name_their_call, .root = true, .seconds = 60)
{
	check_restart(in_pause, RESTART_NONE);
	check_restart(in_nanosleep, RESTART_NANOSLEEP);
	check_restart(in_futex, RESTART_FUTEX);
#ifdef SYS_poll
	check_restart(in_poll, RESTART_POLL);
#else
	(void)in_poll;
#endif
}

/* --- against /proc --- */

static void *thread_waits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* One lock of each kind, and one that is gone again: its inode keeps empty lists. */
static void make_locks(void)
{
	const struct flock all = { .l_type = F_WRLCK };
	int posix = (int)CHECK_OK(syscall(SYS_memfd_create, "posix", 0)),
	    ofd = (int)CHECK_OK(syscall(SYS_memfd_create, "ofd", 0));
	int whole = (int)CHECK_OK(syscall(SYS_memfd_create, "flock", 0)),
	    gone = (int)CHECK_OK(syscall(SYS_memfd_create, "gone", 0));
	char name[] = "/tmp/leased.XXXXXX";
	int made = (int)CHECK_OK(mkstemp(name)), leased = (int)CHECK_OK(open(name, O_RDONLY));

	CHECK_OK(close(made));
	CHECK_OK(unlink(name));
	CHECK_OK(fcntl(posix, F_SETLK, &all));
	CHECK_OK(fcntl(ofd, F_OFD_SETLK, &all));
	CHECK_OK(flock(whole, LOCK_SH));
	CHECK_OK(fcntl(leased, F_SETLEASE, F_RDLCK));
	CHECK_OK(dup2(gone, 701));
	CHECK_OK(flock(gone, LOCK_EX));
	CHECK_OK(flock(gone, LOCK_UN));
}

static void make_files(void)
{
	int ends[2];

	CHECK_OK(pipe2(ends, O_CLOEXEC));
	CHECK_OK(dup2(ends[0], 700));
	CHECK_OK(eventfd(3, EFD_NONBLOCK));
	CHECK_OK(dup2((int)CHECK_OK(eventfd(3, EFD_SEMAPHORE)), 730));
	CHECK_OK(open("/dev/null", O_RDWR | O_APPEND));
	CHECK_OK(open("/", O_PATH | O_DIRECTORY));
	int fd = (int)CHECK_OK(open("/proc/self/exe", O_RDONLY));
	CHECK_OK(lseek(fd, 4321, SEEK_SET));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
	CHECK_OK(fcntl(ends[0], F_SETSIG, SIGRTMIN + 2));
	CHECK_OK(open("/proc/self/ns/uts", O_RDONLY));
	open("/proc/self/ns/user", O_RDONLY);
	CHECK_OK(syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0));
	make_locks();
}

static void make_mappings(void)
{
	static const int advices[] = { MADV_DONTFORK,   MADV_WIPEONFORK, MADV_DONTDUMP,   MADV_HUGEPAGE,
				       MADV_NOHUGEPAGE, MADV_MERGEABLE,  MADV_SEQUENTIAL, MADV_RANDOM };
	int rw = PROT_READ | PROT_WRITE, fd = open("/proc/self/exe", O_RDONLY);

	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		char *at = mmap(NULL, 8 << 20, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(at, 4096, PROT_NONE);
		madvise(at + 4096, 4096, advices[i]);
		at[8192] = 1;
	}
	for (int i = 0; i < 300; i++) {
		char *at = mmap(NULL, 3 * 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(at + 4096, 4096, PROT_READ);
	}
	(void)mmap(NULL, 16384, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)mmap(NULL, 16384, PROT_READ, MAP_SHARED, fd, 4096);
	(void)mmap(NULL, 16384, rw, MAP_PRIVATE, fd, 8192);
	(void)mmap(NULL, 1 << 16, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	(void)mmap(NULL, 1 << 16, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	(void)mmap(NULL, 1 << 16, rw, 0x08 /* MAP_DROPPABLE */ | MAP_ANONYMOUS, -1, 0);
	mlock(mmap(NULL, 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	mlock2(mmap(NULL, 1 << 20, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20, MLOCK_ONFAULT);
	syscall(462 /* mseal */, mmap(NULL, 1 << 20, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20, 0);
}

static void crowd(struct said *s)
{
	pthread_t thread;

	make_files();
	make_mappings();
	for (int i = 0; i < 5; i++)
		pthread_create(&thread, NULL, thread_waits, NULL);
	CHECK_OK(fork()); /* both go on: parent and child share nothing but copies */
	usleep(50000);
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

struct both {
	struct tree tree;
	struct facts bpf, proc;
};

static void both_free(struct both *b)
{
	facts_free(&b->bpf);
	facts_free(&b->proc);
	tree_free(&b->tree);
}

static void read_both(struct both *b, void (*run)(struct said *))
{
	struct bpf_source *bpf = source();
	pid_t pid = start(run, said_new());

	usleep(50000);
	freeze(&b->tree, pid);
	CHECK_OK(facts_begin(&b->proc, &b->tree));
	CHECK_OK(proc_tasks(&b->proc, &b->tree));
	CHECK_OK(proc_vmas(&b->proc, &b->tree, NULL));
	CHECK_OK(proc_files(&b->proc, &b->tree));
	read_tasks(bpf, &b->bpf, &b->tree);
	CHECK_OK(bpf_vmas(bpf, &b->bpf, &b->tree));
	CHECK_OK(bpf_files(bpf, &b->bpf, &b->tree));
	bpf_close(bpf);
}

/* Merging what /proc knows into what eBPF knows must change nothing. */
TEST(tasks_of_both_sources_are_equal, .root = true, .seconds = 60)
{
	_cleanup_(both_free) struct both b = { 0 };
	read_both(&b, crowd);
	CHECK_EQ(b.tree.processes.n, 2);
	CHECK_EQ(b.proc.tasks.n, b.bpf.tasks.n);
	for (size_t i = 0; i < b.proc.tasks.n; i++) {
		struct record_task *proc = &b.proc.tasks.v[i], *bpf = facts_task(&b.bpf, proc->tid), before;
		CHECK(bpf);
		CHECK(bpf->start_time / 10000000 == proc->start_time / 10000000); /* clock ticks */
		proc->start_time = bpf->start_time;
		before = *bpf;
		CHECK_OK(facts_merge_task(&b.bpf, proc));
		bpf->known = before.known;
		for (size_t at = 0; at < sizeof(before); at += 4)
			if (memcmp((char *)&before + at, (char *)bpf + at, 4))
				FAIL("thread %u: byte %zu of the record is %#x by eBPF, %#x by /proc", proc->tid, at,
				     *(u32 *)((char *)&before + at), *(u32 *)((char *)bpf + at));
	}
}

/* The kernel counts those that work for an io_uring(7) among the threads of the process; eBPF tells of them too. */
TEST(workers_of_the_kernel_are_no_threads, .root = true)
{
	_cleanup_facts_ struct facts facts = { 0 };
	_cleanup_tree_ struct tree tree = { 0 };
	struct target t;
	if (caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_IO_URING)->interface);
	struct bpf_source *bpf = source();
	target_start(&t, "urings", "worker");
	freeze(&tree, t.pid);
	read_tasks(bpf, &facts, &tree);
	bpf_close(bpf);
	size_t threads = 0, workers = 0;
	for (size_t i = 0; i < tree.processes.n; i++) {
		threads += tree.processes.v[i].threads.n;
		workers += tree.processes.v[i].workers;
	}
	CHECK_EQ(facts.tasks.n, threads);
	if (!workers)
		SKIP("the worker has left already");
	tree_free(&tree);
	target_judge(&t);
}

static void check_vma(const struct record_vma *a, const struct record_vma *b)
{
	u32 known = a->flags_known & b->flags_known;

	CHECK_EQ(a->tgid, b->tgid);
	CHECK_EQ(a->start, b->start);
	CHECK_EQ(a->end, b->end);
	CHECK_EQ(a->prot, b->prot);
	CHECK_EQ(a->pgoff, b->pgoff);
	CHECK_EQ(a->ino, b->ino);
	CHECK_EQ(a->dev_major, b->dev_major);
	CHECK_EQ(a->dev_minor, b->dev_minor);
	CHECK_STR(a->name, b->name);
	if ((a->flags & known) != (b->flags & known))
		FAIL("%llx-%llx %s: flags %#x by eBPF, %#x by /proc", (unsigned long long)a->start, (unsigned long long)a->end,
		     a->name, a->flags & known, b->flags & known);
}

TEST(mappings_of_both_sources_are_equal, .root = true, .seconds = 60)
{
	_cleanup_(both_free) struct both b = { 0 };
	size_t k = 0;

	read_both(&b, crowd);
	for (size_t i = 0; i < b.proc.vmas.n; i++) {
		if (!strcmp(b.proc.vmas.v[i].name, "[vsyscall]")) /* is in no mm */
			continue;
		CHECK(k < b.bpf.vmas.n);
		check_vma(&b.bpf.vmas.v[k++], &b.proc.vmas.v[i]);
	}
	CHECK_EQ(k, b.bpf.vmas.n);
}

static void check_file(const struct record_file *f, const struct record_file *p)
{
	CHECK_EQ(f->tgid, p->tgid);
	CHECK_EQ(f->table, p->table);
	CHECK_EQ(f->fd, p->fd);
	CHECK_EQ(f->flags, p->flags);
	CHECK_EQ(f->cloexec, p->cloexec);
	CHECK_EQ(f->pos, p->pos);
	CHECK_EQ(f->ino, p->ino);
	CHECK_EQ(f->dev_major, p->dev_major);
	CHECK_EQ(f->dev_minor, p->dev_minor);
	CHECK_EQ(f->mode, p->mode);
	CHECK_EQ(f->mnt_id, p->mnt_id);
	CHECK_STR(f->link, p->link);
}

TEST(descriptors_of_both_sources_are_equal, .root = true, .seconds = 60)
{
	_cleanup_(both_free) struct both b = { 0 };
	u64 of_700 = 0;
	size_t locked = 0, semaphores = 0;

	read_both(&b, crowd);
	CHECK_EQ(b.proc.files.n, b.bpf.files.n);
	for (size_t i = 0; i < b.proc.files.n; i++) {
		const struct record_file *p = &b.proc.files.v[i], *f = &b.bpf.files.v[i];
		check_file(f, p);
		CHECK(f->locks != LOCKS_SOME && p->locks != LOCKS_UNKNOWN);
		CHECK(f->locks == LOCKS_UNKNOWN || p->locks == LOCKS_NONE); /* a lock of an inode shows with one of its files */
		locked += p->locks == LOCKS_SOME;
		if (f->fd == 701)
			CHECK_EQ(f->locks, LOCKS_NONE);
		if (f->owner_signum) {
			CHECK_EQ(f->owner_signum, SIGRTMIN + 2);
			CHECK_EQ(f->owner_pid, b.tree.processes.v[0].pid);
			CHECK_EQ(f->owner_type, 1);
		}
		if (f->fd == 700)
			of_700 = f->file_id;
		CHECK_EQ(f->eventfd != EVENTFD_UNKNOWN, !strcmp(p->link, "anon_inode:[eventfd]"));
		if (f->fd == 730)
			CHECK_EQ(f->eventfd, EVENTFD_SEMAPHORE);
		semaphores += f->eventfd == EVENTFD_SEMAPHORE;
	}
	size_t same = 0;
	for (size_t i = 0; i < b.bpf.files.n; i++)
		same += b.bpf.files.v[i].file_id == of_700;
	CHECK_EQ(same, 4);       /* two descriptors in two processes */
	CHECK_EQ(locked, 7);     /* all four of the parent; a POSIX lock is not the child's */
	CHECK_EQ(semaphores, 4); /* likewise */
}

static void *thread_with_table(void *s)
{
	pthread_t another;
	CHECK_OK(unshare(CLONE_FILES));
	CHECK_OK(dup3(0, 750, O_CLOEXEC));
	CHECK_OK(close(700));
	pthread_create(&another, NULL, thread_waits, NULL); /* has the same table */
	__atomic_store_n(&((struct said *)s)->ready, 1, __ATOMIC_RELEASE);
	return thread_waits(NULL);
}

static void crowd_apart(struct said *s)
{
	pthread_t thread;

	make_files();
	pthread_create(&thread, NULL, thread_waits, NULL);
	pthread_create(&thread, NULL, thread_with_table, s);
	thread_waits(NULL);
}

TEST(tables_of_threads_are_equal_in_both_sources, .root = true, .seconds = 60)
{
	_cleanup_(both_free) struct both b = { 0 };

	read_both(&b, crowd_apart);
	const struct tree_process *p = &b.tree.processes.v[0];
	u32 tid = (u32)p->threads.v[2].tid;
	_cleanup_text_ struct text path = { 0 };
	text_addf(&path, "/proc/%u", tid);
	_cleanup_close_ int proc = (int)CHECK_OK(open(path.data, O_PATH | O_DIRECTORY));
	CHECK_OK(proc_table(&b.proc, (u32)p->pid, tid, proc, true));
	CHECK_EQ(b.proc.files.n, b.bpf.files.n);
	size_t own = 0;
	for (size_t i = 0; i < b.proc.files.n; i++) {
		const struct record_file *f = &b.bpf.files.v[i];
		check_file(f, &b.proc.files.v[i]);
		own += f->table == tid;
		CHECK(f->table == tid ? f->fd != 700 : f->fd != 750);
	}
	CHECK(own > 1 && own < b.proc.files.n);
}

/* --- under lockdown --- */

static bool first_record(const struct text *stream, pid_t pid, const struct said *s, struct record_task *ret)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	struct record_config config = { 0 };
	struct record_task_raw raw;

	(void)pid; /* the program tells ids of the initial namespace, this test has one of its own */
	while (bpf_next(&reader) > 0) {
		CHECK_EQ(reader.len, sizeof(raw));
		memcpy(&raw, reader.data, sizeof(raw));
		bpf_decode_task(&raw, &config, ret);
		if (ret->clear_child_tid == s->clear_tid && ret->rseq == s->rseq)
			return true;
	}
	return false;
}

/* Run with VM_APPEND=lockdown=confidentiality as well: there it is the only program that loads. */
TEST(mini_program_reads_without_helpers, .root = true, .seconds = 60)
{
	struct bpf_walker w = BPF_WALKER_NONE;
	_cleanup_text_ struct text stream = { 0 };
	struct said *s = said_new();
	struct record_task t;

	int r = bpf_load_cold(BPF_MINI, &w);
	if (r < 0)
		SKIP("eBPF is not to be had: %s", strerror(-r));
	pid_t pid = start(target, s);
	CHECK_OK(bpf_run_process(&w, (u32)pid, &stream));
	CHECK(first_record(&stream, pid, s, &t));
	CHECK_EQ(t.rseq_len, s->rseq_len);
	CHECK_EQ(t.rseq_sig, s->rseq_sig);
	CHECK_EQ(t.altstack_sp, (u64)s->altstack.ss_sp);
	CHECK_EQ(t.altstack_size, s->altstack.ss_size);
	CHECK_EQ(t.known, KNOWN_RSEQ | KNOWN_CLEAR_TID | KNOWN_ALTSTACK);
	kill(pid, SIGKILL);
	bpf_walker_close(&w);
}
