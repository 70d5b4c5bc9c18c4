// SPDX-License-Identifier: LGPL-2.1-or-later
/* kill -9 of ckpt at system calls of dump and restore of a program that is connected to a peer outside of the tree: the peer sees
 * no reset, and the connections go on, at once when the program was not ended, else after a restore. */
#include "harness/killer.h"
#include "harness/target.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LAST 60 /* calls: the lock is handed on, the tree ends; the tree is let go, the lock ends */

/* The first runs are whole; then the calls, the last ones close together. False behind them. */
struct sweep {
	int round, at, calls, step, shorter;
};

static bool next(struct sweep *s)
{
	if (s->round++ < STRIKE_WHOLE)
		return true;
	if (!s->step)
		s->step = s->calls / 8 + 1;
	int last = MAX(s->calls - LAST, 1);
	s->at = s->at < last ? MIN(s->at + s->step, last) : s->at + MIN(s->step, 5);
	return s->at <= s->calls;
}

static void note(struct sweep *s, const char *verb, const struct struck *struck)
{
	if (!s->at)
		s->calls = strike_least(s->calls, struck);
	printf("%s: call %d of %d (number %d)\n", verb, s->at, s->calls, struck->nr);
	fflush(stdout);
	if (s->at && strike_shorter(&s->calls, &s->shorter, struck))
		s->at = MIN(s->at, MAX(s->calls - LAST, 1));
}

static struct struck killed(const char *verb, const char *first, const char *second, const char *option, int n)
{
	const char *argv[] = { "ckpt", verb, first, second, option, NULL };
	return strike_run(ckpt_path(), argv, &(struct strike){ .at = n }, NULL);
}

/* Is it there, and will it stay? Guards of ckpt, which go by its name, may be about to end it, and who was killed takes a moment. */
static bool lives_on(const struct target *t)
{
	WAIT_UNTIL(!count_named("ckpt"));
	for (; target_alive(t->pid); nap_ms(1))
		if (!target_dying(t->pid))
			return true;
	return false;
}

static void remove_images(const struct target *t)
{
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s*", t->image);
	CHECK_EQ(system(command), 0);
}

static void again(const struct target *t)
{
	char command[96];
	remove_images(t);
	snprintf(command, sizeof command, "rm -rf %s", t->dir);
	CHECK_EQ(system(command), 0);
}

static void sweep_dump(int step)
{
	int kills = 0, gone = 0;
	for (struct sweep sweep = { .step = step }; next(&sweep);) {
		struct target t;
		char pid[16];
		target_start(&t, "outside", "127.0.0.1");
		snprintf(pid, sizeof pid, "%d", t.pid);
		struct struck s = killed("dump", pid, t.image, NULL, sweep.at);
		note(&sweep, "dump", &s);
		kills += WIFSIGNALED(s.status);
		if (!lives_on(&t)) {
			target_gone(t.pid);
			target_restore(&t, 0);
			gone += WIFSIGNALED(s.status);
		}
		target_judge(&t);
		target_gone(t.pid);
		again(&t);
	}
	printf("%d kills, the program was gone %d times\n", kills, gone);
	fflush(stdout);
	CHECK(kills > 0);
}

/* What a killed restore leaves of the program is gone before the next one. */
static void sweep_restore(int step)
{
	int kills = 0, lived = 0;
	for (struct sweep sweep = { .step = step }; next(&sweep);) {
		struct target t;
		target_start(&t, "outside", "127.0.0.1");
		target_dump(&t, false);
		struct struck s = killed("restore", t.image, "-d", NULL, sweep.at);
		note(&sweep, "restore", &s);
		kills += WIFSIGNALED(s.status);
		if (lives_on(&t)) {
			lived++;
		} else {
			target_gone(t.pid);
			nap_ms(20); /* ids of the dead are out of sight a little before they are free */
			target_restore(&t, 0);
		}
		target_judge(&t);
		target_gone(t.pid);
		again(&t);
	}
	printf("%d kills, the program lived %d times\n", kills, lived);
	fflush(stdout);
	CHECK(kills > 0);
}

/* The lock is somebody else's by then, and the connections end without a word to the peer. */
TEST(dump_when_the_program_was, .root = true, .net = true)
{
	struct target t;
	char pid[16];
	target_start(&t, "outside", "127.0.0.1");
	snprintf(pid, sizeof pid, "%d", t.pid);
	struct strike_end end = { .target = t.pid };
	const char *argv[] = { "ckpt", "dump", pid, t.image, NULL };
	struct struck s = strike_run(ckpt_path(), argv, &(struct strike){ .seen = strike_when_ended, .arg = &end }, NULL);
	CHECK(end.killed && WIFSIGNALED(s.status) && !lives_on(&t));
	target_gone(t.pid);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(dump, .root = true, .net = true, .seconds = 600) { sweep_dump(0); }
TEST(restore, .root = true, .net = true, .seconds = 600) { sweep_restore(0); }

TEST(soak_outside_dump, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_dump(1); }
TEST(soak_outside_restore, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_restore(1); }

/* Kernels before 5.12 know no table that belongs to a socket: then another process takes it away when ckpt dies. */
static struct struck dump_without_owner(const struct target *t, int kill_at)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	const char *argv[] = { "ckpt", "dump", pid, t->image, "--network-lock=nftables", NULL };
	const struct strike strike = { .at = kill_at ?: 1, .error = kill_at ? 0 : EINVAL, .nr = SYS_sendto };
	return strike_run(ckpt_path(), argv, &strike, NULL);
}

TEST(old_nftables, .root = true, .net = true, .seconds = 60)
{
	struct target t;
	target_start(&t, "parts", "closed");
	struct struck s = dump_without_owner(&t, 0);
	CHECK(WIFEXITED(s.status) && WEXITSTATUS(s.status) == 0 && s.nr == SYS_sendto);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", t.image, "-d", "--policy=tcp=close"), 0);
	target_judge(&t);
}

#define TRIES 10
/* ckpt asks whether it may use repair mode, by a socket of its own, before it uses it. */
#define OWN_TURNS 1

struct in_repair {
	int turns; /* so many times has TCP_REPAIR been set */
	int after; /* more than these */
	pid_t by;  /* who has set it last */
	bool killed;
};

/* May it run before the program that ckpt lets go when it dies? It is of a real-time class, and waits on ckpt's CPU. */
static bool is_first(pid_t guard, pid_t ckpt)
{
	cpu_set_t its, ckpts;
	return sched_getscheduler(guard) == SCHED_FIFO && sched_getaffinity(guard, sizeof its, &its) == 0 &&
	       sched_getaffinity(ckpt, sizeof ckpts, &ckpts) == 0 && CPU_COUNT(&its) == 1 && CPU_EQUAL(&its, &ckpts);
}

static bool has_guard(pid_t ckpt)
{
	char path[64];
	int child, n;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", ckpt, ckpt);
	_cleanup_free_ char *children = read_text(path);
	for (const char *at = children; at && sscanf(at, "%d%n", &child, &n) == 1; at += n)
		if (is_first(child, ckpt))
			return true;
	return false;
}

/* When a connection of the target has come into repair mode, or out of it, and the call is over. */
static void kill_in_repair(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	struct in_repair *in = arg;
	if (info->op == PTRACE_SYSCALL_INFO_ENTRY) {
		if (info->entry.nr != SYS_setsockopt || info->entry.args[1] != IPPROTO_TCP || info->entry.args[2] != TCP_REPAIR)
			return;
		in->turns++;
		in->by = tid;
	} else if (in->turns > in->after && tid == in->by && !in->killed) {
		CHECK(has_guard(tid));
		in->killed = kill(tid, SIGKILL) == 0;
	}
}

static void need_real_time(void)
{
	const struct sched_param first = { .sched_priority = 1 }, none = { 0 };
	if (sched_setscheduler(0, SCHED_FIFO, &first) < 0)
		SKIP("no real-time class is permitted here: %s", strerror(errno));
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &none));
}

/* The program, which runs on when ckpt has died, has its connection as it was and never sees it in repair mode, even while all that ckpt
 * starts is traced: the guard goes first. */
static void kill_after_turns(int turns)
{
	struct target t;
	char pid[16];
	need_real_time();
	target_start(&t, "repaired");
	snprintf(pid, sizeof pid, "%d", t.pid);
	const char *argv[] = { "ckpt", "dump", pid, t.image, NULL };
	for (int i = 0; i < TRIES; i++) {
		struct in_repair in = { .after = turns };
		struct struck s = strike_run(ckpt_path(), argv,
					     &(struct strike){ .seen = kill_in_repair, .arg = &in, .children = true }, NULL);
		CHECK(in.killed && WIFSIGNALED(s.status));
		remove_images(&t);
	}
	WAIT_UNTIL(!count_named("ckpt"));
	target_judge(&t);
}

TEST(repair_mode, .root = true, .net = true, .seconds = 120) { kill_after_turns(OWN_TURNS); }
TEST(repair_mode_just_left, .root = true, .net = true, .seconds = 120) { kill_after_turns(OWN_TURNS + 1); }

TEST(repair_mode_is_not_seen, .root = true, .net = true)
{
	struct target t;
	target_start(&t, "repaired");
	for (int i = 0; i < TRIES; i++) {
		target_dump(&t, true);
		remove_images(&t);
	}
	target_judge(&t);
}
