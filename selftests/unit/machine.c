// SPDX-License-Identifier: LGPL-2.1-or-later
/* Every operation of the machine, run by the blob's own bytes in a process and by the machine that is linked into ckpt. */
#include "harness/target.h"
#include "raw.h"
#include "wire.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static inline int64_t blob_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	return raw_call(nr, (long)a, (long)b, (long)c, (long)d, (long)e, (long)f);
}
static inline void blob_futex_wait(uint32_t *word, uint32_t value)
{
	raw_call(SYS_futex, (long)word, FUTEX_WAIT, value, 0, 0, 0);
}
static inline void blob_futex_wake(uint32_t *word) { raw_call(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0); }
static inline void blob_exit(uint64_t status) { _exit((int)status); }
static inline int64_t blob_tag(uint64_t page _unused_, const uint8_t *tags _unused_) { return -ENOSYS; }
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index);
#include "machine.h"

/* Here a child is a process of its own, whatever the arguments say. */
static inline int64_t blob_spawn(struct arena *arena, uint64_t args _unused_, uint64_t size _unused_, uint32_t index)
{
	pid_t pid = fork();
	if (pid == 0) {
		machine_run(arena, (struct array *)machine_data(arena, arena->arrays) + index);
		for (;;)
			pause();
	}
	return pid;
}

extern const char parasite_blob_begin[], parasite_blob_end[];

#define ARRAYS 3
#define STEPS 32
#define SLOTS 8
#define STACK_BYTES 4096

/* The data part. */
struct program {
	struct arena arena;
	struct array arrays[ARRAYS];
	struct step steps[STEPS];
	int64_t slots[SLOTS];
	uint32_t words[16];
	char bytes[256];
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} clone_args;
	_Alignas(16) char stacks[ARRAYS][STACK_BYTES];
};

static struct program *program;
static bool by_blob;
static unsigned steps, current;

#define WORD(i) (offsetof(struct program, words) + 4u * (i))
#define DATA(member) offsetof(struct program, member)

/* An empty program in an arena, with the blob in front of it. */
static void begin(void)
{
	char *map = mmap(NULL, PAGE_BYTES + sizeof *program, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	memcpy(map, parasite_blob_begin, (size_t)(parasite_blob_end - parasite_blob_begin));
	CHECK_OK(mprotect(map, PAGE_BYTES, PROT_READ | PROT_EXEC));
	program = (struct program *)(map + PAGE_BYTES);
	program->arena = (struct arena){ .data_base = (u64)(uintptr_t)program,
					 .data_size = sizeof *program,
					 .arrays = DATA(arrays),
					 .steps = DATA(steps),
					 .slots = DATA(slots),
					 .narrays = ARRAYS,
					 .nsteps = STEPS,
					 .nslots = SLOTS };
	for (unsigned i = 0; i < ARRAYS; i++)
		program->arrays[i].stack_top = DATA(stacks) + (i + 1) * STACK_BYTES;
	steps = current = 0;
}

/* Steps that are added from here on are those of this array. */
static void array(unsigned index)
{
	current = index;
	program->arrays[index].first = steps;
}

static struct step *add(enum step_op op, u64 a0, u64 a1, u64 a2, u64 a3)
{
	struct step *step = &program->steps[steps++];
	*step = (struct step){ .op = (u8)op, .a = { a0, a1, a2, a3 } };
	program->arrays[current].count++;
	return step;
}

static struct step *call(long nr, u64 a0, u64 a1, u64 a2)
{
	struct step *step = add(OP_CALL, a0, a1, a2, 0);
	step->nr = (u16)nr;
	return step;
}

static void kind(struct step *step, unsigned argument, enum arg_kind kind) { step->arg_kinds |= (u16)(kind << 2 * argument); }

static void expect(struct step *step, int64_t value)
{
	step->expect_kind = EXPECT_EQUAL;
	step->expect = value;
}

static pid_t launch(void)
{
	struct arena *arena = &program->arena;
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .stack = (u64)(uintptr_t)arena,
				   .stack_size = program->arrays[0].stack_top };
	pid_t pid;
	if (by_blob)
		return (pid_t)blob_call_birth((uintptr_t)program - PAGE_BYTES, arena, (u64)(uintptr_t)&args, sizeof args, 0);
	pid = (pid_t)CHECK_OK(fork());
	if (pid)
		return pid;
	machine_run(arena, &program->arrays[0]);
	for (;;)
		pause();
}

static uint32_t await(unsigned index)
{
	uint32_t state = ARRAY_RUNNING;
	for (int i = 0; i < 30000 && state == ARRAY_RUNNING; i++) {
		state = __atomic_load_n(&program->arrays[index].state, __ATOMIC_SEQ_CST);
		usleep(i < 10 ? 100 : 1000);
	}
	return state;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}

/* Runs array 0 to its end, or to the failure of this step with this result. */
static void check_parks(void)
{
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_PARKED);
	CHECK_EQ(program->arrays[0].pc, program->arrays[0].count);
	end(pid);
}

static void check_fails(unsigned step, int64_t result)
{
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_FAILED);
	CHECK_EQ(program->arrays[0].pc, step);
	CHECK_EQ(program->arrays[0].error, result);
	CHECK_EQ(program->steps[program->arrays[0].first + step].result, result);
	end(pid);
}

/* Every test runs twice. */
#define MACHINE_TEST(name)                                                                                                     \
	static void machine_##name(void);                                                                                      \
	TEST(name)                                                                                                             \
	{                                                                                                                      \
		for (int i = 0; i < 2; i++) {                                                                                  \
			by_blob = i;                                                                                           \
			begin();                                                                                               \
			machine_##name();                                                                                      \
		}                                                                                                              \
	}                                                                                                                      \
	static void machine_##name(void)

MACHINE_TEST(an_empty_array_parks) { check_parks(); }

MACHINE_TEST(call_takes_constants_slots_and_data)
{
	call(SYS_getpid, 0, 0, 0)->slot = 3;
	struct step *step = call(SYS_getpgid, 3, 0, 0);
	kind(step, 0, ARG_SLOT);
	step->slot = 4;
	memcpy(program->bytes, "/proc/self/exe", 15);
	step = call(SYS_readlinkat, (u64)AT_FDCWD, DATA(bytes), DATA(bytes) + 64);
	step->a[3] = 190;
	kind(step, 1, ARG_DATA);
	kind(step, 2, ARG_DATA);
	check_parks();
	CHECK(program->slots[3] > 0);
	CHECK_EQ(program->slots[4], getpgid(0));
	CHECK_CONTAINS(program->bytes + 64, "machine");
}

MACHINE_TEST(call_passes_six_arguments)
{
	struct step *step = call(SYS_mmap, 0, 8192, PROT_READ);
	step->a[3] = MAP_PRIVATE | MAP_ANONYMOUS;
	step->a[4] = (u64)-1;
	step->slot = 1;
	step = call(SYS_munmap, 1, 8192, 0);
	kind(step, 0, ARG_SLOT);
	expect(step, 0);
	check_parks();
	CHECK_EQ(program->slots[1] % 4096, 0);
}

MACHINE_TEST(an_error_fails)
{
	call(SYS_getpid, 0, 0, 0);
	call(SYS_close, 99999, 0, 0);
	call(SYS_getpid, 0, 0, 0);
	check_fails(1, -EBADF);
}

MACHINE_TEST(an_expected_error_does_not)
{
	expect(call(SYS_close, 99999, 0, 0), -EBADF);
	call(SYS_close, 99999, 0, 0)->expect_kind = EXPECT_ANY;
	check_parks();
}

MACHINE_TEST(another_result_fails)
{
	expect(call(SYS_getppid, 0, 0, 0), 1 << 30);
	check_fails(0, getpid());
}

MACHINE_TEST(an_address_is_no_error)
{
	program->words[0] = 5;
	add(OP_LOAD, WORD(0), 0, 0, 0);
	struct step *step = call(SYS_brk, 0, 0, 0); /* a large result */
	step->slot = 2;
	check_parks();
	CHECK(program->slots[2] > 4096);
}

MACHINE_TEST(load_and_store)
{
	program->words[1] = 0xfffffff0;
	struct step *step = add(OP_LOAD, WORD(1), 0, 0, 0);
	step->expect_kind = EXPECT_ANY; /* -16 looks like an error */
	step->slot = 1;
	step = add(OP_STORE, WORD(2), 1, 0, 0);
	kind(step, 1, ARG_SLOT);
	add(OP_STORE, WORD(3), 0x123456789, 0, 0);
	check_parks();
	CHECK_EQ(program->slots[1], -16);
	CHECK_EQ(program->words[2], 0xfffffff0);
	CHECK_EQ(program->words[3], 0x23456789);
}

MACHINE_TEST(load_long)
{
	program->words[2] = 0x89abcdef;
	program->words[3] = 0x7f00;
	add(OP_LOAD_LONG, WORD(2), 0, 0, 0)->slot = 1;
	check_parks();
	CHECK_EQ(program->slots[1], 0x7f0089abcdef);
	begin();
	add(OP_LOAD_LONG, sizeof *program - 4, 0, 0, 0); /* its second half lies behind the end */
	check_fails(0, -EFAULT);
}

MACHINE_TEST(words_outside_of_the_arena_are_refused)
{
	static const enum step_op ops[] = { OP_LOAD, OP_LOAD_LONG, OP_STORE, OP_WAIT, OP_POST };
	const u64 offsets[] = { sizeof *program, sizeof *program - 2, 1ull << 40, (u64)-4, (u64)-1, WORD(0) + 1, WORD(0) + 2 };
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(offsets); k++) {
			begin();
			add(ops[i], offsets[k], 0, 0, 0);
			check_fails(0, -EFAULT);
		}
	begin();
	add(OP_LOAD, sizeof *program - 4, 0, 0, 0);
	check_parks();
}

MACHINE_TEST(slots_outside_are_not_touched)
{
	struct step *step = call(SYS_getpid, 0, 0, 0);
	step->slot = SLOTS; /* the first word behind the slots */
	step = add(OP_STORE, WORD(5), SLOTS + 1000000, 0, 0);
	kind(step, 1, ARG_SLOT); /* reads as 0 */
	program->words[5] = 7;
	step = call(SYS_getpid, 0, 0, 0);
	step->slot = 0; /* nowhere */
	check_parks();
	CHECK_EQ(program->words[0], 0);
	CHECK_EQ(program->words[5], 0);
	CHECK_EQ(program->slots[0], 0);
}

static void spawn_args(u64 flags, u64 stack)
{
	program->clone_args.flags = flags;
	program->clone_args.exit_signal = flags & CLONE_THREAD ? 0 : SIGCHLD;
	program->clone_args.stack = stack;
	program->clone_args.stack_size = stack ? STACK_BYTES : 0;
}

static struct step *spawn(unsigned index)
{
	struct step *step = add(OP_SPAWN, DATA(clone_args), sizeof program->clone_args, index, 0);
	kind(step, 0, ARG_DATA);
	return step;
}

MACHINE_TEST(spawn_runs_another_array)
{
	spawn_args(0, (u64)(uintptr_t)program->stacks[1]);
	struct step *step = spawn(1);
	step->slot = 1;
	array(1);
	call(SYS_getpid, 0, 0, 0)->slot = 2;
	add(OP_EXIT, 7, 0, 0, 0);
	array(0);
	program->arrays[0].first = 0;
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_PARKED);
	WAIT_UNTIL(__atomic_load_n(&program->slots[2], __ATOMIC_SEQ_CST));
	CHECK_EQ(program->slots[1], program->slots[2]);
	CHECK(program->slots[2] != pid);
	end(pid);
}

MACHINE_TEST(spawn_makes_threads)
{
	if (!by_blob)
		return; /* ckpt itself makes none */
	spawn_args(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, (u64)(uintptr_t)program->stacks[1]);
	spawn(1);
	add(OP_WAIT, WORD(0), 1, 0, 0);
	call(SYS_getpid, 0, 0, 0)->slot = 1;
	array(1);
	call(SYS_getpid, 0, 0, 0)->slot = 2;
	call(SYS_gettid, 0, 0, 0)->slot = 3;
	add(OP_POST, WORD(0), 0, 0, 0);
	array(0);
	program->arrays[0].first = 0;
	check_parks();
	CHECK_EQ(await(1), ARRAY_PARKED);
	CHECK_EQ(program->slots[1], program->slots[2]);
	CHECK(program->slots[3] != program->slots[2]);
}

MACHINE_TEST(spawn_of_no_array_is_refused)
{
	spawn(ARRAYS);
	check_fails(0, -EINVAL);
}

MACHINE_TEST(an_array_outside_of_the_steps_is_refused)
{
	program->arrays[0].first = STEPS - 1;
	program->arrays[0].count = 2;
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_FAILED);
	CHECK_EQ(program->arrays[0].error, -EINVAL);
	end(pid);
}

MACHINE_TEST(wait_lasts_until_the_post)
{
	spawn_args(0, (u64)(uintptr_t)program->stacks[1]);
	spawn(1);
	add(OP_WAIT, WORD(4), 2, 0, 0);
	add(OP_LOAD, WORD(5), 0, 0, 0)->slot = 5;
	array(1);
	add(OP_POST, WORD(4), 0, 0, 0);
	struct step *step = call(SYS_sched_yield, 0, 0, 0);
	for (int i = 0; i < 10; i++)
		step = call(SYS_sched_yield, 0, 0, 0);
	expect(step, 0);
	add(OP_STORE, WORD(5), 1, 0, 0);
	add(OP_POST, WORD(4), 0, 0, 0);
	add(OP_EXIT, 0, 0, 0, 0);
	array(0);
	program->arrays[0].first = 0;
	check_parks();
	CHECK_EQ(program->slots[5], 1);
	CHECK_EQ(program->words[4], 2);
}

MACHINE_TEST(branch_repeats_until_equal)
{
	add(OP_POST, WORD(0), 0, 0, 0);
	add(OP_LOAD, WORD(0), 0, 0, 0)->slot = 1;
	struct step *step = add(OP_BRANCH, 1, 5, 2, 10);
	kind(step, 0, ARG_SLOT);
	add(OP_POST, WORD(1), 0, 0, 0);
	check_parks();
	CHECK_EQ(program->words[0], 5);
	CHECK_EQ(program->words[1], 1);
	CHECK_EQ(program->arrays[0].loops, 0);
}

MACHINE_TEST(branch_gives_up)
{
	add(OP_POST, WORD(0), 0, 0, 0);
	add(OP_BRANCH, 0, 1, 1, 3);
	check_fails(1, -ERANGE);
	CHECK_EQ(program->words[0], 4);
}

MACHINE_TEST(branch_does_not_leave_the_array)
{
	call(SYS_getpid, 0, 0, 0);
	program->arrays[0].first = 1; /* the branch is step 0 of its array */
	program->arrays[0].count = 1;
	program->steps[1] = (struct step){ .op = OP_BRANCH, .a = { 0, 1, 1, 3 } };
	check_fails(0, -ERANGE);
}

MACHINE_TEST(skip_leaves_out_what_a_result_makes_needless)
{
	struct step *step = call(SYS_close, 99999, 0, 0);
	step->expect_kind = EXPECT_ANY;
	step->slot = 1;
	kind(add(OP_SKIP, 1, (u64)-4095, (u64)-1, 2), 0, ARG_SLOT);
	add(OP_POST, WORD(0), 0, 0, 0);
	add(OP_POST, WORD(0), 0, 0, 0);
	add(OP_POST, WORD(1), 0, 0, 0);
	kind(add(OP_SKIP, 1, 0, INT64_MAX, 1), 0, ARG_SLOT);
	add(OP_POST, WORD(2), 0, 0, 0);
	add(OP_SKIP, 0, 0, 0, 1); /* to the very end */
	add(OP_POST, WORD(3), 0, 0, 0);
	check_parks();
	CHECK_EQ(program->words[0], 0);
	CHECK_EQ(program->words[1], 1);
	CHECK_EQ(program->words[2], 1);
	CHECK_EQ(program->words[3], 0);
}

MACHINE_TEST(skip_does_not_leave_the_array)
{
	add(OP_SKIP, 0, 0, 0, 2);
	call(SYS_getpid, 0, 0, 0);
	check_fails(0, -ERANGE);
}

MACHINE_TEST(exit_ends_with_a_status)
{
	int status;
	add(OP_EXIT, 42, 0, 0, 0);
	pid_t pid = launch();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
	CHECK_EQ(program->arrays[0].state, ARRAY_RUNNING);
}

MACHINE_TEST(an_unknown_operation_fails)
{
	add(OP_TAG + 1, 0, 0, 0, 0);
	check_fails(0, -ENOSYS);
}

/* The step behind the last one is made when everybody has been told, and pc tells when it has ended. */
TEST(a_parked_thread_sleeps_in_its_call)
{
	by_blob = true;
	begin();
	call(SYS_getpid, 0, 0, 0);
	struct step *park = call(SYS_futex, WORD(0), FUTEX_WAIT, 0);
	kind(park, 0, ARG_DATA);
	struct array *array = &program->arrays[0];
	array->count = 1;
	array->parks = 1;
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_PARKED);
	CHECK_EQ(__atomic_load_n(&array->pc, __ATOMIC_SEQ_CST), 1);
	WAIT_UNTIL(raw_call(SYS_futex, (long)&program->words[0], FUTEX_WAKE, 1, 0, 0, 0) == 1);
	WAIT_UNTIL(__atomic_load_n(&array->pc, __ATOMIC_SEQ_CST) >= 2);
	CHECK_EQ(array->pc, 2);
	CHECK_EQ(park->result, 0);
	CHECK_EQ(array->state, ARRAY_PARKED);
	end(pid);
}

TEST(a_helper_ends_with_its_array)
{
	int status;
	by_blob = true;
	begin();
	call(SYS_getpid, 0, 0, 0);
	program->arrays[0].ends = UINT32_MAX;
	pid_t pid = launch();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(program->arrays[0].state, ARRAY_PARKED);
}

/* Parked threads wait in the arena, whatever wakes them. */
TEST(a_parked_thread_stays)
{
	by_blob = true;
	begin();
	pid_t pid = launch();
	CHECK_EQ(await(0), ARRAY_PARKED);
	for (int i = 0; i < 10; i++) {
		raw_call(SYS_futex, (long)&program->arrays[0].state, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
		usleep(500);
	}
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	end(pid);
}
