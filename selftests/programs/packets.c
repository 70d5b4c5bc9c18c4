// SPDX-License-Identifier: LGPL-2.1-or-later
/* packets DIR: sockets of the internet without connections of TCP: UDP-Lite with a datagram that waits, echoes of ICMP without a right,
 * raw sockets with filters, bound, connected and with headers of their own. Without UDP-Lite in the kernel it does the rest. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LITE 136
enum { SEND_COVERAGE = 10, RECEIVE_COVERAGE = 11 };

static struct sockaddr_in here(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int option(int fd, int level, int number)
{
	int value = -7;
	socklen_t len = sizeof value;
	MUST_EQ(getsockopt(fd, level, number, &value, &len), 0);
	return value;
}

static void set_option(int fd, int level, int number, int value)
{
	MUST_EQ(setsockopt(fd, level, number, &value, sizeof value), 0);
}

/* An echo that is answered by this host. */
static void must_echo(int fd, int id, int sequence)
{
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof from;
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo.sequence = htons((uint16_t)sequence) };
	MUST_EQ(send(fd, &echo, sizeof echo, 0), sizeof echo);
	MUST_EQ(recvfrom(fd, &echo, sizeof echo, 0, (void *)&from, &len), sizeof echo);
	MUST_EQ(echo.type, ICMP_ECHOREPLY);
	MUST_EQ(ntohs(echo.un.echo.id), id);
	MUST_EQ(ntohs(echo.un.echo.sequence), sequence);
}

static int open_lite(int port)
{
	struct sockaddr_in a = here(port);
	int fd = socket(AF_INET, SOCK_DGRAM, LITE);
	if (fd >= 0)
		MUST_EQ(bind(fd, (void *)&a, sizeof a), 0);
	return fd;
}

static int open_echo(void)
{
	struct sockaddr_in id = here(77), to = here(0);
	int range = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
	MUST_EQ(write(range, "0 0", 3), 3);
	close(range);
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	MUST_EQ(bind(fd, (void *)&id, sizeof id), 0);
	MUST_EQ(connect(fd, (void *)&to, sizeof to), 0);
	return fd;
}

int main(int argc, char **argv)
{
	const uint32_t only_errors = ~(1u << ICMP_DEST_UNREACH);
	struct icmp6_filter filter = { .data = { ~0u, 0x12345678, 3, 0, 0, 0, 0, 9 } }, filter_after;
	struct sockaddr_in local = here(0), lite_to = here(4500), peer = { 0 };
	socklen_t len = sizeof filter_after, peer_len = sizeof peer;
	char text[32];
	judge_start(argc, argv);
	int lite = open_lite(4500), lite_from = open_lite(4501), echo = open_echo();
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	int ospf = socket(AF_INET, SOCK_RAW, 89), six = socket(AF_INET6, SOCK_RAW, 200);
	MUST(raw >= 0 && raw6 >= 0 && ospf >= 0 && six >= 0);
	set_option(raw, SOL_RAW, ICMP_FILTER, (int)only_errors);
	MUST_EQ(connect(raw, (void *)&local, sizeof local), 0);
	MUST_EQ(setsockopt(raw6, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter, sizeof filter), 0);
	MUST_EQ(bind(ospf, (void *)&local, sizeof local), 0);
	set_option(ospf, IPPROTO_IP, IP_HDRINCL, 1);
	set_option(six, SOL_RAW, IPV6_CHECKSUM, 4);
	if (lite >= 0) {
		set_option(lite_from, LITE, SEND_COVERAGE, 12);
		set_option(lite, LITE, RECEIVE_COVERAGE, 8);
		MUST_EQ(connect(lite_from, (void *)&lite_to, sizeof lite_to), 0);
		MUST_EQ(send(lite_from, "partly covered", 14, 0), 14);
	}
	must_echo(echo, 77, 1);
	judge_wait();

	must_echo(echo, 77, 2);
	if (lite >= 0) {
		MUST_EQ(recv(lite, text, sizeof text, 0), 14);
		MUST(!memcmp(text, "partly covered", 14));
		MUST_EQ(option(lite_from, LITE, SEND_COVERAGE), 12);
		MUST_EQ(option(lite, LITE, RECEIVE_COVERAGE), 8);
		MUST_EQ(send(lite_from, "again", 5, 0), 5);
		MUST_EQ(recv(lite, text, sizeof text, 0), 5);
	}
	MUST_EQ(option(raw, SOL_RAW, ICMP_FILTER), (int)only_errors);
	MUST_EQ(option(ospf, IPPROTO_IP, IP_HDRINCL), 1);
	MUST_EQ(option(six, SOL_RAW, IPV6_CHECKSUM), 4);
	MUST_EQ(getsockopt(raw6, IPPROTO_ICMPV6, ICMPV6_FILTER, &filter_after, &len), 0);
	MUST(!memcmp(&filter, &filter_after, sizeof filter));
	MUST(getsockname(ospf, (void *)&peer, &peer_len) == 0 && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	struct icmphdr request = { .type = ICMP_ECHO, .checksum = htons(0xf7ff) };
	MUST_EQ(send(raw, &request, sizeof request, 0), sizeof request); /* it is connected still */
	return judge_pass();
}
