// SPDX-License-Identifier: LGPL-2.1-or-later
/* rings DIR [WHAT]: rings of packet(7) of all versions, which have come round, with packets that wait in them, a frame that is to be sent
 * and is not yet, and more traffic afterwards. full: they have no room; wide: one is large and almost empty; part: one is
 * mapped in part; large: one is larger than what is carried; closed: one is mapped and nothing else; fanout: two of V3 share what comes;
 * traffic: a child sends all the time. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

enum { SENT = 0x99b0, FIRST = 0x99b1, WIDE = 0x99bf, BLOCK = 4096, ROOM = 64 };

struct ring {
	int fd, version;
	unsigned protocol, blocks, frames, block, private_size;
	char *memory, *again; /* mapped twice */
	unsigned next, in_block;
	char *packet;                                /* V3: the next one of the block that is being read */
	unsigned expected, given;                    /* numbers of packets */
	unsigned send_frames, send_next, to_be_sent; /* the ring to send, behind the other one */
};

static struct ring v1, v2, v3, full[2], shared[2];
static int sender, outlet;
static unsigned lo, sent_number, outlet_number;
static pid_t child;

static void set(int fd, int number, int value) { MUST_EQ(setsockopt(fd, SOL_PACKET, number, &value, sizeof value), 0); }

static struct sockaddr_ll address(unsigned protocol)
{
	return (struct sockaddr_ll){
		.sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = (int)lo, .sll_halen = 6
	};
}

static void bind_to(int fd, unsigned protocol)
{
	struct sockaddr_ll a = address(protocol);
	MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
}

static void add_ring(struct ring *r, int number, unsigned blocks, unsigned frames)
{
	struct tpacket_req3 request = { .tp_block_size = r->block,
					.tp_block_nr = blocks,
					.tp_frame_size = r->block * blocks / frames,
					.tp_frame_nr = frames };
	if (r->version == TPACKET_V3 && number == PACKET_RX_RING) {
		request.tp_retire_blk_tov = 100;
		request.tp_sizeof_priv = r->private_size;
		request.tp_feature_req_word = TP_FT_REQ_FILL_RXHASH;
	}
	MUST_EQ(setsockopt(r->fd, SOL_PACKET, number, &request,
			   r->version == TPACKET_V3 ? sizeof request : sizeof(struct tpacket_req)),
		0);
}

static void *map(const struct ring *r)
{
	size_t size = (size_t)(r->blocks + (r->send_frames ? r->blocks : 0)) * r->block;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	MUST(memory != MAP_FAILED);
	return memory;
}

static void make(struct ring *r, int version, int type, unsigned protocol, unsigned blocks, unsigned send_frames)
{
	*r = (struct ring){ .fd = socket(AF_PACKET, type, 0), .version = version, .protocol = protocol, .blocks = blocks };
	MUST(r->fd >= 0);
	r->block = protocol == WIDE ? 128 * BLOCK : version == TPACKET_V3 ? 2 * BLOCK : BLOCK;
	r->frames = blocks * 4;
	r->private_size = version == TPACKET_V3 ? 24 : 0;
	r->send_frames = send_frames;
	set(r->fd, PACKET_VERSION, version);
	set(r->fd, PACKET_RESERVE, version * 16);
	add_ring(r, PACKET_RX_RING, blocks, r->frames);
	if (send_frames)
		add_ring(r, PACKET_TX_RING, blocks, send_frames);
	r->memory = map(r);
	r->again = map(r);
	bind_to(r->fd, protocol);
}

/* --- receiving --- */

static void give(struct ring *r)
{
	char text[ROOM] = "";
	struct sockaddr_ll a = address(r->protocol);
	snprintf(text, sizeof text, "%x: packet %u", r->protocol, r->given++);
	MUST_EQ(sendto(sender, text, sizeof text, 0, (void *)&a, sizeof a), sizeof text);
}

static void await(const struct ring *r, const volatile uint32_t *status)
{
	struct pollfd ready = { .fd = r->fd, .events = POLLIN };
	for (int i = 0; i < 20000 && !(*status & TP_STATUS_USER); i++) {
		MUST(poll(&ready, 1, 5000) >= 0);
		if (!(*status & TP_STATUS_USER))
			usleep(1000);
	}
	MUST(*status & TP_STATUS_USER);
}

static void check(struct ring *r, const char *frame, unsigned at)
{
	char text[ROOM] = "";
	snprintf(text, sizeof text, "%x: packet %u", r->protocol, r->expected);
	if (strcmp(frame + at, text) != 0)
		judge_fail("V%d: \"%.30s\" instead of \"%s\"", r->version + 1, frame + at, text);
	r->expected++;
}

static struct tpacket_block_desc *block(const struct ring *r) { return (void *)(r->again + (size_t)r->next * r->block); }

/* The program's own, in each block: as the program left it, however often the kernel has filled the block. */
static char *private_part(const struct ring *r, unsigned number)
{
	return r->memory + (size_t)number * r->block + sizeof(struct tpacket_block_desc);
}

static void take_of_block(struct ring *r)
{
	struct tpacket_hdr_v1 *header = &block(r)->hdr.bh1;
	if (!r->in_block) {
		await(r, &header->block_status);
		r->in_block = header->num_pkts;
		MUST(r->in_block > 0);
		MUST_EQ(block(r)->version, TPACKET_V3);
		r->packet = (char *)block(r) + header->offset_to_first_pkt;
	}
	const struct tpacket3_hdr *packet = (void *)r->packet;
	check(r, r->packet, packet->tp_net);
	r->packet += packet->tp_next_offset;
	if (--r->in_block)
		return;
	MUST_EQ(packet->tp_next_offset, 0);
	header->block_status = TP_STATUS_KERNEL;
	r->next = (r->next + 1) % r->blocks;
}

static void take(struct ring *r)
{
	if (r->version == TPACKET_V3) {
		take_of_block(r);
		return;
	}
	char *frame = r->again + (size_t)r->next * (r->block * r->blocks / r->frames);
	struct tpacket_hdr *first = (void *)frame;
	struct tpacket2_hdr *second = (void *)frame;
	await(r, r->version == TPACKET_V1 ? (uint32_t *)&first->tp_status : &second->tp_status);
	check(r, frame, r->version == TPACKET_V1 ? first->tp_net : second->tp_net);
	if (r->version == TPACKET_V1)
		first->tp_status = TP_STATUS_KERNEL;
	else
		second->tp_status = TP_STATUS_KERNEL;
	r->next = (r->next + 1) % r->frames;
}

static void take_all(struct ring *r)
{
	while (r->expected != r->given)
		take(r);
}

/* --- sending --- */

static void request(struct ring *r)
{
	unsigned size = r->block * r->blocks / r->send_frames;
	char *frame = r->memory + (size_t)r->blocks * r->block + (size_t)r->send_next * size, *data;
	volatile uint32_t *status;
	if (r->version == TPACKET_V3) {
		struct tpacket3_hdr *header = (void *)frame;
		status = &header->tp_status;
		header->tp_len = ETH_HLEN + ROOM;
		header->tp_next_offset = 0;
		data = frame + TPACKET_ALIGN(sizeof *header);
	} else {
		struct tpacket2_hdr *header = (void *)frame;
		status = &header->tp_status;
		header->tp_len = ETH_HLEN + ROOM;
		data = frame + TPACKET_ALIGN(sizeof *header);
	}
	MUST_EQ(*status & (TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING), 0);
	memset(data, 0, ETH_HLEN + ROOM);
	((struct ethhdr *)data)->h_proto = htons(SENT);
	snprintf(data + ETH_HLEN, ROOM, "sent %u", sent_number++);
	*status = TP_STATUS_SEND_REQUEST;
	r->send_next = (r->send_next + 1) % r->send_frames;
	r->to_be_sent++;
}

static void send_requested(struct ring *r)
{
	/* from Linux 7.2 on a frame is not sent before it is received here */
	MUST_EQ(send(r->fd, NULL, 0, MSG_DONTWAIT), r->to_be_sent * (ETH_HLEN + ROOM));
	for (; r->to_be_sent; r->to_be_sent--) {
		char frame[256] = "", text[ROOM];
		struct pollfd ready = { .fd = outlet, .events = POLLIN };
		MUST_EQ(poll(&ready, 1, JUDGE_PATIENCE_MS), 1);
		MUST(recv(outlet, frame, sizeof frame, 0) > 0);
		snprintf(text, sizeof text, "sent %u", outlet_number++);
		if (strcmp(frame, text) != 0)
			judge_fail("\"%s\" instead of \"%s\"", frame, text);
	}
}

/* --- what there is --- */

static void make_all(void)
{
	make(&v1, TPACKET_V1, SOCK_DGRAM, FIRST, 2, 0);
	make(&v2, TPACKET_V2, SOCK_RAW, FIRST + 1, 2, 8);
	make(&v3, TPACKET_V3, SOCK_RAW, FIRST + 2, 4, 8);
	for (unsigned i = 0; i < v3.blocks; i++)
		snprintf(private_part(&v3, i), v3.private_size, "block %u", i);
	for (int i = 0; i < 5; i++)
		give(&v1);
	for (int i = 0; i < 3; i++)
		take(&v1);
	for (int i = 0; i < 11; i++) {
		give(&v2);
		if (i > 1)
			take(&v2);
		request(&v2);
		send_requested(&v2);
	}
	request(&v2);
	for (int i = 0; i < 3; i++) {
		give(&v3);
		give(&v3);
		take_all(&v3);
	}
	give(&v3);
}

static void judge_all(void)
{
	send_requested(&v2);
	for (int i = 0; i < 20; i++) {
		give(&v1);
		take(&v1);
		give(&v2);
		take(&v2);
		request(&v2);
		send_requested(&v2);
		request(&v3);
		send_requested(&v3);
	}
	take_all(&v1);
	take_all(&v2);
	for (int i = 0; i < 400; i++) {
		give(&v3);
		while (*(volatile uint32_t *)&block(&v3)->hdr.bh1.block_status & TP_STATUS_USER)
			take(&v3);
	}
	take_all(&v3);
	for (unsigned i = 0; i < v3.blocks; i++) {
		char text[24];
		snprintf(text, sizeof text, "block %u", i);
		MUST(!strcmp(private_part(&v3, i), text));
	}
}

static void make_full(void)
{
	make(&full[0], TPACKET_V2, SOCK_RAW, FIRST + 3, 2, 0);
	make(&full[1], TPACKET_V3, SOCK_RAW, FIRST + 4, 3, 0);
	for (int i = 0; i < 3; i++) {
		give(&full[0]);
		take(&full[0]);
	}
	for (int i = 0; i < 8; i++)
		give(&full[0]);
	for (unsigned i = 0; i < full[1].blocks; i++) {
		give(&full[1]);
		await(&full[1],
		      &((struct tpacket_block_desc *)(full[1].memory + (size_t)i * full[1].block))->hdr.bh1.block_status);
	}
	for (int i = 0; i < 2; i++) {
		struct ring copy = full[i];
		give(&copy); /* no room: it is dropped */
	}
}

static void judge_full(void)
{
	for (int i = 0; i < 2; i++) {
		take_all(&full[i]);
		for (int k = 0; k < 5; k++) {
			give(&full[i]);
			take_all(&full[i]);
		}
	}
}

static void make_shared(void)
{
	for (int i = 0; i < 2; i++) {
		make(&shared[i], TPACKET_V3, SOCK_RAW, FIRST + 5, 2, 0);
		set(shared[i].fd, PACKET_FANOUT, 43 | PACKET_FANOUT_LB << 16);
	}
}

static unsigned waiting(const struct ring *r)
{
	unsigned n = 0;
	for (unsigned i = 0; i < r->blocks; i++) {
		const struct tpacket_hdr_v1 *h = &((struct tpacket_block_desc *)(r->memory + (size_t)i * r->block))->hdr.bh1;
		n += *(volatile uint32_t *)&h->block_status & TP_STATUS_USER ? h->num_pkts : 0;
	}
	return n;
}

static void judge_shared(void)
{
	for (int i = 0; i < 4; i++)
		give(&shared[0]);
	for (int i = 0; i < JUDGE_PATIENCE_MS && waiting(&shared[0]) + waiting(&shared[1]) < 4; i++)
		usleep(1000);
	MUST_EQ(waiting(&shared[0]), 2);
	MUST_EQ(waiting(&shared[1]), 2);
}

/* A child that gives packets as fast as it can, whose numbers mean nothing: each frame is the next one all the same. */
static void make_traffic(void)
{
	make(&v2, TPACKET_V2, SOCK_RAW, FIRST + 6, 2, 0);
	make(&v3, TPACKET_V3, SOCK_RAW, FIRST + 6, 4, 0);
	child = fork();
	MUST(child >= 0);
	while (child == 0) {
		give(&v2);
		sched_yield();
		if (getppid() == 1)
			_exit(0);
	}
}

static void judge_traffic(void)
{
	for (int i = 0; i < 100; i++) {
		char *frame = v2.memory + (size_t)v2.next * (v2.block * v2.blocks / v2.frames);
		struct tpacket2_hdr *header = (void *)frame;
		await(&v2, &header->tp_status);
		MUST(!strncmp(frame + header->tp_net, "99b7: packet ", 13));
		header->tp_status = TP_STATUS_KERNEL;
		v2.next = (v2.next + 1) % v2.frames;
		struct tpacket_hdr_v1 *of_block = &block(&v3)->hdr.bh1;
		await(&v3, &of_block->block_status);
		const struct tpacket3_hdr *packet = (void *)((char *)block(&v3) + of_block->offset_to_first_pkt);
		MUST(!strncmp((const char *)packet + packet->tp_net, "99b7: packet ", 13));
		of_block->block_status = TP_STATUS_KERNEL;
		v3.next = (v3.next + 1) % v3.blocks;
	}
	MUST_EQ(kill(child, SIGKILL), 0);
	MUST_EQ(waitpid(child, NULL, 0), child);
}

/* One as libpcap makes it, almost empty. */
static void make_wide(void)
{
	make(&v3, TPACKET_V3, SOCK_RAW, WIDE, 16, 0);
	for (int i = 0; i < 3; i++) {
		give(&v3);
		take_all(&v3);
	}
}

static void judge_wide(void)
{
	for (unsigned i = 0; i < 3; i++) {
		give(&v3);
		take_all(&v3);
	}
}

static void make_odd(const char *what)
{
	make(&v2, TPACKET_V2, SOCK_RAW, FIRST, !strcmp(what, "large") ? 16384 : 2, 0);
	give(&v2);
	if (!strcmp(what, "part"))
		MUST_EQ(munmap(v2.again, BLOCK), 0);
	if (!strcmp(what, "closed"))
		MUST_EQ(close(v2.fd), 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *what;
		void (*make)(void), (*judge)(void);
	} all[] = { { "", make_all, judge_all },
		    { "full", make_full, judge_full },
		    { "wide", make_wide, judge_wide },
		    { "fanout", make_shared, judge_shared },
		    { "traffic", make_traffic, judge_traffic } };
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	size_t i = 0;
	lo = if_nametoindex("lo");
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	outlet = socket(AF_PACKET, SOCK_DGRAM, 0);
	MUST(sender >= 0 && outlet >= 0);
	bind_to(outlet, SENT);
	while (i < sizeof all / sizeof *all && strcmp(all[i].what, what) != 0)
		i++;
	if (i < sizeof all / sizeof *all)
		all[i].make();
	else
		make_odd(what);
	judge_wait();
	if (i < sizeof all / sizeof *all)
		all[i].judge();
	return judge_pass();
}
