// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: one io_uring, and what is on its way for one of the threads that have used it. Requests are counted by thread
 * (struct io_uring_task), in a word per processor; the ring lists its users. */
#include "ids.h"
#include "percpu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define USERS_MAX 256 /* of one ring: behind them nothing is told */
#define CLOCK_MONOTONIC 1
#define RIGHTS_WORDS_MAX 32 /* of 4 bytes: ids and capabilities are 20 */
#define GROUPS_MAX 64

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
	struct io_sq_data *poll = NULL;

	return bpf_core_field_exists(ring->submitter_task) && bpf_core_field_exists(ring->clockid) &&
	       bpf_core_field_exists(ring->io_bl_xa) && bpf_core_field_exists(ring->io_ev_fd) &&
	       bpf_core_field_exists(ring->personalities) && bpf_core_field_exists(ring->iowq_limits) &&
	       bpf_core_field_exists(ring->sq_creds) && bpf_core_field_exists(poll->thread) &&
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

static __always_inline void read_eventfd(struct io_ring_ctx *ring, struct record_uring *uring)
{
	struct io_ev_fd *registered = BPF_CORE_READ(ring, io_ev_fd);

	if (!registered)
		return;
	uring->eventfd_id = BPF_CORE_READ(registered, cq_ev_fd, id) + 1;
	uring->eventfd_async = BPF_CORE_READ_BITFIELD_PROBED(registered, eventfd_async);
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
	read_eventfd(ring, &raw->uring);
	read_reader(&raw->reader);
	raw->submitter = (struct record_pid){ 0 };
	if (pid)
		read_pid(&raw->submitter, pid, upid_offset(raw->reader.level));
}

/* Ids, capabilities and groups; of more groups than GROUPS_MAX only what is the same list. */
static __always_inline bool have_same_rights(const struct cred *a, const struct cred *b)
{
	struct group_info *groups[2] = { BPF_CORE_READ(a, group_info), BPF_CORE_READ(b, group_info) };
	u32 start = bpf_core_field_offset(a->uid), gids = bpf_core_field_offset(groups[0]->gid);
	u32 len = bpf_core_field_offset(a->cap_ambient) + sizeof(a->cap_ambient) - start;
	u32 words[2] = { 0 };

	for (u32 i = 0; i < RIGHTS_WORDS_MAX; i++) {
		if (4 * i >= len)
			break;
		bpf_probe_read_kernel(&words[0], sizeof(words[0]), (char *)a + start + 4 * i);
		bpf_probe_read_kernel(&words[1], sizeof(words[1]), (char *)b + start + 4 * i);
		if (words[0] != words[1])
			return false;
	}
	if (groups[0] == groups[1])
		return true;
	if (BPF_CORE_READ(groups[0], ngroups) != BPF_CORE_READ(groups[1], ngroups))
		return false;
	for (u32 i = 0; i < GROUPS_MAX; i++) {
		if (i == (u32)BPF_CORE_READ(groups[0], ngroups))
			return true;
		bpf_probe_read_kernel(&words[0], sizeof(words[0]), (char *)groups[0] + gids + 4 * i);
		bpf_probe_read_kernel(&words[1], sizeof(words[1]), (char *)groups[1] + gids + 4 * i);
		if (words[0] != words[1])
			return false;
	}
	return false;
}

static __always_inline void read_poller(struct io_ring_ctx *ring, struct task_struct *thread, struct record_uring_raw *raw)
{
	struct task_struct *leader = BPF_CORE_READ(thread, group_leader);
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);

	raw->poller = (struct record_pid){ 0 };
	raw->uring.poll_cpu = -1;
	if (!pid)
		return;
	read_pid(&raw->poller, pid, upid_offset(raw->reader.level));
	raw->uring.poll_cpu = BPF_CORE_READ(ring, sq_data, sq_cpu);
	READ(raw->uring.poll_idle, ring, sq_thread_idle);
	raw->uring.poll_rights = have_same_rights(BPF_CORE_READ(ring, sq_creds), BPF_CORE_READ(leader, cred));
}

/* The thread of this number that has used it, or NULL; behind USERS_MAX of them there is always one more. */
static __always_inline struct task_struct *find_user(struct io_ring_ctx *ring, u32 number, bool *ret_more)
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
			any = (void *)((u64)at - bpf_core_field_offset(any->ctx_node));
			return BPF_CORE_READ(any, task);
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

static __always_inline void read_user(struct task_struct *task, struct record_uring_raw *raw, u32 first)
{
	struct io_uring_task *user = BPF_CORE_READ(task, io_uring);

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
	u32 number = (u32)(state.config.cursor >> 32) & 0xffff;
	struct task_struct *user, *poller;
	struct io_ring_ctx *ring;
	bool more = true;

	if (!t || !f || t->pid != t->tgid || ctx->fd != (u32)state.config.cursor)
		return 0;
	ring = f->private_data;
	if (!is_known(ring))
		return 0;
	*raw = (struct record_uring_raw){ 0 };
	read_ring(ring, raw);
	poller = BPF_CORE_READ(ring, sq_data, thread);
	read_poller(ring, poller, raw);
	/* what is on its way for it comes first */
	user = !poller ? find_user(ring, number, &more) : number ? find_user(ring, number - 1, &more) : poller;
	raw->more_users = more;
	if (user)
		read_user(user, raw, (u32)(state.config.cursor >> 48) * RECORD_CPUS_PER_READ);
	state.header.tag = RECORD_URING;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
