// SPDX-License-Identifier: LGPL-2.1-or-later
/* inet DIR: sockets of IPv4 and IPv6 that are new, bound, listen or are connected (UDP), with options, shared ports and
 * datagrams that nobody has read. */
#include "judge.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_of(union address *a, const char *text, int port)
{
	*a = (union address){ 0 };
	if (strchr(text, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		MUST_EQ(inet_pton(AF_INET6, text, &a->v6.sin6_addr), 1);
		return sizeof a->v6;
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)port);
	MUST_EQ(inet_pton(AF_INET, text, &a->v4.sin_addr), 1);
	return sizeof a->v4;
}

static void set(int fd, int level, int option, int value) { MUST_EQ(setsockopt(fd, level, option, &value, sizeof value), 0); }

static int get(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof value;
	MUST_EQ(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void bind_to(int fd, const char *text, int port)
{
	union address a = { 0 };
	socklen_t len = address_of(&a, text, port);
	MUST_EQ(bind(fd, &a.any, len), 0);
}

static void connect_to(int fd, const char *text, int port)
{
	union address a = { 0 };
	socklen_t len = address_of(&a, text, port);
	MUST_EQ(connect(fd, &a.any, len), 0);
}

static void send_to(int fd, const char *text, int port, const char *data)
{
	union address a = { 0 };
	socklen_t len = address_of(&a, text, port);
	MUST_EQ(sendto(fd, data, strlen(data), 0, &a.any, len), strlen(data));
}

static int port_of(int fd)
{
	union address a = { 0 };
	socklen_t len = sizeof a;
	MUST_EQ(getsockname(fd, &a.any, &len), 0);
	return ntohs(a.v4.sin_port);
}

static void must_get(int fd, const char *data, const char *from, int port)
{
	union address a = { 0 };
	char bytes[64], text[64];
	socklen_t len = sizeof a;
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, JUDGE_PATIENCE_MS); /* a busy machine delivers by ksoftirqd */
	ssize_t n = recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, &a.any, &len);
	if (n != (ssize_t)strlen(data))
		judge_fail("\"%s\" is not there: %zd (errno %d)", data, n, errno);
	MUST(!memcmp(bytes, data, (size_t)n));
	bool six = a.any.sa_family == AF_INET6;
	inet_ntop(a.any.sa_family, six ? (void *)&a.v6.sin6_addr : &a.v4.sin_addr, text, sizeof text);
	if (strcmp(text, from))
		judge_fail("\"%s\" came from %s, not %s", data, text, from);
	MUST_EQ(ntohs(six ? a.v6.sin6_port : a.v4.sin_port), port);
}

/* Someone new is served. */
static void must_serve(int listener, const char *to, int port)
{
	union address a = { 0 };
	char text[8];
	socklen_t len = address_of(&a, to, port);
	int client = socket(a.any.sa_family, SOCK_STREAM, 0);
	MUST_EQ(connect(client, &a.any, len), 0);
	int server = accept(listener, NULL, NULL);
	MUST(server >= 0);
	MUST_EQ(write(client, "hello", 5), 5);
	MUST_EQ(read(server, text, sizeof text), 5);
	MUST_EQ(write(server, "you", 3), 3);
	MUST_EQ(read(client, text, sizeof text), 3);
	MUST(close(server) == 0 && close(client) == 0);
}

/* Those that listen; two of a shared port; bound ones; ones that are new but for their options. */
static int four, six, dual, groups[2], bound, chosen, again, shared, fresh, fresh6;
/* With datagrams: bound ones, two that are connected to each other; members of multicast groups. */
static int udp, any, here, there, mute, deaf, joined, joined6;

static void make_listeners(void)
{
	four = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	six = socket(AF_INET6, SOCK_STREAM, 0);
	dual = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	set(four, SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(four, "127.0.0.1", 6379);
	MUST_EQ(listen(four, 17), 0);
	set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	bind_to(six, "::", 6379);
	MUST_EQ(listen(six, 511), 0);
	bind_to(dual, "::", 8080);
	MUST_EQ(listen(dual, 1), 0);
	for (int i = 0; i < 2; i++) {
		groups[i] = socket(AF_INET, SOCK_STREAM, 0);
		set(groups[i], SOL_SOCKET, SO_REUSEPORT, 1);
		bind_to(groups[i], "0.0.0.0", 7000);
		MUST_EQ(listen(groups[i], 5), 0);
	}
}

static void make_bound(void)
{
	bound = socket(AF_INET, SOCK_STREAM, 0);
	again = socket(AF_INET, SOCK_STREAM, 0);
	shared = socket(AF_INET, SOCK_STREAM, 0);
	bind_to(bound, "127.0.0.1", 0);
	chosen = port_of(bound);
	/* Shared when both allowed it; one does not any more. */
	set(again, SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(again, "127.0.0.2", 7001);
	set(shared, SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(shared, "127.0.0.2", 7001);
	set(shared, SOL_SOCKET, SO_REUSEADDR, 0);
}

static void set_options(void)
{
	struct linger linger = { 1, 7 };
	struct timeval patience = { 3, 500000 };
	fresh = socket(AF_INET, SOCK_STREAM, 0);
	fresh6 = socket(AF_INET6, SOCK_DGRAM, 0);
	set(fresh, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fresh, IPPROTO_TCP, TCP_KEEPIDLE, 33);
	set(fresh, IPPROTO_TCP, TCP_KEEPINTVL, 11);
	set(fresh, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set(fresh, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fresh, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	set(fresh, IPPROTO_IP, IP_TTL, 33);
	set(fresh, IPPROTO_IP, IP_TOS, 0x10);
	set(fresh, SOL_SOCKET, SO_RCVBUF, 50000);
	set(fresh, SOL_SOCKET, SO_PRIORITY, 3);
	MUST_EQ(setsockopt(fresh, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
	MUST_EQ(setsockopt(fresh, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	MUST_EQ(setsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	MUST_EQ(setsockopt(fresh, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	set(fresh6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set(fresh6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3);
	set(fresh6, SOL_SOCKET, SO_BROADCAST, 1);
}

static void send_datagrams(void)
{
	int gone = socket(AF_INET, SOCK_DGRAM, 0);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	any = socket(AF_INET6, SOCK_DGRAM, 0);
	here = socket(AF_INET, SOCK_DGRAM, 0);
	there = socket(AF_INET, SOCK_DGRAM, 0);
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, 0xffffffff) };
	struct sock_fprog filter = { 1, all };

	bind_to(udp, "127.0.0.1", 5353);
	MUST_EQ(setsockopt(udp, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0);
	bind_to(any, "::", 5354);
	bind_to(here, "127.0.0.1", 5355);
	bind_to(there, "127.0.0.1", 5356);
	connect_to(here, "127.0.0.1", 5356);
	connect_to(there, "127.0.0.1", 5355);
	bind_to(gone, "127.0.0.9", 5357);
	send_to(gone, "127.0.0.1", 5353, "from one that is gone");
	send_to(here, "127.0.0.1", 5353, "second");
	send_to(gone, "127.0.0.1", 5354, "over IPv4");
	send_to(any, "::1", 5354, "to itself");
	close(gone);
	MUST_EQ(write(here, "connected", 9), 9);
}

/* One that only receives any more, and one that only sends. */
static void shut_halves(void)
{
	mute = socket(AF_INET6, SOCK_DGRAM, 0);
	deaf = socket(AF_INET, SOCK_DGRAM, 0);
	connect_to(mute, "::1", 5354);
	connect_to(deaf, "127.0.0.1", 5353);
	MUST_EQ(shutdown(mute, SHUT_WR), 0);
	MUST_EQ(shutdown(deaf, SHUT_RD), 0);
}

static struct ip_mreqn joining = { .imr_ifindex = 1 };
static struct ipv6_mreq group6 = { .ipv6mr_interface = 1 };

static void join_groups(void)
{
	joined = socket(AF_INET, SOCK_DGRAM, 0);
	joined6 = socket(AF_INET6, SOCK_DGRAM, 0);
	bind_to(joined, "0.0.0.0", 5400);
	MUST_EQ(inet_pton(AF_INET, "239.1.2.3", &joining.imr_multiaddr), 1);
	MUST_EQ(inet_pton(AF_INET6, "ff15::1234", &group6.ipv6mr_multiaddr), 1);
	MUST_EQ(setsockopt(joined, IPPROTO_IP, IP_ADD_MEMBERSHIP, &joining, sizeof joining), 0);
	MUST_EQ(setsockopt(joined6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group6, sizeof group6), 0);
}

/* A socket that hears two sources of a group alone, one that hears all of it but one, and the first over IPv6. */
static int narrow, choosy, narrow6;
static const char *const sources[] = { "127.0.0.8", "127.0.0.9" };

static struct ip_mreq_source source_of(const char *group, const char *source)
{
	return (struct ip_mreq_source){ { inet_addr(group) }, { htonl(INADDR_LOOPBACK) }, { inet_addr(source) } };
}

static struct group_source_req source6(void)
{
	struct group_source_req r = { .gsr_interface = 1 };
	union address group = { 0 }, source = { 0 };
	address_of(&group, "ff15::99", 0);
	address_of(&source, "::1", 0);
	memcpy(&r.gsr_group, &group, sizeof group.v6);
	memcpy(&r.gsr_source, &source, sizeof source.v6);
	return r;
}

static void join_for_sources(void)
{
	struct ip_mreq_source not = source_of("239.1.2.5", sources[1]);
	struct ip_mreqn all = { .imr_multiaddr = not .imr_multiaddr, .imr_ifindex = 1 };
	struct group_source_req one = source6();
	narrow = socket(AF_INET, SOCK_DGRAM, 0);
	choosy = socket(AF_INET, SOCK_DGRAM, 0);
	narrow6 = socket(AF_INET6, SOCK_DGRAM, 0);
	for (int i = 0; i < 2; i++) {
		struct ip_mreq_source some = source_of("239.1.2.4", sources[i]);
		MUST_EQ(setsockopt(narrow, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &some, sizeof some), 0);
	}
	MUST_EQ(setsockopt(choosy, IPPROTO_IP, IP_ADD_MEMBERSHIP, &all, sizeof all), 0);
	MUST_EQ(setsockopt(choosy, IPPROTO_IP, IP_BLOCK_SOURCE, &not, sizeof not ), 0);
	MUST_EQ(setsockopt(narrow6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, &one, sizeof one), 0);
}

/* What was not asked for cannot be taken back. */
static void judge_sources(void)
{
	struct ip_mreq_source no = source_of("239.1.2.4", "127.0.0.7"), not = source_of("239.1.2.5", sources[1]);
	struct group_source_req one = source6();
	MUST(setsockopt(narrow, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &no, sizeof no) == -1 && errno == EADDRNOTAVAIL);
	for (int i = 0; i < 2; i++) {
		struct ip_mreq_source some = source_of("239.1.2.4", sources[i]);
		MUST_EQ(setsockopt(narrow, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &some, sizeof some), 0);
	}
	MUST_EQ(setsockopt(choosy, IPPROTO_IP, IP_UNBLOCK_SOURCE, &not, sizeof not ), 0);
	MUST(setsockopt(choosy, IPPROTO_IP, IP_UNBLOCK_SOURCE, &not, sizeof not ) == -1 && errno == EADDRNOTAVAIL);
	MUST_EQ(setsockopt(narrow6, IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, &one, sizeof one), 0);
}

static void judge_groups(void)
{
	judge_sources();
	MUST_EQ(setsockopt(joined, IPPROTO_IP, IP_DROP_MEMBERSHIP, &joining, sizeof joining), 0);
	MUST_EQ(setsockopt(joined6, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &group6, sizeof group6), 0);
}

static void judge_listeners(void)
{
	MUST_EQ(fcntl(four, F_GETFD), FD_CLOEXEC);
	MUST(fcntl(dual, F_GETFL) & O_NONBLOCK);
	MUST(!(fcntl(six, F_GETFL) & O_NONBLOCK));
	must_serve(four, "127.0.0.1", 6379);
	must_serve(six, "::1", 6379);
	must_serve(dual, "::1", 8080);
	must_serve(dual, "127.0.0.1", 8080);
	MUST_EQ(get(four, SOL_SOCKET, SO_REUSEADDR), 1);
	MUST_EQ(get(six, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	struct pollfd group[2] = { { groups[0], POLLIN, 0 }, { groups[1], POLLIN, 0 } };
	int client = socket(AF_INET, SOCK_STREAM, 0);
	connect_to(client, "127.0.0.1", 7000);
	MUST_EQ(poll(group, 2, JUDGE_PATIENCE_MS), 1);
}

static void judge_bound(void)
{
	MUST_EQ(get(bound, SOL_SOCKET, SO_REUSEADDR), 0);
	MUST_EQ(get(shared, SOL_SOCKET, SO_REUSEADDR), 0);
	MUST_EQ(get(again, SOL_SOCKET, SO_REUSEADDR), 1);
	MUST_EQ(port_of(bound), chosen);
	MUST_EQ(port_of(shared), 7001);
}

static void judge_options(void)
{
	struct linger linger;
	struct timeval patience;
	MUST_EQ(get(fresh, SOL_SOCKET, SO_KEEPALIVE), 1);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_KEEPINTVL), 11);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_KEEPCNT), 3);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_NODELAY), 1);
	MUST_EQ(get(fresh, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	MUST_EQ(get(fresh, IPPROTO_IP, IP_TTL), 33);
	MUST_EQ(get(fresh, IPPROTO_IP, IP_TOS), 0x10);
	MUST_EQ(get(fresh, SOL_SOCKET, SO_RCVBUF), 100000);
	MUST_EQ(get(fresh, SOL_SOCKET, SO_PRIORITY), 3);
	char text[16] = "";
	socklen_t len = sizeof text;
	MUST(getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, text, &len) == 0 && !strcmp(text, "reno"));
	len = sizeof text;
	MUST(getsockopt(fresh, SOL_SOCKET, SO_BINDTODEVICE, text, &len) == 0 && !strcmp(text, "lo"));
	len = sizeof linger;
	MUST(getsockopt(fresh, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff == 1 && linger.l_linger == 7);
	len = sizeof patience;
	MUST(getsockopt(fresh, SOL_SOCKET, SO_RCVTIMEO, &patience, &len) == 0 && patience.tv_sec == 3);
	connect_to(fresh, "127.0.0.1", 6379);
	MUST_EQ(get(fresh6, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	MUST_EQ(get(fresh6, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 3);
	MUST_EQ(get(fresh6, SOL_SOCKET, SO_BROADCAST), 1);
}

static void judge_datagrams(void)
{
	char text[16];
	must_get(udp, "from one that is gone", "127.0.0.9", 5357);
	must_get(udp, "second", "127.0.0.1", 5355);
	MUST(recv(udp, text, sizeof text, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	must_get(any, "over IPv4", "::ffff:127.0.0.9", 5357);
	must_get(any, "to itself", "::1", 5354);
	must_get(there, "connected", "127.0.0.1", 5355);
	MUST_EQ(write(there, "back", 4), 4);
	must_get(here, "back", "127.0.0.1", 5356);
	MUST(send(mute, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	MUST(recv(mute, text, sizeof text, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	MUST_EQ(recv(deaf, text, sizeof text, 0), 0);
	MUST_EQ(write(deaf, "still", 5), 5);
	must_get(udp, "still", "127.0.0.1", port_of(deaf));
	MUST_EQ(getsockopt(udp, SOL_SOCKET, SO_GET_FILTER, NULL, &(socklen_t){ 0 }), 0);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	make_listeners();
	make_bound();
	set_options();
	send_datagrams();
	shut_halves();
	join_groups();
	join_for_sources();
	judge_wait();
	judge_groups();
	judge_listeners();
	judge_bound();
	judge_options();
	judge_datagrams();
	return judge_pass();
}
