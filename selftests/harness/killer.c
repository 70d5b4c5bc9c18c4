// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns a tracer that counts system calls: a few microseconds each, where strace takes fifty. */
#include "harness/killer.h"
#include "arch/arch.h"
#include "base/file.h"
#include "base/vector.h"
#include "harness/target.h"
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <linux/sched.h>

/* Calls that cannot fail, or whose failure ends glibc or a sanitizer: they say nothing about ckpt. */
static bool may_fail(u64 nr)
{
	static const int never[] = {
		SYS_exit,    SYS_exit_group,  SYS_rt_sigreturn,    SYS_futex,           SYS_getpid,
		SYS_gettid,  SYS_getppid,     SYS_getuid,          SYS_geteuid,         SYS_getgid,
		SYS_getegid, SYS_sched_yield, SYS_set_tid_address, SYS_restart_syscall, SYS_set_robust_list,
		SYS_brk,     SYS_rseq
	};
	static const int memory[] = { SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_sched_getaffinity };
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (nr == (u64)never[i])
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		if (nr == (u64)memory[i] && strstr(test_build_dir(), "-san"))
			return false;
	return true;
}

static pid_t start(const char *path, const char *const *argv, bool children, int output)
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(output, 1);
		dup2(output, 2);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("ASAN_OPTIONS", "use_sigaltstack=0:detect_leaks=0", 1); /* leaks cannot be looked for under a tracer */
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(path, (char **)argv);
		_exit(127);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL,
			PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL |
				(children ? PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK : 0)));
	return pid;
}

/* --- what the command does --- */

struct run {
	const struct strike *strike;
	struct struck out;
	pid_t pid;
	pid_t failing; /* in the call that fails */
	bool counting, ready;
	VECTOR(pid_t) known; /* whose first stop has been seen, which is only that it is traced */
};

/* The first call that is ckpt's own: the log of diagnostics is made, the C library has begun. */
static bool begins(struct run *run, const struct ptrace_syscall_info *info)
{
	if (!run->ready)
		run->ready = info->entry.nr == SYS_mmap &&
			     (info->entry.args[3] & (MAP_SHARED | MAP_ANONYMOUS)) == (MAP_SHARED | MAP_ANONYMOUS);
	return run->ready;
}

static bool makes_id(pid_t tid, const struct ptrace_syscall_info *info)
{
	struct clone_args args = { 0 };
	struct iovec to = { &args, sizeof args }, from = { (void *)(uintptr_t)info->entry.args[0], sizeof args };
	return info->entry.nr == SYS_clone3 && process_vm_readv(tid, &to, 1, &from, 1, 0) > 0 && args.set_tid_size &&
	       args.exit_signal == SIGCHLD;
}

static void set_call(pid_t tid, int error)
{
	arch_regs regs;
	struct iovec io = { &regs, sizeof regs };
	CHECK_OK(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io));
	if (error)
		arch_finish_call(&regs, -error);
	else
		arch_set_call_number(&regs, -1);
	CHECK_OK(ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io));
}

/* The path that is opened, or what the first argument leads to as a descriptor. */
static void see_file(struct run *run, pid_t tid, const struct ptrace_syscall_info *info)
{
	char link[64];
	struct iovec to = { run->out.on, sizeof run->out.on - 1 };
	struct iovec from = { (void *)(uintptr_t)info->entry.args[1], sizeof run->out.on - 1 };
	if (info->entry.nr == SYS_openat && process_vm_readv(tid, &to, 1, &from, 1, 0) > 0)
		return;
	snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, (int)info->entry.args[0]);
	if (readlink(link, run->out.on, sizeof run->out.on - 1) < 0)
		*run->out.on = 0;
}

static void enter(struct run *run, pid_t tid, const struct ptrace_syscall_info *info)
{
	const struct strike *strike = run->strike;
	if (strike->at_birth && makes_id(tid, info)) {
		strike->at_birth(tid, strike->arg);
		run->counting = false;
	}
	if (!run->counting || !begins(run, info) || (strike->nr && info->entry.nr != (u64)strike->nr))
		return;
	if (++run->out.calls != strike->at)
		return;
	run->out.nr = (int)info->entry.nr;
	see_file(run, tid, info);
	if (!strike->error) {
		kill(run->pid, SIGKILL);
	} else if (may_fail(info->entry.nr)) {
		run->out.injected = true;
		run->failing = tid;
		if (info->entry.nr != SYS_close) /* of which the kernel tells an error when it has closed */
			set_call(tid, 0);
	}
}

static void on_call(struct run *run, pid_t tid)
{
	struct ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0)
		return;
	if (run->strike->seen && run->counting)
		run->strike->seen(tid, &info, run->strike->arg);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		enter(run, tid, &info);
	} else if (run->failing == tid) {
		set_call(tid, run->strike->error);
		run->failing = 0;
	}
}

static bool is_known(struct run *run, pid_t tid)
{
	for (size_t i = 0; i < run->known.n; i++)
		if (run->known.v[i] == tid)
			return true;
	pid_t *place = vector_add(&run->known);
	CHECK(place);
	*place = tid;
	return false;
}

/* A thread that is sent SIGSTOP tells so twice: of the signal, which it is to get, and when it stands still. True: it is seen to. */
static bool stops(struct run *run, pid_t tid, int signal)
{
	siginfo_t info;
	if (!run->strike->stops || signal != SIGSTOP || !is_known(run, tid))
		return false;
	if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) < 0)
		return true;
	ptrace(PTRACE_SYSCALL, tid, NULL, SIGSTOP);
	return true;
}

/* What was struck goes on at its own pace, where nobody looks any more. */
static bool looks(const struct run *run) { return run->out.nr < 0 || run->failing || run->strike->seen || run->strike->stops; }

static void follow(struct run *run)
{
	int status;
	ptrace(PTRACE_SYSCALL, run->pid, NULL, NULL);
	for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
		if (tid == run->pid && !WIFSTOPPED(status))
			run->out.status = status;
		if (tid <= 0 || !WIFSTOPPED(status))
			continue;
		int signal = WSTOPSIG(status), event = status >> 16;
		if (event == PTRACE_EVENT_EXEC)
			run->counting = true;
		if (signal == (SIGTRAP | 0x80))
			on_call(run, tid);
		if (!event && stops(run, tid, signal))
			continue;
		bool ours = event || signal == (SIGTRAP | 0x80) || signal == SIGSTOP;
		ptrace(looks(run) ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL, ours ? 0 : signal);
	}
}

void strike_when_ended(pid_t tid, const struct ptrace_syscall_info *info, void *strike_end)
{
	struct strike_end *end = strike_end;
	if (info->op == PTRACE_SYSCALL_INFO_EXIT && !end->killed && target_dying(end->target))
		end->killed = kill(tid, SIGKILL) == 0;
}

#define CACHE "/run/ckpt"

void strike_own_cache(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	if (mkdir(CACHE, 0700) < 0)
		CHECK_EQ(errno, EEXIST);
	CHECK_OK(mount("cache", CACHE, "tmpfs", 0, "mode=0700"));
	/* refused, when it has asked the kernel: the children of a probe cannot be asked under a tracer */
	_cleanup_text_ struct text output = { 0 };
	run_program(&output, ckpt_path(), (const char *const[]){ "ckpt", "dump", "1", "/none", NULL });
	/* and what a failure makes one run believe is not for the next */
	CHECK_OK(mount(NULL, CACHE, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

struct struck strike_run(const char *path, const char *const *argv, const struct strike *strike, struct text *output)
{
	strike_own_cache();
	_cleanup_close_ int log = (int)CHECK_OK(memfd_create("output", MFD_CLOEXEC));
	struct run run = { .strike = strike, .out.nr = -1 };
	run.pid = start(path, argv, strike->children, log);
	follow(&run);
	vector_free(&run.known);
	char link[32];
	snprintf(link, sizeof link, "/proc/self/fd/%d", log);
	if (output)
		CHECK_OK(file_read(AT_FDCWD, link, output));
	return run.out;
}

int strike_least(int calls, const struct struck *whole) { return calls ? MIN(calls, whole->calls) : whole->calls; }

#define SHORTER_BY 30
#define SHORTER_TIMES 5

bool strike_shorter(int *calls, int *times, const struct struck *struck)
{
	if (struck->nr >= 0 || struck->calls >= *calls - SHORTER_BY || ++*times > SHORTER_TIMES)
		return false;
	*calls = struck->calls;
	return true;
}

int strike_first(int first)
{
	const char *from = getenv("SWEEP_FROM");
	return from ? atoi(from) : first;
}

int strike_turn(void)
{
	const char *turn = getenv("SWEEP_TURN");
	return turn ? atoi(turn) : 0;
}
