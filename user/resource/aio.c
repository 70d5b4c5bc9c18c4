// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns contexts of asynchronous I/O (io_setup(2)) whose requests have all completed, with the events that nobody has taken yet. The
 * kernel counts in the ring behind its user's back: as many requests as it has seen are made again, modulo the ring's size, each a read
 * of nothing, and taken as far as they had been. */
#include "aio.pb-c.h"
#include "base/file.h"
#include "collect/collect.h"
#include "model/shape.h"
#include "resource/file_scope.h"
#include <bpf/libbpf.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define LINK "/[aio] (deleted)"
#define MAGIC 0xa10a10a1u /* AIO_RING_MAGIC of fs/aio.c */

static const struct kind kind_aio = { .name = "aio", .desc = &ckpt__aio__descriptor };

/* struct aio_ring of fs/aio.c: the beginning of the first page. Events follow. */
struct ring {
	u32 id, events, head, tail, magic, compatible, incompatible, header;
};
_Static_assert(sizeof(struct ring) == sizeof(struct io_event), "the header takes the place of one event");

static bool aio_claims(const struct record_file *file, const char *link)
{
	return file->fd == UINT32_MAX && !file->dev_major && !strcmp(link, LINK);
}

/* Where a ring is mapped first, and how often. */
struct place_of_ring {
	const struct vma *vma;
	u32 pid, mappings;
	bool by_others; /* by other processes, too */
};

static struct place_of_ring find_ring(const struct graph *graph, u32 file)
{
	struct place_of_ring ret = { 0 };
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			if (v->file != file)
				continue;
			ret.by_others |= ret.mappings && ret.pid != o->id;
			if (!ret.mappings++)
				ret.vma = v, ret.pid = o->id;
		}
	return ret;
}

static u32 count_completed(const Ckpt__Aio *a)
{
	return a->tail >= a->head ? a->tail - a->head : a->tail + a->events - a->head;
}

/* --- collect --- */

static int aio_collect(struct collector *c _unused_, const struct subject *subject _unused_, struct object *o _unused_)
{
	return 0; /* mappings are known when all of the tree has been collected */
}

/* What the ring's user has not taken: to the end of the ring, then from its beginning. */
static int read_completed(struct collector *c, const struct place_of_ring *at, Ckpt__Aio *a)
{
	u32 count = count_completed(a), first = MIN(count, a->events - a->head);
	size_t size = sizeof(struct io_event);
	u64 events = at->vma->start + size;
	if (!count)
		return 0;
	_cleanup_free_ char *data = malloc(count * size);
	if (!data)
		return fail_memory();
	int r = collector_read(c, at->pid, events + a->head * size, data, first * size);
	if (r == 0 && first < count)
		r = collector_read(c, at->pid, events, data + first * size, (count - first) * size);
	if (r < 0)
		return fail(MEMORY_READ, r, "events of the ring");
	a->has_completed = message_set_bytes(&a->completed, data, count * size);
	return a->has_completed ? 0 : fail_memory();
}

/* Asked before the ring is read: what is on its way now has no event, what is not has one. Only an image wants it. */
static void ask_in_flight(struct collector *c, const struct place_of_ring *at, Ckpt__Aio *a)
{
	struct record_aio record;
	bool tells = !collector_live(c) && !caps_lacks(collector_caps(c), CAN_BPF_PERCPU);
	int r = tells ? collector_aio(c, at->pid, at->vma->start, &record) : -EOPNOTSUPP;
	if (r == 0)
		SET(a, inherited, true);
	if (r <= 0)
		return;
	SET(a, asked, record.max_reqs);
	SET(a, in_flight, record.in_flight);
}

static int aio_settle(struct collector *c, struct object *o)
{
	Ckpt__Aio *a = o->data;
	struct ring ring;
	struct place_of_ring at = find_ring(collector_graph(c), o->id);
	if (!at.mappings)
		return 0;
	WORKING_ON_TASK(at.pid);
	if (collector_storing(c))
		ask_in_flight(c, &at, a);
	int r = collector_read(c, at.pid, at.vma->start, &ring, sizeof ring);
	if (r < 0)
		return fail(MEMORY_READ, r, "the ring");
	bool whole = ring.magic == MAGIC && ring.header == sizeof ring && ring.head < ring.events && ring.tail < ring.events &&
		     ring.events < (at.vma->end - at.vma->start) / sizeof(struct io_event);
	if (!whole) /* its user has written to it: judged */
		return 0;
	SET(a, events, ring.events);
	SET(a, head, ring.head);
	SET(a, tail, ring.tail);
	return read_completed(c, &at, a);
}

/* --- judge --- */

/* As aio_setup_ring() counts: two events for each request, and two more. */
static u64 ring_bytes(u32 asked, u32 processors)
{
	u64 events = 2ull * MAX(asked, 4 * processors) + 2;
	return ALIGN_UP((events + 1) * sizeof(struct io_event), PAGE_BYTES);
}

/* What io_setup(2) is asked for, so that the ring has this many bytes. */
static u32 to_ask(const Ckpt__Aio *a, u64 bytes)
{
	u32 processors = (u32)MAX(libbpf_num_possible_cpus(), 1);
	return a->asked && ring_bytes(a->asked, processors) == bytes ? a->asked : (a->events - 2) / 2;
}

static int judge_host(const Ckpt__Aio *a, u64 bytes)
{
	u32 ask = to_ask(a, bytes), processors = (u32)MAX(libbpf_num_possible_cpus(), 1);
	u64 used = file_number("/proc/sys/fs/aio-nr", 0), most = file_number("/proc/sys/fs/aio-max-nr", 0);
	if (ring_bytes(ask, processors) != bytes)
		return fail(AIO_SIZE, 0, "room for %u events, and %u processors", a->events, processors);
	if (used + ask > most)
		return fail(AIO_LIMIT, -EAGAIN, "%u requests, and %llu of %llu are taken", ask, (unsigned long long)used,
			    (unsigned long long)most);
	return 0;
}

static int judge_restore(const Ckpt__Aio *a, const struct vma *v)
{
	u64 bytes = v->end - v->start;
	bool fits = a->events >= 4 && bytes <= 1u << 30 && (a->events + 1) * sizeof(struct io_event) == bytes &&
		    a->head < a->events && a->tail < a->events &&
		    a->completed.len == count_completed(a) * sizeof(struct io_event);
	if (!fits || !(v->flags & VMA_SHARED))
		return fail(IMAGE_VALUE, 0, "a ring of %llu bytes for %u events", (unsigned long long)bytes, a->events);
	return judge_host(a, bytes);
}

static int aio_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	const Ckpt__Aio *a = o->data;
	struct place_of_ring at = find_ring(graph, o->id);
	if (!at.mappings)
		return fail(IMAGE_INCONSISTENT, 0, "a ring that nobody has mapped");
	if (direction == DIRECTION_DUMP && (a->inherited || at.by_others))
		return fail(AIO_INHERITED, 0, "%s", at.by_others ? "several processes have it" : "its context is not here");
	if (!a->has_events || at.vma->pgoff || at.mappings > 1)
		return fail(AIO_PART, 0, "%llu bytes from offset %llu", (unsigned long long)(at.vma->end - at.vma->start),
			    (unsigned long long)at.vma->pgoff);
	if (direction == DIRECTION_RESTORE)
		return judge_restore(a, at.vma);
	if (a->in_flight)
		return fail(AIO_BUSY, 0, "%llu requests", (unsigned long long)a->in_flight);
	return a->has_in_flight || shape_is_live(graph) ? 0
							: fail(AIO_RING, 0, "ring at %llx", (unsigned long long)at.vma->start);
}

/* --- plan --- */

#define PORTION 1024u /* requests in one call, at most */

/* A context is made elsewhere, since nothing else may lie where it goes, and moved: the kernel takes its new address for its id
 * (aio_ring_mremap(), Linux 3.19). */
static void plan_context(struct plan *plan, struct place at, const Ckpt__Aio *a, const struct vma *v)
{
	u64 bytes = v->end - v->start;
	u32 id = plan_data(plan, NULL, sizeof(u64), 8);
	step_expect(plan_call(plan, at, SYS_mmap, ARG(v->start), ARG(bytes), ARG(PROT_NONE),
			      ARG(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE), ARG(-1), ARG(0)),
		    (s64)v->start);
	plan_call(plan, at, SYS_io_setup, ARG(to_ask(a, bytes)), ARG_OF_DATA(id));
	u32 made = step_result(plan, plan_op(plan, at, OP_LOAD_LONG, 0, (struct arg[6]){ ARG(id) }));
	step_expect(plan_call(plan, at, SYS_mremap, ARG_OF_SLOT(made), ARG(bytes), ARG(bytes),
			      ARG(MREMAP_MAYMOVE | MREMAP_FIXED), ARG(v->start)),
		    (s64)v->start);
}

/* So many reads of no bytes, which complete at once; those that had been taken are taken. A quarter of the ring is left to what
 * processors hoard (get_reqs_available()). */
static void plan_requests(struct plan *plan, struct place at, const Ckpt__Aio *a, u64 context)
{
	u32 portion = MAX(MIN(PORTION, a->events / 4), 1u), requests = a->tail + (a->tail < a->head ? a->events : 0);
	struct iocb read = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (u32)plan_fd(plan, PLAN_PAGES) };
	u32 iocb = plan_data(plan, &read, sizeof read, 8), list = plan_data(plan, NULL, portion * sizeof(u64), 8);
	u32 taken = plan_data(plan, NULL, portion * sizeof(struct io_event), 8);
	for (u32 i = 0; i < portion; i++)
		plan_pointer(plan, list + i * (u32)sizeof(u64), iocb);
	for (u32 done = 0; done < requests;) {
		u32 n = MIN(portion, requests - done), take = done < a->head ? MIN(n, a->head - done) : 0;
		step_expect(plan_call(plan, at, SYS_io_submit, ARG(context), ARG(n), ARG_OF_DATA(list)), n);
		if (take)
			step_expect(plan_call(plan, at, SYS_io_getevents, ARG(context), ARG(take), ARG(take),
					      ARG_OF_DATA(taken), ARG(0)),
				    take);
		done += n;
	}
}

static void plan_completed(struct plan *plan, struct place at, const Ckpt__Aio *a, u64 context)
{
	size_t size = sizeof(struct io_event);
	u32 count = count_completed(a), first = MIN(count, a->events - a->head);
	u64 events = context + size;
	if (!count)
		return;
	u32 data = plan_data(plan, a->completed.data, a->completed.len, 8);
	plan_write_memory(plan, at, events + a->head * size, data, first * size);
	if (first < count)
		plan_write_memory(plan, at, events, data + (u32)(first * size), (count - first) * size);
}

static void aio_map(struct plan *plan, u32 pid, const struct graph *graph, const struct vma *v,
		    const struct hole_range *room _unused_)
{
	struct place at = AT(pid, STAGE_MAP);
	const Ckpt__Aio *a = graph_data(graph, &kind_aio, v->file);
	plan_context(plan, at, a, v);
	plan_requests(plan, at, a, v->start);
	plan_completed(plan, at, a, v->start);
	if (v->prot != (PROT_READ | PROT_WRITE))
		plan_call(plan, at, SYS_mprotect, ARG(v->start), ARG(v->end - v->start), ARG(v->prot));
}

const struct resource resource_aio = {
	.name = "aio",
	.scope = SCOPE_FILE,
	.kind = &kind_aio,
	.claims = aio_claims,
	.collect = aio_collect,
	.settle = aio_settle,
	.judge = aio_judge,
	.map = aio_map,
};
