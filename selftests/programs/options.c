// SPDX-License-Identifier: LGPL-2.1-or-later
/* options DIR: sockets of many kinds and states. Every option of any level that getsockopt(2) tells as a number is changed, when the
 * kernel lets it be; then everything that getsockopt(2) tells must be the same afterwards, whatever it means. */
#include "judge.h"
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LAST_NUMBER = 127, ROOM = 64, SOCKETS = 64 };

/* Younger than the headers may be. */
#define SOL_MPTCP_LEVEL 284
#define PEERPIDFD_NUMBER 77
#define BUF_LOCK_NUMBER 72
#define TXREHASH_NUMBER 74

static const int levels[] = { SOL_SOCKET,         IPPROTO_IP, IPPROTO_IPV6,   IPPROTO_TCP, IPPROTO_UDP,
			      136 /* UDP-Lite */, SOL_RAW,    IPPROTO_ICMPV6, SOL_NETLINK, SOL_MPTCP_LEVEL };
#define LEVELS (sizeof levels / sizeof *levels)

struct except {
	int level, number;  /* -1: all of the level */
	const char *socket; /* NULL: any */
};

/* Of these nothing is demanded: counters, clocks, what the last packet brought and the next one will have, what makes a descriptor;
 * and what docs/limits.md says. */
static const struct except moving[] = {
	{ SOL_SOCKET, SO_INCOMING_CPU, NULL },
	{ SOL_SOCKET, SO_MEMINFO, NULL },
	{ SOL_SOCKET, SO_INCOMING_NAPI_ID, NULL },
	{ SOL_SOCKET, SO_COOKIE, NULL },
	{ SOL_SOCKET, PEERPIDFD_NUMBER, NULL },
	{ IPPROTO_IP, IP_MTU, NULL },
	{ IPPROTO_IP, IP_PKTOPTIONS, NULL },
	{ IPPROTO_IP, IP_MULTICAST_TTL, "accepted TCP" },
	{ IPPROTO_IPV6, IPV6_MTU, NULL },
	{ IPPROTO_IPV6, IPV6_2292PKTOPTIONS, NULL },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF, "accepted TCP" },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, "accepted TCP" },
	{ IPPROTO_IPV6, IPV6_V6ONLY, "connected TCP" },
	{ IPPROTO_IPV6, IPV6_V6ONLY, "connected UDP" },
	{ IPPROTO_IPV6, IPV6_ROUTER_ALERT, "raw IP" },
	{ IPPROTO_TCP, TCP_INFO, NULL },
	{ IPPROTO_TCP, TCP_CC_INFO, NULL },
	{ IPPROTO_TCP, TCP_TIMESTAMP, NULL },
	{ IPPROTO_TCP, TCP_QUICKACK, NULL },
	{ IPPROTO_TCP, TCP_MAXSEG, "connected TCP" },
	{ IPPROTO_TCP, TCP_MAXSEG, "accepted TCP" },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, "connected TCP" },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, "accepted TCP" },
	{ SOL_MPTCP_LEVEL, -1, NULL },
};

/* These are not changed: they are calls rather than options, cannot be taken back, or belong to a mode that is not there. */
static const struct except kept[] = {
	{ SOL_SOCKET, SO_DETACH_FILTER, NULL }, { SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, NULL },
	{ SOL_SOCKET, SO_LOCK_FILTER, NULL },   { SOL_SOCKET, BUF_LOCK_NUMBER, NULL },
	{ IPPROTO_TCP, TCP_REPAIR, NULL },      { IPPROTO_TCP, TCP_REPAIR_QUEUE, NULL },
	{ IPPROTO_TCP, TCP_QUEUE_SEQ, NULL },   { IPPROTO_TCP, TCP_TIMESTAMP, NULL },
};

struct told {
	int error;
	socklen_t len;
	unsigned char bytes[ROOM];
};

static struct sockets {
	const char *name;
	int fd;
	struct told before[LEVELS][LAST_NUMBER + 1];
} sockets[SOCKETS];
static size_t count;

#define IS_IN(table, socket, level, number) is_in(table, sizeof(table) / sizeof *(table), socket, level, number)
static bool is_in(const struct except *table, size_t n, const char *socket, int level, int number)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].level == level && (table[i].number == number || table[i].number < 0) &&
		    (!table[i].socket || !strcmp(table[i].socket, socket)))
			return true;
	return false;
}

static struct told ask(int fd, int level, int number)
{
	struct told t = { .len = ROOM };
	t.error = getsockopt(fd, level, number, t.bytes, &t.len) < 0 ? errno : 0;
	return t;
}

/* Linux 6.1 lets any socket have it (docs/limits.md). */
static bool means_nothing(const char *name, int level, int number)
{
	return level == SOL_SOCKET && number == TXREHASH_NUMBER && !strstr(name, "TCP");
}

/* Another number than the one that it has: the first that the kernel takes. */
static void change(const char *name, int fd, int level, int number)
{
	struct told t = ask(fd, level, number);
	int now;
	memcpy(&now, t.bytes, sizeof now);
	if (t.error || t.len != sizeof now || IS_IN(kept, name, level, number) || means_nothing(name, level, number))
		return;
	const int tries[] = { now + 1, !now, 2, 100, 0, 40000 };
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
		if (tries[i] == now || setsockopt(fd, level, number, &tries[i], sizeof now) < 0)
			continue;
		t = ask(fd, level, number);
		if (memcmp(t.bytes, &now, sizeof now))
			return;
	}
}

/* Options that are no numbers. What the socket or the kernel does not have stays as it is. */
static void change_others(int fd)
{
	const struct linger linger = { 1, 7 };
	const struct timeval time = { 3, 500000 };
	const struct sock_txtime at = { .clockid = CLOCK_TAI };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
	setsockopt(fd, SOL_SOCKET, SO_TXTIME, &at, sizeof at);
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	static const unsigned char alert[] = { 0x94, 4, 0, 0 }, padding[] = { 0, 0, 1, 4, 0, 0, 0, 0 };
	static const int of_packets[] = { IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_DSTOPTS };
	setsockopt(fd, IPPROTO_IP, IP_OPTIONS, alert, sizeof alert);
	for (size_t i = 0; i < sizeof of_packets / sizeof *of_packets; i++)
		setsockopt(fd, IPPROTO_IPV6, of_packets[i], padding, sizeof padding);
}

static void add(const char *name, int fd)
{
	if (fd < 0) /* the kernel has no such protocol */
		return;
	MUST(count < SOCKETS);
	sockets[count++] = (struct sockets){ .name = name, .fd = fd };
	for (size_t l = 0; l < LEVELS; l++)
		for (int number = 0; number <= LAST_NUMBER; number++)
			change(name, fd, levels[l], number);
}

static void look(struct sockets *s)
{
	for (size_t l = 0; l < LEVELS; l++)
		for (int number = 0; number <= LAST_NUMBER; number++)
			s->before[l][number] = ask(s->fd, levels[l], number);
}

static void compare(const struct sockets *s)
{
	for (size_t l = 0; l < LEVELS; l++)
		for (int number = 0; number <= LAST_NUMBER; number++) {
			const struct told *was = &s->before[l][number], now = ask(s->fd, levels[l], number);
			if (IS_IN(moving, s->name, levels[l], number) || !memcmp(was, &now, sizeof now))
				continue;
			int a, b;
			memcpy(&a, was->bytes, sizeof a);
			memcpy(&b, now.bytes, sizeof b);
			judge_fail("%s: option %d of level %d was %d (%u bytes, errno %d) and is %d (%u, %d)", s->name, number,
				   levels[l], a, was->len, was->error, b, now.len, now.error);
		}
}

static struct sockaddr_in6 at_port(int family, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)port),
				    .sin6_addr = in6addr_loopback };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (family == AF_INET)
		memcpy(&six, &four, sizeof four);
	return six;
}
static socklen_t size_of(int family) { return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6); }

static int bound(int family, int type, int protocol, int port)
{
	struct sockaddr_in6 a = at_port(family, port);
	int fd = socket(family, type, protocol);
	if (fd >= 0)
		MUST_EQ(bind(fd, (void *)&a, size_of(family)), 0);
	return fd;
}

static int listening(int family, int protocol, int port)
{
	int fd = bound(family, SOCK_STREAM, protocol, port);
	if (fd >= 0)
		MUST_EQ(listen(fd, 5), 0);
	return fd;
}

static int connected(int family, int type, int protocol, int port)
{
	struct sockaddr_in6 a = at_port(family, port);
	int fd = socket(family, type, protocol);
	if (fd >= 0)
		MUST_EQ(connect(fd, (void *)&a, size_of(family)), 0);
	return fd;
}

static void add_changed(const char *name, int fd)
{
	if (fd >= 0)
		change_others(fd);
	add(name, fd);
}

static void add_internet(int family, int port)
{
	const int tcp = listening(family, 0, port);
	add_changed("connected TCP", connected(family, SOCK_STREAM, 0, port));
	add_changed("accepted TCP", accept(tcp, NULL, NULL));
	add_changed("listening TCP", tcp);
	add_changed("new TCP", socket(family, SOCK_STREAM, 0));
	add_changed("bound TCP", bound(family, SOCK_STREAM, 0, port + 1));
	add_changed("listening MPTCP", listening(family, IPPROTO_MPTCP, port + 2));
	add_changed("new UDP", socket(family, SOCK_DGRAM, 0));
	add_changed("bound UDP", bound(family, SOCK_DGRAM, 0, port));
	add_changed("connected UDP", connected(family, SOCK_DGRAM, 0, port));
	add_changed("new UDP-Lite", socket(family, SOCK_DGRAM, IPPROTO_UDPLITE));
	add_changed("bound UDP-Lite", bound(family, SOCK_DGRAM, IPPROTO_UDPLITE, port));
	add_changed("raw ICMP", socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6));
	add_changed("raw UDP", socket(family, SOCK_RAW, IPPROTO_UDP));
	add_changed("raw IP", socket(family, SOCK_RAW, IPPROTO_RAW));
}

static void add_pair(const char *name, int type)
{
	int fds[2];
	MUST_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
	add(name, fds[0]);
	add(name, fds[1]);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	add_internet(AF_INET, 4000);
	add_internet(AF_INET6, 5000);
	add_pair("unix stream", SOCK_STREAM);
	add_pair("unix datagram", SOCK_DGRAM);
	add_pair("unix seqpacket", SOCK_SEQPACKET);
	add("new unix", socket(AF_UNIX, SOCK_STREAM, 0));
	add("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	for (size_t i = 0; i < count; i++)
		look(&sockets[i]);
	judge_wait();
	for (size_t i = 0; i < count; i++)
		compare(&sockets[i]);
	return judge_pass();
}
