// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns idle rings of io_uring(7). How many requests it has taken and completions it has given the kernel counts behind its user's back:
 * as many requests for nothing (IORING_OP_NOP) are made again by who may submit, and taken as far as they had been. Then the memory
 * of the queues is what it was. */
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/opener.h"
#include "resource/poller.h"
#include "resource/uring_form.h"
#include "resource/uring_history.h"
#include "resource/uring_table.h"
#include "userns.pb-c.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define LINK "anon_inode:[io_uring]"

/* A ring, or its mappings: they lead to an inode, and each ring has one of its own (since Linux 5.12). */
static bool uring_claims(const struct record_file *file _unused_, const char *link) { return !strcmp(link, LINK); }

/* --- collect --- */

/* Of the ring itself, mapped for a moment: its user's mappings may be in part, or of another process. */
static bool copy_memory(int fd, off_t offset, size_t bytes, ProtobufCBinaryData *ret)
{
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, offset);
	if (map == MAP_FAILED)
		return false;
	bool done = message_set_bytes(ret, map, bytes);
	munmap(map, bytes);
	return done;
}

/* Whether the kernel's thread sleeps is its own: who finds it asleep without need wakes it once more. */
static bool collect_queues(int fd, const struct offsets *at, Ckpt__Uring *u)
{
	if (!copy_memory(fd, IORING_OFF_SQ_RING, queues_bytes(u, at), &u->queues))
		return false;
	if (is_polled(u))
		*(u32 *)(u->queues.data + at->sq.flags) &= ~IORING_SQ_NEED_WAKEUP;
	return true;
}

static int collect_memory(int fd, Ckpt__Uring *u)
{
	struct offsets at = { 0 };
	int r = ask_offsets(u, &at);
	if (r < 0)
		return fail(URING_LAYOUT, r, "io_uring_setup");
	u->has_offsets = message_set_bytes(&u->offsets, &at, sizeof at);
	u->has_queues = collect_queues(fd, &at, u);
	u->has_entries = copy_memory(fd, IORING_OFF_SQES, entries_bytes(u), &u->entries);
	return u->has_offsets && u->has_queues && u->has_entries ? 0 : fail(URING_LAYOUT, neg_errno(), "mmap of its queues");
}

static void set_poller(Ckpt__Uring *u, const struct record_uring *record)
{
	struct timespec tick;
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	SET(u, poller, record->poller);
	SET(u, poll_rights, record->poll_rights != 0);
	SET(u, poll_idle, (u32)MAX((u64)record->poll_idle * (u64)tick.tv_nsec / 1000000, 1ul));
	if (u->setup & IORING_SETUP_SQ_AFF)
		SET(u, poll_cpu, record->poll_cpu);
}

/* What is on its way is asked for before the queues are read: it has no completion there, what is not has one. */
static int uring_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Uring *u = o->data;
	struct record_uring record;
	if (subject->file->fd == UINT32_MAX)
		return 0; /* a mapping: descriptors come later */
	SET(u, memory, o->id);
	if (caps_lacks(collector_caps(c), CAN_IO_URING) || caps_lacks(collector_caps(c), CAN_BPF_PERCPU) ||
	    collector_uring(c, &record) <= 0)
		return 0; /* judged */
	SET(u, setup, record.flags & ~SETUP_SIZES);
	SET(u, sq_entries, record.sq_entries);
	SET(u, cq_entries, record.cq_entries);
	SET(u, has, record.has);
	if (is_polled(u))
		set_poller(u, &record);
	if (u->setup & ~SETUP_CARRIED || collector_live(c)) /* its memory moves, or is elsewhere */
		return 0;
	SET(u, in_flight, record.in_flight);
	SET(u, submitted, record.submitted);
	SET(u, completed, record.completed);
	u32 before = collector_recall(c, collector_ring_key(subject->file->table, subject->file->fd));
	SET(u, moved, before && before != record.completed + 1);
	if (u->setup & IORING_SETUP_SINGLE_ISSUER && !(u->setup & IORING_SETUP_R_DISABLED))
		SET(u, submitter, record.submitter);
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	int r = collect_registered(c, &record, u);
	return r < 0 ? r : collect_memory(fd, u);
}

/* Which ring it is that is mapped, and which files are registered. */
static int uring_settle(struct collector *c, struct object *o)
{
	Ckpt__Uring *u = o->data;
	const struct graph *graph = collector_graph(c);
	settle_registered(graph, u);
	const Ckpt__File *mapped = graph_data(graph, &kind_file, o->id);
	for (const struct object *other = NULL; !u->has_memory && (other = graph_next(graph, &kind_uring, other));) {
		const Ckpt__File *f = graph_data(graph, &kind_file, other->id);
		if (((const Ckpt__Uring *)other->data)->memory == other->id && f->inode == mapped->inode &&
		    f->device == mapped->device)
			SET(u, memory, other->id);
	}
	return 0;
}

/* --- judge --- */

static int judge_setup(const Ckpt__Uring *u)
{
	static const struct {
		u32 flag;
		const char *words;
	} rows[] = {
		{ IORING_SETUP_IOPOLL, "it waits for devices without interrupts (IORING_SETUP_IOPOLL)" },
		{ IORING_SETUP_NO_MMAP, "its queues lie in memory of the program (IORING_SETUP_NO_MMAP)" },
		{ IORING_SETUP_ATTACH_WQ, "it shares what another ring has (IORING_SETUP_ATTACH_WQ)" },
	};
	u32 known = 0;
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		known |= rows[i].flag;
		if (u->setup & rows[i].flag)
			r = fail(FD_IO_URING, 0, "%s", rows[i].words);
	}
	u32 others = u->setup & ~(SETUP_CARRIED | known);
	return others ? fail(FD_IO_URING, 0, "flags %x of io_uring_setup", others) : r;
}

/* live: what is in the tables was not read. */
static int judge_has(const Ckpt__Uring *u, bool live)
{
	static const struct {
		u32 bit;
		const char *words;
	} rows[] = {
		{ URING_FILES, "registered files" },
		{ URING_BUFFERS, "registered buffers" },
		{ URING_BUFFER_RINGS, "provided buffers" },
		{ URING_EVENTFD, "a registered eventfd" },
		{ URING_PERSONALITIES, "personalities" },
		{ URING_RESTRICTIONS, "restrictions" },
		{ URING_REGION, "a memory region" },
		{ URING_DESCRIPTORS, "a registered descriptor of a ring (IORING_REGISTER_RING_FDS)" },
		{ URING_CLOCK, "another clock" },
		{ URING_WORKER_LIMITS, "limits of its workers" },
		{ URING_BUSY_POLL, "busy polling (IORING_REGISTER_NAPI)" },
		{ URING_NO_DRAIN, "requests without completions (IOSQE_CQE_SKIP_SUCCESS)" },
		{ URING_PROGRAMS, "programs of eBPF" },
	};
	u32 tables = URING_FILES | URING_BUFFERS, untold = live || u->has_files ? 0 : u->has & tables;
	u32 has = u->has & ~(live ? tables | URING_EVENTFD : carried(u) | untold);
	int r = untold ? fail(URING_TABLES, 0, "%s", LINK) : 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (has & rows[i].bit)
			r = fail(FD_IO_URING, 0, "it has %s", rows[i].words);
	return r;
}

/* The first process besides its own that has it mapped; 0: none. */
static u32 mapped_by_others(const struct graph *graph, u32 ring, u32 owner)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; o->id != owner && i < o->count; i++) {
			const Ckpt__Uring *mapped = graph_data(graph, &kind_uring, ((const struct vma *)o->data)[i].file);
			if (mapped && mapped->memory == ring)
				return o->id;
		}
	return 0;
}

static bool is_in_namespace(const struct graph *graph, u32 pid)
{
	const Ckpt__Userns *m = graph_data(graph, graph_kind(graph, "userns"), pid);
	return m && m->number;
}

/* Who makes it again is a thread of its process. */
static int judge_poller(const struct graph *graph, u32 ring, const Ckpt__Uring *u)
{
	const char *const seen[] = { "fds", "epoll", "vmas", "uring", NULL };
	const Ckpt__Task *task = shape_task(graph, u->poller);
	u32 other = mapped_by_others(graph, ring, u->poller);
	if (!task || shape_is_zombie(task))
		return fail(URING_POLLER, 0, "its process is not in the tree");
	if (task->mm != task->pid || task->fds != task->pid)
		return fail(URING_POLLER, 0, "process %u shares memory or descriptors", task->pid);
	if (is_in_namespace(graph, task->pid))
		return fail(URING_POLLER, 0, "process %u is in a user namespace", task->pid);
	if (other)
		return fail(URING_POLLER, 0, "process %u has it mapped, and it belongs to process %u", other, task->pid);
	return graph_refers(graph, ring, seen) ? fail(URING_POLLER, 0, "it lies in a socket") : 0;
}

/* Has the kernel's thread done what it had been given? What comes later comes from the program. */
static bool is_quiet(const Ckpt__Uring *u)
{
	const struct offsets *at = offsets_of(u);
	return queue_word(u, at->sq.tail) == u->submitted && queue_word(u, at->cq.tail) == u->completed;
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Uring *u = o->data;
	struct issuer issuer;
	if (u->memory != o->id)
		return u->memory ? 0 : fail(URING_MAPPED, 0, "no descriptor leads to it");
	if (!u->has_setup)
		return shape_is_live(graph) ? 0 : fail(URING_RING, 0, "%s", LINK);
	int setup = judge_setup(u), r = judge_has(u, shape_is_live(graph));
	if (is_polled(u) && judge_poller(graph, o->id, u) < 0)
		r = -EOPNOTSUPP;
	if (is_polled(u) && u->poller && !u->poll_rights)
		r = fail(URING_POLLER, 0, "process %u has changed its rights since", u->poller);
	if (setup < 0 || !u->has_queues)
		return setup < 0 ? setup : r;
	if (u->in_flight)
		return fail(URING_BUSY, 0, "%lld requests", (long long)u->in_flight);
	if (u->moved || (is_polled(u) && !is_quiet(u)))
		return fail(URING_BUSY, 0, "the kernel worked on while the dump was made");
	if (queue_word(u, offsets_of(u)->sq.flags) & IORING_SQ_CQ_OVERFLOW)
		r = fail(FD_IO_URING, 0, "it has completions for which there was no room");
	if (judge_history(u) < 0)
		r = -EOPNOTSUPP;
	if (!find_issuer(graph, o->id, u, &issuer))
		return fail(URING_MAPPED, 0, "%s", LINK);
	int registered = judge_registered(graph, u, &issuer);
	return registered < 0 ? registered : r;
}

static bool is_power_of_two(u32 n) { return n && !(n & (n - 1)); }

/* Is it a ring that a dump could have recorded, as far as its own numbers tell? */
static bool is_sane(const Ckpt__Uring *u)
{
	bool sized = is_power_of_two(u->sq_entries) && is_power_of_two(u->cq_entries) && u->sq_entries <= SQ_ENTRIES_MOST &&
		     u->cq_entries <= CQ_ENTRIES_MOST && u->cq_entries >= u->sq_entries;
	bool alone = u->setup & IORING_SETUP_SINGLE_ISSUER && !(u->setup & IORING_SETUP_R_DISABLED);
	bool bound = is_polled(u) && u->setup & IORING_SETUP_SQ_AFF;
	return sized && is_polled(u) == (u->poller != 0) && bound == u->has_poll_cpu && !(u->setup & ~SETUP_CARRIED) &&
	       alone == (u->has_submitter && u->submitter) && offsets_of(u) &&
	       !(u->setup & IORING_SETUP_R_DISABLED && u->completed);
}

/* Can the kernel's thread be bound to its processor here? */
static int ask_processor(const Ckpt__Uring *u)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF,
					  .sq_thread_cpu = (u32)u->poll_cpu };
	_cleanup_close_ int fd = u->has_poll_cpu ? (int)syscall(SYS_io_uring_setup, 1, &params) : -1;
	return u->has_poll_cpu && fd < 0 ? fail(URING_LAYOUT, neg_errno(), "a thread of it on processor %d", u->poll_cpu) : 0;
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Uring *u = o->data;
	const Ckpt__Uring *ring = graph_data(graph, &kind_uring, u->memory);
	struct issuer issuer;
	struct offsets here = { 0 };
	if (!ring || ring->memory != u->memory)
		return fail(IMAGE_INCONSISTENT, 0, "a mapping of no ring");
	if (ring != u)
		return 0;
	if (!is_sane(u))
		return fail(IMAGE_VALUE, 0, "a ring for %u requests and %u completions", u->sq_entries, u->cq_entries);
	int r = ask_offsets(u, &here);
	if (r < 0 || memcmp(&here, offsets_of(u), sizeof here) != 0)
		return fail(URING_LAYOUT, r, "io_uring_setup");
	if (u->queues.len != queues_bytes(u, &here) || u->entries.len != entries_bytes(u) || untaken(u) > u->cq_entries ||
	    queue_word(u, here.sq.flags))
		return fail(IMAGE_VALUE, 0, "queues of %zu bytes", u->queues.len);
	if (!find_issuer(graph, o->id, u, &issuer))
		return fail(IMAGE_INCONSISTENT, 0, "nobody could submit to the ring");
	if (is_polled(u) && !is_quiet(u))
		return fail(IMAGE_VALUE, 0, "requests that the kernel's thread would take");
	r = judge_registered(graph, u, &issuer);
	if (r == 0 && is_polled(u))
		r = judge_poller(graph, o->id, u);
	if (r == 0)
		r = ask_processor(u);
	return r < 0 ? r : judge_history(u);
}

static int uring_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

/* What the kernel's thread has to say of itself is kept: asked to wake up without need, it does nothing. */
static void plan_queues(struct plan *plan, struct place at, u64 address, const Ckpt__Uring *u)
{
	u32 data = plan_data(plan, u->queues.data, u->queues.len, 8);
	u8 *bytes = plan_bytes(plan, data);
	if (bytes && is_polled(u))
		*(u32 *)(bytes + offsets_of(u)->sq.flags) |= IORING_SQ_NEED_WAKEUP;
	plan_write_memory(plan, at, address, data, u->queues.len);
}

/* Its mappings are files of their own in the image. */
static void plan_mapped(struct plan *plan, struct place at, const struct graph *graph, u32 ring)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_uring, o));)
		if (o->id != ring && ((const Ckpt__Uring *)o->data)->memory == ring)
			plan_call(plan, at, SYS_dup3, ARG(plan_fd(plan, ring)), ARG(plan_fd(plan, o->id)), ARG(O_CLOEXEC));
}

/* The first thread takes the service descriptors away: not before another has done with the ring. */
static void plan_done(struct plan *plan, u32 ring, const struct issuer *issuer)
{
	char name[24];
	if (issuer->tid == issuer->pid)
		return;
	snprintf(name, sizeof name, "ring %u", ring);
	plan_post(plan, AT(issuer->tid, STAGE_THREAD), plan_word(plan, name));
	plan_wait(plan, AT(issuer->pid, STAGE_IDS), plan_word(plan, name), 1);
}

/* The world makes it, or a thread of the process in which the kernel's thread will be. Who alone may submit is who enables it. */
static void plan_ring(struct plan *plan, const struct graph *graph, u32 ring, const Ckpt__Uring *u)
{
	struct place at = is_polled(u) ? AT(plan_poller(plan, u->poller), STAGE_TIMERS) : AT(PLAN_WORLD, STAGE_CREATE);
	bool alone = u->setup & IORING_SETUP_SINGLE_ISSUER;
	struct io_uring_params params = { .flags = u->setup | (alone ? IORING_SETUP_R_DISABLED : 0) | IORING_SETUP_CQSIZE,
					  .cq_entries = u->cq_entries,
					  .sq_thread_cpu = (u32)u->poll_cpu,
					  .sq_thread_idle = u->poll_idle };
	struct arg data = ARG_OF_DATA(plan_data(plan, &params, sizeof params, 8));
	u32 fd = step_result(plan, plan_call(plan, at, SYS_io_uring_setup, ARG(u->sq_entries), data));
	if (is_polled(u))
		plan_place_own(plan, at, fd, ring);
	else
		plan_place_fd(plan, fd, ring);
	plan_status_flags(plan, at, ring, file_flags(graph, ring), O_RDWR);
	plan_mapped(plan, at, graph, ring);
	if (is_polled(u))
		plan_send_all(plan, graph, ring, u->poller);
}

/* The requests are made when all threads are there. */
static int uring_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Uring *u = o->data;
	struct issuer issuer;
	if (u->memory != o->id)
		return 0;
	if (!find_issuer(graph, o->id, u, &issuer))
		return -EINVAL;
	plan_ring(plan, graph, o->id, u);
	struct arg fd = ARG(plan_fd(plan, o->id));
	struct place at = AT(issuer.tid, STAGE_THREAD);
	if (u->submitter)
		plan_call(plan, at, SYS_io_uring_register, fd, ARG(IORING_REGISTER_ENABLE_RINGS), ARG(0), ARG(0));
	u32 taken = u->completed - untaken(u);
	if (is_polled(u)) {
		plan_polled(plan, at, fd, u, &issuer, taken);
	} else {
		plan_requests(plan, at, fd, u, &issuer, 0, taken, true);
		plan_requests(plan, at, fd, u, &issuer, taken, u->completed, false);
	}
	plan_queues(plan, at, issuer.queues, u);
	plan_write_memory(plan, at, issuer.entries, plan_data(plan, u->entries.data, u->entries.len, 8), u->entries.len);
	plan_registered(plan, at, fd, u);
	plan_done(plan, o->id, &issuer);
	return 0;
}

const struct resource resource_uring = {
	.name = "uring",
	.scope = SCOPE_FILE,
	.kind = &kind_uring,
	.claims = uring_claims,
	.collect = uring_collect,
	.settle = uring_settle,
	.judge = uring_judge,
	.plan = uring_plan,
	.kernel_places = true,
};
