// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the hijack: one thread of a stopped process makes calls for ckpt. At every instant the thread is one call away from
 * a way home that it finds by itself; each ptrace request moves it from one such state to the next. */
#include "infect/hijack_internal.h"
#include "diag/diag.h"
#include "infect/remote.h"
#include "task/rseq.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define LEAVE_ROUNDS 100

static int find_rseq(const struct tree_process *process, pid_t tid, struct rseq_area *ret)
{
	for (size_t i = 0; i < process->threads.n; i++) {
		const struct tree_thread *t = &process->threads.v[i];
		if (t->tid != tid || !t->rseq_told)
			continue;
		*ret = t->rseq;
		return 0;
	}
	return rseq_get_area(tid, ret);
}

/* A thread in user code may stand inside of a restartable sequence: it must not go on in it after other code ran. */
static int leave_rseq_section(const struct tree_process *process, pid_t tid, struct remote_home *home)
{
	struct rseq_area area;
	u64 from;
	if (home->call.interrupted)
		return 0;
	int err = find_rseq(process, tid, &area);
	if (err == -EIO && rseq_is_off(process->proc)) /* nothing tells, and a dump takes it to have none */
		return 0;
	if (err < 0)
		return hijack_refuse("its restartable sequences cannot be read (PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13)",
				     err);
	err = rseq_abort_fix(tid, &home->regs, &area, &from);
	return err < 0 || !from ? err : remote_set_regs(tid, &home->regs);
}

/* Every signal but the one that ends a batch waits. SIGSTOP cannot wait: it is sent again at the end. */
static int pass_stop(struct hijack *h, const struct remote_stop *stop, bool to_syscall)
{
	if (stop->kind == STOP_SIGNAL && stop->signal == SIGSTOP)
		h->stop_again = true;
	return remote_continue(h->tid, to_syscall, 0);
}

static int wait_syscall_stop(struct hijack *h)
{
	struct remote_stop stop = { 0 };
	int err = remote_continue(h->tid, true, 0);
	while (!err) {
		err = remote_wait_stop(h->tid, REMOTE_PATIENCE, &stop);
		if (err < 0 || stop.kind == STOP_SYSCALL)
			return err;
		err = pass_stop(h, &stop, true);
	}
	return err;
}

static int aim(struct hijack *h, long nr, const u64 args[6])
{
	arch_regs regs;
	arch_stub_aim(&regs, &h->home, h->cave.at, h->deciding, nr, args);
	return remote_set_regs(h->tid, &regs);
}

static int call(struct hijack *h, long nr, const u64 args[6], s64 *ret)
{
	arch_regs regs;
	int err = aim(h, nr, args) ?: wait_syscall_stop(h) ?: wait_syscall_stop(h);
	h->deciding = false;
	err = err ?: remote_get_regs(h->tid, &regs);
	if (!err)
		*ret = arch_call_result(&regs);
	return err;
}

static int place_stub(struct hijack *h)
{
	struct arch_stub_words words = { .arena = h->arena, .arena_size = h->bytes };
	_cleanup_free_ char *code = calloc(1, h->stub.size + 1);
	if (!code)
		return fail_memory();
	if (h->stub.code)
		memcpy(code, h->stub.code, h->stub.size);
	arch_stub_fill(code, &h->home, &words);
	return cave_write(h->tid, h->cave.at, code, h->stub.size);
}

/* The first call is a harmless one, and only then are signals kept off: if ckpt dies in between, the mask is the true one. Where the
 * kernel gives the first call its argument, that call is let pass. */
static int enter(struct hijack *h)
{
	int err = aim(h, SYS_getpid, (u64[6]){ 0 });
	err = err ?: remote_set_sigmask(h->tid, h->signal ? ~(1ull << (h->signal - 1)) : ~0ull);
	if (err < 0 || !arch_decides_at_exit())
		return err;
	h->deciding = false;
	return wait_syscall_stop(h) ?: wait_syscall_stop(h);
}

/* Where the thread says that it has left; 0: nowhere. */
static int set_left(struct hijack *h, u64 address)
{
	return cave_write(h->tid, h->cave.at + h->stub.words + offsetof(struct arch_stub_words, left), &address,
			  sizeof address);
}

static int map_arena(struct hijack *h)
{
	s64 result = 0;
	int err = call(h, SYS_mmap,
		       (u64[6]){ h->arena, h->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
				 (u64)-1 },
		       &result);
	if (err < 0)
		return err;
	if (result < 0 || (u64)result != h->arena) {
		h->arena = 0;
		h->why = "it cannot map memory";
		return result < 0 ? (int)result : -EEXIST;
	}
	struct cave_arena head = { 0 };
	memcpy(head.name, ARCH_STUB_NAME, sizeof head.name);
	struct iovec here = { &head, sizeof head }, there = { (void *)(uintptr_t)h->arena, sizeof head };
	if (process_vm_writev(h->tid, &here, 1, &there, 1, 0) != sizeof head)
		return neg_errno();
	return set_left(h, h->arena + offsetof(struct cave_arena, left));
}

static int transfer(struct hijack *h, bool in, struct hijack_call *calls, size_t count, void *data)
{
	struct iovec here[] = { { calls, count * sizeof *calls }, { data, h->room } };
	struct iovec there[] = { { (void *)(uintptr_t)(h->arena + sizeof(struct cave_arena)), count * sizeof *calls },
				 { (void *)(uintptr_t)h->data, h->room } };
	ssize_t want = (ssize_t)(count * sizeof *calls + h->room);
	ssize_t got = in ? process_vm_writev(h->tid, here, 2, there, 2, 0) : process_vm_readv(h->tid, here, 2, there, 2, 0);
	return got == want ? 0 : got < 0 ? neg_errno() : -EFAULT;
}

/* The signal at the end stops the thread before it is delivered; the same signal of somebody else may come before. */
static int await_batch(struct hijack *h)
{
	for (;;) {
		struct remote_stop stop = { 0 };
		arch_regs regs;
		int err = remote_wait_stop(h->tid, REMOTE_PATIENCE, &stop);
		if (!err && stop.kind == STOP_SIGNAL && stop.signal == h->signal) {
			err = remote_get_regs(h->tid, &regs);
			if (!err && arch_pc(&regs) == h->cave.at + h->stub.mark)
				return 0;
		}
		err = err ?: pass_stop(h, &stop, false);
		if (err < 0)
			return err;
	}
}

static int run_batch(struct hijack *h, size_t count)
{
	arch_regs regs;
	arch_stub_aim_batch(&regs, &h->home, h->cave.at, h->arena + sizeof(struct cave_arena), count, h->signal);
	return remote_set_regs(h->tid, &regs) ?: remote_continue(h->tid, false, 0) ?: await_batch(h);
}

static int run_one_by_one(struct hijack *h, struct hijack_call *calls, size_t count)
{
	int err = 0;
	for (size_t i = 0; i < count && !err; i++)
		err = call(h, (long)calls[i].nr, calls[i].arg, &calls[i].result);
	return err;
}

/* calls are given back with the arguments that they came with. */
static int run_calls(struct hijack *h, struct hijack_call *calls, size_t count, void *data)
{
	_cleanup_free_ struct hijack_call *real = calloc(count + 1, sizeof *real);
	if (!real)
		return fail_memory();
	for (size_t i = 0; i < count; i++) {
		real[i].nr = calls[i].nr;
		for (size_t k = 0; k < ARRAY_SIZE(real->arg); k++)
			real[i].arg[k] = hijack_argument(h, calls[i].arg[k]);
	}
	int err = transfer(h, true, real, count, data);
	if (err < 0)
		return err;
	if (h->signal) {
		err = run_batch(h, count) ?: transfer(h, false, real, count, data);
	} else {
		struct hijack_call *unused = real + count;
		err = run_one_by_one(h, real, count);
		err = err ?: transfer(h, false, unused, 0, data);
	}
	for (size_t i = 0; i < count && !err; i++)
		calls[i].result = real[i].result;
	return err;
}

/* Arenas go by munmap from the cave, the own one when nothing writes to it any more. */
static int unmap_arenas(struct hijack *h)
{
	s64 ignored;
	int err = set_left(h, 0);
	if (!err && h->arena)
		err = call(h, SYS_munmap, (u64[6]){ h->arena, h->bytes }, &ignored);
	for (size_t i = 0; i < h->cave.leftovers && !err; i++)
		err = call(h, SYS_munmap, (u64[6]){ h->cave.leftover[i].arena, h->cave.leftover[i].arena_size }, &ignored);
	return err;
}

static int wipe(struct hijack *h, u64 stub, u64 bytes)
{
	_cleanup_free_ char *zero = calloc(1, bytes);
	return zero ? cave_write(h->tid, stub, zero, bytes) : fail_memory();
}

static int to_event_stop(struct hijack *h)
{
	struct remote_stop stop = { 0 };
	int err = remote_set_trap(h->tid) ?: remote_continue(h->tid, false, 0);
	while (!err) {
		err = remote_wait_stop(h->tid, REMOTE_PATIENCE, &stop);
		if (err < 0 || stop.kind == STOP_EVENT)
			return err;
		err = remote_set_trap(h->tid) ?: pass_stop(h, &stop, false);
	}
	return err;
}

/* Where the kernel decides at the exit stop of a call, it has to have that call's first argument. */
static int to_deciding_stop(struct hijack *h)
{
	s64 ignored;
	bool at_exit = arch_decides_at_exit() && h->home.call.interrupted;
	int err = at_exit ? call(h, SYS_getpid, h->home.call.arg, &ignored) : to_event_stop(h);
	h->deciding = true;
	return err;
}

static int set_home(struct hijack *h)
{
	arch_regs regs = h->home.regs;
	if (h->home.call.interrupted)
		arch_restart_call(&regs, h->home.call.nr, h->home.call.code);
	return remote_set_regs(h->tid, &regs);
}

/* Back to where the thread was: each of the three states that follow one another goes home by itself. */
static int go_home(struct hijack *h)
{
	u64 zero = 0;
	int err = unmap_arenas(h);
	if (!err && h->arena) /* nothing to write to any more */
		err = cave_write(h->tid, h->cave.at + h->stub.words + offsetof(struct arch_stub_words, left), &zero,
				 sizeof zero);
	err = err ?: to_deciding_stop(h);
	err = err ?: aim(h, SYS_getpid, (u64[6]){ 0 });
	err = err ?: remote_set_sigmask(h->tid, h->home.sigmask);
	err = err ?: set_home(h);
	err = err ?: wipe(h, h->cave.at, h->stub.size);
	for (size_t i = 0; i < h->cave.leftovers && !err; i++)
		err = wipe(h, h->cave.leftover[i].stub, h->cave.leftover[i].stub_size);
	if (h->stop_again)
		syscall(SYS_pidfd_send_signal, h->process->pidfd, SIGSTOP, NULL, 0);
	return err;
}

/* A thread that a killed ckpt left in a stub is on its way home: it runs on until it is there. */
static int let_home(const struct tree_thread *thread, const struct cave *cave)
{
	pid_t tid = thread->tid;
	struct remote_home home;
	int err = remote_freeze_point(tid, thread->held, &home);
	for (int round = 0; round < LEAVE_ROUNDS && !err && cave_owns(cave, arch_pc(&home.regs)); round++) {
		err = remote_continue(tid, false, 0);
		sched_yield();
		err = err ?: remote_interrupt(tid, false) ?: remote_freeze_point(tid, thread->held, &home);
	}
	if (!err && cave_owns(cave, arch_pc(&home.regs)))
		err = -EBUSY;
	return err;
}

static int let_all_home(struct tree_process *process)
{
	struct cave cave;
	int err = cave_find(&cave, process, PAGE_BYTES);
	for (size_t i = 0; i < process->threads.n && !err; i++)
		if (process->threads.v[i].stopped)
			err = let_home(&process->threads.v[i], &cave);
	return err;
}

int hijack_run(struct tree_process *process, pid_t tid, struct hijack_call *calls, size_t count, void *data, size_t room)
{
	WORKING_ON_TASK(process->pid);
	_cleanup_hijack_ struct hijack h = { .process = process, .room = room };
	int err = let_all_home(process);
	if (err < 0)
		return hijack_refuse("a thread does not leave the stub of an earlier hijack", err);
	struct remote_home home;
	pid_t lead = hijack_pick(process, tid, &home);
	if (lead)
		err = leave_rseq_section(process, lead, &home);
	err = err ?: hijack_prepare(&h, tid, calls, count);
	if (err < 0)
		return err;
	err = place_stub(&h);
	if (err < 0)
		return hijack_refuse("nothing can be written behind its vDSO", err);
	err = enter(&h) ?: map_arena(&h) ?: run_calls(&h, calls, count, data);
	int homeward = go_home(&h);
	if (homeward < 0)
		return fail(HIJACK_FAILED, homeward, "bringing thread %d home", (int)h.tid);
	if (err < 0)
		return h.why ? hijack_refuse(h.why, err) : fail(HIJACK_FAILED, err, "thread %d", (int)h.tid);
	return 0;
}
