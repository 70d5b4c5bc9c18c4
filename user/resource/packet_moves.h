/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making the rings of packet(7) again. A new one stands at its first frame: it is moved on by packets of its own, which are sent over the
 * loopback device with a mark that only these have, before the socket is bound to what it is to receive. What the kernel has counted then
 * proves where it stands. Of packet.c alone. */
#pragma once
#include "resource/packet_form.h"
#include "resource/socket_option.h"
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define LOOPBACK 1           /* LOOPBACK_IFINDEX of include/net/net_namespace.h */
#define MOVE_PROTOCOL 0x88b5 /* ETH_P_802_EX1, which is for local experiments */
#define MOVE_PATIENCE 20     /* seconds for one packet */
#define MOVES_AT_ONCE 64u    /* of what the backlog of a processor holds (net.core.netdev_max_backlog) */
#define MOVE_CREATE AT(PLAN_WORLD, STAGE_CREATE)

/* A socket whose rings are made: for that time they are mapped over data of the arena, whose addresses a plan can name. */
struct moving {
	struct plan *plan;
	const Ckpt__Packet *m;
	struct arg fd;
	u32 rings; /* data offset of that */
};

static void copy_data(const struct moving *g, u32 to, u32 from, size_t len)
{
	struct iovec iov = { NULL, len };
	u32 source = plan_data(g->plan, &iov, sizeof iov, 8), target = plan_data(g->plan, &iov, sizeof iov, 8);
	plan_pointer(g->plan, source, from);
	plan_pointer(g->plan, target, to);
	u32 own = step_result(g->plan, plan_call(g->plan, MOVE_CREATE, SYS_getpid));
	step_expect(plan_call(g->plan, MOVE_CREATE, SYS_process_vm_writev, ARG_OF_SLOT(own), ARG_OF_DATA(source), ARG(1),
			      ARG_OF_DATA(target), ARG(1), ARG(0)),
		    (s64)len);
}

static struct arg loopback_address(struct plan *plan)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET, .sll_protocol = htons(MOVE_PROTOCOL), .sll_ifindex = LOOPBACK, .sll_halen = ETH_ALEN
	};
	return ARG_OF_DATA(plan_data(plan, &a, sizeof a, 8));
}

static u32 ethernet_frame(struct plan *plan, size_t len)
{
	u32 frame = plan_data(plan, NULL, len, 8);
	struct ethhdr *header = plan_bytes(plan, frame);
	if (header)
		header->h_proto = htons(MOVE_PROTOCOL);
	return frame;
}

/* --- the ring to send --- */

static void write_frame(u8 *frame, const Ckpt__Packet *m)
{
	int version = ring_version(m);
	u32 begin = (u32)frame_header(version), len = ring_virtual(m) + ETH_HLEN;
	if (version == TPACKET_V3) {
		*(struct tpacket3_hdr *)frame =
			(struct tpacket3_hdr){ .tp_len = len, .tp_mac = (u16)begin, .tp_net = (u16)begin };
	} else if (version == TPACKET_V2) {
		*(struct tpacket2_hdr *)frame =
			(struct tpacket2_hdr){ .tp_len = len, .tp_mac = (u16)begin, .tp_net = (u16)begin };
	} else {
		*(struct tpacket_hdr *)frame =
			(struct tpacket_hdr){ .tp_len = len, .tp_mac = (u16)begin, .tp_net = (u16)begin };
	}
	set_frame_status(frame, version, TP_STATUS_SEND_REQUEST);
	((struct ethhdr *)(frame + begin + ring_virtual(m)))->h_proto = htons(MOVE_PROTOCOL);
}

/* How long one packet is waited for. */
static void plan_patience(const struct moving *g, struct arg fd, int option, time_t seconds)
{
	struct timeval patience = { .tv_sec = seconds };
	plan_set(g->plan, MOVE_CREATE, fd, SOL_SOCKET, option, &patience, sizeof patience);
}

/* As many frames are sent as it has sent; the kernel stops at the first one that is not to be sent. It waits until they are gone, and
 * from Linux 7.2 on, over loopback, until nobody has them in a queue any more. */
static void plan_sent(const struct moving *g)
{
	const Ckpt__PacketRing *r = g->m->send;
	if (!r || !r->head)
		return;
	size_t len = ring_frame(r, r->head - 1) + r->frame_size;
	u32 frames = plan_data(g->plan, NULL, len, 8);
	u8 *bytes = plan_bytes(g->plan, frames);
	for (u32 i = 0; bytes && i < r->head; i++)
		write_frame(bytes + ring_frame(r, i), g->m);
	copy_data(g, g->rings + (u32)ring_bytes(g->m->receive), frames, len);
	plan_patience(g, g->fd, SO_SNDTIMEO, MOVE_PATIENCE);
	step_expect(plan_call(g->plan, MOVE_CREATE, SYS_sendto, g->fd, ARG(0), ARG(0), ARG(0), loopback_address(g->plan),
			      ARG(sizeof(struct sockaddr_ll))),
		    (s64)r->head * ETH_HLEN);
	plan_patience(g, g->fd, SO_SNDTIMEO, 0);
}

/* --- the ring to receive --- */

/* Only packets of one mark, which is drawn when the plan runs: its data offset. */
static u32 plan_marked(struct plan *plan, u32 *ret_filter)
{
	struct sock_filter marked[] = { { BPF_LD | BPF_W | BPF_ABS, 0, 0, (u32)(SKF_AD_OFF + SKF_AD_MARK) },
					{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0 },
					{ BPF_RET | BPF_K, 0, 0, UINT32_MAX },
					{ BPF_RET | BPF_K, 0, 0, 0 } };
	struct sock_fprog program = { .len = ARRAY_SIZE(marked) };
	u32 code = plan_data(plan, marked, sizeof marked, 8);
	u32 mark = code + (u32)(sizeof marked[0] + offsetof(struct sock_filter, k));
	*ret_filter = plan_data(plan, &program, sizeof program, 8);
	plan_pointer(plan, *ret_filter + offsetof(struct sock_fprog, filter), code);
	step_expect(plan_call(plan, MOVE_CREATE, SYS_getrandom, ARG_OF_DATA(mark), ARG(sizeof(u32)), ARG(0)), sizeof(u32));
	return mark;
}

static void plan_listen(struct plan *plan, struct arg fd, u32 filter)
{
	plan_call(plan, MOVE_CREATE, SYS_setsockopt, fd, ARG(SOL_SOCKET), ARG(SO_ATTACH_FILTER), ARG_OF_DATA(filter),
		  ARG(sizeof(struct sock_fprog)));
	plan_call(plan, MOVE_CREATE, SYS_bind, fd, loopback_address(plan), ARG(sizeof(struct sockaddr_ll)));
}

/* Who sends them receives each, too, behind the ring: what it has received is in the ring. */
static struct arg plan_sender(const struct moving *g, u32 mark, u32 filter)
{
	struct plan *plan = g->plan;
	struct plan_step *make = plan_call(plan, MOVE_CREATE, SYS_socket, ARG(AF_PACKET), ARG(SOCK_RAW | SOCK_CLOEXEC), ARG(0));
	struct arg sender = ARG_OF_SLOT(step_result(plan, make));
	plan_call(plan, MOVE_CREATE, SYS_setsockopt, sender, ARG(SOL_SOCKET), ARG(SO_MARK), ARG_OF_DATA(mark),
		  ARG(sizeof(u32)));
	plan_patience(g, sender, SO_RCVTIMEO, MOVE_PATIENCE);
	plan_listen(plan, sender, filter);
	return sender;
}

static void plan_frames(const struct moving *g, struct arg sender, u32 count)
{
	struct mmsghdr batch[MOVES_AT_ONCE] = { 0 };
	struct iovec iov = { NULL, ETH_HLEN + MOVE_BYTES_LEAST };
	u32 at = plan_data(g->plan, &iov, sizeof iov, 8), messages = plan_data(g->plan, batch, sizeof batch, 8);
	plan_pointer(g->plan, at, ethernet_frame(g->plan, iov.iov_len));
	for (u32 i = 0; i < MOVES_AT_ONCE; i++) {
		struct mmsghdr *message = (struct mmsghdr *)plan_bytes(g->plan, messages);
		if (message)
			message[i].msg_hdr.msg_iovlen = 1;
		plan_pointer(g->plan, messages + i * (u32)sizeof *batch + offsetof(struct mmsghdr, msg_hdr.msg_iov), at);
	}
	for (u32 done = 0; done < count; done += MOVES_AT_ONCE) {
		u32 n = MIN(count - done, MOVES_AT_ONCE);
		step_expect(plan_call(g->plan, MOVE_CREATE, SYS_sendmmsg, sender, ARG_OF_DATA(messages), ARG(n), ARG(0)), n);
		step_expect(
			plan_call(g->plan, MOVE_CREATE, SYS_recvmmsg, sender, ARG_OF_DATA(messages), ARG(n), ARG(0), ARG(0)),
			n);
	}
}

/* FUTEX_WAKE_OP, which finds nobody to wake, sets the word. */
static void plan_block_status(const struct moving *g, u32 block, u32 status)
{
	u32 set = (u32)FUTEX_OP(FUTEX_OP_SET, status, FUTEX_OP_CMP_EQ, 0);
	struct arg word = ARG_OF_DATA(g->rings + block * g->m->receive->block_size +
				      (u32)offsetof(struct tpacket_block_desc, hdr.bh1.block_status));
	plan_call(g->plan, MOVE_CREATE, SYS_futex, word, ARG(FUTEX_WAKE_OP_PRIVATE), ARG(0), ARG(0), word, ARG(set));
}

/* A block is opened, and filled until the kernel comes to the next one, which seems to be the program's: there it stops ("frozen"), be
 * the block given to the program because it is full or because its time has come. */
static void plan_blocks(const struct moving *g, struct arg sender, u32 count)
{
	size_t len = ETH_HLEN + move_bytes(g->m);
	struct arg frame = ARG_OF_DATA(ethernet_frame(g->plan, len));
	for (u32 block = 0; block < count; block++) {
		if (block + 1 < g->m->receive->blocks)
			plan_block_status(g, block + 1, TP_STATUS_USER);
		if (block)
			plan_block_status(g, block, TP_STATUS_KERNEL);
		for (u32 i = 0; i < moves_in_block(g->m); i++) {
			step_expect(
				plan_call(g->plan, MOVE_CREATE, SYS_sendto, sender, frame, ARG(len), ARG(0), ARG(0), ARG(0)),
				(s64)len);
			step_expect(plan_call(g->plan, MOVE_CREATE, SYS_recvfrom, sender, frame, ARG(ETH_HLEN), ARG(MSG_TRUNC),
					      ARG(0), ARG(0)),
				    (s64)len);
		}
	}
}

static void expect_word(struct plan *plan, u32 word, u32 value)
{
	step_expect(plan_op(plan, MOVE_CREATE, OP_LOAD, 0, (struct arg[6]){ ARG(word) }), value);
}

/* Asked for, the counts begin anew. Each stop counts once, and each frame that was filled. */
static void plan_proof(const struct moving *g, u32 moves)
{
	bool blocks = ring_version(g->m) == TPACKET_V3;
	socklen_t len = blocks ? sizeof(struct tpacket_stats_v3) : sizeof(struct tpacket_stats);
	u32 counts = plan_data(g->plan, NULL, sizeof(struct tpacket_stats_v3), 8);
	plan_call(g->plan, MOVE_CREATE, SYS_getsockopt, g->fd, ARG(SOL_PACKET), ARG(PACKET_STATISTICS), ARG_OF_DATA(counts),
		  ARG_OF_DATA(plan_data(g->plan, &len, sizeof len, 8)));
	if (blocks) {
		expect_word(g->plan, counts + offsetof(struct tpacket_stats_v3, tp_freeze_q_cnt), moves);
	} else {
		expect_word(g->plan, counts + offsetof(struct tpacket_stats, tp_packets), moves);
		expect_word(g->plan, counts + offsetof(struct tpacket_stats, tp_drops), 0);
	}
}

static void plan_received(const struct moving *g)
{
	u32 moves = receive_moves(g->m), filter, mark;
	if (!moves)
		return;
	mark = plan_marked(g->plan, &filter);
	struct arg sender = plan_sender(g, mark, filter);
	plan_listen(g->plan, g->fd, filter);
	if (ring_version(g->m) == TPACKET_V3)
		plan_blocks(g, sender, moves);
	else
		plan_frames(g, sender, moves);
	plan_proof(g, moves);
	plan_call(g->plan, MOVE_CREATE, SYS_close, sender);
}

/* --- all of it --- */

static void plan_one_ring(struct plan *plan, struct arg fd, const Ckpt__PacketRing *r, int number, int version)
{
	struct tpacket_req3 request = { .tp_block_size = r->block_size,
					.tp_block_nr = r->blocks,
					.tp_frame_size = r->frame_size,
					.tp_frame_nr = r->frames,
					.tp_retire_blk_tov = r->timeout,
					.tp_sizeof_priv = r->private_size,
					.tp_feature_req_word = r->features };
	plan_set(plan, MOVE_CREATE, fd, SOL_PACKET, number, &request,
		 version == TPACKET_V3 ? sizeof request : sizeof(struct tpacket_req));
}

/* The block that is filled next stays the program's until all is written: the kernel opens it itself. */
static void plan_content(const struct moving *g)
{
	u32 content = plan_data(g->plan, NULL, rings_bytes(g->m), 8);
	u8 *bytes = plan_bytes(g->plan, content);
	for (size_t i = 0; bytes && i < g->m->n_content; i++)
		if (g->m->content[i]->bytes.len)
			memcpy(bytes + g->m->content[i]->offset, g->m->content[i]->bytes.data, g->m->content[i]->bytes.len);
	bool blocks = ring_version(g->m) == TPACKET_V3 && receive_moves(g->m);
	struct tpacket_block_desc *next =
		bytes && blocks ? (void *)(bytes + (u64)g->m->receive->head * g->m->receive->block_size) : NULL;
	bool opens = next && !(next->hdr.bh1.block_status & TP_STATUS_USER);
	if (opens)
		next->hdr.bh1.block_status = TP_STATUS_USER;
	if (g->m->n_content || receive_moves(g->m) || g->m->send)
		copy_data(g, g->rings, content, rings_bytes(g->m));
	if (opens)
		plan_block_status(g, g->m->receive->head, TP_STATUS_KERNEL);
}

/* What plan_rings() takes of a plan, at most. */
static u64 moves_room(const Ckpt__Packet *m)
{
	bool blocks = m->receive && ring_version(m) == TPACKET_V3;
	u64 steps = (u64)receive_moves(m) * (blocks ? 2ull * moves_in_block(m) + 2 : 1);
	return 3 * rings_bytes(m) + 4 * PAGE_BYTES + MOVE_BYTES_MOST + steps * sizeof(struct step);
}

/* The socket has its options and no filter yet, and is bound to nothing. Where there are receive_moves() it has a filter then, which lets
 * in nothing, and a binding to be replaced. */
static void plan_rings(struct plan *plan, struct arg fd, const Ckpt__Packet *m)
{
	u64 size = rings_bytes(m);
	if (!size)
		return;
	if (m->receive)
		plan_one_ring(plan, fd, m->receive, PACKET_RX_RING, ring_version(m));
	if (m->send)
		plan_one_ring(plan, fd, m->send, PACKET_TX_RING, ring_version(m));
	struct moving moving = { plan, m, fd, plan_data(plan, NULL, size, PAGE_BYTES) };
	struct arg at = ARG_OF_DATA(moving.rings);
	plan_call(plan, MOVE_CREATE, SYS_mmap, at, ARG(size), ARG(PROT_READ | PROT_WRITE), ARG(MAP_SHARED | MAP_FIXED), fd,
		  ARG(0));
	plan_sent(&moving);
	plan_received(&moving);
	plan_content(&moving);
	plan_call(plan, MOVE_CREATE, SYS_mmap, at, ARG(size), ARG(PROT_READ | PROT_WRITE),
		  ARG(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), ARG(-1), ARG(0));
}
