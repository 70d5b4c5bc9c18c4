// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns where a thread goes on: what an interrupted call looks like at the freeze, and how the kernel is made to restart it. */
#include "infect/remote.h"
#include "base/file.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* ptrace(2): the raw call stores the word; glibc's form cannot tell -1 from an error. */
static int read_instruction(pid_t tid, u64 pc, u32 *ret)
{
	u64 word;
	if (syscall(SYS_ptrace, PTRACE_PEEKTEXT, tid, ALIGN_DOWN(pc, 8ul), &word) < 0)
		return neg_errno();
	*ret = (u32)(word >> pc % 8 * 8);
	return 0;
}

/* A thread at its event stop stands before the instruction when its call goes on, or is about to make one: it enters
 * with a trap pending, and the exit stop tells the restart code. */
static int learn_at_exit(pid_t tid, struct remote_home *home)
{
	arch_regs entered = home->regs;
	int err = remote_to_syscall_stop(tid) ?: remote_set_trap(tid) ?: remote_to_syscall_stop(tid) ?: remote_get_regs(tid, &home->regs);
	if (err < 0)
		return err;
	home->at_exit = true;
	home->call = arch_call_at_exit(&entered, &home->regs);
	return 0;
}

static int set_call_number(pid_t tid, int nr)
{
	struct iovec vector = { &nr, sizeof nr };
	return ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &vector) < 0 ? neg_errno() : 0;
}

/* /proc/PID/syscall shows the first argument of an ended call while the kernel is told that the thread is in one. */
static int ended_call_argument(pid_t tid, u64 *ret)
{
	_cleanup_text_ struct text line = { 0 };
	int err = set_call_number(tid, 0);
	if (err < 0)
		return err;
	err = file_readf(&line, AT_FDCWD, "/proc/%d/syscall", (int)tid);
	int undone = set_call_number(tid, -1);
	if (err < 0 || undone < 0)
		return err < 0 ? err : undone;
	unsigned long long first;
	if (!line.data || sscanf(line.data, "%*d %llx", &first) != 1)
		return -EPROTO;
	*ret = first;
	return 0;
}

static int freeze_point_at_exit(pid_t tid, struct remote_home *home)
{
	u32 instruction = 0;
	if (!read_instruction(tid, arch_pc(&home->regs), &instruction) && arch_before_waiting_call(&home->regs, instruction))
		return learn_at_exit(tid, home);
	struct arch_call ended = arch_call_at_exit(&home->regs, &home->regs);
	u64 first = 0;
	if (!ended.interrupted)
		return 0;
	int err = ended_call_argument(tid, &first);
	if (err < 0)
		return err;
	arch_set_argument(&home->regs, first);
	ended.arg[0] = first;
	home->call = ended;
	return 0;
}

int remote_freeze_point(pid_t tid, struct remote_home *ret)
{
	*ret = (struct remote_home){ 0 };
	int err = remote_get_regs(tid, &ret->regs);
	if (err < 0)
		return err;
	if (arch_decides_at_exit())
		return freeze_point_at_exit(tid, ret);
	if (arch_cure_eintr(&ret->regs))
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
