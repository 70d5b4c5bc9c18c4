// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns ptrace of one stopped thread: registers, stops, and system calls that the thread makes for ckpt. */
#include "base/child.h"
#include "base/clock.h"
#include "infect/remote.h"
#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static int trace(int request, pid_t tid, u64 address, u64 data)
{
	return ptrace((__typeof__(PTRACE_CONT))request, tid, address, data) < 0 ? neg_errno() : 0;
}

static int transfer_regset(int request, pid_t tid, int regset, void *data, size_t *len)
{
	struct iovec vector = { data, *len };
	int err = trace(request, tid, (u64)regset, (u64)(uintptr_t)&vector);
	*len = vector.iov_len;
	return err;
}

int remote_get_regs(pid_t tid, arch_regs *ret)
{
	size_t len = sizeof *ret;
	return transfer_regset(PTRACE_GETREGSET, tid, NT_PRSTATUS, ret, &len);
}

int remote_set_regs(pid_t tid, const arch_regs *regs)
{
	size_t len = sizeof *regs;
	return transfer_regset(PTRACE_SETREGSET, tid, NT_PRSTATUS, (void *)regs, &len);
}

/* What stands before each of several sets. */
struct set_head {
	u32 note, len;
};

/* A set that this kernel or CPU does not have is left out. */
static bool lacks_set(int err) { return err == -EINVAL || err == -ENODEV || err == -EIO || err == -EOPNOTSUPP; }

/* Bytes of the set, with its head; 0: there is none, or nothing in it is in use. */
static ssize_t get_set(pid_t tid, const struct arch_note *note, char *at, const char *end)
{
	struct set_head head = { .note = (u32)note->type };
	if (at + sizeof head > end)
		return -ENOSPC;
	size_t len = ALIGN_DOWN((size_t)(end - at) - sizeof head, (size_t)ARCH_NOTE_UNIT);
	int err = transfer_regset(PTRACE_GETREGSET, tid, note->type, at + sizeof head, &len);
	if (err < 0)
		return note->optional && lacks_set(err) ? 0 : err;
	head.len = (u32)arch_note_used(note->type, at + sizeof head, len);
	if (head.len > len)
		return -E2BIG; /* the kernel fills what there is room for */
	memcpy(at, &head, sizeof head);
	return head.len ? (ssize_t)(sizeof head + head.len) : 0;
}

static int get_sets(pid_t tid, const struct arch_note *notes, size_t count, char *at, const char *end, char **ret_at)
{
	for (size_t i = 0; i < count; i++) {
		ssize_t len = get_set(tid, &notes[i], at, end);
		if (len < 0)
			return (int)len;
		at += len;
	}
	*ret_at = at;
	return 0;
}

int remote_get_extended(pid_t tid, void *ret, size_t room, size_t *ret_len, struct arch_components *known)
{
	struct arch_note notes[ARCH_NOTES_MAX];
	size_t count = arch_extended_notes(notes);
	*ret_len = room;
	if (count == 1) {
		int r = transfer_regset(PTRACE_GETREGSET, tid, notes[0].type, ret, ret_len);
		if (r == 0)
			arch_note_settle(notes[0].type, ret, *ret_len, known);
		return r == 0 && *ret_len == room ? -E2BIG : r; /* the kernel fills what there is room for */
	}
	char *at = ret;
	int err = get_sets(tid, notes, count, at, at + room, &at);
	*ret_len = (size_t)(at - (char *)ret);
	return err;
}

int remote_set_extended(pid_t tid, const void *data, size_t len)
{
	struct arch_note notes[ARCH_NOTES_MAX];
	int err = 0;
	if (arch_extended_notes(notes) == 1)
		return transfer_regset(PTRACE_SETREGSET, tid, notes[0].type, (void *)data, &len);
	for (const char *at = data, *end = at + len; at < end && !err;) {
		struct set_head head;
		if ((size_t)(end - at) < sizeof head)
			return -EBADMSG;
		memcpy(&head, at, sizeof head);
		at += sizeof head;
		if ((size_t)(end - at) < head.len)
			return -EBADMSG;
		size_t bytes = head.len;
		err = transfer_regset(PTRACE_SETREGSET, tid, (int)head.note, (void *)at, &bytes);
		if (lacks_set(err) && arch_note_idle((int)head.note, at, head.len))
			err = 0;
		at += head.len;
	}
	return err;
}

int remote_get_tags(pid_t tid, u64 address, u8 *ret, size_t room)
{
	struct iovec tags = { ret, room };
	long request = arch_tags_request();
	if (request < 0)
		return -EOPNOTSUPP;
	if (ptrace((enum __ptrace_request)request, tid, (void *)(uintptr_t)address, &tags) < 0)
		return neg_errno();
	return tags.iov_len ? (int)tags.iov_len : -EFAULT;
}

int remote_get_sigmask(pid_t tid, u64 *ret) { return trace(PTRACE_GETSIGMASK, tid, sizeof *ret, (u64)(uintptr_t)ret); }
int remote_set_sigmask(pid_t tid, u64 mask) { return trace(PTRACE_SETSIGMASK, tid, sizeof mask, (u64)(uintptr_t)&mask); }

static struct remote_stop decode_stop(int status)
{
	struct remote_stop stop = { .signal = WSTOPSIG(status), .event = status >> 16 };
	if (stop.event == PTRACE_EVENT_STOP)
		stop.kind = STOP_EVENT;
	else if (stop.event)
		stop.kind = STOP_OTHER;
	else if (stop.signal == (SIGTRAP | 0x80))
		stop.kind = STOP_SYSCALL;
	else
		stop.kind = STOP_SIGNAL;
	return stop;
}

/* SIGCHLD is kept pending while looking, so that no stop falls between look and sleep. It may still not come (another
 * thread of ckpt took it, or it is ignored): the sleeps are bounded. */
int remote_wait_stop(pid_t tid, u64 patience, struct remote_stop *ret)
{
	sigset_t child, before;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &before);
	u64 deadline = now_ns() + patience, nap = child_nap();
	int status = 0, err = 0;
	pid_t got;
	while ((got = waitpid(tid, &status, __WALL | WNOHANG)) == 0 && !err) {
		struct timespec wait = { .tv_nsec = (long)nap };
		sigtimedwait(&child, NULL, &wait);
		nap = MIN(nap * 2, CHILD_NAP_MAX);
		if (now_ns() > deadline)
			err = -ETIMEDOUT;
	}
	if (got < 0)
		err = errno == ECHILD ? -ESRCH : neg_errno();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (got <= 0)
		return err;
	if (!WIFSTOPPED(status))
		return -ESRCH;
	*ret = decode_stop(status);
	return 0;
}

/* The next stop of this kind. Signals on the way are delivered, other stops passed; resume: request to go on with. */
static int wait_for(pid_t tid, enum remote_stop_kind kind, int resume)
{
	for (;;) {
		struct remote_stop stop = { 0 };
		int err = remote_wait_stop(tid, REMOTE_PATIENCE, &stop);
		if (err < 0 || stop.kind == kind)
			return err;
		err = trace(resume, tid, 0, stop.kind == STOP_SIGNAL ? (u64)stop.signal : 0);
		if (err < 0)
			return err;
	}
}

int remote_interrupt(pid_t tid, bool resume)
{
	int err = trace(PTRACE_INTERRUPT, tid, 0, 0);
	if (!err && resume)
		err = trace(PTRACE_CONT, tid, 0, 0);
	return err ?: wait_for(tid, STOP_EVENT, PTRACE_CONT);
}

int remote_continue(pid_t tid, bool to_syscall, int signal)
{
	return trace(to_syscall ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, (u64)signal);
}

int remote_to_syscall_stop(pid_t tid)
{
	int err = trace(PTRACE_SYSCALL, tid, 0, 0);
	return err ?: wait_for(tid, STOP_SYSCALL, PTRACE_SYSCALL);
}

int remote_set_trap(pid_t tid) { return trace(PTRACE_INTERRUPT, tid, 0, 0); }

/* From an event stop to the entry stop of nr(args). */
static int enter_call(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6])
{
	arch_regs regs = *base;
	arch_aim_call(&regs, pc, nr, args);
	return remote_set_regs(tid, &regs) ?: remote_to_syscall_stop(tid);
}

static int read_result(pid_t tid, s64 *ret)
{
	arch_regs regs;
	int err = remote_get_regs(tid, &regs);
	if (!err)
		*ret = arch_call_result(&regs);
	return err;
}

int remote_call_to_exit(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], bool trapped, s64 *ret)
{
	int err = enter_call(tid, base, pc, nr, args);
	if (!err && trapped)
		err = remote_set_trap(tid);
	return err ?: remote_to_syscall_stop(tid) ?: read_result(tid, ret);
}

/* The kernel would restart the call where it was made, whatever is made there next (arch/arm64/kernel/signal.c compares
 * addresses only): it is told that the call ended. A restart block stays. */
static int forget_restart(pid_t tid, s64 result)
{
	arch_regs regs;
	if (!arch_decides_at_exit() || result > -512 || result < -516)
		return 0;
	int err = remote_get_regs(tid, &regs);
	arch_finish_call(&regs, 0);
	return err ?: remote_set_regs(tid, &regs);
}

static int call_through_exit(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], bool trapped, s64 *ret)
{
	return remote_call_to_exit(tid, base, pc, nr, args, trapped, ret) ?: forget_restart(tid, *ret) ?: remote_interrupt(tid, true);
}

int remote_call(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], s64 *ret)
{
	return call_through_exit(tid, base, pc, nr, args, false, ret);
}

int remote_call_trapped(pid_t tid, const arch_regs *base, u64 pc, long nr, const u64 args[6], s64 *ret)
{
	if (arch_decides_at_exit()) /* an event stop no longer shows a restart code */
		return call_through_exit(tid, base, pc, nr, args, true, ret);
	return enter_call(tid, base, pc, nr, args) ?: remote_interrupt(tid, true) ?: read_result(tid, ret);
}
