// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: some of the files and buffers that are registered with an io_uring. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config; /* cursor: the descriptor; the first slot / URING_SLOTS_PER_READ from bit 32 on */
	struct record_header header;
	struct record_uring_slots slots;
} state;

#define FILE_BITS 7ull /* of a pointer to a file: what is known of it */

static __always_inline struct io_rsrc_node *find_node(struct io_rsrc_node **nodes, u32 number, u32 at)
{
	struct io_rsrc_node *node = NULL;

	if (at < number)
		bpf_probe_read_kernel(&node, sizeof(node), nodes + at);
	return node;
}

static __always_inline void read_file(struct io_rsrc_node *node, struct record_uring_slot *slot)
{
	slot->file = slot->file_tag = 0;
	if (!node)
		return;
	slot->file = BPF_CORE_READ(node, file_ptr) & ~FILE_BITS;
	slot->file_tag = BPF_CORE_READ(node, tag);
}

static __always_inline void read_buffer(struct io_rsrc_node *node, struct record_uring_slot *slot)
{
	struct io_mapped_ubuf *buffer;

	slot->address = slot->buffer_tag = slot->length = 0;
	slot->of_kernel = 0;
	if (!node)
		return;
	buffer = BPF_CORE_READ(node, buf);
	slot->address = BPF_CORE_READ(buffer, ubuf);
	bpf_core_read(&slot->length, bpf_core_field_size(buffer->len) == 8 ? 8 : 4, &buffer->len);
	slot->of_kernel = bpf_core_field_exists(buffer->is_kbuf) && BPF_CORE_READ(buffer, is_kbuf);
	slot->buffer_tag = BPF_CORE_READ(node, tag);
}

SEC("iter/task_file")
int ckpt_uring_table(struct bpf_iter__task_file *ctx)
{
	u32 first = (u32)(state.config.cursor >> 32) * URING_SLOTS_PER_READ;
	struct io_ring_ctx___registered_6_13 *ring = NULL;
	struct record_uring_slots *to = &state.slots;
	struct io_rsrc_node **files, **buffers;
	struct io_ring_ctx *any = NULL;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;

	if (!t || !f || t->pid != t->tgid || ctx->fd != (u32)state.config.cursor)
		return 0;
	if (!bpf_core_field_exists(ring->buf_table.nodes) || !bpf_core_field_exists(any->file_alloc_end))
		return 0;
	ring = f->private_data;
	any = (void *)ring;
	to->files = BPF_CORE_READ(ring, file_table.data.nr);
	to->buffers = BPF_CORE_READ(ring, buf_table.nr);
	READ(to->alloc_start, any, file_alloc_start);
	READ(to->alloc_end, any, file_alloc_end);
	files = BPF_CORE_READ(ring, file_table.data.nodes);
	buffers = BPF_CORE_READ(ring, buf_table.nodes);
	for (u32 i = 0; i < URING_SLOTS_PER_READ; i++) {
		read_file(find_node(files, to->files, first + i), &to->slot[i]);
		read_buffer(find_node(buffers, to->buffers, first + i), &to->slot[i]);
	}
	state.header.tag = RECORD_URING_SLOTS;
	state.header.len = sizeof(*to);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*to));
	return 0;
}
