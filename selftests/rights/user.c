// SPDX-License-Identifier: LGPL-2.1-or-later
/* An ordinary user, without any capability: dumps own programs, and restores them in a user and pid namespace of their own. */
#include "diag/diag.h"
#include "rights/tier.h"
#include <sys/resource.h>
#include <sys/wait.h>

/* Restores and takes the clone for the target. */
static void restore_in_userns(struct target *t)
{
	char pidfile[96];
	snprintf(pidfile, sizeof pidfile, "%s.pid", t->image);
	unlink(pidfile);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--userns", "--pidfile", pidfile, t->image), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK(pid != NULL);
	t->pid = atoi(pid);
	CHECK(target_alive(t->pid) || access(t->dir, F_OK) == 0);
}

static void check_own(pid_t pid)
{
	char value[64];
	tier_status(pid, "Uid", value, sizeof value);
	CHECK_STR(value, "65534\t65534\t65534\t65534");
	tier_status(pid, "CapPrm", value, sizeof value);
	CHECK_STR(value, "0000000000000000");
}

static void go_round(const char *const *argv)
{
	struct target t;
	char pid[16];
	tier_need_told(argv[0]);
	tier_become(0, 0, NULL);
	target_startv(&t, argv);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "check", "--pid", pid), 0);
	target_dump(&t, false);
	CHECK_EQ(ckpt(NULL, "check", "--image", t.image, "--userns"), 0);
	restore_in_userns(&t);
	check_own(t.pid);
	target_judge(&t);
}

#define ORDINARY(name, ...)                                                                                                    \
	TEST(name, .root = true, .seconds = 60) { go_round((const char *const[]){ __VA_ARGS__, NULL }); }

ORDINARY(sleeper, "sleeper")
ORDINARY(sleeper_static, "sleeper.static")
ORDINARY(threads, "threads")
ORDINARY(python, "/usr/bin/python3", "python.py")
ORDINARY(signals, "signals")
ORDINARY(timers, "timers")
ORDINARY(unix_sockets, "unix")
ORDINARY(locks, "locks")
ORDINARY(epoll, "epoll")
ORDINARY(daemon, "daemon")

/* A clone is dumped and restored again, by the user who owns its namespaces. */
TEST(generations, .root = true, .seconds = 60)
{
	struct target t;
	char pid[16], value[64];
	tier_become(0, 0, NULL);
	target_start(&t, "threads");
	target_dump(&t, false);
	for (int i = 1; i <= 3; i++) {
		restore_in_userns(&t);
		tier_status(t.pid, "NSpid", value, sizeof value);
		CHECK(strchr(value, '\t') != NULL);
		snprintf(pid, sizeof pid, "%d", t.pid);
		snprintf(t.image, sizeof t.image, WORK "/generation%d", i);
		CHECK_EQ(ckpt(NULL, "dump", pid, t.image), 0);
		target_gone(t.pid);
	}
	restore_in_userns(&t);
	target_judge(&t);
}

/* Two of one image side by side. */
TEST(side_by_side, .root = true, .seconds = 60)
{
	struct target t;
	tier_become(0, 0, NULL);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	restore_in_userns(&t);
	pid_t first = t.pid;
	restore_in_userns(&t);
	CHECK(t.pid != first && target_alive(first) && target_alive(t.pid));
	target_judge(&t);
}

/* Dumps, and then says why a restore would not do; nothing is made. */
static void refused(struct target *t, const char *code, const char *word, const char *option)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", "-d", t->image, option), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, code);
	CHECK_CONTAINS(output.data, word);
	CHECK_CONTAINS(output.data, "  do:");
	CHECK_CONTAINS(output.data, "not restored");
}

TEST(old_ids_are_not_for_everybody, .root = true)
{
	struct target t;
	tier_become(0, 0, NULL);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	refused(&t, "[SET_TID]", "--userns", NULL);
	refused(&t, "[PIDNS]", "--userns", "--pidns");
	restore_in_userns(&t);
	target_judge(&t);
}

TEST(supplementary_groups, .root = true)
{
	static const gid_t groups[] = { 4242, 4343 };
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	tier_become(0, ARRAY_SIZE(groups), groups);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	refused(&t, "[CREDS_GROUPS]", "it had 4242 4343", "--userns");
	refused(&t, "[CREDS_GROUPS]", "--groups", "--userns");
	const char *pidfile = WORK "/pid";
	CHECK_EQ(ckpt(&output, "restore", "-d", "--userns", "--groups", "--pidfile", pidfile, t.image), 0);
	CHECK_CONTAINS(output.data, "[GROUPS_OWN]");
	CHECK_CONTAINS(output.data, "it had 4242 4343");
	_cleanup_free_ char *pid = read_text(pidfile);
	char value[64];
	t.pid = atoi(pid ?: "0");
	tier_status(t.pid, "Groups", value, sizeof value);
	CHECK_STR(value, "4242 4343 "); /* as seen outside: those of ckpt */
	target_judge(&t);
}

TEST(ids_and_capabilities_of_others, .root = true)
{
	struct target t;
	need_reachable();
	target_start(&t, "sleeper");
	target_dump(&t, false);
	static const char *const files[] = { "", "/manifest", "/facts", "/pages" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[96];
		snprintf(path, sizeof path, "%s%s", t.image, files[i]);
		CHECK_OK(chown(path, TIER_USER, TIER_USER));
	}
	char output[96];
	snprintf(output, sizeof output, "%s/output", t.dir);
	CHECK_OK(chmod(t.dir, 0755));
	CHECK_OK(chown(output, TIER_USER, TIER_USER));
	tier_become(0, 0, NULL);
	refused(&t, "[CREDS_IDS]", "user 0, ckpt is 65534", NULL);
	refused(&t, "[CREDS_IDS]", "user 0, ckpt is 65534", "--userns");
	refused(&t, "[CREDS_CAPS]", "are permitted to it", NULL);
}

TEST(better_scheduling, .root = true)
{
	struct target t;
	CHECK_OK(setrlimit(RLIMIT_NICE, &(struct rlimit){ 0, 0 }));
	CHECK_OK(setpriority(PRIO_PROCESS, 0, -5));
	tier_become(0, 0, NULL);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
	refused(&t, "[SCHED_RIGHT]", "nice -5", "--userns");
}

/* What cannot be dumped is said by check, and by a dump before anything is changed. */
static void never_dumped(const char *code, const char *program, const char *argument)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text checked = { 0 }, dumped = { 0 };
	tier_become(0, 0, NULL);
	target_start(&t, program, argument);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&checked, "check", "--pid", pid), EXIT_PRIVILEGE);
	CHECK_CONTAINS(checked.data, code);
	CHECK_EQ(ckpt(&dumped, "dump", pid, t.image), EXIT_PRIVILEGE);
	CHECK_CONTAINS(dumped.data, code);
	CHECK_CONTAINS(dumped.data, "resumed unchanged");
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

/* Only CAP_SYS_ADMIN reads filters: said by check, and by a dump before anything is changed. */
TEST(filters_that_cannot_be_read, .root = true) { never_dumped("[SECCOMP_READ]", "rights", "filtered"); }

/* Shared memory and deleted files are reached by their mappings only. */
TEST(hidden_files, .root = true) { never_dumped("[MAPPED_HIDDEN]", "shared", NULL); }

/* user_namespaces(7): nobody makes one whose root directory is not that of his mount namespace. */
TEST(no_user_namespaces, .root = true)
{
	struct target t;
	CHECK_OK(mkdir(WORK "/root", 0755));
	CHECK_OK(mount("/", WORK "/root", NULL, MS_BIND | MS_REC, NULL));
	CHECK_OK(chroot(WORK "/root"));
	CHECK_OK(chdir("/"));
	tier_become(0, 0, NULL);
	target_start(&t, "sleeper");
	target_dump(&t, false);
	refused(&t, "[USERNS]", "max_user_namespaces", "--userns");
}
