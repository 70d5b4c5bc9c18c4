// SPDX-License-Identifier: LGPL-2.1-or-later
/* A durable dump: every byte of the image is on the disk before the manifest has its name, the name before the tree ends; and
 * when the disk fails at any of it, the tree runs on and no image is left. */
#include "diag/diag.h"
#include "harness/killer.h"
#include "harness/left.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* What is seen of a run, in the order in which calls end (a kill: in which it begins). */
enum what { SYNC, RENAME, KILL, OTHER };
struct event {
	enum what what;
	char on[128];
};
struct record {
	struct event event[256];
	int n, syncing; /* calls that have begun and not ended */
	struct {
		pid_t tid;
		struct event event;
	} open[16];
};

static enum what what_of(u64 nr)
{
	if (nr == SYS_fsync || nr == SYS_fdatasync)
		return SYNC;
	return nr == SYS_renameat || nr == SYS_renameat2 ? RENAME : nr == SYS_pidfd_send_signal ? KILL : OTHER;
}

static void add(struct record *r, const struct event *e)
{
	CHECK(r->n < (int)ARRAY_SIZE(r->event));
	r->event[r->n++] = *e;
}

static void name_event(pid_t tid, const struct ptrace_syscall_info *info, struct event *e)
{
	char link[64];
	struct iovec to = { e->on, sizeof e->on - 1 }, from = { (void *)(uintptr_t)info->entry.args[3], sizeof e->on - 1 };
	ssize_t n = 0;
	if (e->what == RENAME)
		process_vm_readv(tid, &to, 1, &from, 1, 0);
	if (e->what != SYNC)
		return;
	snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, (int)info->entry.args[0]);
	n = readlink(link, e->on, sizeof e->on - 1);
	CHECK(n > 0);
}

static void on_entry(struct record *r, pid_t tid, const struct ptrace_syscall_info *info)
{
	struct event e = { .what = what_of(info->entry.nr) };
	if (e.what == OTHER || (e.what == KILL && info->entry.args[1] != SIGKILL))
		return;
	name_event(tid, info, &e);
	if (e.what != SYNC)
		CHECK_EQ(r->syncing, 0); /* nothing is still on its way to the disk */
	if (e.what == KILL) {
		add(r, &e);
		return;
	}
	r->syncing += e.what == SYNC;
	for (size_t i = 0; i < ARRAY_SIZE(r->open); i++)
		if (!r->open[i].tid) {
			r->open[i].tid = tid;
			r->open[i].event = e;
			return;
		}
	FAIL("too many threads");
}

static void on_exit_of(struct record *r, pid_t tid, const struct ptrace_syscall_info *info)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->open); i++)
		if (r->open[i].tid == tid) {
			CHECK_EQ(info->exit.rval, 0);
			r->open[i].tid = 0;
			r->syncing -= r->open[i].event.what == SYNC;
			add(r, &r->open[i].event);
		}
}

static void record(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	if (info->op == PTRACE_SYSCALL_INFO_ENTRY)
		on_entry(arg, tid, info);
	else if (info->op == PTRACE_SYSCALL_INFO_EXIT)
		on_exit_of(arg, tid, info);
}

/* The place of the event at or behind `from`, -1: there is none. */
static int find(const struct record *r, int from, enum what what, const char *on)
{
	for (int i = from; i < r->n; i++)
		if (r->event[i].what == what && (!on || !strcmp(r->event[i].on, on)))
			return i;
	return -1;
}

static struct struck dump(const struct target *t, const char *how, const struct strike *strike, struct text *output)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	const char *argv[] = { "ckpt", "dump", pid, t->image, how, NULL };
	return strike_run(ckpt_path(), argv, strike, output);
}

TEST(order, .root = true, .seconds = 60)
{
	struct target t;
	struct record r = { 0 };
	char path[128];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "sleeper");
	struct struck s = dump(&t, "--durable", &(struct strike){ .children = true, .seen = record, .arg = &r }, &output);
	if (s.status)
		FAIL("%s", output.data ?: "");
	for (int i = 0; i < r.n; i++)
		printf("%s %s\n", (const char *[]){ "synced", "renamed to", "killed" }[r.event[i].what], r.event[i].on);
	int renamed = find(&r, 0, RENAME, "manifest");
	CHECK(renamed > 0);
	static const char *const before[] = { "/facts", "/pages", "/manifest.new", "" };
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		snprintf(path, sizeof path, "%s%s", t.image, before[i]);
		int synced = find(&r, 0, SYNC, path);
		CHECK(synced >= 0 && synced < renamed);
	}
	int above = find(&r, 0, SYNC, WORK); /* which the directory of the image was made in */
	CHECK(above >= 0 && above < renamed);
	int named = find(&r, renamed, SYNC, t.image), killed = find(&r, 0, KILL, NULL);
	CHECK(named > renamed);
	CHECK(killed > named);
	CHECK_EQ(find(&r, killed, SYNC, NULL), -1);
	target_gone(t.pid);
	target_restore(&t, 0);
	target_judge(&t);
}

/* Without the wish nothing is synced where memory is the disk. */
TEST(not_asked_for, .root = true)
{
	static const char *const how[] = { "--no-durable", "--leave-running" };
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		struct target t;
		struct record r = { 0 };
		target_start(&t, "sleeper");
		CHECK_EQ(dump(&t, how[1 - i], &(struct strike){ .children = true, .seen = record, .arg = &r }, NULL).status, 0);
		CHECK_EQ(find(&r, 0, SYNC, NULL), -1);
		CHECK(find(&r, 0, RENAME, "manifest") >= 0);
		CHECK_EQ(find(&r, 0, KILL, NULL) >= 0, i == 1);
	}
}

/* The n-th call of a kind fails: the tree runs on, no image is left. How often there is such a call. */
static int fail_each(struct target *t, int nr, const char *call)
{
	char what[64];
	_cleanup_free_ char *before = left_look();
	for (int n = 1;; n++) {
		_cleanup_text_ struct text output = { 0 };
		struct strike strike = { .at = n, .error = EIO, .children = true, .nr = nr };
		snprintf(what, sizeof what, "%s %d fails", call, n);
		struct struck s = dump(t, "--durable", &strike, &output);
		if (!s.injected) {
			CHECK_EQ(s.status, 0);
			return n - 1;
		}
		CHECK(WIFEXITED(s.status) && WEXITSTATUS(s.status) == EXIT_SYSTEM);
		CHECK_CONTAINS(output.data, "[IMAGE_WRITE]");
		CHECK_CONTAINS(output.data, "resumed unchanged; no image was left");
		left_running(t->pid, true, what);
		left_check(before, what);
	}
}

static void check_failures(int nr, const char *call, int least)
{
	struct target t;
	target_start(&t, "sleeper");
	CHECK(fail_each(&t, nr, call) >= least);
	target_gone(t.pid);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(data_is_not_written, .root = true, .seconds = 60) { check_failures(SYS_fdatasync, "fdatasync", 2); }
TEST(names_are_not_written, .root = true, .seconds = 60) { check_failures(SYS_fsync, "fsync", 4); }
TEST(manifest_gets_no_name, .root = true, .seconds = 60) { check_failures(SYS_renameat, "renameat", 1); }
