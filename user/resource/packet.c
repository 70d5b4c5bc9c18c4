// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns sockets of packet(7): what they receive of which device, memberships, options, fanout groups, rings and their mappings. */
#include "collect/collect.h"
#include "collect/netlink.h"
#include "collect/socket.h"
#include "packet.pb-c.h"
#include "model/shape.h"
#include "resource/packet_moves.h"
#include "resource/packet_rings.h"
#include "resource/socket_option.h"
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24 /* Linux 6.6 */
#endif
#define TIMES_MAX 4096u /* a membership that was asked for more often is no one's */

static const struct socket_option packet_options[] = {
#include "resource/socket_options.def"
	COMMON_OPTIONS,
	OPTION(SOL_SOCKET, SO_PASSCRED, INT), /* of any socket before Linux 6.16 */
	OPTION(SOL_SOCKET, SO_PASSSEC, INT),
	OPTION(SOL_SOCKET, SO_PASSPIDFD, INT),
	OPTION(SOL_PACKET, PACKET_VERSION, INT),
	OPTION(SOL_PACKET, PACKET_RESERVE, INT),
	OPTION(SOL_PACKET, PACKET_AUXDATA, INT),
	OPTION(SOL_PACKET, PACKET_ORIGDEV, INT),
	OPTION(SOL_PACKET, PACKET_LOSS, INT),
	OPTION(SOL_PACKET, PACKET_VNET_HDR, INT),
	OPTION(SOL_PACKET, PACKET_VNET_HDR_SZ, INT),
	OPTION(SOL_PACKET, PACKET_TIMESTAMP, INT),
	OPTION(SOL_PACKET, PACKET_TX_HAS_OFF, INT),
	OPTION(SOL_PACKET, PACKET_QDISC_BYPASS, INT),
	OPTION(SOL_PACKET, PACKET_IGNORE_OUTGOING, INT),
	LAST_OPTION
};

/* A socket, or a mapping of one: of a mapping nothing tells the family. */
static bool packet_claims(const struct record_file *file, const char *link)
{
	return file->family == AF_PACKET || (file->fd == UINT32_MAX && !strncmp(link, "socket:[", 8));
}

static bool is_mapping(const Ckpt__Packet *m) { return !m->type; }

/* --- collect --- */

static int add_device(Ckpt__Packet *m, u32 ifindex)
{
	char name[IF_NAMESIZE] = "";
	if (ifindex)
		if_indextoname(ifindex, name);
	char *copy = strdup(name);
	if (copy && MESSAGE_APPEND(&m->n_device, &m->device, copy))
		return 0;
	free(copy);
	return fail_memory();
}

static int add_membership(Ckpt__Packet *m, const struct packet_diag_mclist *of)
{
	Ckpt__PacketMembership *membership = MESSAGE_NEW(Ckpt__PacketMembership, ckpt__packet_membership);
	if (!membership || !MESSAGE_APPEND(&m->n_membership, &m->membership, membership)) {
		free(membership);
		return fail_memory();
	}
	SET(membership, ifindex, of->pdmc_index);
	SET(membership, type, of->pdmc_type);
	SET(membership, count, of->pdmc_count);
	size_t len = MIN((size_t)of->pdmc_alen, sizeof of->pdmc_addr);
	membership->has_address = len && message_set_bytes(&membership->address, of->pdmc_addr, len);
	return membership->has_address || !len ? add_device(m, of->pdmc_index) : fail_memory();
}

/* Of a fanout group packet_diag has no flags, and getsockopt(2) tells 0 of none, which is a group as well. */
static int collect_told(const struct packet_diag *diag, int fd, Ckpt__Packet *m)
{
	int fanout = 0, r = 0;
	socklen_t len = sizeof fanout;
	SET(m, running, (diag->info.pdi_flags & PDI_RUNNING) != 0);
	SET(m, copy_threshold, diag->info.pdi_copy_thresh);
	if (diag->fanout && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fanout, &len) == 0)
		SET(m, fanout, (u32)fanout);
	for (size_t i = diag->memberships.n; r == 0 && i > 0; i--) /* the last one that was added is the first one told */
		r = add_membership(m, &diag->memberships.v[i - 1]);
	return r;
}

static int collect_address(int fd, Ckpt__Packet *m)
{
	struct sockaddr_ll a = { 0 };
	socklen_t len = sizeof a;
	if (getsockname(fd, (void *)&a, &len) < 0)
		return fail(SYSCALL, neg_errno(), "getsockname");
	SET(m, protocol, ntohs(a.sll_protocol));
	SET(m, ifindex, (u32)a.sll_ifindex);
	return add_device(m, m->ifindex);
}

/* poll(2) would tell of a ring. What waits beside one is too long for its frames (PACKET_COPY_THRESH). */
static void collect_moment(struct collector *c, int fd, Ckpt__Packet *m)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int next = 0;
	poll(&poll_fd, 1, 0);
	if (poll_fd.revents & POLLERR)
		SET(m, error, true);
	if (!(poll_fd.revents & POLLIN) || (ioctl(fd, FIONREAD, &next) == 0 && !next))
		return;
	SET(m, unread, true);
	if (collector_policy(c, POLICY_PACKETS) == POLICY_DROP)
		SET(m, dropped, true);
}

static int collect_rest(struct collector *c, int fd, Ckpt__Packet *m)
{
	_cleanup_close_ int fresh = socket(AF_PACKET, plain_type_number(m->type) | SOCK_CLOEXEC, 0);
	_cleanup_(packet_diag_free) struct packet_diag diag = { 0 };
	collect_moment(c, fd, m);
	int r = collect_address(fd, m);
	if (r == 0)
		r = collect_options(fd, fresh, packet_options, ARRAY_SIZE(packet_options), &m->n_option, &m->option);
	if (r < 0)
		return r;
	if (caps_lacks(collector_caps(c), CAN_PACKET_DIAG) || netlink_packet_diag(m->inode, &diag) < 0) {
		SET(m, hidden, true);
		return 0;
	}
	r = collect_told(&diag, fd, m);
	return r == 0 ? collect_rings(c, fd, &diag, m) : r;
}

static int packet_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Packet *m = o->data;
	struct socket_head head;
	if (subject->file->fd == UINT32_MAX)
		return 0; /* descriptors come later */
	int fd = collector_fd(c), r = socket_head(fd, subject->link, &head);
	if (r < 0)
		return r;
	SET(m, memory, o->id);
	SET_SOCKET_HEAD(m, &head);
	r = collect_plain_type(fd, &m->type);
	return r == 0 && head.near == 1 ? collect_rest(c, fd, m) : r;
}

/* Which socket it is that is mapped. */
static int packet_settle(struct collector *c, struct object *o)
{
	Ckpt__Packet *m = o->data;
	const struct graph *graph = collector_graph(c);
	const Ckpt__File *mapped = graph_data(graph, &kind_file, o->id);
	for (const struct object *other = NULL; !m->has_memory && (other = graph_next(graph, &kind_packet, other));) {
		const Ckpt__File *f = graph_data(graph, &kind_file, other->id);
		if (!is_mapping(other->data) && f->inode == mapped->inode && f->device == mapped->device)
			SET(m, memory, other->id);
	}
	return 0;
}

/* --- judge --- */

/* What cannot be made again; NULL: nothing. */
static const char *what_is_left(const Ckpt__Packet *m)
{
	u32 type = m->fanout >> 16 & 0xff;
	if (!plain_type_number(m->type))
		return "the obsolete type SOCK_PACKET";
	if (m->ring)
		return "a ring of which the image has nothing";
	if (m->has_fanout && (type == PACKET_FANOUT_CBPF || type == PACKET_FANOUT_EBPF))
		return "a fanout group that a program spreads";
	if (m->has_fanout && !m->running)
		return "a fanout group of a device that is down";
	if (m->ifindex > INT32_MAX)
		return "a device that is gone";
	return m->error && m->running ? "an error that waits to be told" : NULL;
}

static int judge_dump(const struct graph *graph, const struct object *o)
{
	const Ckpt__Packet *m = o->data;
	unsigned long long inode = m->inode;
	if (is_mapping(m))
		return m->memory ? 0 : fail(SOCKET_MAPPED, 0, "of which no descriptor is known");
	const char *left = what_is_left(m);
	if (!m->near)
		return fail(INET_NAMESPACE, 0, "socket:[%llu]%s", inode, socket_far(m->has_near));
	if (m->hidden)
		return fail(PACKET_HIDDEN, 0, "socket:[%llu]", inode);
	if (m->hidden_filter)
		return fail(INET_FILTER, 0, "of the packet socket:[%llu]", inode);
	if (left)
		return fail(SOCKET_PACKET, 0, "a packet socket with %s", left);
	if (m->unread && !m->dropped)
		return fail(PACKET_UNREAD, 0, "socket:[%llu]", inode);
	if (m->unread)
		warn(PACKET_DROPPED, 0, "socket:[%llu]", inode);
	return judge_rings(graph, o);
}

static int judge_device(u32 ifindex, const char *name)
{
	char now[IF_NAMESIZE] = "";
	if (!ifindex || (if_indextoname(ifindex, now) && !strcmp(now, name)))
		return 0;
	return fail(PACKET_DEVICE, -ENODEV, "device %u was %s, is %s", ifindex, name, *now ? now : "none");
}

static bool is_sound(const Ckpt__Packet *m)
{
	bool sound = plain_type_number(m->type) && m->protocol <= UINT16_MAX && filter_sound(&m->filter) &&
		     options_sound(packet_options, ARRAY_SIZE(packet_options), m->n_option, m->option) &&
		     m->n_device == 1 + m->n_membership && are_rings_sound(m);
	for (size_t i = 0; i < m->n_membership; i++)
		sound &= m->membership[i]->address.len <= sizeof((struct packet_diag_mclist *)0)->pdmc_addr &&
			 m->membership[i]->count <= TIMES_MAX && m->membership[i]->type <= PACKET_MR_UNICAST;
	return sound;
}

static int judge_restore(const struct graph *graph, const struct object *o)
{
	const Ckpt__Packet *m = o->data, *socket = graph_data(graph, &kind_packet, m->memory);
	if (is_mapping(m) ? !socket || is_mapping(socket) : m->has_memory && m->memory != o->id)
		return fail(IMAGE_INCONSISTENT, 0, "a mapping of no packet socket");
	if (is_mapping(m))
		return 0;
	if (!is_sound(m))
		return fail(IMAGE_INCONSISTENT, 0, "packet socket %u", o->id);
	int r = judge_loopback(m), device = judge_device(m->ifindex, m->device[0]);
	r = device < 0 ? device : r;
	for (size_t i = 0; i < m->n_membership; i++)
		if (judge_device(m->membership[i]->ifindex, m->device[i + 1]) < 0)
			r = -ENODEV;
	return r;
}

static int packet_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	return direction == DIRECTION_DUMP ? judge_dump(graph, o) : judge_restore(graph, o);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)
#define BIND AT(PLAN_WORLD, STAGE_LINK) /* when no packet is on its way any more that moves a ring */

static void plan_membership(struct plan *plan, struct arg fd, const Ckpt__PacketMembership *membership)
{
	struct {
		int ifindex;
		u16 type, len;
		u8 address[32];
	} request = { (int)membership->ifindex, (u16)membership->type, (u16)membership->address.len, { 0 } };
	if (membership->address.len)
		memcpy(request.address, membership->address.data, membership->address.len);
	for (u32 i = 0; i < membership->count; i++)
		plan_set(plan, CREATE, fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request);
}

/* A device that is down says so to who binds to it: that waits to be told where it had waited. */
static void plan_bind(struct plan *plan, struct arg fd, const Ckpt__Packet *m)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons((u16)m->protocol),
				 .sll_ifindex = (int)m->ifindex };
	if (!m->protocol && !m->ifindex)
		return;
	step_expect(plan_call(plan, BIND, SYS_bind, fd, ARG_OF_DATA(plan_data(plan, &a, sizeof a, 8)), ARG(sizeof a)), 0);
	u32 len = plan_data(plan, &(int){ sizeof(int) }, sizeof(int), 8);
	if (!m->running && !m->error)
		plan_call(plan, BIND, SYS_getsockopt, fd, ARG(SOL_SOCKET), ARG(SO_ERROR),
			  ARG_OF_DATA(plan_data(plan, NULL, sizeof(int), 8)), ARG_OF_DATA(len));
}

/* Its mappings are files of their own in the image. */
static void plan_mapped(struct plan *plan, const struct graph *graph, u32 socket)
{
	for (const struct object *o = NULL; (o = graph_next(graph, &kind_packet, o));)
		if (o->id != socket && ((const Ckpt__Packet *)o->data)->memory == socket)
			plan_call(plan, CREATE, SYS_dup3, ARG(plan_fd(plan, socket)), ARG(plan_fd(plan, o->id)),
				  ARG(O_CLOEXEC));
}

/* The filter looks at the first packet. That of a ring which was moved lets none in, and stands until the socket is bound. */
static void plan_receiver(struct plan *plan, struct arg fd, const Ckpt__Packet *m)
{
	bool moved = receive_moves(m);
	if (!moved)
		plan_filter(plan, BIND, fd, &m->filter);
	plan_bind(plan, fd, m);
	if (moved && m->filter.len)
		plan_filter(plan, BIND, fd, &m->filter);
	else if (moved)
		plan_set(plan, BIND, fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
	if (m->has_fanout)
		plan_set(plan, BIND, fd, SOL_PACKET, PACKET_FANOUT, &m->fanout, sizeof m->fanout);
}

/* Options of which there is one behind the filter: its lock. */
static size_t options_before(const Ckpt__Packet *m)
{
	bool locked = m->n_option && !strcmp(m->option[m->n_option - 1]->name, "SO_LOCK_FILTER");
	return m->n_option - (locked ? 1 : 0);
}

/* It receives when all else is as it was. */
static int packet_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Packet *m = o->data;
	if (is_mapping(m))
		return 0;
	u32 made = (u32)plain_type_number(m->type) | SOCK_CLOEXEC;
	struct plan_step *make = plan_call(plan, CREATE, SYS_socket, ARG(AF_PACKET), ARG(made), ARG(0));
	struct arg fd = ARG(plan_fd(plan, o->id));
	plan_place_fd(plan, step_result(plan, make), o->id);
	plan_call(plan, CREATE, SYS_fchown, fd, ARG(m->uid), ARG(m->gid));
	size_t rows = ARRAY_SIZE(packet_options), before = options_before(m);
	plan_options(plan, CREATE, fd, packet_options, rows, before, m->option);
	plan_rings(plan, fd, m);
	if (m->copy_threshold)
		plan_set(plan, CREATE, fd, SOL_PACKET, PACKET_COPY_THRESH, &m->copy_threshold, sizeof m->copy_threshold);
	for (size_t i = 0; i < m->n_membership; i++)
		plan_membership(plan, fd, m->membership[i]);
	plan_receiver(plan, fd, m);
	plan_options(plan, BIND, fd, packet_options, rows, m->n_option - before, m->option + before);
	plan_status_flags(plan, CREATE, o->id, file_flags(graph, o->id), 0);
	plan_mapped(plan, graph, o->id);
	return 0;
}

static u64 packet_room(const struct object *o) { return is_mapping(o->data) ? 0 : moves_room(o->data); }

const struct resource resource_packet = {
	.name = "packet",
	.scope = SCOPE_FILE,
	.kind = &kind_packet,
	.claims = packet_claims,
	.collect = packet_collect,
	.settle = packet_settle,
	.judge = packet_judge,
	.plan = packet_plan,
	.room = packet_room,
};
