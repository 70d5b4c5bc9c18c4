// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: what waits in a pseudoterminal. Nothing is taken: neither the line discipline nor the driver's buffers notice. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config; /* cursor: RECORD_TTY_CURSOR() */
	struct record_header header;
	struct record_tty raw;
} state;

/* Kernels whose terminals have other fields are not told of at all. */
static __always_inline bool is_known(struct tty_struct *tty)
{
	struct n_tty_data *line = NULL;
	struct tty_buffer *piece = NULL;

	return bpf_core_field_exists(tty->flow.tco_stopped) && bpf_core_field_exists(tty->ctrl.pktstatus) &&
	       bpf_core_field_exists(line->read_flags) && bpf_core_field_exists(line->canon_column) &&
	       bpf_core_field_exists(piece->read) && bpf_core_field_size(line->read_buf) == RECORD_TTY_RING;
}

/* Its number `number` among those that wait for the line discipline, or NULL. */
static __always_inline struct tty_buffer *count_pieces(struct tty_struct *tty, u32 number, struct record_tty_side *side)
{
	struct tty_buffer *piece = BPF_CORE_READ(tty, port, buf.head);
	u64 found = 0;

	side->queued = side->buffers = 0;
	for (u32 i = 0; i < RECORD_TTY_PIECES; i++) {
		u64 other = i ^ number;

		if (!piece)
			return (struct tty_buffer *)found;
		side->queued += BPF_CORE_READ(piece, commit) - BPF_CORE_READ(piece, read);
		side->buffers++;
		barrier_var(other); /* as a branch the verifier would follow both ways at each of them */
		found |= (u64)piece * ((other - 1) >> 63);
		piece = BPF_CORE_READ(piece, next);
	}
	side->buffers = ~0u;
	return (struct tty_buffer *)found;
}

static __always_inline void read_side(struct tty_struct *tty, struct record_tty_side *side)
{
	struct n_tty_data *line = BPF_CORE_READ(tty, disc_data);

	side->head = BPF_CORE_READ(line, read_head);
	side->tail = BPF_CORE_READ(line, read_tail);
	side->canon_head = BPF_CORE_READ(line, canon_head);
	side->echo_head = BPF_CORE_READ(line, echo_head);
	side->echo_tail = BPF_CORE_READ(line, echo_tail);
	side->column = BPF_CORE_READ(line, column);
	side->canon_column = BPF_CORE_READ(line, canon_column);
	side->lnext = BPF_CORE_READ_BITFIELD_PROBED(line, lnext);
	side->erasing = BPF_CORE_READ_BITFIELD_PROBED(line, erasing);
	side->icanon = BPF_CORE_READ_BITFIELD_PROBED(line, icanon);
	side->stopped = BPF_CORE_READ(tty, flow.stopped);
	side->tco_stopped = BPF_CORE_READ(tty, flow.tco_stopped);
	side->packet_status = BPF_CORE_READ(tty, ctrl.pktstatus);
	side->discipline = BPF_CORE_READ(tty, ldisc, ops, num);
}

static __always_inline void read_ring(struct tty_struct *tty, struct record_tty *raw)
{
	struct n_tty_data *line = BPF_CORE_READ(tty, disc_data);

	bpf_core_read(raw->ends, sizeof(raw->ends), &line->read_flags);
	bpf_core_read(raw->data, sizeof(raw->data), &line->read_buf);
}

static __always_inline void read_piece(struct tty_buffer *piece, struct record_tty *raw)
{
	u32 from = BPF_CORE_READ(piece, read), bytes = BPF_CORE_READ(piece, commit) - from;
	u64 size = bytes & (RECORD_TTY_RING - 1);

	raw->bytes = bytes;
	barrier_var(size); /* the verifier shall see that it is small */
	if (size == bytes)
		bpf_probe_read_kernel(raw->data, size, (char *)piece + bpf_core_field_offset(piece->data) + from);
}

SEC("iter/task_file")
int ckpt_tty(struct bpf_iter__task_file *ctx)
{
	struct record_tty *raw = &state.raw;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;
	struct tty_file_private *opened;
	struct tty_struct *tty, *link;
	struct tty_buffer *own, *other;
	u32 part = (u32)(state.config.cursor >> 32) & 0x7fffffff;
	bool of_other = state.config.cursor >> 63;

	if (!t || !f || t->pid != t->tgid || ctx->fd != (u32)state.config.cursor)
		return 0;
	opened = f->private_data;
	tty = BPF_CORE_READ(opened, tty);
	if (!is_known(tty))
		return 0;
	link = BPF_CORE_READ(tty, link);
	raw->bytes = 0;
	read_side(tty, &raw->own);
	read_side(link, &raw->other);
	own = count_pieces(tty, part - 1, &raw->own);
	other = count_pieces(link, part - 1, &raw->other);
	if (of_other) {
		tty = link;
		own = other;
	}
	if (!part)
		read_ring(tty, raw);
	else if (own)
		read_piece(own, raw);
	state.header.tag = RECORD_TTY;
	state.header.len = sizeof(*raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*raw));
	return 0;
}
