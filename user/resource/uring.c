// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns idle rings of io_uring(7). How many requests it has taken and completions it has given the kernel counts behind its user's back:
 * as many requests for nothing (IORING_OP_NOP) are made again by who may submit, and taken as far as they had been. Then the memory
 * of the queues is what it was. */
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/file_scope.h"
#include "uring.pb-c.h"
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define LINK "anon_inode:[io_uring]"

/* Newer than the headers. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_MMAP (1u << 14)    /* Linux 6.5 */
#define IORING_SETUP_NO_SQARRAY (1u << 16) /* Linux 6.6 */
#endif

/* What is said by the numbers of entries. */
#define SETUP_SIZES ((u32)(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP))
/* What decides where things lie. */
#define SETUP_LAYOUT ((u32)(IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_NO_SQARRAY))
#define SETUP_CARRIED                                                                                                          \
	(SETUP_LAYOUT | (u32)(IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |                  \
			      IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
#define SQ_ENTRIES_MOST 32768u /* IORING_MAX_ENTRIES of io_uring/io_uring.h */
#define CQ_ENTRIES_MOST (2 * SQ_ENTRIES_MOST)

static const struct kind kind_uring = { .name = "uring", .desc = &ckpt__uring__descriptor };

struct offsets {
	struct io_sqring_offsets sq;
	struct io_cqring_offsets cq;
};
_Static_assert(sizeof(struct offsets) == sizeof(struct io_uring_params) - offsetof(struct io_uring_params, sq_off),
	       "they lie side by side at the end");

/* A ring, or its mappings: they lead to an inode, and each ring has one of its own (since Linux 5.12). */
static bool uring_claims(const struct record_file *file _unused_, const char *link) { return !strcmp(link, LINK); }

/* --- what is where --- */

/* Asks the kernel what lies where in a ring of this form, by making one. 0 or -errno. */
static int ask_offsets(const Ckpt__Uring *u, struct offsets *ret)
{
	struct io_uring_params params = { .flags = (u->setup & SETUP_LAYOUT) | IORING_SETUP_CQSIZE,
					  .cq_entries = u->cq_entries };
	_cleanup_close_ int fd = (int)syscall(SYS_io_uring_setup, u->sq_entries, &params);
	if (fd < 0)
		return neg_errno();
	*ret = (struct offsets){ params.sq_off, params.cq_off };
	bool same = params.sq_entries == u->sq_entries && params.cq_entries == u->cq_entries;
	return same && params.features & IORING_FEAT_SINGLE_MMAP ? 0 : -EOPNOTSUPP;
}

static size_t queues_bytes(const Ckpt__Uring *u, const struct offsets *at)
{
	size_t completions = at->cq.cqes + (u->cq_entries * sizeof(struct io_uring_cqe) << !!(u->setup & IORING_SETUP_CQE32));
	size_t array = u->setup & IORING_SETUP_NO_SQARRAY ? 0 : at->sq.array + u->sq_entries * sizeof(u32);
	return MAX(completions, array);
}

static size_t entries_bytes(const Ckpt__Uring *u)
{
	return u->sq_entries * sizeof(struct io_uring_sqe) << !!(u->setup & IORING_SETUP_SQE128);
}

/* A word of the queues' memory as it was recorded. */
static u32 queue_word(const Ckpt__Uring *u, u32 offset)
{
	u32 word = 0;
	if (offset + sizeof word <= u->queues.len)
		memcpy(&word, u->queues.data + offset, sizeof word);
	return word;
}

static const struct offsets *offsets_of(const Ckpt__Uring *u)
{
	return u->offsets.len == sizeof(struct offsets) ? (const struct offsets *)u->offsets.data : NULL;
}

/* Completions that nobody has taken yet. */
static u32 untaken(const Ckpt__Uring *u) { return u->completed - queue_word(u, offsets_of(u)->cq.head); }

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

static int collect_memory(struct collector *c, const struct subject *subject, Ckpt__Uring *u)
{
	struct offsets at = { 0 };
	int fd = collector_fd(c);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	int r = ask_offsets(u, &at);
	if (r < 0)
		return fail(URING_LAYOUT, r, "io_uring_setup");
	u->has_offsets = message_set_bytes(&u->offsets, &at, sizeof at);
	u->has_queues = copy_memory(fd, IORING_OFF_SQ_RING, queues_bytes(u, &at), &u->queues);
	u->has_entries = copy_memory(fd, IORING_OFF_SQES, entries_bytes(u), &u->entries);
	return u->has_offsets && u->has_queues && u->has_entries ? 0 : fail(URING_LAYOUT, neg_errno(), "mmap of its queues");
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
	if (u->setup & ~SETUP_CARRIED || collector_live(c)) /* its memory moves, or is elsewhere */
		return 0;
	SET(u, in_flight, record.in_flight);
	SET(u, submitted, record.submitted);
	SET(u, completed, record.completed);
	if (u->setup & IORING_SETUP_SINGLE_ISSUER && !(u->setup & IORING_SETUP_R_DISABLED))
		SET(u, submitter, record.submitter);
	return collect_memory(c, subject, u);
}

/* Which ring it is that is mapped. */
static int uring_settle(struct collector *c, struct object *o)
{
	Ckpt__Uring *u = o->data;
	const struct graph *graph = collector_graph(c);
	const Ckpt__File *mapped = graph_data(graph, &kind_file, o->id);
	for (const struct object *other = NULL; !u->has_memory && (other = graph_next(graph, &kind_uring, other));) {
		const Ckpt__File *f = graph_data(graph, &kind_file, other->id);
		if (((const Ckpt__Uring *)other->data)->memory == other->id && f->inode == mapped->inode &&
		    f->device == mapped->device)
			SET(u, memory, other->id);
	}
	return 0;
}

/* --- who submits --- */

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
		if ((thread && thread->pid != o->id) || !fds || !table_has(fds, file))
			continue;
		*ret = (struct issuer){ o->id, thread ? u->submitter : o->id,
					find_mapping(graph, o, file, IORING_OFF_SQ_RING, queues),
					find_mapping(graph, o, file, IORING_OFF_SQES, entries) };
		if (ret->queues && ret->entries)
			return true;
	}
	return false;
}

/* --- judge --- */

static int judge_setup(const Ckpt__Uring *u)
{
	static const struct {
		u32 flag;
		const char *words;
	} rows[] = {
		{ IORING_SETUP_SQPOLL, "a thread of the kernel submits for it (IORING_SETUP_SQPOLL)" },
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
	u32 others = u->setup & ~(SETUP_CARRIED | known | (u32)IORING_SETUP_SQ_AFF);
	return others ? fail(FD_IO_URING, 0, "flags %x of io_uring_setup", others) : r;
}

static int judge_has(const Ckpt__Uring *u)
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
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (u->has & rows[i].bit)
			r = fail(FD_IO_URING, 0, "it has %s", rows[i].words);
	return r;
}

/* ns: what a request for nothing takes, and a call that makes some, on a slow machine. */
#define REQUEST_COSTS 200u
#define CALL_COSTS 2000u
#define PATIENCE 1000000000ull

static int judge_history(const Ckpt__Uring *u)
{
	u64 time = (u64)u->completed * REQUEST_COSTS + (u64)(u->completed / u->sq_entries) * CALL_COSTS;
	if (u->submitted != u->completed)
		return fail(URING_HISTORY, 0, "%u requests and %u completions", u->submitted, u->completed);
	return time <= PATIENCE ? 0 : fail(URING_HISTORY, 0, "%u requests, in a queue for %u", u->completed, u->sq_entries);
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Uring *u = o->data;
	struct issuer issuer;
	if (u->memory != o->id)
		return u->memory ? 0 : fail(URING_MAPPED, 0, "no descriptor leads to it");
	if (!u->has_setup)
		return shape_is_live(graph) ? 0 : fail(URING_RING, 0, "%s", LINK);
	int setup = judge_setup(u), r = judge_has(u);
	if (setup < 0 || !u->has_queues)
		return setup < 0 ? setup : r;
	if (u->in_flight)
		return fail(URING_BUSY, 0, "%lld requests", (long long)u->in_flight);
	if (queue_word(u, offsets_of(u)->sq.flags) & IORING_SQ_CQ_OVERFLOW)
		r = fail(FD_IO_URING, 0, "it has completions for which there was no room");
	if (judge_history(u) < 0)
		r = -EOPNOTSUPP;
	return find_issuer(graph, o->id, u, &issuer) ? r : fail(URING_MAPPED, 0, "%s", LINK);
}

static bool is_power_of_two(u32 n) { return n && !(n & (n - 1)); }

/* Is it a ring that a dump could have recorded, as far as its own numbers tell? */
static bool is_sane(const Ckpt__Uring *u)
{
	bool sized = is_power_of_two(u->sq_entries) && is_power_of_two(u->cq_entries) && u->sq_entries <= SQ_ENTRIES_MOST &&
		     u->cq_entries <= CQ_ENTRIES_MOST && u->cq_entries >= u->sq_entries;
	bool alone = u->setup & IORING_SETUP_SINGLE_ISSUER && !(u->setup & IORING_SETUP_R_DISABLED);
	return sized && !(u->setup & ~SETUP_CARRIED) && alone == (u->has_submitter && u->submitter) && offsets_of(u) &&
	       !(u->setup & IORING_SETUP_R_DISABLED && u->completed);
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
	return judge_history(u);
}

static int uring_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

/* The kernel takes requests up to the number `last`, in portions of what the queue has room for: fresh entries ask for nothing. taking:
 * their completions are taken each time. */
static void plan_requests(struct plan *plan, struct place at, struct arg fd, const Ckpt__Uring *u, const struct issuer *issuer,
			  u32 first, u32 last, bool taking)
{
	const struct offsets *offsets = offsets_of(u);
	u32 rest = (last - first) % u->sq_entries, rounds = (last - first) / u->sq_entries;
	if (first == last)
		return;
	plan_write_memory(plan, at, issuer->queues + offsets->sq.tail, plan_data(plan, &last, sizeof last, 4), sizeof last);
	struct plan_step *enter =
		plan_call(plan, at, SYS_io_uring_enter, fd, ARG(u->sq_entries), ARG(0), ARG(0), ARG(0), ARG(0));
	u32 got = step_result(plan, enter);
	if (taking)
		plan_copy_memory(plan, at, issuer->queues + offsets->cq.head, issuer->queues + offsets->cq.tail, sizeof(u32));
	u32 back = taking ? 3 : 1;
	plan_op(plan, at, OP_BRANCH, 0, (struct arg[6]){ ARG_OF_SLOT(got), ARG(rest), ARG(back), ARG(rounds + 1) });
}

static void plan_memory(struct plan *plan, struct place at, u64 address, const ProtobufCBinaryData *bytes)
{
	plan_write_memory(plan, at, address, plan_data(plan, bytes->data, bytes->len, 8), bytes->len);
}

/* Its mappings are files of their own in the image. */
static void plan_mapped(struct plan *plan, const struct graph *graph, u32 ring)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_uring, o));)
		if (o->id != ring && ((const Ckpt__Uring *)o->data)->memory == ring)
			plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_dup3, ARG(plan_fd(plan, ring)),
				  ARG(plan_fd(plan, o->id)), ARG(O_CLOEXEC));
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

/* The world makes it. Who alone may submit is who enables it: the requests are made when all threads are there. */
static int uring_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Uring *u = o->data;
	struct issuer issuer;
	if (u->memory != o->id)
		return 0;
	if (!find_issuer(graph, o->id, u, &issuer))
		return -EINVAL;
	bool alone = u->setup & IORING_SETUP_SINGLE_ISSUER;
	struct io_uring_params params = { .flags = u->setup | (alone ? IORING_SETUP_R_DISABLED : 0) | IORING_SETUP_CQSIZE,
					  .cq_entries = u->cq_entries };
	struct arg data = ARG_OF_DATA(plan_data(plan, &params, sizeof params, 8)), fd = ARG(plan_fd(plan, o->id));
	struct place at = AT(issuer.tid, STAGE_THREAD);
	struct plan_step *made = plan_call(plan, AT(PLAN_WORLD, STAGE_CREATE), SYS_io_uring_setup, ARG(u->sq_entries), data);
	plan_place_fd(plan, step_result(plan, made), o->id);
	plan_status_flags(plan, AT(PLAN_WORLD, STAGE_CREATE), o->id, file_flags(graph, o->id), O_RDWR);
	plan_mapped(plan, graph, o->id);
	if (u->submitter)
		plan_call(plan, at, SYS_io_uring_register, fd, ARG(IORING_REGISTER_ENABLE_RINGS), ARG(0), ARG(0));
	u32 taken = u->completed - untaken(u);
	plan_requests(plan, at, fd, u, &issuer, 0, taken, true);
	plan_requests(plan, at, fd, u, &issuer, taken, u->completed, false);
	plan_memory(plan, at, issuer.queues, &u->queues);
	plan_memory(plan, at, issuer.entries, &u->entries);
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
