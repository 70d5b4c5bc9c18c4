// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns queues of tun and tap devices (/dev/net/tun). A persistent device stays in the kernel with its addresses and routes, and is
 * attached again; one that goes with its last queue is refused. Packets that nobody has read are lost, as packets may be, and that
 * is said. */
#include "collect/collect.h"
#include "collect/netlink.h"
#include "resource/file_scope.h"
#include "tun.pb-c.h"
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* TUNGETIFF says by the bit of IFF_NO_PI that the queue has no filter (IFF_NOFILTER). */
#define AMBIGUOUS ((u32)IFF_NOFILTER)

static const struct kind kind_tun = { .name = "tun", .desc = &ckpt__tun__descriptor };

static bool tun_claims(const struct record_file *file, const char *link)
{
	return link[0] == '/' && S_ISCHR(file->mode) && file->rdev_major == 10 && file->rdev_minor == 200 &&
	       !(file->flags & O_PATH);
}

/* --- collect --- */

static const struct rtattr *find(const struct rtattr *a, int len, u16 type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

static const struct rtattr *find_inside(const struct rtattr *a, u16 type)
{
	return a ? find(RTA_DATA(a), (int)RTA_PAYLOAD(a), type) : NULL;
}

/* Does a packet of the device begin with struct tun_pi? 1, 0 or negative errno, by rtnetlink(7). */
static int has_packet_information(u32 index)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg link;
	} request = { .h = { .nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
		      .link = { .ifi_index = (int)index } };
	_Alignas(struct nlmsghdr) char reply[16384];
	const struct nlmsghdr *h = (const void *)reply;
	int r = netlink_ask(NETLINK_ROUTE, &request, sizeof request, reply, sizeof reply);
	if (r < 0)
		return r;
	const struct rtattr *first = IFLA_RTA(NLMSG_DATA(h));
	const struct rtattr *info = find(first, (int)IFLA_PAYLOAD(h), IFLA_LINKINFO);
	const struct rtattr *pi = find_inside(find_inside(info, IFLA_INFO_DATA), IFLA_TUN_PI);
	return pi ? *(const u8 *)RTA_DATA(pi) != 0 : -EOPNOTSUPP;
}

static int collect_device(Ckpt__Tun *t, int fd, const struct ifreq *request)
{
	int header = 0, room = 0, little = 0;
	SET(t, index, if_nametoindex(request->ifr_name));
	int information = has_packet_information(t->index);
	if (information < 0)
		return fail(SYSCALL, information, "rtnetlink about %s", request->ifr_name);
	SET(t, flags, ((u16)request->ifr_flags & ~AMBIGUOUS) | (information ? 0 : IFF_NO_PI));
	if (ioctl(fd, TUNGETVNETHDRSZ, &header) < 0 || ioctl(fd, TUNGETSNDBUF, &room) < 0 ||
	    ioctl(fd, TUNGETVNETLE, &little) < 0)
		return fail(SYSCALL, neg_errno(), "ioctl of %s", request->ifr_name);
	SET(t, header, (u32)header);
	SET(t, send_buffer, (u32)room);
	if (little)
		SET(t, little_endian, true);
	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1)
		SET(t, unread, true);
	return message_set_string(&t->device, request->ifr_name) ? 0 : fail_memory();
}

/* Reading moves a position that nothing shows to the program and lseek(2) cannot set (drivers/net/tun.c, tun_chr_read_iter()). */
static void forget_position(struct graph *graph, u32 file)
{
	Ckpt__File *f = graph_data(graph, &kind_file, file);
	if (f)
		SET(f, pos, 0);
}

/* A queue without a device says EBADFD. */
static int tun_collect(struct collector *c, const struct subject *subject, struct object *o)
{
	Ckpt__Tun *t = o->data;
	struct ifreq request = { 0 };
	int fd = collector_fd(c);
	forget_position(collector_graph(c), o->id);
	if (fd < 0)
		return fail(FD_DUPLICATE, fd, "%s", subject->link);
	if (!message_set_string(&t->path, subject->link))
		return fail_memory();
	if (ioctl(fd, TUNGETIFF, &request) == 0)
		return collect_device(t, fd, &request);
	return errno == EBADFD ? 0 : fail(SYSCALL, neg_errno(), "ioctl(TUNGETIFF)");
}

/* --- judge --- */

static int judge_restore(const Ckpt__Tun *t)
{
	struct stat st;
	if (stat(t->path, &st) < 0)
		return fail(FILE_MISSING, neg_errno(), "%s", t->path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 200))
		return fail(FILE_CHANGED, 0, "%s is no /dev/net/tun", t->path);
	return !t->device || if_nametoindex(t->device) ? 0 : fail(TUN_GONE, neg_errno(), "%s", t->device);
}

static int tun_judge(const struct graph *graph, const struct object *o, enum direction direction)
{
	(void)graph;
	const Ckpt__Tun *t = o->data;
	if (!t->path || t->path[0] != '/' || (t->device && strlen(t->device) >= IFNAMSIZ))
		return fail(IMAGE_VALUE, 0, "a queue of %s", t->device ?: "no device");
	if (direction == DIRECTION_RESTORE)
		return judge_restore(t);
	if (t->unread && t->flags & IFF_PERSIST)
		warn(PACKET_DROPPED, 0, "%s", t->device);
	return !t->device || t->flags & IFF_PERSIST ? 0 : fail(TUN_TRANSIENT, 0, "%s", t->device);
}

/* --- plan --- */

#define CREATE AT(PLAN_WORLD, STAGE_CREATE)

static void plan_ioctl(struct plan *plan, u32 file, unsigned long request, const void *data, size_t len)
{
	plan_call(plan, CREATE, SYS_ioctl, ARG(plan_fd(plan, file)), ARG(request), ARG_OF_DATA(plan_data(plan, data, len, 8)));
}

static void plan_device(struct plan *plan, u32 file, const Ckpt__Tun *t)
{
	struct ifreq request = { .ifr_flags = (short)(t->flags & ~(u32)(IFF_PERSIST | IFF_DETACH_QUEUE)) };
	const int header = (int)t->header, room = (int)t->send_buffer, little = t->little_endian;
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", t->device);
	plan_ioctl(plan, file, TUNSETIFF, &request, sizeof request);
	if (t->header)
		plan_ioctl(plan, file, TUNSETVNETHDRSZ, &header, sizeof header);
	if (t->send_buffer)
		plan_ioctl(plan, file, TUNSETSNDBUF, &room, sizeof room);
	if (little)
		plan_ioctl(plan, file, TUNSETVNETLE, &little, sizeof little);
	if (t->flags & IFF_DETACH_QUEUE) {
		request.ifr_flags = IFF_DETACH_QUEUE;
		plan_ioctl(plan, file, TUNSETQUEUE, &request, sizeof request);
	}
}

static int tun_plan(struct plan *plan, const struct graph *graph, const struct object *o)
{
	const Ckpt__Tun *t = o->data;
	u32 made = file_reopen_flags(graph, o->id);
	struct arg path = arg_string(plan, t->path);
	u32 fd = step_result(plan, plan_call(plan, CREATE, SYS_openat, ARG(AT_FDCWD), path, ARG(made)));
	plan_place_fd(plan, fd, o->id);
	if (t->device)
		plan_device(plan, o->id, t);
	return 0;
}

const struct resource resource_tun = {
	.name = "tun",
	.scope = SCOPE_FILE,
	.kind = &kind_tun,
	.claims = tun_claims,
	.collect = tun_collect,
	.judge = tun_judge,
	.plan = tun_plan,
};
