// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sockets of the internet that ckpt refuses: by name, with a way out, and the program does not notice. */
#include "harness/refused.h"
#include "harness/target.h"
#include "diag/diag.h"
#include "harness/edit.h"
#include "packet.pb-c.h"
#include "resource/registry.h"
#include <linux/sched.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <netinet/in.h>
#include <linux/capability.h>
#include <linux/netlink.h>

static void refused(const char *program, const char *what, const char *option, int exit_class, const char *code)
{
	struct target t;
	char pid[16], path[96];
	target_start(&t, program, what);
	snprintf(path, sizeof path, "%s/unavailable", t.dir);
	_cleanup_free_ char *reason = read_text(path);
	if (reason)
		SKIP("%s: %s", what, reason);
	snprintf(pid, sizeof pid, "%d", t.pid);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", pid, t.image, option), exit_class);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, "  why:");
	CHECK_CONTAINS(output.data, "  do:");
	target_judge(&t);
}
#define REFUSED_UNIX(name, what, exit_class, code)                                                                             \
	TEST(name, .root = true, .net = true) { refused("unix", what, NULL, exit_class, "[" code "]"); }
#define REFUSED(name, what, exit_class, code)                                                                                  \
	TEST(name, .root = true, .net = true) { refused("talks", what, NULL, exit_class, "[" code "]"); }

TEST(external, .root = true, .net = true)
{
	refused("talks", "external", "--policy=tcp=refuse", EXIT_UNSUPPORTED, "[INET_EXTERNAL]");
}
REFUSED(waiting_from_outside, "waiting-outside", EXIT_RACED, "INET_WAITING")
REFUSED(waiting_with_data, "waiting-data", EXIT_RACED, "INET_WAITING")
REFUSED(urgent, "urgent", EXIT_UNSUPPORTED, "INET_URGENT")
REFUSED(urgent_inline, "urgent-inline", EXIT_UNSUPPORTED, "INET_URGENT")
REFUSED(behind_urgent, "behind-urgent", EXIT_UNSUPPORTED, "INET_URGENT")
REFUSED(layer, "layer", EXIT_UNSUPPORTED, "INET_LAYER")
REFUSED(keys, "keys", EXIT_UNSUPPORTED, "INET_KEYS")
REFUSED(keys_of_a_connection, "signed", EXIT_UNSUPPORTED, "INET_KEYS")
REFUSED(raw_unread, "raw", EXIT_UNSUPPORTED, "INET_QUEUE")
REFUSED(multipath, "multipath", EXIT_UNSUPPORTED, "INET_MULTIPATH")
REFUSED(error, "error", EXIT_RACED, "INET_ERROR")
REFUSED(filter, "filter", EXIT_UNSUPPORTED, "INET_FILTER")
REFUSED(group, "group", EXIT_UNSUPPORTED, "INET_GROUP")
REFUSED(namespace, "namespace", EXIT_UNSUPPORTED, "INET_NAMESPACE")
REFUSED(shared_queue, "shared-queue", EXIT_UNSUPPORTED, "INET_QUEUE")
REFUSED(corked, "corked", EXIT_RACED, "INET_HELD")
REFUSED(connecting_with_data, "fast", EXIT_RACED, "INET_CONNECTING")

/* eBPF alone is asked for, and may not be loaded. */
static void dumped_without_lock(const char *program, const char *what, int status, const char *code, const char *advice)
{
	struct target t;
	char pid[16];
	target_start(&t, program, what);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_BPF, 0, 0, 0));
	CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0));
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", pid, t.image, "--network-lock=link"), status);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, advice);
}

TEST(without_lock, .root = true, .net = true)
{
	dumped_without_lock("parts", "reset", EXIT_PRIVILEGE, "[NETLOCK]", "--policy tcp=close");
}
TEST(listener_without_lock, .root = true, .net = true)
{
	dumped_without_lock("listens", "127.0.0.1", 0, "[NETLOCK_LISTENER]", "--network-lock none");
}

REFUSED_UNIX(unix_waiting_with_data, "data", EXIT_RACED, "UNIX_PENDING")
REFUSED_UNIX(unix_source_gone, "source", EXIT_RACED, "UNIX_PENDING")
REFUSED_UNIX(unix_both_named, "both", EXIT_UNSUPPORTED, "UNIX_NAMED")
REFUSED_UNIX(unix_name_moved, "moved", EXIT_UNSUPPORTED, "UNIX_NAME")
REFUSED_UNIX(unix_namespace, "namespace", EXIT_UNSUPPORTED, "UNIX_NAMESPACE")
REFUSED_UNIX(unix_waits_outside, "outside", EXIT_UNSUPPORTED, "UNIX_EXTERNAL")

/* Said, and not refused: by eBPF alone. */
TEST(chooser, .root = true, .net = true)
{
	struct target t;
	if (caps_ask(NULL, CAN_BPF_TASK_FILE).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_BPF_TASK_FILE)->interface);
	target_start(&t, "talks", "chooser");
	target_dump_warns(&t, "[INET_CHOOSER]", true);
	target_judge(&t);
}

TEST(netlink_unread, .root = true, .net = true) { refused("netlink", "unread", NULL, EXIT_RACED, "[NETLINK_UNREAD]"); }

TEST(packet_unread, .root = true, .net = true) { refused("capture", "unread", NULL, EXIT_RACED, "[PACKET_UNREAD]"); }
TEST(packet_obsolete, .root = true, .net = true) { refused("capture", "obsolete", NULL, EXIT_UNSUPPORTED, "[SOCKET_PACKET]"); }
TEST(packet_spread, .root = true, .net = true) { refused("capture", "spread", NULL, EXIT_UNSUPPORTED, "[SOCKET_PACKET]"); }

static void refused_ring(const char *what, const char *code, const char *words)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	if (caps_ask(NULL, CAN_BPF_TASK_LINK).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_BPF_TASK_LINK)->interface);
	target_start(&t, "rings", what);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, words);
	target_judge(&t);
}

TEST(packet_ring_large, .root = true, .net = true) { refused_ring("large", "[PACKET_RING]", "more than 32 MiB"); }
TEST(packet_ring_in_part, .root = true, .net = true) { refused_ring("part", "[PACKET_RING]", "a mapping of a part"); }
TEST(packet_ring_closed, .root = true, .net = true) { refused_ring("closed", "[SOCKET_MAPPED]", "no descriptor"); }
TEST(packet_ring_hidden, .root = true, .net = true)
{
	CHECK_OK(setenv("CKPT_DISABLE", "BPF", 1));
	refused("rings", NULL, NULL, EXIT_KERNEL, "[PACKET_RING_HIDDEN]");
}

static void set_loopback(short flags)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = flags };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK_OK(fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &lo));
}

/* Nothing can be sent to where the kernel shall stand. */
TEST(packet_ring_loopback, .root = true, .net = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	if (caps_ask(NULL, CAN_BPF_TASK_LINK).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_BPF_TASK_LINK)->interface);
	target_start(&t, "rings");
	target_dump(&t, false);
	set_loopback(0);
	CHECK_EQ(ckpt(&output, "restore", t.image, "-d"), EXIT_SYSTEM);
	CHECK_CONTAINS(output.data, "[PACKET_LOOPBACK]");
	CHECK_CONTAINS(output.data, "lo is down");
	set_loopback(IFF_UP);
	target_restore(&t, 0);
	target_judge(&t);
}
TEST(packet_hidden, .root = true, .net = true)
{
	CHECK_OK(setenv("CKPT_DISABLE", "PACKET_DIAG", 1));
	refused("capture", NULL, NULL, EXIT_KERNEL, "[PACKET_HIDDEN]");
}

TEST(packet_given_up, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "capture", "unread");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image, "--policy=packets=drop"), 0);
	CHECK_CONTAINS(output.data, "[PACKET_DROPPED]");
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(tun_unread, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "tuns", "unread");
	target_dump_warns(&t, "[PACKET_DROPPED]", false);
	target_restore(&t, 0);
	target_judge(&t);
}

static void other_device(struct graph *g, const void *with _unused_)
{
	Ckpt__Packet *m = graph_next(g, resource_packet.kind, NULL)->data;
	CHECK(m->n_device && message_set_string(&m->device[0], "eth77"));
	SET(m, ifindex, 77);
}

TEST(packet_device, .root = true, .net = true)
{
	struct target t;
	char edited[96];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "capture");
	target_dump(&t, false);
	snprintf(edited, sizeof edited, "%s.edited", t.image);
	edit_image(t.image, edited, other_device, NULL);
	CHECK_EQ(ckpt(&output, "restore", edited, "-d"), EXIT_SYSTEM);
	CHECK_CONTAINS(output.data, "[PACKET_DEVICE]");
	target_restore(&t, 0);
	target_judge(&t);
}

/* The port belongs to another socket, or the address to nobody, where the image is to be restored. */
TEST(taken, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "inet");
	target_dump(&t, false);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(6379), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	CHECK_OK(listen(fd, 1));
	restore_refused(t.image, EXIT_RACED, "[INET_TAKEN]");
	close(fd);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(netlink_taken, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "netlink");
	target_dump(&t, false);
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = 777 };
	CHECK_OK(bind(fd, (void *)&a, sizeof a));
	restore_refused(t.image, EXIT_RACED, "[NETLINK_TAKEN]");
	close(fd);
	target_restore(&t, 0);
	target_judge(&t);
}

/* Where the kernel does not speak multipath TCP, or was told not to. */
TEST(no_multipath, .root = true, .net = true)
{
	struct target t;
	static const char *const enabled = "/proc/sys/net/mptcp/enabled";
	if (access(enabled, W_OK))
		SKIP("no multipath TCP in this kernel");
	target_start(&t, "multipath");
	target_dump(&t, false);
	write_text(enabled, "0");
	restore_refused(t.image, EXIT_KERNEL, "[INET_NO_MULTIPATH]");
	write_text(enabled, "1");
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(unix_name_taken, .root = true, .net = true)
{
	struct target t;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[96];
	target_start(&t, "named");
	target_dump(&t, false);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), len = snprintf(a.sun_path + 1, 64, "ckpt named %d", t.pid);
	CHECK_OK(bind(fd, (void *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)));
	restore_refused(t.image, EXIT_RACED, "[UNIX_NAME_TAKEN]");
	close(fd);
	snprintf(path, sizeof path, "%s/stream", t.dir);
	CHECK_OK(unlink(path));
	write_text(path, "somebody else's");
	restore_refused(t.image, EXIT_RACED, "[UNIX_NAME_TAKEN]");
	CHECK_OK(unlink(path));
	target_restore(&t, 0);
	target_judge(&t);
}

/* The id of who connected is taken by a process that has nothing to do with it. */
TEST(unix_creator, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "unix", "creator");
	_cleanup_free_ char *text = NULL;
	char path[96];
	snprintf(path, sizeof path, "%s/creator", t.dir);
	text = read_text(path);
	CHECK(text != NULL);
	target_dump(&t, false);
	pid_t pid = atoi(text);
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	if (!CHECK_OK(syscall(SYS_clone3, &args, sizeof args)))
		for (;;)
			pause();
	restore_refused(t.image, EXIT_UNSUPPORTED, "[UNIX_CREATOR]");
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(address, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "inet");
	target_dump(&t, false);
	CHECK_EQ(run_program(NULL, "/bin/ip", (const char *[]){ "ip", "link", "set", "lo", "down", NULL }), 0);
	CHECK_EQ(run_program(NULL, "/bin/ip", (const char *[]){ "ip", "addr", "flush", "dev", "lo", NULL }), 0);
	restore_refused(t.image, EXIT_UNSUPPORTED, "[INET_ADDRESS]");
}

TEST(without_net_admin, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	target_start(&t, "tcp");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0));
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[INET_REPAIR]");
	CHECK_CONTAINS(output.data, "cap_net_admin");
	target_judge(&t);
}
