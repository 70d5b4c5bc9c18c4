// SPDX-License-Identifier: LGPL-2.1-or-later
/* capture DIR [WHAT]: sockets of packet(7): one of a device with a filter, memberships and options, one of all devices, two that share
 * what comes, one that receives nothing. unread: a packet waits in the first one; obsolete: there is a SOCK_PACKET;
 * spread: a program says which of the two receives. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

/* IEEE Std 802 - Local Experimental, and what else nobody sends */
enum { RAW = 0x88b5, ALL = 0x88b6, SHARED = 0x99b7 };

static int raw, all, shared[2], idle, sender;
static unsigned lo;

static void set(int fd, int level, int number, int value) { MUST_EQ(setsockopt(fd, level, number, &value, sizeof value), 0); }

static int option(int fd, int level, int number)
{
	int value = -1;
	socklen_t len = sizeof value;
	MUST_EQ(getsockopt(fd, level, number, &value, &len), 0);
	return value;
}

static struct sockaddr_ll address(unsigned protocol, unsigned device)
{
	return (struct sockaddr_ll){ .sll_family = AF_PACKET,
				     .sll_protocol = htons((uint16_t)protocol),
				     .sll_ifindex = (int)device };
}

static int bound(int type, unsigned protocol, unsigned device)
{
	struct sockaddr_ll a = address(protocol, device);
	int fd = socket(AF_PACKET, type, 0);
	MUST(fd >= 0);
	MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static void join(int fd, int number, unsigned short type, const char *to)
{
	struct packet_mreq request = { .mr_ifindex = (int)lo, .mr_type = type, .mr_alen = to ? 6 : 0 };
	if (to)
		memcpy(request.mr_address, to, 6);
	MUST_EQ(setsockopt(fd, SOL_PACKET, number, &request, sizeof request), 0);
}

static void send_frame(unsigned protocol, const char *text)
{
	struct sockaddr_ll a = address(protocol, lo);
	a.sll_halen = 6;
	MUST_EQ(sendto(sender, text, strlen(text), 0, (void *)&a, sizeof a), strlen(text));
}

/* Takes a frame, which is the text behind `header` bytes. */
static void must_come(int fd, size_t header, const char *text)
{
	char frame[256] = "";
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	MUST_EQ(poll(&ready, 1, JUDGE_PATIENCE_MS), 1);
	ssize_t n = recv(fd, frame, sizeof frame - 1, 0);
	MUST_EQ(n, header + strlen(text));
	MUST(!memcmp(frame + header, text, strlen(text)));
}

static int waiting(int fd)
{
	char frame[256];
	int n = 0;
	while (recv(fd, frame, sizeof frame, MSG_DONTWAIT) > 0)
		n++;
	return n;
}

/* How many want all packets of the device (IFLA_PROMISCUITY). */
static unsigned promiscuity(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = { .h = { sizeof request, RTM_GETLINK, NLM_F_REQUEST, 1, 0 }, .i = { .ifi_index = (int)lo } };
	_Alignas(struct nlmsghdr) char reply[16384];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	MUST_EQ(send(fd, &request, sizeof request, 0), sizeof request);
	MUST(recv(fd, reply, sizeof reply, 0) > 0);
	close(fd);
	const struct nlmsghdr *h = (void *)reply;
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(struct ifinfomsg)));
	for (const struct rtattr *a = IFLA_RTA(NLMSG_DATA(h)); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_PROMISCUITY)
			return *(const unsigned *)RTA_DATA(a);
	judge_fail("nothing tells of promiscuity");
}

/* All to the first one. */
static void spread(void)
{
	struct sock_filter first = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog program = { 1, &first };
	for (int i = 0; i < 2; i++) {
		int fd = bound(SOCK_RAW, SHARED, lo);
		set(fd, SOL_PACKET, PACKET_FANOUT, 44 | PACKET_FANOUT_CBPF << 16);
		MUST_EQ(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program), 0);
	}
}

static void make(void)
{
	static struct sock_filter longer[] = { { BPF_LD | BPF_W | BPF_LEN, 0, 0, 0 },
					       { BPF_JMP | BPF_JGE | BPF_K, 0, 1, 18 },
					       { BPF_RET | BPF_K, 0, 0, 0xffff },
					       { BPF_RET | BPF_K, 0, 0, 0 } };
	struct sock_fprog filter = { 4, longer };
	lo = if_nametoindex("lo");
	sender = socket(AF_PACKET, SOCK_DGRAM, 0);
	raw = bound(SOCK_RAW, RAW, lo);
	MUST_EQ(setsockopt(raw, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0);
	join(raw, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
	join(raw, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
	join(raw, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, "\1\0\x5e\0\0\7");
	set(raw, SOL_PACKET, PACKET_AUXDATA, 1);
	set(raw, SOL_PACKET, PACKET_COPY_THRESH, 64);
	set(raw, SOL_SOCKET, SO_RCVBUF, 50000);
	all = bound(SOCK_DGRAM, ALL, 0);
	set(all, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	set(all, SOL_PACKET, PACKET_RESERVE, 16);
	set(all, SOL_PACKET, PACKET_ORIGDEV, 1);
	MUST_EQ(fcntl(all, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 2; i++) {
		shared[i] = bound(SOCK_RAW, SHARED, lo);
		set(shared[i], SOL_PACKET, PACKET_FANOUT, 42 | PACKET_FANOUT_LB << 16);
	}
	idle = socket(AF_PACKET, SOCK_RAW, 0);
	MUST(idle >= 0 && sender >= 0);
}

static void judge_sockets(void)
{
	send_frame(RAW, "no");
	send_frame(RAW, "long enough");
	must_come(raw, 14, "long enough");
	MUST_EQ(waiting(raw), 0);
	send_frame(ALL, "for all");
	must_come(all, 0, "for all");
	for (int i = 0; i < 4; i++)
		send_frame(SHARED, "for either");
	int first = 0, second = 0;
	for (int tries = 0; first + second < 4 && tries < JUDGE_PATIENCE_MS; tries++) { /* ksoftirqd may bring them */
		if (tries)
			judge_nap(1);
		first += waiting(shared[0]), second += waiting(shared[1]);
	}
	MUST(first && second);
	MUST_EQ(first + second, 4);
	MUST_EQ(waiting(idle), 0);
	MUST_EQ(option(raw, SOL_PACKET, PACKET_AUXDATA), 1);
	MUST_EQ(option(raw, SOL_SOCKET, SO_RCVBUF), 100000);
	MUST_EQ(option(all, SOL_PACKET, PACKET_VERSION), TPACKET_V2);
	MUST_EQ(option(all, SOL_PACKET, PACKET_RESERVE), 16);
	MUST_EQ(option(all, SOL_PACKET, PACKET_ORIGDEV), 1);
	MUST(fcntl(all, F_GETFL) & O_NONBLOCK);
	for (int i = 0; i < 2; i++) {
		MUST_EQ(option(shared[i], SOL_PACKET, PACKET_FANOUT), 42 | PACKET_FANOUT_LB << 16);
		MUST_EQ(promiscuity(), 1);
		join(raw, PACKET_DROP_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
	}
	MUST_EQ(promiscuity(), 0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	const char *what = argc > 2 ? argv[2] : "";
	make();
	MUST_EQ(promiscuity(), 1);
	if (!strcmp(what, "unread")) {
		send_frame(RAW, "long enough, and not read");
		MUST_EQ(poll(&(struct pollfd){ .fd = raw, .events = POLLIN }, 1, JUDGE_PATIENCE_MS), 1);
	}
	if (!strcmp(what, "obsolete"))
		MUST(socket(AF_PACKET, SOCK_PACKET, 0) >= 0);
	if (!strcmp(what, "spread"))
		spread();
	judge_wait();
	if (!strcmp(what, "unread"))
		MUST(waiting(raw) <= 1);
	judge_sockets();
	return judge_pass();
}
