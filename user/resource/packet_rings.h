/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and judging the rings of packet(7). A frozen program takes nothing from them, while packets come all the same: what came behind
 * the moment at which the kernel told where it stands is given up, as what comes while the program is away. Of packet.c alone. */
#pragma once
#include "collect/collect.h"
#include "collect/netlink.h"
#include "resource/file_scope.h"
#include "resource/packet_form.h"
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define READ_TRIES 100u    /* a packet is written in microseconds, unless its processor was taken away */
#define READ_PAUSE 1000000 /* ns */
#define PIECE_BYTES 4096u

/* --- collect --- */

static int add_ring(Ckpt__PacketRing **ret, const struct packet_diag_ring *of)
{
	if (!of->pdr_block_nr)
		return 0;
	Ckpt__PacketRing *r = MESSAGE_NEW(Ckpt__PacketRing, ckpt__packet_ring);
	if (!r)
		return fail_memory();
	SET(r, block_size, of->pdr_block_size);
	SET(r, blocks, of->pdr_block_nr);
	SET(r, frame_size, of->pdr_frame_size);
	SET(r, frames, of->pdr_frame_nr);
	SET(r, timeout, of->pdr_retire_tmo);
	SET(r, private_size, of->pdr_sizeof_priv);
	SET(r, features, of->pdr_features);
	*ret = r;
	return 0;
}

static bool is_zero(const u8 *bytes, size_t len) { return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1); }

static int add_piece(Ckpt__Packet *m, const u8 *memory, u64 from, u64 end)
{
	Ckpt__PacketPiece *piece = from < end ? MESSAGE_NEW(Ckpt__PacketPiece, ckpt__packet_piece) : NULL;
	if (from == end)
		return 0;
	if (!piece || !MESSAGE_APPEND(&m->n_content, &m->content, piece)) {
		free(piece);
		return fail_memory();
	}
	SET(piece, offset, from);
	piece->has_bytes = message_set_bytes(&piece->bytes, memory + from, end - from);
	return piece->has_bytes ? 0 : fail_memory();
}

static int add_content(Ckpt__Packet *m, const u8 *memory, u64 size)
{
	u64 begin = 0, at = 0;
	int r = 0;
	for (; r == 0 && at < size; at += PIECE_BYTES)
		if (is_zero(memory + at, PIECE_BYTES)) {
			r = add_piece(m, memory, begin, at);
			begin = at + PIECE_BYTES;
		}
	return r == 0 ? add_piece(m, memory, MIN(begin, size), size) : r;
}

/* 1: copied and tidied; 0: a packet is just being written, or nobody tells; or negative errno. */
static int copy_rings(struct collector *c, Ckpt__Packet *m, const u8 *mapped, u8 *copy)
{
	struct record_packet then, now;
	int r = collector_packet(c, &then);
	if (r <= 0 || then.unwritten)
		return r < 0 ? r : 0;
	memcpy(copy, mapped, rings_bytes(m));
	r = collector_packet(c, &now);
	return r <= 0 ? r : tidy_rings(copy, m, &then, &now);
}

static int copy_quiet_rings(struct collector *c, Ckpt__Packet *m, const u8 *mapped, u8 *copy)
{
	int r = 0;
	for (u32 i = 0; r == 0 && i < READ_TRIES; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = READ_PAUSE }, NULL);
		r = copy_rings(c, m, mapped, copy);
	}
	if (r == 0)
		SET(m, moving, true);
	return r > 0 ? add_content(m, copy, rings_bytes(m)) : 0; /* judged */
}

/* Mapped for a moment. A ring that is mapped cannot be changed by its program (EBUSY): of one that runs nothing is read. */
static int collect_rings(struct collector *c, int fd, const struct packet_diag *diag, Ckpt__Packet *m)
{
	int r = add_ring(&m->receive, &diag->receive);
	if (r == 0)
		r = add_ring(&m->send, &diag->send);
	u64 size = rings_bytes(m);
	if (r < 0 || !size || size > RINGS_MOST || collector_live(c))
		return r;
	u8 *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0), *copy = malloc(size);
	if (mapped == MAP_FAILED)
		r = fail(PACKET_RING, neg_errno(), "mmap");
	else
		r = copy ? copy_quiet_rings(c, m, mapped, copy) : fail_memory();
	free(copy);
	if (mapped != MAP_FAILED)
		munmap(mapped, size);
	return r;
}

/* --- judge --- */

static bool is_ring_sound(const Ckpt__Packet *m, const Ckpt__PacketRing *r, bool blocks)
{
	if (!r->block_size || r->block_size % PAGE_BYTES || !r->blocks || r->frame_size % TPACKET_ALIGNMENT ||
	    r->frame_size < frame_header(ring_version(m)) + sizeof(struct sockaddr_ll) || r->frame_size > r->block_size ||
	    ring_bytes(r) > RINGS_MOST || (u64)(r->block_size / r->frame_size) * r->blocks != r->frames)
		return false;
	return r->head < (blocks ? r->blocks : r->frames) && (!blocks || r->private_size <= r->block_size / 2) &&
	       r->timeout <= UINT16_MAX;
}

/* At restore: what the plan relies on. */
static bool are_rings_sound(const Ckpt__Packet *m)
{
	s64 version = packet_option(m, "PACKET_VERSION"), reserve = packet_option(m, "PACKET_RESERVE");
	bool sound =
		version >= TPACKET_V1 && version <= TPACKET_V3 && reserve >= 0 && reserve <= INT16_MAX && ring_virtual(m) <= 12;
	if (!m->receive && !m->send)
		return !m->n_content;
	if (!sound || (m->receive && !is_ring_sound(m, m->receive, version == TPACKET_V3)) ||
	    (m->send && !is_ring_sound(m, m->send, false)) || rings_bytes(m) > RINGS_MOST)
		return false;
	sound = move_bytes(m) > 0 && (m->protocol || !m->receive || !m->receive->head); /* no binding can be taken back */
	for (size_t i = 0; i < m->n_content; i++) {
		const Ckpt__PacketPiece *piece = m->content[i];
		sound &= piece->offset <= rings_bytes(m) && piece->bytes.len <= rings_bytes(m) - piece->offset;
	}
	return sound;
}

static const struct vma *mapped_otherwise(const struct graph *graph, u32 socket, u64 size)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_vmas, o));)
		for (u32 i = 0; i < o->count; i++) {
			const struct vma *v = &((const struct vma *)o->data)[i];
			const Ckpt__Packet *m = graph_data(graph, &kind_packet, v->file);
			if (m && m->memory == socket && (v->pgoff || v->end - v->start != size || !(v->flags & VMA_SHARED)))
				return v;
		}
	return NULL;
}

/* What of its rings cannot be made again; NULL: nothing. */
static const char *what_is_left_of_rings(const Ckpt__Packet *m)
{
	if (m->moving)
		return "a ring that the kernel writes to all the time";
	if (rings_bytes(m) > RINGS_MOST)
		return "rings of more than 32 MiB";
	if (!move_bytes(m))
		return "a ring with blocks that no packet fits into";
	return NULL;
}

static int judge_rings(const struct graph *graph, const struct object *o)
{
	const Ckpt__Packet *m = o->data;
	const char *left = what_is_left_of_rings(m);
	if (!m->receive && !m->send)
		return 0;
	if (left)
		return fail(PACKET_RING, 0, "%s", left);
	const struct vma *v = mapped_otherwise(graph, o->id, rings_bytes(m));
	if (v)
		return fail(PACKET_RING, 0, "a mapping of a part of a ring: %llx-%llx", (unsigned long long)v->start,
			    (unsigned long long)v->end);
	if (!(m->receive ?: m->send)->has_head && !shape_is_live(graph))
		return fail(PACKET_RING_HIDDEN, 0, "socket:[%llu]", (unsigned long long)m->inode);
	return 0;
}

/* Packets go over the loopback device, whose name may be another one. */
static int judge_loopback(const Ckpt__Packet *m)
{
	struct ifreq flags = { .ifr_ifindex = 1 };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!receive_moves(m) && !(m->send && m->send->head))
		return 0;
	bool known = fd >= 0 && ioctl(fd, SIOCGIFNAME, &flags) == 0;
	struct ifreq mtu = flags;
	known = known && ioctl(fd, SIOCGIFFLAGS, &flags) == 0 && ioctl(fd, SIOCGIFMTU, &mtu) == 0;
	if (!known)
		return fail(PACKET_LOOPBACK, neg_errno(), "nothing tells of it");
	if (!(flags.ifr_flags & IFF_UP) || !(flags.ifr_flags & IFF_LOOPBACK))
		return fail(PACKET_LOOPBACK, -ENETDOWN, "%s is down", flags.ifr_name);
	return (u32)mtu.ifr_mtu >= move_bytes(m)
		       ? 0
		       : fail(PACKET_LOOPBACK, -EMSGSIZE, "%s takes packets of %d bytes", mtu.ifr_name, mtu.ifr_mtu);
}
