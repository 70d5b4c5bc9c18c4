// SPDX-License-Identifier: LGPL-2.1-or-later
/* tuns DIR [transient | unread]: a queue of a persistent tun device, one of a tap device with headers, one of no device yet; packets go to and
 * from them. transient: a device that goes with its queue; unread: a packet waits in the first one. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define HEADER 12 /* bytes of struct virtio_net_hdr_mrg_rxbuf */
#define SEND_BUFFER 100000

static int tun, tap, idle, out;

static int open_tun(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		judge_fail("skip: /dev/net/tun: %s", strerror(errno));
	return fd;
}

static struct ifreq request_for(const char *name, int flags)
{
	struct ifreq request = { .ifr_flags = (short)flags };
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	return request;
}

static int make(const char *name, int flags, int persists)
{
	struct ifreq request = request_for(name, flags);
	int fd = open_tun();
	if (ioctl(fd, TUNSETIFF, &request))
		judge_fail("skip: TUNSETIFF: %s", strerror(errno));
	MUST_EQ(ioctl(fd, TUNSETPERSIST, persists), 0);
	return fd;
}

/* 10.9.8.7/24, and up. */
static void give_address(const char *name)
{
	struct ifreq request = request_for(name, 0);
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = inet_addr("10.9.8.7");
	MUST_EQ(ioctl(out, SIOCSIFADDR, &request), 0);
	address->sin_addr.s_addr = inet_addr("255.255.255.0");
	MUST_EQ(ioctl(out, SIOCSIFNETMASK, &request), 0);
	request = request_for(name, IFF_UP);
	MUST_EQ(ioctl(out, SIOCSIFFLAGS, &request), 0);
}

/* Has a datagram with this token come out of the tun device? */
static bool has_come(char token)
{
	char packet[2048];
	for (ssize_t n; (n = read(tun, packet, sizeof packet)) > 0;)
		if (n == 29 && packet[9] == IPPROTO_UDP && packet[28] == token)
			return true;
	MUST_EQ(errno, EAGAIN);
	return false;
}

/* Datagrams to a neighbour come out of the tun device. The kernel drops some while the device is not yet what it was: a queue has just
 * been attached. */
static void judge_packet(char token)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.9.8.6") };
	for (int tries = 0; !has_come(token); tries++) {
		MUST(tries < 1000);
		MUST_EQ(sendto(out, &token, 1, 0, (const struct sockaddr *)&to, sizeof to), 1);
		poll(&(struct pollfd){ .fd = tun, .events = POLLIN }, 1, 20);
	}
}

/* Leaves one there. */
static void leave_packet(void)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.9.8.6") };
	MUST_EQ(sendto(out, "l", 1, 0, (const struct sockaddr *)&to, sizeof to), 1);
	MUST_EQ(poll(&(struct pollfd){ .fd = tun, .events = POLLIN }, 1, JUDGE_PATIENCE_MS), 1);
}

static void judge_queue(int fd, const char *name, int flags)
{
	struct ifreq request = { 0 };
	MUST_EQ(ioctl(fd, TUNGETIFF, &request), 0);
	MUST(!strcmp(request.ifr_name, name));
	/* the bit of IFF_NO_PI has another meaning here: packets tell, and the facts */
	MUST_EQ(request.ifr_flags & (IFF_TUN | IFF_TAP | IFF_VNET_HDR | IFF_PERSIST), flags | IFF_PERSIST);
}

static void judge_tuns(void)
{
	struct ifreq request = { 0 };
	int header = 0, room = 0;
	judge_queue(tun, "judged0", IFF_TUN);
	judge_packet('b');
	judge_queue(tap, "judged1", IFF_TAP | IFF_VNET_HDR);
	MUST(ioctl(tap, TUNGETVNETHDRSZ, &header) == 0 && ioctl(tap, TUNGETSNDBUF, &room) == 0);
	MUST_EQ(header, HEADER);
	MUST_EQ(room, SEND_BUFFER);
	MUST(ioctl(idle, TUNGETIFF, &request) == -1 && errno == EBADFD);
	MUST_EQ(judge_flags(idle), O_RDWR | O_NONBLOCK);
	request = request_for("judged2", IFF_TUN | IFF_NO_PI);
	MUST_EQ(ioctl(idle, TUNSETIFF, &request), 0);
	MUST(ioctl(tun, TUNSETPERSIST, 0) == 0 && ioctl(tap, TUNSETPERSIST, 0) == 0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "transient")) {
		make("judged0", IFF_TUN | IFF_NO_PI, 0);
		judge_wait();
		return judge_pass();
	}
	out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	tun = make("judged0", IFF_TUN | IFF_NO_PI, 1);
	give_address("judged0");
	tap = make("judged1", IFF_TAP | IFF_VNET_HDR, 1);
	MUST(ioctl(tap, TUNSETVNETHDRSZ, &(int){ HEADER }) == 0 && ioctl(tap, TUNSETSNDBUF, &(int){ SEND_BUFFER }) == 0);
	idle = open_tun();
	judge_packet('a');
	if (argc > 2)
		leave_packet();
	judge_wait();
	judge_tuns();
	return judge_pass();
}
