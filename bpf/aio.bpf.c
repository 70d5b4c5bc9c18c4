// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task: the contexts of asynchronous I/O (io_setup(2)) of a process, and how many requests of each are on their way. Their count
 * is a percpu_ref: a counter per processor, a few of them per read. */
#include "ids.h"
#include "percpu.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config; /* cursor: the context's number, and in the high half the first processor */
	struct record_header header;
	struct record_aio_raw raw;
	u64 address; /* of the program's own objects: as numbers they come from here */
} state;

/* Adds what the processors from `first` on count; false behind the last one. */
static __always_inline bool add_counts(struct record_aio_raw *raw, u64 counter, u32 first)
{
	u64 base = percpu_base(&state.address), distance, count;

	for (u32 i = 0; i < RECORD_CPUS_PER_READ; i++) {
		if (!percpu_distance(&state.address, base, first + i, &distance))
			return false;
		count = 0;
		bpf_probe_read_kernel(&count, sizeof(count), (void *)(counter + distance));
		raw->references += count;
	}
	return true;
}

static __always_inline void read_context(struct kioctx *context, struct record_aio_raw *raw, u32 first)
{
	u64 counter = BPF_CORE_READ(context, reqs.percpu_count_ptr);

	READ(raw->address, context, user_id);
	READ(raw->max_reqs, context, max_reqs);
	raw->shared_count = BPF_CORE_READ(context, reqs.data, count.counter);
	raw->references = 0;
	raw->atomic = counter & 3; /* __PERCPU_REF_ATOMIC, __PERCPU_REF_DEAD: it is about to go */
	raw->more = !raw->atomic && add_counts(raw, counter, first);
}

SEC("iter/task")
int ckpt_aio(struct bpf_iter__task *ctx)
{
	struct record_aio_raw *raw = &state.raw;
	struct task_struct *t = ctx->task;
	struct kioctx_table *table;
	struct kioctx *context = NULL;
	u32 number = (u32)state.config.cursor;
	u64 at;

	if (!t || BPF_CORE_READ(t, pid) != BPF_CORE_READ(t, tgid))
		return 0;
	table = BPF_CORE_READ(t, mm, ioctx_table);
	if (!table || number >= BPF_CORE_READ(table, nr))
		return 0;
	at = (u64)table + bpf_core_field_offset(table->table) + number * sizeof(context);
	bpf_probe_read_kernel(&context, sizeof(context), (void *)at);
	*raw = (struct record_aio_raw){ .number = number };
	if (context)
		read_context(context, raw, (u32)(state.config.cursor >> 32));
	state.header.tag = RECORD_AIO;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
