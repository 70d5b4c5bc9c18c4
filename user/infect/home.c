// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns where a thread goes on: what an interrupted call looks like at the freeze, and how the kernel is made to restart it. */
#include "infect/remote.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define SIGNALS_MAX 64

/* ptrace(2): the raw call stores the word; glibc's form cannot tell -1 from an error. */
static int read_instruction(pid_t tid, u64 pc, u32 *ret)
{
	u64 word;
	if (syscall(SYS_ptrace, PTRACE_PEEKTEXT, tid, ALIGN_DOWN(pc, 8ul), &word) < 0)
		return neg_errno();
	*ret = (u32)(word >> pc % 8 * 8);
	return 0;
}

/* ptrace(2): what the thread stopped for; a syscall-stop with PTRACE_O_TRACESYSGOOD is SIGTRAP | 0x80. */
static bool is_at_syscall_stop(pid_t tid)
{
	siginfo_t info = { 0 };
	return ptrace(PTRACE_GETSIGINFO, tid, 0, &info) == 0 && info.si_code == (SIGTRAP | 0x80);
}

/* To the entry stop of the call that the thread stands before; 1: a signal was delivered instead, and the thread is at
 * an event stop again, before its handler or behind the call. */
static int enter_again(pid_t tid)
{
	struct remote_stop stop = { 0 };
	int err = remote_continue(tid, true, 0) ?: remote_wait_stop(tid, REMOTE_PATIENCE, &stop);
	if (err < 0 || stop.kind == STOP_SYSCALL)
		return err;
	err = remote_set_trap(tid) ?: remote_continue(tid, false, stop.kind == STOP_SIGNAL ? stop.signal : 0);
	err = err ?: remote_wait_stop(tid, REMOTE_PATIENCE, &stop);
	if (err < 0)
		return err;
	return stop.kind == STOP_EVENT ? 1 : -EBUSY;
}

/* The call starts with a trap pending, and the exit stop tells the restart code. A call that the kernel ends with EINTR is
 * made one that it restarts. */
static int learn_at_exit(pid_t tid, struct remote_home *home)
{
	arch_regs entered = home->regs, at_exit;
	int err = remote_set_trap(tid) ?: remote_to_syscall_stop(tid) ?: remote_get_regs(tid, &at_exit);
	if (err < 0)
		return err;
	home->at_exit = true;
	home->call = arch_call_at_exit(&entered, &at_exit, &home->regs);
	if (!home->call.interrupted || arch_call_result(&at_exit) == -home->call.code)
		return 0;
	arch_restart_call(&at_exit, home->call.nr, home->call.code);
	return remote_set_regs(tid, &at_exit);
}

static int find_at_exit(pid_t tid, struct remote_home *home)
{
	/* at a syscall stop one register shows the direction of the stop (ptrace(2)) */
	int err = is_at_syscall_stop(tid) ? remote_interrupt(tid, true) : 0;
	for (int signals = 0; !err && signals < SIGNALS_MAX; signals++) {
		u32 instruction = 0;
		err = remote_get_regs(tid, &home->regs);
		if (err < 0)
			return err;
		read_instruction(tid, arch_pc(&home->regs), &instruction);
		if (!arch_before_waiting_call(&home->regs, instruction))
			return 0;
		err = enter_again(tid);
		if (err == 0)
			return learn_at_exit(tid, home);
		err = MIN(err, 0);
	}
	return err ?: -EBUSY;
}

#define BIT(signal) (1ull << ((signal)-1))
#define OF_TERMINALS (BIT(SIGTTIN) | BIT(SIGTTOU))

/* A timer that expires meanwhile must not lead a restored thread into its handler before it is let go. Who uses a terminal from the
 * background gets EIO where its signals are blocked (drivers/tty/tty_jobctrl.c, __tty_check_change): these stay as they are. */
static int freeze_point_at_exit(pid_t tid, bool held, struct remote_home *home)
{
	u64 mask = 0;
	int err = held ? remote_get_sigmask(tid, &mask) ?: remote_set_sigmask(tid, mask | ~OF_TERMINALS) : 0;
	err = err ?: find_at_exit(tid, home);
	return err < 0 || !held ? err : remote_set_sigmask(tid, mask);
}

int remote_freeze_point(pid_t tid, bool held, struct remote_home *ret)
{
	*ret = (struct remote_home){ 0 };
	int err = remote_get_regs(tid, &ret->regs);
	if (err < 0)
		return err;
	if (arch_decides_at_exit())
		return freeze_point_at_exit(tid, held, ret);
	if (arch_cure_eintr(&ret->regs, NULL))
		err = remote_set_regs(tid, &ret->regs);
	ret->call = arch_interrupted(&ret->regs);
	return err;
}

/* getpid at the thread's own call site makes the kernel remember the true first argument, and ends at an exit stop. */
static int to_exit_stop(pid_t tid, const struct remote_home *home)
{
	s64 ignored;
	return remote_set_sigmask(tid, ~0ull)
		       ?: remote_call_to_exit(tid, &home->regs, arch_call_site(&home->regs), SYS_getpid, home->call.arg, false,
					      &ignored);
}

int remote_resume(pid_t tid, struct remote_home *home, u64 sigmask)
{
	arch_regs regs = home->regs;
	if (home->call.interrupted) {
		int err = arch_decides_at_exit() && !home->at_exit ? to_exit_stop(tid, home) : 0;
		if (err < 0)
			return err;
		arch_restart_call(&regs, home->call.nr, home->call.code);
	}
	return remote_set_sigmask(tid, sigmask) ?: remote_set_regs(tid, &regs);
}
