// SPDX-License-Identifier: LGPL-2.1-or-later
/* A user who is not root but has CAP_CHECKPOINT_RESTORE and CAP_SYS_PTRACE, with and without CAP_BPF and CAP_PERFMON: dumps and
 * restores programs of its own, which come back without a right that they had not. */
#include "diag/diag.h"
#include "rights/tier.h"
#include <sys/socket.h>

static void check_rights(pid_t pid, const char *caps)
{
	static const char *const ids[] = { "Uid", "Gid" };
	static const char *const sets[] = { "CapPrm", "CapEff", "CapAmb" };
	char value[64];
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		tier_status(pid, ids[i], value, sizeof value);
		CHECK_STR(value, "65534\t65534\t65534\t65534");
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		tier_status(pid, sets[i], value, sizeof value);
		CHECK_STR(value, caps);
	}
}

static void go_round(const char *const *argv, const char *caps)
{
	struct target t;
	char pid[16];
	target_startv(&t, argv);
	check_rights(t.pid, caps);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "check", "--pid", pid), 0);
	target_dump(&t, false);
	target_restore(&t, 0);
	check_rights(t.pid, caps);
	target_judge(&t);
}

/* with: what ckpt and the program have. */
#define CAPABLE(name, with, hexadecimal, ...)                                                                                  \
	TEST(name, .root = true, .seconds = 60)                                                                                \
	{                                                                                                                      \
		if (!((with)&TIER_BPF))                                                                                        \
			tier_need_told(((const char *const[]){ __VA_ARGS__ })[0]);                                             \
		tier_become(with, 0, NULL);                                                                                    \
		go_round((const char *const[]){ __VA_ARGS__, NULL }, hexadecimal);                                             \
	}
#define WITHOUT_BPF(name, ...) CAPABLE(name##_without_bpf, TIER_CHECKPOINT, "0000010000080000", __VA_ARGS__)
#define BOTH(name, ...)                                                                                                        \
	WITHOUT_BPF(name, __VA_ARGS__)                                                                                         \
	CAPABLE(name##_with_bpf, TIER_CHECKPOINT | TIER_BPF, "000001c000080000", __VA_ARGS__)

BOTH(sleeper, "sleeper")
BOTH(threads, "threads")
BOTH(memory, "memory")
BOTH(tree, "tree")
BOTH(signals, "signals")
BOTH(timers, "timers")
BOTH(unix_sockets, "unix")

BOTH(replaced, "replaced")

BOTH(locks, "locks")

BOTH(epoll, "epoll")
BOTH(timerfds, "timerfds")
BOTH(signalfds, "signalfds")

BOTH(daemon, "daemon")
BOTH(kin, "kin")
BOTH(nodes, "nodes")
BOTH(shared, "shared")

CAPABLE(pty_with_bpf, TIER_CHECKPOINT | TIER_BPF, "000001c000080000", "pty")

/* Who was stopped by a signal answers no question, and only eBPF asks it none. */
TEST(stopped_without_bpf, .root = true)
{
	static const char *const codes[] = { "[PRCTL]",         "[SECUREBITS]", "[SIGNAL_ACTIONS]", "[THREAD_FACTS]",
					     "its timer slack", "CAP_BPF",      "resumed unchanged" };
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	tier_become(TIER_CHECKPOINT, 0, NULL);
	target_start(&t, "pty");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_PRIVILEGE);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		CHECK_CONTAINS(output.data, codes[i]);
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

/* The rights lie with the program ckpt (setcap(8)): who starts it, and what it restores, have none. */
static void by_file(u64 with, const char *program)
{
	struct target t;
	tier_grant_file(with);
	tier_become(0, 0, NULL);
	CHECK_OK(setenv("CKPT", WORK "/ckpt", 1));
	target_start(&t, program);
	check_rights(t.pid, "0000000000000000");
	target_dump(&t, false);
	target_restore(&t, 0);
	check_rights(t.pid, "0000000000000000");
	target_judge(&t);
}

TEST(rights_of_the_file_without_bpf, .root = true) { by_file(TIER_CHECKPOINT, "threads"); }
TEST(rights_of_the_file_with_bpf, .root = true) { by_file(TIER_CHECKPOINT | TIER_BPF, "tree"); }

/* What takes other rights to make is refused by their names, before anything is made. */
static void refused(const char *program, const char *needs)
{
	struct target t;
	char noted[96];
	_cleanup_text_ struct text output = { 0 };
	tier_become(TIER_CHECKPOINT | TIER_BPF, 0, NULL);
	target_start(&t, program);
	snprintf(noted, sizeof noted, "%s/no-core", t.dir);
	if (access(noted, F_OK) == 0)
		SKIP("core files do not go to files here");
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[PLAN_RIGHT]");
	CHECK_CONTAINS(output.data, needs);
	CHECK_CONTAINS(output.data, "nothing was made");
}

TEST(datagrams_that_wait, .root = true, .net = true)
{
	u64 cookie;
	socklen_t len = sizeof cookie;
	int fd = (int)CHECK_OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &len) < 0)
		SKIP("who lacks CAP_NET_ADMIN is not told whose network namespace a socket is in (SO_NETNS_COOKIE: Linux "
		     "5.14)");
	close(fd);
	refused("inet", "(NET_RAW)");
}
TEST(zombies_with_core_files, .root = true) { refused("dead", "(SYS_ADMIN)"); }
