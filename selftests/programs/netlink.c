// SPDX-License-Identifier: LGPL-2.1-or-later
/* netlink DIR [unread]: sockets of netlink(7): one that asks, one that listens to groups with a filter and options, one that is
 * connected, one that is new; "unread": an answer waits. */
#include "judge.h"
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

static int open_socket(int type, int protocol, unsigned port)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = port };
	int fd = socket(AF_NETLINK, type, protocol);
	MUST(fd >= 0);
	if (port)
		MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static void ask(int fd, unsigned sequence)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = { .h = { sizeof request, RTM_GETLINK, NLM_F_REQUEST, sequence, 0 }, .i = { .ifi_index = 1 } };
	MUST_EQ(send(fd, &request, sizeof request, 0), sizeof request);
}

static void must_answer(int fd, unsigned sequence, unsigned port)
{
	char reply[16384];
	const struct nlmsghdr *h = (void *)reply;
	ask(fd, sequence);
	MUST(recv(fd, reply, sizeof reply, 0) > 0);
	MUST_EQ(h->nlmsg_type, RTM_NEWLINK);
	MUST_EQ(h->nlmsg_seq, sequence);
	MUST_EQ(h->nlmsg_pid, port);
}

/* Changes the first interface, which is told to a group. */
static void touch_link(int fd, unsigned change)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
		struct rtattr a;
		unsigned length;
	} request = { .h = { sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 7, 0 },
		      .i = { .ifi_index = 1 },
		      .a = { 8, IFLA_TXQLEN },
		      .length = change };
	char reply[4096];
	MUST_EQ(send(fd, &request, sizeof request, 0), sizeof request);
	MUST(recv(fd, reply, sizeof reply, 0) > 0);
}

static int option(int fd, int level, int number)
{
	int value = 0;
	socklen_t len = sizeof value;
	MUST_EQ(getsockopt(fd, level, number, &value, &len), 0);
	return value;
}

static unsigned port_of(int fd)
{
	struct sockaddr_nl a = { 0 };
	socklen_t len = sizeof a;
	MUST_EQ(getsockname(fd, (void *)&a, &len), 0);
	return a.nl_pid;
}

int main(int argc, char **argv)
{
	const int on = 1, room = 100000;
	struct sock_filter all[] = { { BPF_RET | BPF_K, 0, 0, 0xffff } };
	struct sock_fprog filter = { 1, all };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char event[16384];
	judge_start(argc, argv);
	int asks = open_socket(SOCK_RAW, NETLINK_ROUTE, 777), listens = open_socket(SOCK_DGRAM, NETLINK_ROUTE, 778);
	int events = open_socket(SOCK_RAW, NETLINK_KOBJECT_UEVENT, 0), fresh = open_socket(SOCK_RAW, NETLINK_ROUTE, 0);
	int connected = open_socket(SOCK_RAW, NETLINK_GENERIC, 0);
	for (int group = RTNLGRP_LINK; group <= RTNLGRP_NSID; group += RTNLGRP_NSID - RTNLGRP_LINK)
		MUST_EQ(setsockopt(listens, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group), 0);
	MUST_EQ(setsockopt(listens, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0);
	MUST_EQ(setsockopt(listens, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
	MUST_EQ(setsockopt(listens, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof on), 0);
	MUST_EQ(setsockopt(asks, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on), 0);
	MUST_EQ(setsockopt(asks, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on), 0);
	MUST_EQ(setsockopt(events, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
	MUST_EQ(connect(connected, (void *)&kernel, sizeof kernel), 0);
	MUST_EQ(fcntl(events, F_SETFL, O_NONBLOCK), 0);
	unsigned port = port_of(connected);
	must_answer(asks, 1, 777);
	if (argc > 2)
		ask(asks, 2);
	judge_wait();

	if (argc > 2) {
		MUST(recv(asks, event, sizeof event, 0) > 0);
		return judge_pass();
	}
	must_answer(asks, 3, 777);
	touch_link(asks, 1234);
	ssize_t n = recv(listens, event, sizeof event, 0);
	MUST(n > 0 && ((struct nlmsghdr *)event)->nlmsg_type == RTM_NEWLINK);
	MUST_EQ(port_of(listens), 778);
	MUST_EQ(port_of(connected), port);
	MUST_EQ(option(listens, SOL_SOCKET, SO_RCVBUF), 200000);
	MUST_EQ(option(listens, SOL_NETLINK, NETLINK_PKTINFO), 1);
	MUST_EQ(option(asks, SOL_NETLINK, NETLINK_EXT_ACK), 1);
	MUST_EQ(option(asks, SOL_NETLINK, NETLINK_GET_STRICT_CHK), 1);
	MUST_EQ(option(events, SOL_SOCKET, SO_PASSCRED), 1);
	MUST(recv(events, event, sizeof event, 0) < 0 && errno == EAGAIN);
	struct sock_filter back[4];
	socklen_t count = 4;
	MUST(getsockopt(listens, SOL_SOCKET, SO_GET_FILTER, back, &count) == 0 && count == 1 && back[0].k == 0xffff);
	must_answer(fresh, 4, (unsigned)getpid());
	return judge_pass();
}
