// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the running of plans inside of a test. */
#include "harness/plan.h"
#include "harness/test.h"
#include <linux/sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void machine_child(struct arena *arena, uint32_t index) __attribute__((noreturn));
static inline int64_t blob_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	long result = syscall(nr, a, b, c, d, e, f);
	return result < 0 ? -errno : result;
}
static inline int64_t blob_spawn(struct arena *arena, uint64_t args, uint64_t size, uint32_t index)
{
	struct clone_args own = *(struct clone_args *)args;
	own.stack = own.stack_size = 0; /* a fork: it goes on with a copy of this stack */
	int64_t result = blob_syscall(SYS_clone3, (uint64_t)&own, size, 0, 0, 0, 0);
	if (!result)
		machine_child(arena, index);
	return result;
}
static inline void blob_exit(uint64_t status) { syscall(SYS_exit_group, status); }
static inline int64_t blob_tag(uint64_t page _unused_, const uint8_t *tags _unused_) { return -ENOSYS; }
static inline void blob_futex_wait(uint32_t *word, uint32_t value) { syscall(SYS_futex, word, 0, value, NULL); }
static inline void blob_futex_wake(uint32_t *word) { syscall(SYS_futex, word, 1, 0x7fffffff); }
#include "machine.h"

static struct array *array_at(struct arena *arena, u32 index)
{
	return (struct array *)machine_data(arena, arena->arrays) + index;
}

static void machine_child(struct arena *arena, uint32_t index)
{
	machine_run(arena, array_at(arena, index));
	_exit(111);
}

static struct arena *make_arena(const struct plan *plan)
{
	void *base = mmap(NULL, plan_size(plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(base != MAP_FAILED);
	plan_emit(plan, base, (u64)base);
	return base;
}

struct plan *make_plan(const struct resource *resource, const struct graph *graph, u32 tid)
{
	struct plan *plan = plan_new(&(struct plan_config){ .first_service_fd = PLAN_FIRST_FD, .ignored = ~0ull });
	CHECK(plan);
	CHECK_OK(plan_thread(plan, tid));
	for (struct object *o = NULL; (o = graph_next(graph, resource->kind, o));)
		CHECK_OK(resource->plan(plan, graph, o));
	CHECK_OK(plan_seal(plan));
	return plan;
}

s64 run_array(const struct plan *plan, void *arena, u32 tid)
{
	struct array *array = array_at(arena, plan_array(plan, tid));
	machine_run(arena, array);
	if (array->state == ARRAY_PARKED)
		return 0;
	return array->error ? array->error : -EIO;
}

static s64 run_arrays(const struct plan *plan, struct arena *arena, u32 tid)
{
	s64 error = run_array(plan, arena, PLAN_WORLD);
	return error ? error : run_array(plan, arena, tid);
}

struct plan *run_plan(const struct resource *resource, const struct graph *graph, u32 tid)
{
	_cleanup_text_ struct text text = { 0 };
	struct plan *plan = make_plan(resource, graph, tid);
	struct arena *arena = make_arena(plan);
	s64 error = run_arrays(plan, arena, tid);
	plan_print(&text, plan, arena);
	if (error)
		FAIL("a step gave %lld\n%s", (long long)error, text.data);
	return plan;
}

s64 try_plan(const struct resource *resource, const struct graph *graph, u32 tid)
{
	struct plan *plan = make_plan(resource, graph, tid);
	s64 error = run_arrays(plan, make_arena(plan), tid);
	plan_free(plan);
	return error;
}
