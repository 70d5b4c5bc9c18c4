// SPDX-License-Identifier: LGPL-2.1-or-later
/* TCP connections to peers outside of the tree: they go on after a dump and a restore, and the peers see no reset. */
#include "diag/diag.h"
#include "tree/program.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

PROGRAM(loopback, NET, "outside", "127.0.0.1")
PROGRAM(loopback_gap, NET | GAP, "outside", "127.0.0.1")
PROGRAM(loopback6, NET, "outside", "::1")
PROGRAM(mapped, NET, "outside", "::ffff:127.0.0.1")

#define CHECK_RUN(...) CHECK_EQ(run_program(NULL, "/bin/ip", (const char *[]){ "ip", __VA_ARGS__, NULL }), 0)

/* A process in another network namespace at the other end of a veth: 10.9.0.2 and fd00:9::2 there, ...1 here. */
static pid_t neighbour(void)
{
	static const char far[] = "ip addr add 10.9.0.2/24 dev far && ip addr add fd00:9::2/64 dev far nodad && "
				  "ip link set lo up && ip link set far up && "
				  "until ip route get 10.9.0.1 && ip route get fd00:9::1; do sleep 0.01; done";
	int pipes[2];
	char byte = 0, pid[16], ns[40];
	CHECK_OK(pipe(pipes));
	pid_t other = fork();
	if (other == 0) {
		CHECK_OK(unshare(CLONE_NEWNET));
		CHECK_EQ(write(pipes[1], &byte, 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(pipes[0], &byte, 1), 1);
	snprintf(pid, sizeof pid, "%d", other);
	snprintf(ns, sizeof ns, "--net=/proc/%d/ns/net", other);
	CHECK_RUN("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", pid);
	CHECK_RUN("addr", "add", "10.9.0.1/24", "dev", "near");
	CHECK_RUN("addr", "add", "fd00:9::1/64", "dev", "near", "nodad");
	CHECK_RUN("link", "set", "near", "up");
	CHECK_EQ(run_program(NULL, "/usr/bin/nsenter", (const char *[]){ "nsenter", ns, "sh", "-c", far, NULL }), 0);
	/* a work queue tells of a link that has come up, and then there are routes of IPv6 */
	WAIT_UNTIL(run_program(NULL, "/bin/ip", (const char *[]){ "ip", "route", "get", "fd00:9::2", NULL }) == 0);
	return other;
}

static void across_veth(const char *address, const char *option)
{
	struct target t;
	char ns[40], pid[16];
	pid_t other = neighbour();
	snprintf(ns, sizeof ns, "/proc/%d/ns/net", other);
	target_start(&t, "outside", address, ns);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t.image, option), 0);
	target_gone(t.pid);
	target_restore(&t, 300);
	target_judge(&t);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

TEST(veth, .root = true, .net = true, .seconds = 60) { across_veth("10.9.0.1", NULL); }
TEST(veth6, .root = true, .net = true, .seconds = 60) { across_veth("fd00:9::1", NULL); }
TEST(veth_nftables, .root = true, .net = true, .seconds = 60) { across_veth("10.9.0.1", "--network-lock=nftables"); }
TEST(veth6_nftables, .root = true, .net = true, .seconds = 60) { across_veth("fd00:9::1", "--network-lock=nftables"); }

static void dump_with(struct target *t, const char *option)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	CHECK_EQ(ckpt(NULL, "dump", pid, t->image, option), 0);
	target_gone(t->pid);
}

/* What is given up is chosen at the dump, or by the restore of an image that has kept it. */
static void given_up(const char *what, const char *dump, const char *restore)
{
	struct target t;
	target_start(&t, "parts", what);
	dump_with(&t, dump);
	CHECK_EQ(ckpt(NULL, "restore", t.image, "-d", restore), 0);
	target_judge(&t);
}

TEST(closed_by_dump, .root = true, .net = true) { given_up("closed", "--policy=tcp=close", NULL); }
TEST(reset_by_dump, .root = true, .net = true) { given_up("reset", "--policy=tcp=reset", NULL); }
TEST(closed_by_restore, .root = true, .net = true) { given_up("closed", NULL, "--policy=tcp=close"); }
TEST(reset_by_restore, .root = true, .net = true) { given_up("reset", NULL, "--policy=tcp=reset"); }
TEST(waiting_given_up, .root = true, .net = true) { given_up("waits", "--policy=tcp-waiting=reset", NULL); }
TEST(waiting_with_data_given_up, .root = true, .net = true) { given_up("sends", "--policy=tcp-waiting=reset", NULL); }

TEST(policies_are_checked, .root = true, .net = true)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", "1", "/mnt/x", "--policy=tcp=explode"), 2);
	CHECK_CONTAINS(output.data, "keep, close, reset, refuse");
	CHECK_EQ(ckpt(&output, "restore", "/mnt/x", "--policy=tcp-waiting=reset"), 2);
	CHECK_CONTAINS(output.data, "pidfd, tcp");
	CHECK_EQ(ckpt(&output, "dump", "1", "/mnt/x", "--network-lock=iptables"), 2);
}

/* Is the lock of the image in the list of `ckpt check`, by this method (NULL: any)? */
static bool is_listed_as(const struct target *t, const char *method)
{
	_cleanup_text_ struct text image = { 0 }, list = { 0 };
	char id[17] = "";
	CHECK_EQ(ckpt(&image, "show", "--json", "--section", "host", t->image), 0);
	const char *at = image.data ? strstr(image.data, "\"network_lock\"") : NULL;
	CHECK(at != NULL && sscanf(at, "\"network_lock\":%*[ \"]%16[0-9a-f]", id) == 1);
	run_program(&list, ckpt_path(), (const char *[]){ "ckpt", "check", "--json", NULL });
	char *listed = list.data ? strstr(list.data, id) : NULL;
	if (!listed || !method)
		return listed;
	*strchrnul(listed, '}') = 0;
	return strstr(listed, method);
}

static bool is_listed(const struct target *t) { return is_listed_as(t, NULL); }

/* When the lock is gone and the sockets are, the peer learns it. */
static void peer_learns(const struct target *t)
{
	char path[96];
	snprintf(path, sizeof path, "%s/verdict", t->dir);
	_cleanup_free_ char *text = wait_text(path);
	CHECK_CONTAINS(text, "errno");
}

static void unlocked(const char *method)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "outside", "127.0.0.1");
	dump_with(&t, method);
	CHECK(is_listed(&t));
	CHECK_EQ(ckpt(NULL, "unlock", t.image), 0);
	CHECK(!is_listed(&t));
	CHECK_EQ(ckpt(&output, "unlock", t.image), 2);
	CHECK_CONTAINS(output.data, "[NETLOCK_NONE]");
	peer_learns(&t);
}

/* Without a method being named. */
static void locked_by(const char *method)
{
	struct target t;
	target_start(&t, "outside", "127.0.0.1");
	dump_with(&t, NULL);
	CHECK(is_listed_as(&t, method));
	target_restore(&t, 0);
	CHECK(!is_listed(&t));
	target_judge(&t);
}

TEST(locked_by_links_first, .root = true, .net = true, .seconds = 60)
{
	program_needs(NEEDS(BPF_NETFILTER));
	locked_by("\"link\"");
}

TEST(locked_by_nftables_then, .root = true, .net = true, .seconds = 60)
{
	CHECK_OK(setenv("CKPT_DISABLE", "BPF_NETFILTER", 1));
	locked_by("\"nftables\"");
}

TEST(links_that_are_lacking_are_named, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "outside", "127.0.0.1");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_OK(setenv("CKPT_DISABLE", "BPF_NETFILTER", 1));
	CHECK_EQ(ckpt(&output, "dump", pid, t.image, "--network-lock=link"), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[NETLOCK]");
	CHECK_CONTAINS(output.data, "(BPF_NETFILTER)");
	target_judge(&t);
}

TEST(unlock_link, .root = true, .net = true, .seconds = 60) { unlocked("--network-lock=link"); }
TEST(unlock_nftables, .root = true, .net = true, .seconds = 60) { unlocked("--network-lock=nftables"); }

/* Locks that others hand on meanwhile are none of this test's. */
static void own_locks(void) { CHECK_OK(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700")); }

/* The next lock takes away what is left of it. */
static void times_out(const char *method)
{
	struct target t, next;
	char pid[16];
	own_locks();
	target_start(&t, "outside", "127.0.0.1");
	snprintf(pid, sizeof pid, "%d", t.pid);
	for (int status; (status = ckpt(NULL, "dump", pid, t.image, method, "--lock-timeout=1"));)
		CHECK_EQ(status, EXIT_RACED); /* a dump that takes longer than that */
	target_gone(t.pid);
	peer_learns(&t);
	CHECK(is_listed(&t));
	target_start(&next, "listens", "127.0.0.1");
	dump_with(&next, method);
	CHECK(!is_listed(&t) && is_listed(&next));
	CHECK_EQ(ckpt(NULL, "unlock", next.image), 0);
}

TEST(lock_timeout_link, .root = true, .net = true, .seconds = 60) { times_out("--network-lock=link"); }
TEST(lock_timeout_nftables, .root = true, .net = true, .seconds = 60) { times_out("--network-lock=nftables"); }

static void two_at_once(const char *method)
{
	struct target a, b;
	own_locks();
	target_start(&a, "listens", "127.0.0.1");
	dump_with(&a, method);
	target_start(&b, "listens", "127.0.0.1");
	dump_with(&b, method);
	CHECK(is_listed(&a) && is_listed(&b));
	CHECK_EQ(ckpt(NULL, "unlock", a.image), 0);
	CHECK(!is_listed(&a) && is_listed(&b));
	CHECK_EQ(ckpt(NULL, "unlock", b.image), 0);
}

TEST(two_locks_link, .root = true, .net = true, .seconds = 60) { two_at_once("--network-lock=link"); }
TEST(two_locks_nftables, .root = true, .net = true, .seconds = 60) { two_at_once("--network-lock=nftables"); }

/* Who connects while the program is away waits too. */
static void wants_to_connect(const char *method)
{
	struct target t;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1;
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof error;
	target_start(&t, "outside", "127.0.0.1");
	dump_with(&t, method);
	CHECK(connect(fd, (void *)&to, sizeof to) < 0 && errno == EINPROGRESS);
	CHECK_EQ(poll(&poll_fd, 1, 100), 0);
	target_restore(&t, 0);
	CHECK_EQ(poll(&poll_fd, 1, (int)WAIT_MS), 1);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	CHECK_EQ(error, 0);
	target_judge(&t);
}

TEST(wants_link, .root = true, .net = true, .seconds = 60) { wants_to_connect("--network-lock=link"); }
TEST(wants_nftables, .root = true, .net = true, .seconds = 60) { wants_to_connect("--network-lock=nftables"); }

static int open_client(int family) { return (int)CHECK_OK(socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0)); }

/* To port 4000 of an address of this host. */
static void begin_connecting(int fd, const char *address)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(4000) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(4000) };
	bool is_six = strchr(address, ':');
	CHECK_EQ(inet_pton(is_six ? AF_INET6 : AF_INET, address, is_six ? (void *)&six.sin6_addr : &four.sin_addr), 1);
	CHECK(connect(fd, is_six ? (void *)&six : (void *)&four, is_six ? sizeof six : sizeof four) < 0 &&
	      errno == EINPROGRESS);
}

/* What connect(2) came to, as errno. */
static int end_connecting(int fd)
{
	int error = -1;
	socklen_t len = sizeof error;
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	CHECK_EQ(poll(&poll_fd, 1, (int)WAIT_MS), 1);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

/* The client, of ckpt's network namespace or of another one, comes while a program that had no connection is away. */
static void comes_meanwhile(const char *listens, const char *address, const char *method, const char *netns)
{
	struct target t;
	char word[6] = "";
	int own = (int)CHECK_OK(open("/proc/self/ns/net", O_RDONLY));
	int there = netns ? (int)CHECK_OK(open(netns, O_RDONLY)) : own;
	target_start(&t, "listens", listens);
	dump_with(&t, method);
	CHECK_OK(setns(there, CLONE_NEWNET));
	int fd = open_client(strchr(address, ':') ? AF_INET6 : AF_INET);
	CHECK_OK(setns(own, CLONE_NEWNET));
	begin_connecting(fd, address);
	CHECK_EQ(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 100), 0);
	target_restore(&t, 0);
	CHECK_EQ(end_connecting(fd), 0);
	CHECK_EQ(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	target_judge(&t);
	CHECK_EQ(recv(fd, word, 5, 0), 5);
	CHECK_STR(word, "world");
}

#define COMES(name, listens, address, method)                                                                                  \
	TEST(name, .root = true, .net = true, .seconds = 60)                                                                   \
	{                                                                                                                      \
		comes_meanwhile(listens, address, "--network-lock=" method, NULL);                                             \
	}
COMES(comes_link, "127.0.0.1", "127.0.0.1", "link")
COMES(comes_any_link, "::", "127.0.0.1", "link")
COMES(comes6_nftables, "::1", "::1", "nftables")
COMES(comes_any_nftables, "0.0.0.0", "127.0.0.1", "nftables")

static void comes_across_veth(const char *listens, const char *address, const char *method)
{
	char ns[40];
	pid_t other = neighbour();
	snprintf(ns, sizeof ns, "/proc/%d/ns/net", other);
	comes_meanwhile(listens, address, method, ns);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

TEST(comes_veth_link, .root = true, .net = true, .seconds = 60)
{
	comes_across_veth("10.9.0.1", "10.9.0.1", "--network-lock=link");
}
TEST(comes_veth6_nftables, .root = true, .net = true, .seconds = 60)
{
	comes_across_veth("::", "fd00:9::1", "--network-lock=nftables");
}

static void comes_in_vain(const char *method, bool unlock)
{
	struct target t;
	int fd = open_client(AF_INET);
	target_start(&t, "listens", "127.0.0.1");
	dump_with(&t, method);
	if (unlock)
		CHECK_EQ(ckpt(NULL, "unlock", t.image), 0);
	begin_connecting(fd, "127.0.0.1");
	CHECK_EQ(end_connecting(fd), ECONNREFUSED);
}

TEST(comes_without_lock, .root = true, .net = true) { comes_in_vain("--network-lock=none", false); }
TEST(comes_after_unlock, .root = true, .net = true) { comes_in_vain("--network-lock=auto", true); }

/* criu holds nothing back that it was not asked to. */
TEST(comes_after_criu, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	int fd = open_client(AF_INET);
	target_start(&t, "listens", "127.0.0.1");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_OK(mkdir(t.image, 0755));
	CHECK_EQ(criu(NULL, "dump", "-D", t.image, "-t", pid), 0);
	target_gone(t.pid);
	begin_connecting(fd, "127.0.0.1");
	CHECK_EQ(end_connecting(fd), ECONNREFUSED);
}

/* Who shares the port goes on serving it. */
TEST(comes_to_another, .root = true, .net = true)
{
	struct target t;
	const int on = 1;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = open_client(AF_INET), fd = open_client(AF_INET);
	CHECK_OK(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
	CHECK_OK(bind(listener, (void *)&to, sizeof to));
	CHECK_OK(listen(listener, 5));
	target_start(&t, "listens", "127.0.0.1", "shares");
	dump_with(&t, "--network-lock=auto");
	begin_connecting(fd, "127.0.0.1");
	CHECK_EQ(end_connecting(fd), 0);
	target_restore(&t, 0);
	target_judge(&t);
}

/* It can be dumped, says the look from outside, and what else could be done. */
TEST(checked, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 }, json = { 0 };
	target_start(&t, "outside", "127.0.0.1");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "check", "--pid", pid), 0);
	CHECK_CONTAINS(output.data, "tcp: keep, close, reset, refuse");
	CHECK_EQ(ckpt(&json, "check", "--json", "--pid", pid), 0);
	CHECK_CONTAINS(json.data, "\"name\":\"tcp-waiting\",\"choices\":\"refuse, reset\"");
	target_judge(&t);
}

/* What the others prove they could not prove if this passed. */
TEST(peer_is_reset_without_lock, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	target_start(&t, "outside", "127.0.0.1");
	dump_with(&t, "--network-lock=none");
	peer_learns(&t);
}
