// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the choice of the thread that is hijacked, and the judgement whether it may be: nothing is touched. */
#include "infect/hijack_internal.h"
#include "diag/diag.h"
#include "infect/dispatch.h"
#include "infect/seccomp.h"
#include "base/file.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static size_t calls_bytes(size_t count)
{
	return ALIGN_UP(sizeof(struct cave_arena) + count * sizeof(struct hijack_call), PAGE_BYTES);
}

/* signal(7): the default of these is to be ignored. One that is neither caught nor blocked means nothing to the thread. */
static int pick_signal(struct tree_process *process, pid_t tid, u64 mask)
{
	static const int ignored[] = { SIGURG, SIGWINCH, SIGCHLD };
	_cleanup_text_ struct text status = { 0 };
	if (file_readf(&status, process->proc, "task/%d/status", (int)tid) < 0)
		return 0;
	const char *at = strstr(status.data, "\nSigCgt:");
	u64 caught = at ? strtoull(at + strlen("\nSigCgt:"), NULL, 16) : ~0ull;
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (!((caught | mask) >> (ignored[i] - 1) & 1))
			return ignored[i];
	return 0;
}

/* What the way home has to bring back besides general registers. */
static int read_extended(pid_t tid, struct arch_stub_home *home)
{
	struct arch_components known = { 0 };
	size_t room = arch_extended_size();
	void *data = arch_stub().needs_extended ? malloc(room) : NULL;
	home->extended = data;
	if (!arch_stub().needs_extended)
		return 0;
	return data ? remote_get_extended(tid, data, room, &home->extended_len, &known) : -ENOMEM;
}

static bool can_come_home(pid_t tid)
{
	struct arch_stub_home home = { 0 };
	bool can = read_extended(tid, &home) == 0 && arch_stub_can(&home);
	free((void *)home.extended);
	return can;
}

void hijack_done(struct hijack *h) { free((void *)h->home.extended); }

/* Best is a thread in a call that goes on by itself, then one in user code, then one that waits for a signal. */
static int rank(const struct tree_thread *thread, struct remote_home *home)
{
	if (!thread->stopped || thread->stop_signal || remote_freeze_point(thread->tid, thread->held, home) < 0 ||
	    arch_is_compat(&home->regs) || !can_come_home(thread->tid))
		return -1;
	return !home->call.interrupted ? 1 : home->call.code == 514 ? 0 : 2;
}

pid_t hijack_pick(struct tree_process *process, pid_t tid, struct remote_home *ret)
{
	int best = -1;
	pid_t picked = 0;
	for (size_t i = 0; i < process->threads.n; i++) {
		struct tree_thread *t = &process->threads.v[i];
		struct remote_home home;
		int r = tid && t->tid != tid ? -1 : rank(t, &home);
		if (r <= best)
			continue;
		best = r;
		picked = t->tid;
		*ret = home;
	}
	return picked;
}

/* Does seccomp let everything pass that the stub and the batch will do, with these very arguments? */
static bool seccomp_lets_all(struct hijack *h, const struct hijack_call *calls, size_t count,
			     const struct seccomp_filters *filters)
{
	struct arch_stub_call own[ARCH_STUB_CALLS];
	size_t n = arch_stub_calls(h->cave.at, h->signal, own);
	u64 one = own[0].pc, batch = h->cave.at + h->stub.batch;
	bool ok = seccomp_lets(filters, one, SYS_munmap, (u64[6]){ h->arena, h->bytes }) &&
		  seccomp_lets(filters, one, SYS_mmap,
			       (u64[6]){ h->arena, h->bytes, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (u64)-1 });
	for (size_t i = 0; i < n && ok; i++)
		ok = seccomp_lets(filters, own[i].pc, own[i].nr, own[i].arg);
	for (size_t i = 0; i < h->cave.leftovers && ok; i++)
		ok = seccomp_lets(filters, one, SYS_munmap,
				  (u64[6]){ h->cave.leftover[i].arena, h->cave.leftover[i].arena_size });
	for (size_t i = 0; i < count && ok; i++) {
		u64 args[6];
		for (size_t k = 0; k < ARRAY_SIZE(args); k++)
			args[k] = hijack_argument(h, calls[i].arg[k]);
		ok = seccomp_lets(filters, h->signal ? batch : one, calls[i].nr, args);
	}
	return ok;
}

int hijack_refuse(const char *why, int err)
{
	(void)warn(HIJACK_REFUSED, err == -EPERM ? 0 : err, "%s", why);
	return err;
}

/* A call from the stub would be handed to the program as SIGSYS. */
static bool dispatches_calls(pid_t tid)
{
	struct dispatch d;
	return dispatch_get(tid, &d) == 0 && d.on;
}

int hijack_prepare(struct hijack *h, pid_t tid, const struct hijack_call *calls, size_t count)
{
	struct remote_home home;
	h->tid = hijack_pick(h->process, tid, &home);
	if (!h->tid)
		return hijack_refuse("no thread of it can be used: stopped by a signal, a 32-bit task, or with vectors in use "
				     "that a call loses",
				     -EPERM);
	h->bytes = calls_bytes(count) + ALIGN_UP(h->room, PAGE_BYTES);
	int err = cave_find(&h->cave, h->process, h->bytes);
	if (err < 0)
		return hijack_refuse("its memory cannot be read", err);
	if (!h->cave.at || !h->cave.hole)
		return hijack_refuse(h->cave.at ? "its address space has no hole" : h->cave.why, -EPERM);
	if (dispatches_calls(h->tid))
		return hijack_refuse("it handles its system calls itself (syscall user dispatch)", -EPERM);
	h->stub = arch_stub();
	h->home.regs = home.regs;
	h->home.call = home.call;
	h->arena = h->cave.hole;
	h->data = h->arena + calls_bytes(count);
	h->deciding = true;
	err = remote_get_sigmask(h->tid, &h->home.sigmask) ?: read_extended(h->tid, &h->home);
	if (err < 0)
		return hijack_refuse("its signal mask or registers cannot be read", err);
	h->signal = pick_signal(h->process, h->tid, h->home.sigmask);
	_cleanup_seccomp_ struct seccomp_filters *filters = seccomp_read(h->tid, &err);
	if (err < 0)
		return hijack_refuse("its seccomp filters cannot be read", err);
	if (!seccomp_lets_all(h, calls, count, filters))
		return hijack_refuse("its seccomp filter refuses the calls", -EPERM);
	return 0;
}
