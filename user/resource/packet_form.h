/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rings of packet(7): what is where in their memory, and what of it is the kernel's to fill. Of packet.c alone; the layout is that of
 * linux/if_packet.h and of net/packet/af_packet.c. */
#pragma once
#include "diag/diag.h"
#include "model/model.h"
#include "model/reflect.h"
#include "packet.pb-c.h"
#include "record.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#define RINGS_MOST (32u << 20) /* bytes of both rings of a socket */
#define BLOCK_HEADER ALIGN_UP(sizeof(struct tpacket_block_desc), 8)

static const struct kind kind_packet = { .name = "packet", .desc = &ckpt__packet__descriptor };

/* Of an option of the socket; 0 when the image has none. */
static s64 packet_option(const Ckpt__Packet *m, const char *name)
{
	for (size_t i = 0; i < m->n_option; i++)
		if (m->option[i]->name && !strcmp(m->option[i]->name, name))
			return m->option[i]->value;
	return 0;
}

static int ring_version(const Ckpt__Packet *m) { return (int)packet_option(m, "PACKET_VERSION"); }

/* Bytes of virtio_net_hdr before each packet. */
static u32 ring_virtual(const Ckpt__Packet *m)
{
	s64 told = packet_option(m, "PACKET_VNET_HDR_SZ"); /* Linux 6.6 */
	return told ? (u32)told : packet_option(m, "PACKET_VNET_HDR") ? 10 : 0;
}

static u64 ring_bytes(const Ckpt__PacketRing *r) { return r ? (u64)r->block_size * r->blocks : 0; }
static u64 rings_bytes(const Ckpt__Packet *m) { return ring_bytes(m->receive) + ring_bytes(m->send); }

/* Where a frame begins in its ring. */
static u64 ring_frame(const Ckpt__PacketRing *r, u32 frame)
{
	u32 in_block = r->block_size / r->frame_size;
	return (u64)(frame / in_block) * r->block_size + (u64)(frame % in_block) * r->frame_size;
}

/* The header of a frame that is sent from a ring, which the data lie behind. */
static size_t frame_header(int version)
{
	return version == TPACKET_V3   ? TPACKET_ALIGN(sizeof(struct tpacket3_hdr))
	       : version == TPACKET_V2 ? TPACKET_ALIGN(sizeof(struct tpacket2_hdr))
				       : TPACKET_ALIGN(sizeof(struct tpacket_hdr));
}

static u64 frame_status(const u8 *frame, int version)
{
	return version == TPACKET_V3   ? ((const struct tpacket3_hdr *)frame)->tp_status
	       : version == TPACKET_V2 ? ((const struct tpacket2_hdr *)frame)->tp_status
				       : ((const struct tpacket_hdr *)frame)->tp_status;
}

static void set_frame_status(u8 *frame, int version, u32 status)
{
	if (version == TPACKET_V3)
		((struct tpacket3_hdr *)frame)->tp_status = status;
	else if (version == TPACKET_V2)
		((struct tpacket2_hdr *)frame)->tp_status = status;
	else
		((struct tpacket_hdr *)frame)->tp_status = status;
}

/* Where packets begin in a block. */
static u64 block_begin(const Ckpt__PacketRing *r) { return BLOCK_HEADER + ALIGN_UP((u64)r->private_size, 8); }

/* --- packets that move the kernel's place in a ring to receive --- */

#define MOVE_BYTES_MOST 32000u /* less than the loopback device takes at once */
#define MOVE_BYTES_LEAST 18u

/* Bytes in a ring before the data of a packet, at most (net/packet/af_packet.c, tpacket_rcv()). */
static u64 bytes_before(const Ckpt__Packet *m)
{
	u64 header = frame_header(ring_version(m)) + sizeof(struct sockaddr_ll) + 16;
	return TPACKET_ALIGN(header) + ring_virtual(m) + (u64)packet_option(m, "PACKET_RESERVE") + ETH_HLEN;
}

/* Of each. 0: none fits into a block. */
static u32 move_bytes(const Ckpt__Packet *m)
{
	if (!m->receive || ring_version(m) != TPACKET_V3)
		return MOVE_BYTES_LEAST;
	u64 before = block_begin(m->receive) + bytes_before(m) + TPACKET_ALIGNMENT;
	return m->receive->block_size > before ? (u32)MIN(m->receive->block_size - before, (u64)MOVE_BYTES_MOST) : 0;
}

/* So many fill a block, and there is one for which there is no room; what comes then is dropped. */
static u32 moves_in_block(const Ckpt__Packet *m)
{
	u32 bytes = move_bytes(m);
	return bytes ? m->receive->block_size / bytes + 2 : 0;
}

/* Packets, or blocks of them, that the kernel must receive until it stands where it stood. A block that it has opened is never as new:
 * it goes round once and opens it again. */
static u32 receive_moves(const Ckpt__Packet *m)
{
	if (!m->receive || !m->protocol)
		return 0;
	return m->receive->head ?: ring_version(m) == TPACKET_V3 ? m->receive->blocks : 0;
}

/* --- what was read of them, while packets may have come --- */

/* V1 and V2: those that came since the head was told are in the frames from there on; they are given up. */
static void tidy_frames(u8 *memory, const Ckpt__PacketRing *r, int version, u32 came)
{
	for (u32 i = 0; i < r->frames; i++) {
		u8 *frame = memory + ring_frame(r, i);
		bool is_new = (i + r->frames - r->head) % r->frames < came;
		if (is_new || frame_status(frame, version) == TP_STATUS_KERNEL)
			memset(frame, 0, r->frame_size);
	}
}

/* What a program keeps in its private part stays. */
static void blank_block(u8 *block, const Ckpt__PacketRing *r)
{
	memset(block, 0, BLOCK_HEADER);
	memset(block + block_begin(r), 0, r->block_size - block_begin(r));
}

/* The block that is being filled is given to the program, with so many packets, as the kernel does it when its time has come. False
 * while a packet in it is not written yet, or when it is no block. */
static bool close_block(u8 *block, const Ckpt__PacketRing *r, u32 packets)
{
	struct tpacket_hdr_v1 *header = &((struct tpacket_block_desc *)block)->hdr.bh1;
	u64 at = header->offset_to_first_pkt, end = header->blk_len;
	struct tpacket3_hdr *packet = NULL;
	for (u32 i = 0; i < packets; i++) {
		if (at % 8 || at < block_begin(r) || at + sizeof *packet > r->block_size)
			return false;
		packet = (void *)(block + at);
		if (!(packet->tp_status & TP_STATUS_USER))
			return false;
		at += packet->tp_next_offset;
	}
	if (!packet)
		return false;
	if (packet->tp_next_offset)
		end = at;
	if (end < (u64)((u8 *)packet - block) + sizeof *packet || end > r->block_size)
		return false;
	packet->tp_next_offset = 0;
	header->num_pkts = packets;
	header->blk_len = (u32)end;
	header->ts_last_pkt.ts_sec = packet->tp_sec;
	header->ts_last_pkt.ts_nsec = packet->tp_nsec;
	header->block_status = TP_STATUS_USER | TP_STATUS_BLK_TMO;
	memset(block + end, 0, r->block_size - end);
	return true;
}

/* Blocks behind the head that the kernel has opened between its two answers. */
static u32 blocks_opened(const Ckpt__PacketRing *r, const struct record_packet *then, const struct record_packet *now)
{
	u32 steps = (now->receive_head + r->blocks - then->receive_head) % r->blocks;
	if (!steps && now->frozen && (!then->frozen || now->packets != then->packets))
		steps = r->blocks;
	return steps && now->frozen ? steps - 1 : steps;
}

static bool tidy_blocks(u8 *memory, Ckpt__PacketRing *r, const struct record_packet *then, const struct record_packet *now)
{
	u32 head = r->head, opened = blocks_opened(r, then, now);
	u8 *filling = memory + (u64)head * r->block_size;
	bool was_free = then->frozen ? !now->frozen || now->packets != then->packets : !then->in_block;
	for (u32 i = 1; i <= opened; i++)
		blank_block(memory + (u64)((head + i) % r->blocks) * r->block_size, r);
	if (was_free)
		blank_block(filling, r);
	if (!then->frozen && then->in_block) {
		if (!close_block(filling, r, then->in_block))
			return false;
		SET(r, head, (head + 1) % r->blocks);
	}
	for (u32 i = 0; i < r->blocks; i++) {
		u8 *block = memory + (u64)i * r->block_size;
		if (!(((struct tpacket_block_desc *)block)->hdr.bh1.block_status & TP_STATUS_USER))
			blank_block(block, r);
	}
	return true;
}

/* What has been given to a device counts as sent. */
static void tidy_sent(u8 *memory, const Ckpt__PacketRing *r, int version)
{
	for (u32 i = 0; i < r->frames; i++) {
		u8 *frame = memory + ring_frame(r, i);
		if (frame_status(frame, version) == TP_STATUS_SENDING)
			set_frame_status(frame, version, TP_STATUS_AVAILABLE);
	}
}

/* Makes of a copy of the memory, which was made between two answers of the kernel, what it was at the first one; the heads are that
 * one's. False: a packet was not written yet. */
static bool tidy_rings(u8 *memory, Ckpt__Packet *m, const struct record_packet *then, const struct record_packet *now)
{
	int version = ring_version(m);
	bool done = true;
	if (m->receive)
		SET(m->receive, head, then->receive_head);
	if (m->receive && version == TPACKET_V3)
		done = tidy_blocks(memory, m->receive, then, now);
	else if (m->receive)
		tidy_frames(memory, m->receive, version, now->packets - then->packets);
	if (m->send) {
		SET(m->send, head, then->send_head);
		tidy_sent(memory + ring_bytes(m->receive), m->send, version);
	}
	return done;
}
