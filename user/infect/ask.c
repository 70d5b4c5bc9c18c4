// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the questions that a process answers about itself, and what the answers mean. */
#include "infect/ask.h"
#include "arch/arch.h"
#include "diag/diag.h"
#include "base/file.h"
#include <linux/membarrier.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif
#ifndef PR_GET_MEMORY_MERGE
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#define GET_REGISTRATIONS (1 << 9) /* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3 */
#define BATCH_TIMERS 64
#define THREAD_GROUPS (KNOWN_ALTSTACK | KNOWN_CLEAR_TID | KNOWN_PRCTL | KNOWN_SECUREBITS | KNOWN_PERSONALITY | KNOWN_CONTROLS)
#define PROCESS_GROUPS (KNOWN_ITIMERS | KNOWN_MM_BRK | KNOWN_THP_MDWE | KNOWN_MEMBARRIER | KNOWN_LDT | KNOWN_LOCKS)
#define MAYBE_GROUPS                                                                                                           \
	(KNOWN_MEMBARRIER | KNOWN_LDT | KNOWN_LOCKS | KNOWN_CONTROLS) /* asking for nothing but these is not worth it */

/* Adds a call; its place, to ask for the result. Arguments may be what room() gave. */
static size_t add(struct ask_sheet *b, long nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	b->calls[b->count] = (struct hijack_call){ .nr = (u64)nr, .arg = { a0, a1, a2, a3 } };
	return b->count++;
}

static u64 room(struct ask_sheet *b, size_t len)
{
	u64 at = HIJACK_ARENA + b->used;
	b->used += ALIGN_UP(len, 8ul);
	return at;
}

static const void *answer(const struct ask_sheet *b, u64 at) { return b->data + (at - HIJACK_ARENA); }
static bool good(const struct ask_sheet *b, size_t call) { return b->calls[call].result >= 0; }

static u32 answer_u32(const struct ask_sheet *b, u64 at)
{
	u32 value;
	memcpy(&value, answer(b, at), sizeof value);
	return value;
}

static void copy(void *to, const struct ask_sheet *b, u64 at, size_t len) { memcpy(to, answer(b, at), len); }

static void put_thread_question(struct ask_sheet *b, struct ask_of_thread *q)
{
	q->altstack_at = room(b, sizeof(stack_t));
	q->altstack = add(b, SYS_sigaltstack, 0, q->altstack_at, 0, 0);
	q->clear_tid_at = room(b, sizeof(u64));
	q->clear_tid = add(b, SYS_prctl, PR_GET_TID_ADDRESS, q->clear_tid_at, 0, 0);
	q->pdeath_at = room(b, sizeof(int));
	q->pdeath = add(b, SYS_prctl, PR_GET_PDEATHSIG, q->pdeath_at, 0, 0);
	q->subreaper_at = room(b, sizeof(int));
	q->subreaper = add(b, SYS_prctl, PR_GET_CHILD_SUBREAPER, q->subreaper_at, 0, 0);
	q->securebits = add(b, SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0);
	q->slack = add(b, SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0);
	q->dumpable = add(b, SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0);
	q->personality = add(b, SYS_personality, 0xffffffff, 0, 0, 0);
}

static void put_process_question(struct ask_sheet *b, struct ask_of_process *q)
{
	for (unsigned i = 0; i < ARRAY_SIZE(q->itimer); i++) {
		q->itimer_at[i] = room(b, sizeof(struct itimerval));
		q->itimer[i] = add(b, SYS_getitimer, i, q->itimer_at[i], 0, 0);
	}
	q->action_at = room(b, 64 * sizeof(struct record_sigaction));
	for (unsigned i = 0; i < ARRAY_SIZE(q->action); i++)
		q->action[i] = add(b, SYS_rt_sigaction, i + 1, 0, q->action_at + i * sizeof(struct record_sigaction), 8);
	q->thp = add(b, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0);
	q->mdwe = add(b, SYS_prctl, PR_GET_MDWE, 0, 0, 0);
	q->merge = add(b, SYS_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0);
	q->membarrier = add(b, SYS_membarrier, GET_REGISTRATIONS, 0, 0, 0);
	q->brk = add(b, SYS_brk, 0, 0, 0, 0);
}

static void put_control_question(struct ask_sheet *b, struct ask_of_thread *q)
{
	q->tsc_at = room(b, sizeof(int));
	q->tsc = add(b, SYS_prctl, PR_GET_TSC, q->tsc_at, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(q->speculation); i++)
		q->speculation[i] = add(b, SYS_prctl, PR_GET_SPECULATION_CTRL, i, 0, 0);
	q->mempolicy_at = room(b, sizeof(int));
	q->mempolicy = add(b, SYS_get_mempolicy, q->mempolicy_at, 0, 0, 0);
}

/* modify_ldt(2) reads nothing at all where there is no table, and zeros behind its end. */
static void put_maybe_question(struct ask_sheet *b, struct ask_of_process *q)
{
	if (arch_ldt_call() >= 0)
		q->ldt = add(b, arch_ldt_call(), 0, room(b, sizeof(u64)), sizeof(u64), 0);
}

/* What mlockall(MCL_FUTURE) has set shows in a new mapping, the last page of a hijack's data: memory that is locked cannot be made
 * cold (mm/madvise.c, can_madv_lru_vma()), and is there at once but for MCL_ONFAULT. */
static void put_page_question(struct ask_sheet *b, struct ask_of_page *q)
{
	u64 page = HIJACK_ARENA + sizeof b->data - PAGE_BYTES;
	q->resident_at = room(b, sizeof(u64));
	q->map = add(b, SYS_mmap, page, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	b->calls[q->map].arg[4] = (u64)-1;
	q->cold = add(b, SYS_madvise, page, PAGE_BYTES, MADV_COLD, 0);
	q->resident = add(b, SYS_mincore, page, PAGE_BYTES, q->resident_at, 0);
}

static void take_page_answer(const struct ask_sheet *b, struct record_task *t)
{
	const struct ask_of_page *q = &b->page;
	bool locked = b->calls[q->cold].result == -EINVAL;
	if (t->known & KNOWN_LOCKS || !good(b, q->map) || !good(b, q->resident) || (!good(b, q->cold) && !locked))
		return;
	bool resident = *(const u8 *)answer(b, q->resident_at) & 1;
	t->future_locks = !locked ? 0 : resident ? VMA_LOCKED : VMA_LOCKED | VMA_LOCKONFAULT;
	t->known |= KNOWN_LOCKS;
}

/* A filter that lets nobody ask leaves all of it unknown; -EINVAL: the architecture has no such thing. */
static void take_control_answer(const struct ask_sheet *b, const struct ask_of_thread *q, struct record_task *t)
{
	u32 *const speculation[] = { &t->store_bypass, &t->indirect_branch, &t->l1d_flush };
	if (t->known & KNOWN_CONTROLS || (!good(b, q->tsc) && b->calls[q->tsc].result != -EINVAL))
		return;
	t->tsc = good(b, q->tsc) ? answer_u32(b, q->tsc_at) : 0;
	for (unsigned i = 0; i < ARRAY_SIZE(speculation); i++)
		*speculation[i] =
			good(b, q->speculation[i]) ? (u32)b->calls[q->speculation[i]].result & ~(u32)PR_SPEC_PRCTL : 0;
	t->known |= KNOWN_CONTROLS;
}

/* get_mempolicy(2) of a thread without a policy gives MPOL_DEFAULT, 0. */
static void take_mempolicy(const struct ask_sheet *b, const struct ask_of_thread *q, struct record_task *t)
{
	bool told = good(b, q->mempolicy), none = b->calls[q->mempolicy].result == -ENOSYS;
	if (t->known & KNOWN_NUMA || !(told || none))
		return;
	t->has_mempolicy = told && answer_u32(b, q->mempolicy_at);
	t->known |= KNOWN_NUMA;
}

static void take_thread_answer(const struct ask_sheet *b, const struct ask_of_thread *q, struct record_task *t)
{
	u64 asked = THREAD_GROUPS & ~t->known;
	stack_t altstack;
	if (asked & KNOWN_ALTSTACK && good(b, q->altstack)) {
		copy(&altstack, b, q->altstack_at, sizeof altstack);
		t->altstack_sp = (u64)(uintptr_t)altstack.ss_sp;
		t->altstack_size = altstack.ss_size;
		t->altstack_flags = (u32)altstack.ss_flags;
		t->known |= KNOWN_ALTSTACK;
	}
	if (asked & KNOWN_CLEAR_TID && good(b, q->clear_tid)) {
		copy(&t->clear_child_tid, b, q->clear_tid_at, sizeof t->clear_child_tid);
		t->known |= KNOWN_CLEAR_TID;
	}
	if (asked & KNOWN_PERSONALITY && good(b, q->personality)) {
		t->personality = (u32)b->calls[q->personality].result;
		t->known |= KNOWN_PERSONALITY;
	}
	if (asked & KNOWN_SECUREBITS && good(b, q->securebits)) {
		t->securebits = (u32)b->calls[q->securebits].result;
		t->known |= KNOWN_SECUREBITS;
	}
	if (asked & KNOWN_PRCTL && good(b, q->pdeath) && good(b, q->subreaper) && good(b, q->slack) && good(b, q->dumpable)) {
		t->pdeath_signal = answer_u32(b, q->pdeath_at);
		t->subreaper = answer_u32(b, q->subreaper_at);
		t->timer_slack = (u64)b->calls[q->slack].result;
		t->dumpable = (u32)b->calls[q->dumpable].result;
		t->known |= KNOWN_PRCTL;
	}
}

static u64 timeval_ns(struct timeval t) { return (u64)t.tv_sec * 1000000000 + (u64)t.tv_usec * 1000; }
static u64 timespec_ns(struct timespec t) { return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec; }

static void take_process_answer(const struct ask_sheet *b, const struct ask_of_process *q, struct record_task *t)
{
	u64 asked = PROCESS_GROUPS & ~t->known;
	if (asked & KNOWN_ITIMERS && good(b, q->itimer[0]) && good(b, q->itimer[1]) && good(b, q->itimer[2])) {
		for (unsigned i = 0; i < ARRAY_SIZE(q->itimer); i++) {
			struct itimerval v;
			copy(&v, b, q->itimer_at[i], sizeof v);
			t->itimer_value[i] = timeval_ns(v.it_value);
			t->itimer_interval[i] = timeval_ns(v.it_interval);
		}
		t->known |= KNOWN_ITIMERS;
	}
	if (asked & KNOWN_MM_BRK) {
		t->brk = (u64)b->calls[q->brk].result;
		t->known |= KNOWN_MM_BRK;
	}
	if (asked & KNOWN_THP_MDWE && good(b, q->thp)) {
		t->thp_disable = (u32)b->calls[q->thp].result;
		t->mdwe = good(b, q->mdwe) ? (u32)b->calls[q->mdwe].result : 0; /* a kernel without it has none */
		t->memory_merge = good(b, q->merge) && b->calls[q->merge].result;
		t->known |= KNOWN_THP_MDWE;
	}
	if (asked & KNOWN_MEMBARRIER && good(b, q->membarrier)) {
		t->membarrier = (u32)b->calls[q->membarrier].result;
		t->known |= KNOWN_MEMBARRIER;
	}
	bool tells = arch_ldt_call() < 0 || good(b, q->ldt) || b->calls[q->ldt].result == -ENOSYS;
	if (asked & KNOWN_LDT && tells) {
		t->has_ldt = arch_ldt_call() >= 0 && b->calls[q->ldt].result > 0;
		t->known |= KNOWN_LDT;
	}
}

static void take_sighand(const struct ask_sheet *b, const struct ask_of_process *q, u32 pid, struct record_sighand *sighand)
{
	*sighand = (struct record_sighand){ .tgid = pid };
	for (unsigned i = 0; i < ARRAY_SIZE(q->action); i++)
		if (good(b, q->action[i]))
			copy(&sighand->action[i], b, q->action_at + i * sizeof(struct record_sigaction),
			     sizeof(struct record_sigaction));
}

void ask_sheet_fill(struct ask_sheet *b, bool of_process)
{
	b->count = b->used = 0;
	b->of_process = of_process;
	put_thread_question(b, &b->thread);
	if (of_process)
		put_process_question(b, &b->process);
	b->needed = b->count;
	put_control_question(b, &b->thread);
	if (of_process)
		put_maybe_question(b, &b->process);
}

void ask_sheet_take(const struct ask_sheet *b, struct record_task *t, struct record_sighand *sighand)
{
	take_thread_answer(b, &b->thread, t);
	take_control_answer(b, &b->thread, t);
	take_mempolicy(b, &b->thread, t);
	if (b->of_process)
		take_process_answer(b, &b->process, t);
	if (b->of_process && sighand)
		take_sighand(b, &b->process, t->tgid, sighand);
}

/* proc(5), /proc/PID/timers: four lines for each timer. */
static int read_timers(struct ask *ask)
{
	_cleanup_text_ struct text text = { 0 };
	int err = file_read(ask->process->proc, "timers", &text);
	if (err < 0)
		return err == -ENOENT ? 0 : err;
	unsigned long long value;
	struct record_timer timer = { .tgid = (u32)ask->process->pid };
	char how[16], whom[8];
	int at = 0, used = 0, who;
	while (text.data && sscanf(text.data + at, " ID: %d signal: %d/%llx notify: %15[^/]/%7[^.].%d ClockID: %d%n", &timer.id,
				   &timer.signo, &value, how, whom, &who, &timer.clock, &used) == 7) {
		at += used;
		bool to_thread = !strcmp(whom, "tid");
		timer.sigev_value = value;
		timer.notify = !strcmp(how, "none") ? SIGEV_NONE : !strcmp(how, "thread") ? SIGEV_THREAD : SIGEV_SIGNAL;
		timer.notify |= to_thread ? SIGEV_THREAD_ID : 0;
		timer.notify_tid = to_thread ? (u32)who : 0;
		struct record_timer *grown = reallocarray(ask->timers, ask->timer_count + 1, sizeof *grown);
		if (!grown)
			return fail_memory();
		ask->timers = grown;
		ask->timers[ask->timer_count++] = timer;
	}
	return 0;
}

static int order_timers(const void *a, const void *b)
{
	return ((const struct record_timer *)a)->id - ((const struct record_timer *)b)->id;
}

static int ask_timers(struct ask *ask, struct ask_sheet *b)
{
	for (size_t first = 0; first < ask->timer_count; first += BATCH_TIMERS) {
		size_t n = MIN(ask->timer_count - first, (size_t)BATCH_TIMERS), left[BATCH_TIMERS], overrun[BATCH_TIMERS];
		struct record_timer *timer = ask->timers + first;
		b->count = b->used = 0;
		u64 at = room(b, n * sizeof(struct itimerspec));
		for (size_t i = 0; i < n; i++) {
			left[i] = add(b, SYS_timer_gettime, (u64)timer[i].id, at + i * sizeof(struct itimerspec), 0, 0);
			overrun[i] = add(b, SYS_timer_getoverrun, (u64)timer[i].id, 0, 0, 0);
		}
		int err = hijack_run(ask->process, 0, b->calls, b->count, b->data, sizeof b->data);
		if (err < 0)
			return err;
		for (size_t i = 0; i < n; i++) {
			struct itimerspec v;
			copy(&v, b, at + i * sizeof v, sizeof v);
			if (!good(b, left[i]))
				return fail(HIJACK_FAILED, (int)b->calls[left[i]].result, "timer_gettime(%d)", timer[i].id);
			timer[i].value = timespec_ns(v.it_value);
			timer[i].interval = timespec_ns(v.it_interval);
			timer[i].overrun = good(b, overrun[i]) ? (u32)b->calls[overrun[i]].result : 0;
		}
	}
	return 0;
}

/* A filter that lets the needed calls pass need not know of the others. */
static int run_sheet(struct tree_process *process, pid_t tid, struct ask_sheet *b)
{
	size_t mark = diag_mark();
	int err = hijack_run(process, tid, b->calls, b->count, b->data, sizeof b->data);
	if (err != -EPERM || b->needed == b->count)
		return err;
	diag_forget(mark);
	for (size_t i = b->needed; i < b->count; i++)
		b->calls[i].result = -EPERM;
	return hijack_run(process, tid, b->calls, b->needed, b->data, sizeof b->data);
}

static int ask_thread(struct ask *ask, struct ask_sheet *b, size_t i, bool process_too)
{
	ask_sheet_fill(b, process_too);
	if (process_too)
		put_page_question(b, &b->page);
	int err = run_sheet(ask->process, ask->process->threads.v[i].tid, b);
	if (err < 0)
		return err;
	ask_sheet_take(b, &ask->tasks[i], ask->sighand);
	if (process_too)
		take_page_answer(b, &ask->tasks[i]);
	for (size_t k = 0; process_too && k < ask->process->threads.n; k++)
		take_process_answer(b, &b->process, &ask->tasks[k]);
	return 0;
}

static bool lacks(const struct record_task *t, u64 groups) { return (t->known & groups) != groups; }

int ask_process(struct ask *ask)
{
	WORKING_ON_TASK(ask->process->pid);
	_cleanup_free_ struct ask_sheet *b = calloc(1, sizeof *b);
	if (!b)
		return fail_memory();
	int err = ask->want_timers ? read_timers(ask) : 0;
	if (err < 0)
		return fail(HIJACK_FAILED, err, "/proc/PID/timers");
	for (size_t i = 0; i < ask->process->threads.n && !err; i++) {
		bool process_too = i == 0 && (ask->sighand || lacks(&ask->tasks[0], PROCESS_GROUPS & ~(u64)MAYBE_GROUPS));
		if (process_too || lacks(&ask->tasks[i], THREAD_GROUPS & ~(u64)MAYBE_GROUPS))
			err = ask_thread(ask, b, i, process_too);
	}
	err = err ?: ask_timers(ask, b);
	if (!err && ask->timer_count)
		qsort(ask->timers, ask->timer_count, sizeof *ask->timers, order_timers);
	return err;
}
