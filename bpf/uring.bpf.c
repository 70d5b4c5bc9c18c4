// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: one io_uring, and what is on its way for one of the threads that have used it. Requests are counted by thread
 * (struct io_uring_task), in a word per processor; the ring lists its users. */
#include "ids.h"
#include "percpu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define USERS_MAX 256 /* of one ring: behind them nothing is told */
#define CLOCK_MONOTONIC 1

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config
		config; /* cursor: the descriptor; the user's number from bit 32 on; the first processor / 64 from bit 48 on */
	struct record_header header;
	struct record_uring_raw raw;
	u64 address; /* for percpu.h */
	u64 rings[16];
} state;

/* Kernels whose rings have other fields are not told of at all. */
static __always_inline bool is_known(struct io_ring_ctx *ring)
{
	struct io_tctx_node *node = NULL;

	return bpf_core_field_exists(ring->submitter_task) && bpf_core_field_exists(ring->clockid) &&
	       bpf_core_field_exists(ring->io_bl_xa) && bpf_core_field_exists(ring->io_ev_fd) &&
	       bpf_core_field_exists(ring->personalities) && bpf_core_field_exists(ring->iowq_limits) &&
	       bpf_core_field_exists(node->task) && ring_tells_registered(ring) && ring_tells_restricted(ring);
}

static __always_inline u32 registered(struct io_ring_ctx *ring)
{
	u32 has = ring_files(ring) ? URING_FILES : 0;

	has |= ring_buffers(ring) ? URING_BUFFERS : 0;
	has |= BPF_CORE_READ(ring, io_bl_xa.xa_head) ? URING_BUFFER_RINGS : 0;
	has |= BPF_CORE_READ(ring, io_ev_fd) ? URING_EVENTFD : 0;
	has |= BPF_CORE_READ(ring, personalities.xa_head) ? URING_PERSONALITIES : 0;
	has |= ring_is_restricted(ring) ? URING_RESTRICTIONS : 0;
	has |= BPF_CORE_READ(ring, clockid) != CLOCK_MONOTONIC ? URING_CLOCK : 0;
	has |= BPF_CORE_READ(ring, iowq_limits[0]) | BPF_CORE_READ(ring, iowq_limits[1]) ? URING_WORKER_LIMITS : 0;
	has |= ring_polls_busily(ring) ? URING_BUSY_POLL : 0;
	has |= ring_is_without_drain(ring) ? URING_NO_DRAIN : 0;
	if (bpf_core_field_exists(ring->param_region))
		has |= BPF_CORE_READ(ring, param_region.nr_pages) ? URING_REGION : 0;
	if (bpf_core_field_exists(ring->bpf_filters))
		has |= BPF_CORE_READ(ring, bpf_filters) ? URING_PROGRAMS : 0;
	if (bpf_core_field_exists(ring->bpf_ops))
		has |= BPF_CORE_READ(ring, bpf_ops) ? URING_PROGRAMS : 0;
	return has;
}

static __always_inline void read_ring(struct io_ring_ctx *ring, struct record_uring_raw *raw)
{
	struct task_struct *submitter = BPF_CORE_READ(ring, submitter_task);
	struct pid *pid = BPF_CORE_READ(submitter, thread_pid);

	READ(raw->uring.flags, ring, flags);
	READ(raw->uring.sq_entries, ring, sq_entries);
	READ(raw->uring.cq_entries, ring, cq_entries);
	READ(raw->uring.submitted, ring, cached_sq_head);
	READ(raw->uring.completed, ring, cached_cq_tail);
	raw->uring.has = registered(ring);
	read_reader(&raw->reader);
	raw->submitter = (struct record_pid){ 0 };
	if (pid)
		read_pid(&raw->submitter, pid, upid_offset(raw->reader.level));
}

/* The user of this number, or NULL; behind USERS_MAX of them there is always one more. */
static __always_inline struct io_tctx_node *find_user(struct io_ring_ctx *ring, u32 number, bool *ret_more)
{
	struct io_tctx_node *any = NULL;
	u64 end = (u64)ring + bpf_core_field_offset(ring->tctx_list);
	struct list_head *at = BPF_CORE_READ(ring, tctx_list.next);

	*ret_more = false;
	for (u32 i = 0; i < USERS_MAX; i++) {
		if ((u64)at == end)
			return NULL;
		if (i == number) {
			*ret_more = (u64)BPF_CORE_READ(at, next) != end;
			return (void *)((u64)at - bpf_core_field_offset(any->ctx_node));
		}
		at = BPF_CORE_READ(at, next);
	}
	*ret_more = true;
	return NULL;
}

/* Adds what the processors from `first` on count; false behind the last one. */
static __always_inline bool add_counts(struct record_uring *uring, u64 counters, u32 first)
{
	u64 base = percpu_base(&state.address), distance;
	s32 count;

	for (u32 i = 0; i < RECORD_CPUS_PER_READ; i++) {
		if (!percpu_distance(&state.address, base, first + i, &distance))
			return false;
		count = 0;
		bpf_probe_read_kernel(&count, sizeof(count), (void *)(counters + distance));
		uring->in_flight += count;
	}
	return true;
}

static __always_inline void read_user(struct io_tctx_node *node, struct record_uring_raw *raw, u32 first)
{
	struct io_uring_task *user = BPF_CORE_READ(node, task, io_uring);

	raw->uring.in_flight = 0;
	raw->uring.users = user != NULL;
	if (!user) /* on its way out */
		return;
	if (!first)
		raw->uring.in_flight = BPF_CORE_READ(user, inflight.count) - BPF_CORE_READ(user, cached_refs);
	raw->more_cpus = add_counts(&raw->uring, (u64)BPF_CORE_READ(user, inflight.counters), first);
	bpf_core_read(state.rings, sizeof(state.rings), &user->registered_rings);
	for (u32 i = 0; i < 16; i++)
		raw->uring.has |= state.rings[i] ? URING_DESCRIPTORS : 0;
}

SEC("iter/task_file")
int ckpt_uring(struct bpf_iter__task_file *ctx)
{
	struct record_uring_raw *raw = &state.raw;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;
	struct io_ring_ctx *ring;
	struct io_tctx_node *node;
	bool more;

	if (!t || !f || t->pid != t->tgid || ctx->fd != (u32)state.config.cursor)
		return 0;
	ring = f->private_data;
	if (!is_known(ring))
		return 0;
	*raw = (struct record_uring_raw){ 0 };
	read_ring(ring, raw);
	node = find_user(ring, (u32)(state.config.cursor >> 32) & 0xffff, &more);
	raw->more_users = more;
	if (node)
		read_user(node, raw, (u32)(state.config.cursor >> 48) * RECORD_CPUS_PER_READ);
	state.header.tag = RECORD_URING;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
