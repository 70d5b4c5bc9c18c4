// SPDX-License-Identifier: LGPL-2.1-or-later
/* kill -9 of ckpt while other processes keep for it what is more connections than it may have open: those who kept them are gone, the
 * program lives on undisturbed or not at all, and can be restored at once. */
#include "harness/killer.h"
#include "harness/target.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PROCESSES "4"
#define FEW "192"   /* descriptors for a dump */
#define SOME "1024" /* for a restore whose service descriptors begin behind HIGH */
#define HIGH "800"
#define LAST 1500 /* calls of a dump: since ckpt began to duplicate all connections, and somewhat before */

/* The nth call of this number is entered, or over. */
struct moment {
	int nr, nth;
	bool over;
	int seen, keepers;
	pid_t by; /* the thread that is in such a call */
	bool killed;
};

static void kill_then(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	struct moment *m = arg;
	bool enters = info->op == PTRACE_SYSCALL_INFO_ENTRY;
	if (enters)
		m->by = info->entry.nr == (u64)m->nr ? tid : m->by == tid ? 0 : m->by;
	m->seen += enters && m->by == tid;
	if (m->killed || m->by != tid || m->seen != m->nth || enters == m->over)
		return;
	m->keepers = count_named("ckpt") - 1;
	m->killed = kill(tid, SIGKILL) == 0;
}

/* ckpt VERB A B, which may have few descriptors. */
static struct struck run_few(const char *limit, const char *verb, const char *a, const char *b, const struct strike *strike)
{
	const char *argv[] = { "sh", "-c", "ulimit -n $0; exec \"$@\"", limit, ckpt_path(), verb, a, b, NULL };
	return strike_run("/bin/sh", argv, strike, NULL);
}

static void kill_at(const char *limit, const char *verb, const char *a, const char *b, struct moment m)
{
	struct struck s = run_few(limit, verb, a, b, &(struct strike){ .stops = true, .seen = kill_then, .arg = &m });
	CHECK(m.killed && WIFSIGNALED(s.status));
	CHECK(m.keepers > 1);
	WAIT_UNTIL(!count_named("ckpt"));
}

/* Closed connections whose address the kernel keeps: none, or a restore would have to wait. */
static int count_time_wait(void)
{
	_cleanup_free_ char *sockets = read_text("/proc/self/net/tcp");
	int n = 0;
	unsigned state;
	for (const char *line = strchr(sockets, '\n'); line && *++line; line = strchr(line, '\n'))
		n += sscanf(line, "%*d: %*s %*s %x", &state) == 1 && state == 6;
	return n;
}

static void dump_killed(const char *what, struct moment m, bool lives)
{
	struct target t;
	char pid[16];
	target_start(&t, "crowd", what, PROCESSES, "60");
	snprintf(pid, sizeof pid, "%d", t.pid);
	kill_at(FEW, "dump", pid, t.image, m);
	if (!lives) {
		target_gone(t.pid);
		CHECK_EQ(count_time_wait(), 0);
		target_restore(&t, 0);
	}
	target_judge(&t);
}

static void before_the_end(const char *what)
{
	dump_killed(what, (struct moment){ .nr = SYS_pidfd_send_signal, .nth = 1 }, true);
}

static void after_the_end(const char *what)
{
	dump_killed(what, (struct moment){ .nr = SYS_pidfd_send_signal, .nth = 1, .over = true }, false);
}

TEST(dump_connections_live_on, .root = true, .net = true, .seconds = 180) { before_the_end("idle"); }
TEST(dump_connections_end, .root = true, .net = true, .seconds = 180) { after_the_end("idle"); }
TEST(dump_guests_live_on, .root = true, .net = true, .seconds = 180) { before_the_end("guests"); }
TEST(dump_guests_end, .root = true, .net = true, .seconds = 180) { after_the_end("guests"); }

static void again(const struct target *t)
{
	char command[160];
	snprintf(command, sizeof command, "rm -rf %s* %s", t->image, t->dir);
	CHECK_EQ(system(command), 0);
}

/* At the last calls of a dump, a connection or two more from one to the next. */
static void sweep_dump(const char *what, int step)
{
	int kills = 0, gone = 0, calls = 0;
	for (int at = 0; at <= calls; at += at ? step : MAX(calls - LAST, 1)) {
		struct target t;
		char pid[16];
		target_start(&t, "crowd", what, PROCESSES, "30");
		snprintf(pid, sizeof pid, "%d", t.pid);
		struct struck s = run_few(FEW, "dump", pid, t.image, &(struct strike){ .at = at });
		kills += WIFSIGNALED(s.status);
		if (!at)
			calls = s.calls;
		WAIT_UNTIL(!count_named("ckpt"));
		while (target_alive(t.pid) && target_dying(t.pid))
			nap_ms(1);
		if (!target_alive(t.pid)) {
			gone++;
			target_gone(t.pid);
			target_restore(&t, 0);
		}
		target_judge(&t);
		target_gone(t.pid);
		again(&t);
	}
	printf("%d kills over %d calls, the program was gone %d times\n", kills, calls, gone);
	fflush(stdout);
	CHECK(kills > 20);
}

TEST(soak_dump_crowd_idle, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_dump("idle", 3); }
TEST(soak_dump_crowd_guests, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_dump("guests", 3); }

/* In a restore, when ckpt has taken the connections of the first maker and takes those of the second. */
static void restore_killed(const char *what)
{
	struct target t;
	target_start(&t, "crowd", what, PROCESSES, "50", "1024", HIGH);
	target_dump(&t, false);
	kill_at(SOME, "restore", t.image, "-d", (struct moment){ .nr = SYS_pidfd_getfd, .nth = 80, .over = true });
	target_gone(t.pid);
	CHECK_EQ(count_time_wait(), 0);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(restore_connections, .root = true, .net = true, .seconds = 180) { restore_killed("idle"); }
TEST(restore_guests, .root = true, .net = true, .seconds = 180) { restore_killed("guests"); }
