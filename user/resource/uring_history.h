/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an io_uring(7) stands: the kernel counts for itself how many requests it has taken and completions it has given, so as many
 * requests for nothing (IORING_OP_NOP) are made again by who may submit. Of uring.c alone. */
#pragma once
#include "plan/plan.h"
#include "resource/file_scope.h"
#include "resource/uring_form.h"
#include <linux/futex.h>
#include <sys/mman.h>

/* The thread that makes the requests again, and where its process has the queues and their entries mapped. */
struct issuer {
	u32 pid, tid;
	u64 queues, entries;
};

/* Where a process has so many bytes of the ring mapped to write to; 0: nowhere. */
static u64 find_mapping(const struct graph *graph, const struct object *vmas, u32 ring, u64 offset, size_t bytes)
{
	for (u32 i = 0; i < vmas->count; i++) {
		const struct vma *v = &((const struct vma *)vmas->data)[i];
		const Ckpt__Uring *mapped = graph_data(graph, &kind_uring, v->file);
		if (mapped && mapped->memory == ring && v->pgoff == offset && v->end - v->start >= bytes &&
		    v->flags & VMA_SHARED && v->prot & PROT_WRITE)
			return v->start;
	}
	return 0;
}

/* The submitter that the ring knows, else the first process that could be one. */
static bool find_issuer(const struct graph *graph, u32 file, const Ckpt__Uring *u, struct issuer *ret)
{
	const Ckpt__Thread *thread = u->submitter ? graph_data(graph, &kind_thread, u->submitter) : NULL;
	size_t queues = queues_bytes(u, offsets_of(u)), entries = entries_bytes(u);
	if (u->has_submitter && !thread)
		return false;
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));) {
		const struct object *fds = graph_find(graph, &kind_fds, o->id);
		if ((thread && thread->pid != o->id) || (is_polled(u) && u->poller != o->id) || !fds || !table_has(fds, file))
			continue;
		*ret = (struct issuer){ o->id, thread ? u->submitter : o->id,
					find_mapping(graph, o, file, IORING_OFF_SQ_RING, queues),
					find_mapping(graph, o, file, IORING_OFF_SQES, entries) };
		if (ret->queues && ret->entries)
			return true;
	}
	return false;
}

/* ns: what a request for nothing takes, and a call that makes some, on a slow machine. */
#define REQUEST_COSTS 200u
#define CALL_COSTS 2000u
#define POLLED_CALL_COSTS 50000u /* another thread is woken, and wakes this one */
#define PATIENCE 1000000000ull

static int judge_history(const Ckpt__Uring *u)
{
	u64 calls = is_polled(u) ? u->completed / u->cq_entries * (u64)POLLED_CALL_COSTS
				 : u->completed / u->sq_entries * (u64)CALL_COSTS;
	u64 time = (u64)u->completed * REQUEST_COSTS + calls;
	if (u->submitted != u->completed)
		return fail(URING_HISTORY, 0, "%u requests and %u completions", u->submitted, u->completed);
	return time <= PATIENCE ? 0 : fail(URING_HISTORY, 0, "%u requests, in a queue for %u", u->completed, u->sq_entries);
}

static void plan_tail(struct plan *plan, struct place at, const Ckpt__Uring *u, const struct issuer *issuer, u32 tail)
{
	plan_write_memory(plan, at, issuer->queues + offsets_of(u)->sq.tail, plan_data(plan, &tail, sizeof tail, 4),
			  sizeof tail);
}

static void plan_taken(struct plan *plan, struct place at, const Ckpt__Uring *u, const struct issuer *issuer)
{
	plan_copy_memory(plan, at, issuer->queues + offsets_of(u)->cq.head, issuer->queues + offsets_of(u)->cq.tail,
			 sizeof(u32));
}

/* The kernel takes requests up to the number `last`, in portions of what the queue has room for: fresh entries ask for nothing. taking:
 * their completions are taken each time. */
static void plan_requests(struct plan *plan, struct place at, struct arg fd, const Ckpt__Uring *u, const struct issuer *issuer,
			  u32 first, u32 last, bool taking)
{
	u32 rest = (last - first) % u->sq_entries, rounds = (last - first) / u->sq_entries;
	if (first == last)
		return;
	plan_tail(plan, at, u, issuer, last);
	struct plan_step *enter =
		plan_call(plan, at, SYS_io_uring_enter, fd, ARG(u->sq_entries), ARG(0), ARG(0), ARG(0), ARG(0));
	u32 got = step_result(plan, enter);
	if (taking)
		plan_taken(plan, at, u, issuer);
	u32 back = taking ? 3 : 1;
	plan_op(plan, at, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(got), ARG(rest), ARG(back), ARG(rounds + 1) });
}

/* --- where a thread of the kernel takes them --- */

/* Until so many completions are there that nobody has taken. */
static void plan_await(struct plan *plan, struct place at, struct arg fd, u32 count)
{
	step_expect(plan_call(plan, at, SYS_io_uring_enter, fd, ARG(0), ARG(count),
			      ARG(IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP), ARG(0), ARG(0)),
		    0);
}

/* It takes all that it sees, and whatever there is no room for is kept elsewhere: so it sees as many at a time as there is room for
 * completions. FUTEX_WAKE_OP, which finds nobody to wake, adds them; FUTEX_CMP_REQUEUE tells whether these were the last. */
static void plan_portions(struct plan *plan, struct place at, struct arg fd, const Ckpt__Uring *u, const struct issuer *issuer,
			  u32 rounds)
{
	u64 tail = issuer->queues + offsets_of(u)->sq.tail, head = issuer->queues + offsets_of(u)->cq.head;
	u32 first = plan_length(plan, at.tid), exponent = (u32)__builtin_ctz(u->cq_entries);
	u32 add = (u32)FUTEX_OP((FUTEX_OP_ADD | (u32)FUTEX_OP_OPARG_SHIFT), exponent, FUTEX_OP_CMP_EQ, 0);
	if (!rounds)
		return;
	plan_call(plan, at, SYS_futex, ARG(tail), ARG(FUTEX_WAKE_OP_PRIVATE), ARG(0), ARG(0), ARG(tail), ARG(add));
	plan_await(plan, at, fd, u->cq_entries);
	plan_taken(plan, at, u, issuer);
	struct plan_step *is_last = plan_call(plan, at, SYS_futex, ARG(head), ARG(FUTEX_CMP_REQUEUE_PRIVATE), ARG(0), ARG(0),
					      ARG(tail), ARG(rounds * u->cq_entries));
	step_any(is_last);
	u32 back = plan_length(plan, at.tid) - first;
	plan_op(plan, at, OP_BRANCH, 0,
		(struct arg[6]){ ARG_OF_SLOT(step_result(plan, is_last)), ARG(0), ARG(back), ARG(rounds) });
}

/* All requests up to `completed`; the completions of `taken` are taken. */
static void plan_polled(struct plan *plan, struct place at, struct arg fd, const Ckpt__Uring *u, const struct issuer *issuer,
			u32 taken)
{
	u32 rounds = taken / u->cq_entries, rest = taken % u->cq_entries, untaken = u->completed - taken;
	plan_portions(plan, at, fd, u, issuer, rounds);
	if (rest) {
		plan_tail(plan, at, u, issuer, taken);
		plan_await(plan, at, fd, rest);
		plan_taken(plan, at, u, issuer);
	}
	if (untaken) {
		plan_tail(plan, at, u, issuer, u->completed);
		plan_await(plan, at, fd, untaken);
	}
}
