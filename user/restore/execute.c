// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the run of a plan: the arena, the world inside of ckpt, the root's birth, the wait for every array. */
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "restore/execute_internal.h"
#include "restore/resets.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* --- the machine, run by ckpt for the world --- */
static inline int64_t blob_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	long r = syscall(nr, a, b, c, d, e, f);
	return r < 0 ? -errno : r;
}
static inline void blob_futex_wait(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}
static inline void blob_futex_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0); }
static inline void blob_exit(uint64_t status) { _exit((int)status); }
static inline int64_t blob_tag(uint64_t page _unused_, const uint8_t *tags _unused_) { return -ENOSYS; }
/* The blob makes a helper task of the world like any other. */
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	return blob_call_birth(arena->data_base - PAGE_BYTES, arena, args, size, index);
}
#include "machine.h"

extern const char parasite_blob_begin[], parasite_blob_end[];

struct arena *execution_arena(struct execution *x) { return (struct arena *)x->map; }

static struct array *array_of(struct execution *x, u32 index)
{
	return (struct array *)(x->map + execution_arena(x)->arrays) + index;
}

struct array *execution_array(struct execution *x, u32 tid) { return array_of(x, plan_array(x->plan, tid)); }

/* --- the arena --- */

static int map_at(u64 where, size_t len, int prot, int memory, off_t offset)
{
	void *got = mmap((void *)(uintptr_t)where, len, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, memory, offset);
	if (got == MAP_FAILED)
		return neg_errno();
	return got == (void *)(uintptr_t)where ? 0 : -EEXIST;
}

static int make_arena(struct execution *x)
{
	size_t size = plan_size(x->plan);
	x->memory = memfd_create("ckpt-arena", MFD_CLOEXEC | 0x0010u /* MFD_EXEC, Linux 6.3 */);
	if (x->memory < 0 && errno == EINVAL)
		x->memory = memfd_create("ckpt-arena", MFD_CLOEXEC);
	int r = x->memory < 0 || ftruncate(x->memory, (off_t)(PAGE_BYTES + size)) < 0 ? neg_errno() : 0;
	if (r == 0)
		r = file_pwrite_full(x->memory, parasite_blob_begin, (size_t)(parasite_blob_end - parasite_blob_begin), 0);
	if (r == 0)
		r = map_at(x->site.code, PAGE_BYTES, PROT_READ | PROT_EXEC, x->memory, 0);
	if (r == 0) /* up to the slot: nothing else may be mapped behind it */
		r = map_at(x->site.data, x->site.slot - x->site.data, PROT_READ | PROT_WRITE, x->memory, PAGE_BYTES);
	if (r < 0)
		return fail(ARENA, r, "%zu bytes at %llx", size, (unsigned long long)x->site.code);
	x->map = (char *)(uintptr_t)x->site.data;
	plan_emit(x->plan, x->map, x->site.data);
	return 0;
}

/* --- failures of steps --- */

static int report_step(struct execution *x, const struct array *array)
{
	const struct step *step = (const struct step *)(x->map + execution_arena(x)->steps) + array->first + array->pc;
	_cleanup_text_ struct text line = { 0 };
	plan_print_step(&line, x->plan, step);
	WORKING_ON("%s", plan_object_name(x->plan, step->object));
	s64 got = array->error;
	int err = got < 0 && got > -4096 ? (int)got : 0;
	if (err == -EEXIST && step->op == OP_SPAWN)
		return fail(PID_TAKEN, err, "%s", line.data ? line.data : "");
	if (err)
		return fail(PLAN_STEP, err, "%s", line.data ? line.data : "");
	return fail(PLAN_STEP, 0, "%s gave %lld", line.data ? line.data : "", (long long)got);
}

/* --- the world --- */

int execute_room(const struct plan *plan, const struct graph *graph, struct image *image)
{
	struct rlimit limit;
	file_limit_raise();
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return fail(SYSCALL, neg_errno(), "getrlimit");
	u32 files = 0;
	for (struct object *o = NULL; (o = graph_next(graph, &kind_file, o));)
		files = MAX(files, o->id);
	int pages = image_file_fd(image, "pages", NULL);
	if (pages < 0)
		return pages;
	int place = plan_fd((struct plan *)plan, PAGES_FILE), last = plan_fd((struct plan *)plan, files + SPARE_FDS);
	for (u32 i = 0; plan_maker(plan, i); i++)
		last++;
	_cleanup_close_ int highest = fcntl(pages, F_DUPFD_CLOEXEC, MIN(last, (int)limit.rlim_cur - 1));
	if (highest < 0 || dup3(pages, place, O_CLOEXEC) < 0)
		return fail(SYSCALL, neg_errno(), "dup3(pages, %d): the limit of open files is %llu", place,
			    (unsigned long long)limit.rlim_max);
	return 0;
}

/* New tasks inherit the registration of the C library (clone without CLONE_VM keeps it), and their memory has it not.
 * The C library does without. */
static void drop_own_rseq(void)
{
	if (!__rseq_size)
		return;
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	u32 sizes[] = { 32, __rseq_size, (u32)getauxval(AUXV_RSEQ_BYTES) };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (sizes[i] && syscall(SYS_rseq, area, sizes[i], 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG) == 0)
			return;
}

/* What is not there any more (ENOMEM) is not inherited either. */
static int advise(struct hole_range range, int advice)
{
	if (range.end <= range.start || madvise((void *)(uintptr_t)range.start, range.end - range.start, advice) == 0)
		return 0;
	return errno == ENOMEM ? 0 : neg_errno();
}

/* A new task begins in the blob: without ckpt's memory neither has to copy a page of it, nor its page tables. */
static int keep_memory(const struct execution *x, int advice)
{
	struct hole_range heap = { x->site.heap, (uintptr_t)sbrk(0) };
	int r = x->site.heap ? advise(heap, advice) : 0;
	for (size_t i = 0; i < x->site.nown; i++) {
		int err = advise(x->site.own[i], advice);
		r = r < 0 ? r : err;
	}
	return r;
}

static int run_world(struct execution *x)
{
	struct array *world = array_of(x, 0);
	drop_own_rseq();
	machine_run(execution_arena(x), world);
	if (world->state == ARRAY_PARKED)
		return 0;
	for (u32 i = 1; i < execution_arena(x)->narrays; i++) /* what failed in a helper says more */
		if (array_of(x, i)->state == ARRAY_FAILED)
			return report_step(x, array_of(x, i));
	return report_step(x, world);
}

/* --- the root --- */

#define CLONE_PATIENCE 1000 /* times 2 ms */

static s64 birth(struct execution *x, const struct clone_args *args, u32 index)
{
	return blob_call_birth(x->site.code, execution_arena(x), (uintptr_t)args, sizeof *args, index);
}

/* ckpt's only child: the root, or the stand-in that leads its session and makes it. */
static int clone_first(struct execution *x, u32 pid)
{
	const Ckpt__Thread *leader = graph_data(x->graph, &kind_thread, pid);
	u64 clear_tid = leader ? leader->clear_child_tid : 0;
	struct clone_args args = {
		.flags = 0x100000000ull /* CLONE_CLEAR_SIGHAND */ | (clear_tid ? CLONE_CHILD_CLEARTID : 0) |
			 (x->sibling ? CLONE_PARENT : 0),
		.child_tid = clear_tid,
		.exit_signal = x->sibling ? 0 : SIGCHLD, /* CLONE_PARENT: that of ckpt itself, which is SIGCHLD */
		.set_tid = (u64)(uintptr_t)&pid,
		.set_tid_size = 1,
	};
	u32 index = plan_array(x->plan, pid);
	u64 all = ~0ull, old;
	args.stack = x->site.data;
	args.stack_size = array_of(x, index)->stack_top;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof old);
	s64 child = birth(x, &args, index);
	/* release_task() takes a dead task out of sight a little before its id is free (free_pid() without the lock, since
	 * 6.15). */
	for (int tries = 0; child == -EEXIST && tries < CLONE_PATIENCE; tries++) {
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		child = birth(x, &args, index);
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof old);
	WORKING_ON_TASK(pid);
	if (child == -EEXIST)
		return fail(PID_TAKEN, (int)child, "clone3(set_tid)");
	return child < 0 ? fail(SET_TID, (int)child, "clone3(set_tid)") : 0;
}

static int clone_root(struct execution *x)
{
	const Ckpt__Host *host = graph_data(x->graph, &kind_host, 1);
	const Ckpt__Task *root = shape_task(x->graph, host->root_pid);
	bool adopted = shape_birth(x->graph, root) == BIRTH_ADOPTED;
	int r = clone_first(x, adopted ? root->sid : root->pid);
	if (r == 0 && adopted)
		x->stand_in = (pid_t)root->sid;
	if (r == 0)
		x->root = (pid_t)root->pid;
	return r;
}

/* A guard is a copy of ckpt. */
static int begin_guard(struct execution *x, pid_t *guard)
{
	int r = keep_memory(x, MADV_DOFORK);
	if (r < 0)
		return fail(SYSCALL, r, "madvise(MADV_DOFORK)");
	r = birth_guard(guard, x);
	(void)keep_memory(x, MADV_DONTFORK);
	return r;
}

/* guard: of a root that is not ckpt's child. */
static int make_first(struct execution *x, pid_t *guard)
{
	(void)keep_memory(x, MADV_DONTFORK);
	int r = run_world(x);
	if (r == 0 && x->alone)
		r = begin_guard(x, guard);
	if (r == 0)
		r = clone_root(x);
	int kept = keep_memory(x, MADV_DOFORK); /* other guards are yet to be forked */
	return r == 0 && kept < 0 ? fail(SYSCALL, kept, "madvise(MADV_DOFORK)") : r;
}

#define STAND_IN_PATIENCE 5000 /* times 1 ms */

/* --- the wait --- */

#define WAIT_NS 50000000ull

static void wait_on(u32 *word, u32 value)
{
	struct timespec patience = { .tv_nsec = WAIT_NS };
	syscall(SYS_futex, word, FUTEX_WAIT, value, &patience, NULL, 0);
}

/* A thread that does not lead its process is gone when it has died. */
static bool is_thread_there(u32 pid, u32 tid) { return pid != tid && syscall(SYS_tgkill, pid, tid, 0) == 0; }

/* A thread that is held stops to tell of a SIGCONT (ptrace_trap_notify()), also of one that it has sent to itself and blocks. */
static bool goes_on(u32 tid, const siginfo_t *stop)
{
	bool told = stop->si_pid && stop->si_code == CLD_TRAPPED && stop->si_status >> 8 == PTRACE_EVENT_STOP;
	return told && ptrace(PTRACE_CONT, (pid_t)tid, 0, 0) == 0;
}

/* A task that died leaves its array running for ever. */
static int check_alive(struct execution *x, u32 pid, u32 tid)
{
	struct array *array = execution_array(x, tid);
	if (__atomic_load_n(&array->state, __ATOMIC_SEQ_CST) != ARRAY_RUNNING || is_thread_there(pid, tid))
		return 0;
	bool begun = __atomic_load_n(&array->pc, __ATOMIC_SEQ_CST); /* before it is looked for: it may be born meanwhile */
	siginfo_t stop = { 0 };                                     /* of one that is held: a signal that would have ended it */
	if (waitid(P_PID, tid, &stop, WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
		stop.si_pid = 0;
	if (goes_on(tid, &stop))
		return 0;
	_cleanup_text_ struct text stat = { 0 };
	int r = file_readf(&stat, AT_FDCWD, "/proc/%u/stat", tid);
	const char *state = stat.data ? strrchr(stat.data, ')') : NULL;
	if (__atomic_load_n(&array->state, __ATOMIC_SEQ_CST) != ARRAY_RUNNING ||
	    (r == 0 && state && !stop.si_pid && state[2] != 'Z' && state[2] != 'X'))
		return 0;
	if (!begun && r < 0) /* not born yet */
		return 0;
	const struct step *step = (const struct step *)(x->map + execution_arena(x)->steps) + array->first + array->pc;
	_cleanup_text_ struct text line = { 0 };
	plan_print_step(&line, x->plan, step);
	WORKING_ON_THREAD(tid);
	return fail(TASK_DIED, 0, "during %s%s%s", line.data ? line.data : "", stop.si_pid ? ", by SIG" : "",
		    stop.si_pid ? sigabbrev_np(stop.si_status) ?: "?" : "");
}

/* 0 while nothing has gone wrong. */
static int check_all(struct execution *x)
{
	for (u32 i = 0; i < execution_arena(x)->narrays; i++)
		if (array_of(x, i)->state == ARRAY_FAILED)
			return report_step(x, array_of(x, i));
	u64 begin = now_ns();
	if (begin < x->next_check)
		return 0;
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_thread, o));)
		r = check_alive(x, ((const Ckpt__Thread *)o->data)->pid, o->id);
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_task, o));)
		if (((const Ckpt__Task *)o->data)->has_leader_exit)
			r = check_alive(x, o->id, o->id);
	u64 end = now_ns();
	x->next_check = end + MAX(WAIT_NS, 8 * (end - begin));
	return r;
}

int execution_await(struct execution *x, u32 tid)
{
	struct array *array = execution_array(x, tid);
	while (__atomic_load_n(&array->state, __ATOMIC_SEQ_CST) == ARRAY_RUNNING) {
		wait_on(&array->state, ARRAY_RUNNING);
		int r = array->state == ARRAY_RUNNING ? check_all(x) : 0;
		if (r < 0)
			return r;
	}
	return array->state == ARRAY_FAILED ? report_step(x, array) : 0;
}

/* Until the process hangs on its parent, which a root that ckpt has made itself does as soon as it runs. */
static int await_birth(struct execution *x, u32 pid)
{
	u32 *births = (u32 *)(x->map + plan_births((struct plan *)x->plan));
	const struct array *array = execution_array(x, pid);
	while (pid != (u32)x->root || x->stand_in) {
		u32 now = __atomic_load_n(births, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&array->pc, __ATOMIC_SEQ_CST) >= PLAN_LIFELINE_STEPS)
			break;
		wait_on(births, now);
		int r = check_all(x);
		if (r < 0)
			return r;
	}
	return 0;
}

static void count_held(struct execution *x, u32 word)
{
	if (!word)
		return;
	__atomic_add_fetch((u32 *)(x->map + word), 1, __ATOMIC_SEQ_CST);
	blob_futex_wake((u32 *)(x->map + word));
}

/* Takes hold of every process as it is born: from then on it dies with ckpt, whatever becomes of its rights. */
static int hold_all(struct execution *x)
{
	for (const struct plan_held *p; (p = plan_held(x->plan, x->held)); x->held++) {
		int r = await_birth(x, p->pid);
		if (r == 0)
			r = tree_hold((pid_t)p->pid, HOLD_PROCESS | (plan_is_gated(x->plan, p->pid) ? HOLD_UNFILTERED : 0));
		if (r < 0)
			return r;
		count_held(x, p->word);
		count_held(x, p->parent_word);
	}
	return 0;
}

/* Threads with seccomp filters install them while they are seized with their filters suspended. */
static int pass_gate(struct execution *x)
{
	u32 count = 0, now;
	while (plan_gated(x->plan, count))
		count++;
	if (!count)
		return 0;
	u32 *come = (u32 *)(x->map + plan_gate_come((struct plan *)x->plan));
	u32 *open = (u32 *)(x->map + plan_gate_open((struct plan *)x->plan));
	while ((now = __atomic_load_n(come, __ATOMIC_SEQ_CST)) < count) {
		wait_on(come, now);
		int r = check_all(x);
		if (r < 0)
			return r;
	}
	for (u32 i = 0; i < count; i++) {
		u32 tid = plan_gated(x->plan, i);
		bool is_held = graph_find(x->graph, &kind_task, tid),
		     stands = graph_find(x->graph, &kind_task, shape_maker(x->graph, tid));
		int r = is_held ? 0 : tree_hold((pid_t)tid, HOLD_UNFILTERED | (stands ? HOLD_PROCESS : 0));
		if (r < 0)
			return r;
	}
	__atomic_store_n(open, 1, __ATOMIC_SEQ_CST);
	blob_futex_wake(open);
	return 0;
}

/* Its id is the image's no more: whoever is its parent reaps it. */
static int bury_stand_in(struct execution *x)
{
	if (x->stand_in && !x->sibling)
		waitpid(x->stand_in, NULL, __WALL);
	for (int tries = 0; x->stand_in && x->sibling && kill(x->stand_in, 0) == 0; tries++) {
		if (tries == STAND_IN_PATIENCE)
			return fail(STAND_IN_UNREAPED, 0, "%d", (int)x->stand_in);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	x->stand_in = 0;
	return 0;
}

int execute_start(struct execution *x, const struct plan *plan, const struct site *site, const struct graph *graph)
{
	*x = (struct execution){ .plan = plan,
				 .graph = graph,
				 .site = *site,
				 .memory = -1,
				 .sibling = x->sibling,
				 .alone = x->alone,
				 .stay = x->stay };
	pid_t guard = 0;
	int r = make_arena(x);
	if (r == 0)
		r = make_first(x, &guard);
	if (r == 0)
		r = hold_all(x);
	child_end(guard);
	if (r == 0)
		r = resets_keep(x);
	resets_close_others(x);
	return r;
}

bool execution_stops_early(const struct execution *x, const Ckpt__Thread *t)
{
	const Ckpt__Task *task = shape_task(x->graph, t->pid);
	return shape_first(x->graph, t->pid) != t->tid && !strcmp(task->state, "running") && !plan_is_gated(x->plan, t->tid);
}

/* Who makes the others of a process is the last of them to be done, and is waited for when those have been stopped. */
static int await_threads(struct execution *x, bool early)
{
	int r = 0;
	for (struct object *o = NULL; r == 0 && (o = graph_next(x->graph, &kind_thread, o));) {
		if (execution_stops_early(x, o->data) != early)
			continue;
		r = execution_await(x, o->id);
		if (r == 0 && early)
			r = tree_stop_early((pid_t)o->id);
		if (r == 0 && early)
			finish_early(x);
	}
	return r;
}

/* Those that have been made and not been ended yet. */
void execute_end_makers(struct execution *x)
{
	s64 *slots = x->map ? (s64 *)(x->map + execution_arena(x)->slots) : NULL;
	for (u32 i = 0, slot; slots && (slot = plan_maker(x->plan, i)); i++) {
		if (slots[slot] > 0 && child_is_ours((pid_t)slots[slot]))
			child_end((pid_t)slots[slot]);
		slots[slot] = 0;
	}
}

int execute_wait(struct execution *x)
{
	cpu_give_way(x->stay); /* who wakes ckpt is on its way into its interrupted call */
	int r = pass_gate(x);
	if (r == 0)
		r = await_threads(x, true);
	if (r == 0)
		r = await_threads(x, false);
	if (r == 0)
		r = leaders_await(x);
	return r == 0 ? bury_stand_in(x) : r;
}

void execution_free(struct execution *x)
{
	resets_end(x);
	execute_end_makers(x);
	if (x->map) {
		munmap((void *)(uintptr_t)x->site.code, PAGE_BYTES);
		munmap(x->map, x->site.slot - x->site.data);
	}
	closep(&x->memory);
	vector_free(&x->registers);
	vector_free(&x->own_sigchld);
	tree_free(&x->tree);
}
