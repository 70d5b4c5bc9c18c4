// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_file: where the kernel stands in the rings of one socket of packet(7). */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config; /* cursor: the descriptor */
	struct record_header header;
	struct record_packet packet;
} state;

#define WORD_BITS 64

/* Which of the frames before the head are taken and not written yet: bit 0 is the last one. */
static __always_inline u64 unwritten(struct packet_ring_buffer *ring, u32 head)
{
	unsigned long *owned = BPF_CORE_READ(ring, rx_owner_map), word;
	u32 frames = BPF_CORE_READ(ring, frame_max) + 1;
	u64 found = 0;

	for (u32 i = 0; i < WORD_BITS; i++) {
		if (!owned || i >= frames)
			return found;
		head = head ? head - 1 : frames - 1;
		word = 0;
		bpf_probe_read_kernel(&word, sizeof(word), owned + head / WORD_BITS);
		found |= (u64)(word >> head % WORD_BITS & 1) << i;
	}
	return found;
}

static __always_inline void read_blocks(struct packet_ring_buffer *ring, struct record_packet *packet)
{
	struct pgv *blocks = BPF_CORE_READ(ring, prb_bdqc.pkbdq);
	u32 number = BPF_CORE_READ(ring, prb_bdqc.kactive_blk_num);
	struct tpacket_block_desc *block = NULL;

	bpf_probe_read_kernel(&block, sizeof(block), blocks + number);
	packet->receive_head = number;
	packet->frozen = BPF_CORE_READ(ring, prb_bdqc.reset_pending_on_curr_blk);
	packet->in_block = BPF_CORE_READ(block, hdr.bh1.num_pkts);
}

SEC("iter/task_file")
int ckpt_packet(struct bpf_iter__task_file *ctx)
{
	struct record_packet *packet = &state.packet;
	struct task_struct *t = ctx->task;
	struct file *f = ctx->file;
	struct packet_sock *of;
	struct socket *socket;

	if (!t || !f || t->pid != t->tgid || ctx->fd != (u32)state.config.cursor)
		return 0;
	socket = f->private_data;
	of = (void *)BPF_CORE_READ(socket, sk);
	*packet = (struct record_packet){ 0 };
	READ(packet->packets, of, stats.stats1.tp_packets);
	READ(packet->send_head, of, tx_ring.head);
	if (!BPF_CORE_READ(of, rx_ring.pg_vec)) {
		packet->receive_head = 0;
	} else if (BPF_CORE_READ(of, tp_version) == TPACKET_V3) {
		read_blocks(&of->rx_ring, packet);
	} else {
		READ(packet->receive_head, of, rx_ring.head);
		packet->unwritten = unwritten(&of->rx_ring, packet->receive_head);
	}
	state.header.tag = RECORD_PACKET;
	state.header.len = sizeof(*packet);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(*packet));
	return 0;
}
