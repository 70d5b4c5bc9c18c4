// SPDX-License-Identifier: LGPL-2.1-or-later
/* kill -9 of ckpt at every system call of a restore: nothing is left of it, no process, no file, no mount; or the whole
 * program runs, and is right. The tests take every so many system calls; the soak_ tests (make soak) take all of them. */
#include "harness/killer.h"
#include "harness/left.h"
#include <dirent.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct sweep {
	const char *const *argv;
	int step;       /* 0: few */
	bool fresh;     /* the files of its sockets are not there */
	bool namespace; /* restored into a pid namespace of its own */
	bool makers;    /* by processes that stop themselves */
};

static struct struck restore_killed_at(const struct sweep *s, const struct target *t, int n)
{
	const char *argv[] = { "ckpt", "restore", t->image, "-d", s->namespace ? "--pidns" : NULL, NULL };
	for (int tries = 0;; tries++) {
		_cleanup_text_ struct text output = { 0 };
		struct struck struck = strike_run(ckpt_path(), argv, &(struct strike){ .at = n, .stops = s->makers }, &output);
		if (!WIFEXITED(struck.status) || !WEXITSTATUS(struck.status))
			return struck;
		/* ids of the dead are out of sight a little before they are free */
		if (!output.data || !strstr(output.data, "[PID_TAKEN]") || tries == 20)
			FAIL("the restore itself does not work under a tracer: %s", output.data ?: "");
		nap_ms(20);
	}
}

static void shell(const char *format, const char *a, const char *b)
{
	char command[256];
	snprintf(command, sizeof command, format, a, b);
	CHECK_EQ(system(command), 0);
}

/* The id that a process of another pid namespace has here, 0: there is none. */
static pid_t find_inside(pid_t inside)
{
	struct dirent *e;
	pid_t found = 0;
	DIR *proc = opendir("/proc");
	CHECK(proc);
	while (!found && (e = readdir(proc))) {
		char path[300];
		int here, there;
		snprintf(path, sizeof path, "/proc/%s/status", e->d_name);
		_cleanup_free_ char *status = *e->d_name >= '1' && *e->d_name <= '9' ? read_text(path) : NULL;
		const char *line = status ? strstr(status, "\nNSpid:") : NULL;
		if (line && sscanf(line, "\nNSpid: %d %d", &here, &there) == 2 && there == inside)
			found = here;
	}
	closedir(proc);
	return found;
}

static bool find(const struct sweep *s, struct target *t, pid_t pid)
{
	t->pid = s->namespace ? find_inside(pid) : pid;
	return t->pid && target_alive(t->pid);
}

/* The program that came out is whole: it gives its verdict. Then its files are put back as they were. */
static void judge_survivor(struct target *t)
{
	target_judge(t);
	target_gone(t->pid);
	shell("rm -rf %s && cp -a %s.kept %1$s", t->dir, t->dir);
}

#define LIVES_ON 50 /* looks */

/* What became of it: nothing, or all of the program. Guards of ckpt, which go by its name, may have something left to do. */
static bool lives(const struct sweep *sweep, struct target *t, pid_t pid, const struct struck *s, const char *before)
{
	if (!WIFSIGNALED(s->status))
		return find(sweep, t, pid);
	int seen = 0; /* in a row: who is being killed may not show it at once */
	for (long long begin = clock_ms(); seen || clock_ms() - begin < WAIT_MS * test_patience(); nap_ms(1)) {
		_cleanup_free_ char *now = left_look();
		if (!strcmp(now, before))
			return false;
		seen = !strstr(now, ": ckpt\n") && find(sweep, t, pid) && !target_dying(t->pid) ? seen + 1 : 0;
		if (seen == LIVES_ON)
			return true;
	}
	return false;
}

/* Killed at calls first, first + step, ... of the restore of one image. */
static void sweep(struct sweep s)
{
	struct target t;
	target_startv(&t, s.argv);
	target_dump(&t, false);
	pid_t pid = t.pid;
	if (s.fresh)
		shell("find %s -type s -delete; ipcrm --all=shm", t.dir, "");
	shell("cp -a %s %s.kept", t.dir, t.dir);
	_cleanup_free_ char *before = left_look_alone();
	int kills = 0, lived = 0, calls = 0;
	for (int i = 0; i < STRIKE_WHOLE; i++) {
		struct struck whole = restore_killed_at(&s, &t, 0);
		CHECK(find(&s, &t, pid));
		judge_survivor(&t);
		left_check(before, "a whole restore");
		calls = strike_least(calls, &whole);
	}
	int step = s.step ?: calls / 50 + 1;
	for (int n = strike_first(1); n <= calls; n += n + 30 > calls ? 1 : step) {
		char what[64];
		struct struck struck = restore_killed_at(&s, &t, n);
		kills += WIFSIGNALED(struck.status);
		snprintf(what, sizeof what, "killed at call %d of %d (number %d)", n, calls, struck.nr);
		if (lives(&s, &t, pid, &struck, before)) {
			lived++;
			judge_survivor(&t);
		}
		left_check(before, what);
	}
	printf("%d kills over %d system calls, the program lived %d times\n", kills, calls, lived);
	fflush(stdout);
	CHECK(kills > 20);
	t.pid = pid;
	target_restore(&t, 0);
	target_judge(&t);
}
static bool makes_sibling(pid_t tid, const struct ptrace_syscall_info *info)
{
	struct clone_args args = { 0 };
	struct iovec to = { &args, sizeof args }, from = { (void *)(uintptr_t)info->entry.args[0], sizeof args };
	return info->entry.nr == SYS_clone3 && process_vm_readv(tid, &to, 1, &from, 1, 0) > 0 && args.flags & CLONE_PARENT;
}

/* When the call of ckpt is over that has made the first process of the tree, which is traced now too. */
static void kill_at_birth(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	pid_t *in_clone = arg;
	if (!*in_clone && info->op == PTRACE_SYSCALL_INFO_ENTRY && makes_sibling(tid, info)) /* a stand-in makes one too */
		*in_clone = tid;
	else if (info->op == PTRACE_SYSCALL_INFO_EXIT && tid == *in_clone)
		kill(tid, SIGKILL);
}

/* A root that is not the child of ckpt, but of its caller. */
static void killed_at_birth(struct target *t)
{
	target_dump(t, false);
	_cleanup_free_ char *before = left_look_alone();
	const char *argv[] = { "ckpt", "restore", "--sibling", t->image, NULL };
	for (int i = 0; i < 10; i++) {
		pid_t in_clone = 0;
		struct struck s =
			strike_run(ckpt_path(), argv, &(struct strike){ .seen = kill_at_birth, .arg = &in_clone }, NULL);
		CHECK(in_clone && WIFSIGNALED(s.status));
		left_check(before, "killed at the birth of a sibling");
	}
	target_restore(t, 0);
}

TEST(sibling, .root = true)
{
	struct target t;
	target_start(&t, "sleeper");
	killed_at_birth(&t);
	target_judge(&t);
}

/* A stand-in for the leader of its session, who is dead, makes it again. */
static void start_orphan(struct target *t)
{
	target_spawn(t, "/bin/sh", "-c", "sleep 1000 & echo $! > " WORK "/pid");
	_cleanup_free_ char *pid = wait_text(WORK "/pid");
	target_gone(t->pid);
	t->pid = atoi(pid);
	WAIT_UNTIL(target_asleep(t->pid, "sleep"));
}

TEST(sibling_of_stand_in, .root = true)
{
	struct target t;
	start_orphan(&t);
	killed_at_birth(&t);
	CHECK_OK(kill(t.pid, SIGKILL));
}

/* The call of the stand-in that has made the root: the second of its kind. */
static void kill_stand_in(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	pid_t *makers = arg;
	if (info->op == PTRACE_SYSCALL_INFO_ENTRY && makes_sibling(tid, info))
		makers[makers[0] != 0] = tid;
	else if (info->op == PTRACE_SYSCALL_INFO_EXIT && tid == makers[1] && tid != makers[0])
		kill(tid, SIGKILL);
}

TEST(stand_in_dies, .root = true)
{
	struct target t;
	start_orphan(&t);
	target_dump(&t, false);
	_cleanup_free_ char *before = left_look_alone();
	const char *argv[] = { "ckpt", "restore", "--sibling", t.image, NULL };
	pid_t makers[2] = { 0, 0 };
	struct struck s = strike_run(ckpt_path(), argv, &(struct strike){ .seen = kill_stand_in, .arg = makers }, NULL);
	CHECK(makers[1] && WIFEXITED(s.status) && WEXITSTATUS(s.status));
	left_check(before, "a stand-in killed when it has made the root");
	target_restore(&t, 0);
	CHECK_OK(kill(t.pid, SIGKILL));
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SWEEP(step, ...) sweep((struct sweep){ ARGV(__VA_ARGS__), step })
#define SWEEP_FRESH(step, ...) sweep((struct sweep){ ARGV(__VA_ARGS__), step, .fresh = true })
#define SWEEP_PIDNS(step, ...) sweep((struct sweep){ ARGV(__VA_ARGS__), step, .fresh = true, .namespace = true })

/* A server with its clients: connections, and a unix socket with a name. */
static void sweep_redis(int step)
{
	if (access("/usr/bin/redis-server", X_OK) < 0)
		SKIP("redis-server is not installed");
	SWEEP_FRESH(step, "/usr/bin/python3", "redis.py");
}

TEST(sleeper, .root = true, .seconds = 120) { SWEEP(0, "sleeper"); }
TEST(threads, .root = true, .seconds = 180) { SWEEP(0, "threads"); }
TEST(python, .root = true, .seconds = 180) { SWEEP(0, "/usr/bin/python3", "python.py"); }
TEST(tree, .root = true, .seconds = 180) { SWEEP(0, "tree"); }
TEST(rights, .root = true, .seconds = 180) { SWEEP(0, "userns"); }
TEST(leaders, .root = true, .seconds = 180) { SWEEP(0, "leaders", "child"); }
TEST(ghosts, .root = true, .seconds = 180) { SWEEP(0, "ghosts"); }
TEST(names, .root = true, .net = true, .seconds = 180) { SWEEP(0, "named"); }
TEST(fresh_names, .root = true, .net = true, .seconds = 180) { SWEEP_FRESH(0, "named"); }
TEST(segments, .root = true, .seconds = 180) { SWEEP_FRESH(0, "sysvshm"); }
TEST(shell, .root = true, .seconds = 180) { SWEEP(0, "pty"); }
TEST(connections, .root = true, .net = true, .seconds = 180) { SWEEP(0, "/usr/bin/python3", "loop.py", "tcp"); }
TEST(redis, .root = true, .net = true, .seconds = 180) { sweep_redis(0); }
TEST(clone, .root = true, .seconds = 180) { SWEEP_PIDNS(0, "sleeper"); }
TEST(clone_of_tree, .root = true, .seconds = 180) { SWEEP_PIDNS(0, "tree"); }
TEST(clone_with_names, .root = true, .net = true, .seconds = 180) { SWEEP_PIDNS(0, "named"); }

TEST(soak_restore_sleeper, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "sleeper"); }
TEST(soak_restore_threads, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "threads"); }
TEST(soak_restore_python, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "/usr/bin/python3", "python.py"); }
TEST(soak_restore_tree, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "tree"); }
TEST(soak_restore_rights, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "userns"); }
TEST(soak_restore_ghosts, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "ghosts"); }
TEST(soak_restore_fifos, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "fifos"); }
TEST(soak_restore_names, .root = true, .net = true, .manual = true, .seconds = 7200) { SWEEP(1, "named"); }
TEST(soak_restore_fresh_names, .root = true, .net = true, .manual = true, .seconds = 7200) { SWEEP_FRESH(1, "named"); }
TEST(soak_restore_clone, .root = true, .manual = true, .seconds = 7200) { SWEEP_PIDNS(1, "tree"); }
TEST(soak_restore_clone_with_names, .root = true, .net = true, .manual = true, .seconds = 7200) { SWEEP_PIDNS(1, "named"); }
TEST(soak_restore_shell, .root = true, .manual = true, .seconds = 7200) { SWEEP(1, "pty"); }
TEST(soak_restore_connections, .root = true, .net = true, .manual = true, .seconds = 7200)
{
	SWEEP(1, "/usr/bin/python3", "loop.py", "tcp");
}
/* So few descriptors that makers make most of the pipes or connections. */
static void sweep_makers(int step, const char *what)
{
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1024, 1024 }));
	sweep((struct sweep){ ARGV("crowd", what, "5", "8", "1024", "888"), step, .makers = true });
}
TEST(soak_restore_makers, .root = true, .manual = true, .seconds = 7200) { sweep_makers(1, "pipes"); }
TEST(soak_restore_connection_makers, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_makers(1, "idle"); }
TEST(soak_restore_redis, .root = true, .net = true, .manual = true, .seconds = 7200) { sweep_redis(1); }
