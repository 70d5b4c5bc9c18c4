// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs in control groups: in those they are restored, unless these are gone, frozen or not wanted. */
#include "harness/target.h"
#include "diag/diag.h"
#include <mntent.h>
#include <stdio.h>
#include <sys/stat.h>

/* A control group for one test, in version 2 or in a hierarchy of version 1. */
struct group {
	char dir[256];
	char sub[280]; /* and one below it */
};

/* Where cgroup2, or version 1 with this controller, is mounted. */
static bool find_hierarchy(const char *controller, char place[128])
{
	bool found = false;
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	for (struct mntent *m; mounts && !found && (m = getmntent(mounts));) {
		found = controller ? !strcmp(m->mnt_type, "cgroup") && hasmntopt(m, controller)
				   : !strcmp(m->mnt_type, "cgroup2");
		snprintf(place, 128, "%s", m->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

/* All tests see the same hierarchies: the name is that of this test's pid namespace. */
static void make_group(struct group *g, const char *controller)
{
	char place[128];
	struct stat own;
	if (!find_hierarchy(controller, place))
		SKIP("%s is not mounted", controller ?: "cgroup2");
	CHECK_OK(stat("/proc/self/ns/pid", &own));
	snprintf(g->dir, sizeof g->dir, "%s/ckpt-test-%llu-%lld", place, (unsigned long long)own.st_ino, clock_ms());
	snprintf(g->sub, sizeof g->sub, "%s/below", g->dir);
	if (mkdir(g->dir, 0755) < 0)
		SKIP("no control group can be made: %s", strerror(errno));
	CHECK_OK(mkdir(g->sub, 0755));
}

static void remove_group(const struct group *g)
{
	WAIT_UNTIL(rmdir(g->sub) == 0 || errno == ENOENT);
	WAIT_UNTIL(rmdir(g->dir) == 0 || errno == ENOENT);
}

static void enter(const char *dir, pid_t pid)
{
	char path[300], text[16];
	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	snprintf(text, sizeof text, "%d", pid);
	write_text(path, text);
}

static char *groups_of(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
	return read_text(path);
}

static pid_t first_child(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
	char *list = wait_text(path);
	pid_t child = (pid_t)strtol(list, NULL, 10);
	free(list);
	return child;
}

/* A parent in one group and its first child in the one below. */
static void start_grouped(struct target *t, struct group *g, const char *controller)
{
	make_group(g, controller);
	target_start(t, "prefork");
	enter(g->dir, t->pid);
	enter(g->sub, first_child(t->pid));
}

static void keeps(const char *controller)
{
	struct target t;
	struct group g;
	start_grouped(&t, &g, controller);
	pid_t child = first_child(t.pid);
	_cleanup_free_ char *before = groups_of(t.pid), *child_before = groups_of(child);
	CHECK_CONTAINS(before, "/ckpt-test-");
	CHECK_CONTAINS(child_before, "/below");
	target_dump(&t, false);
	target_restore(&t, 0);
	_cleanup_free_ char *after = groups_of(t.pid), *child_after = groups_of(child);
	CHECK_STR(after, before);
	CHECK_STR(child_after, child_before);
	target_compare(&t);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}

TEST(version_2, .root = true, .seconds = 60) { keeps(NULL); }
TEST(version_1, .root = true, .seconds = 60) { keeps("pids"); }

/* It runs in the group of ckpt then, and the whole tree is told of once. */
static void expect_missed(struct target *t)
{
	_cleanup_text_ struct text output = { 0 };
	_cleanup_free_ char *own = groups_of(getpid());
	CHECK_EQ(ckpt(&output, "restore", "-d", t->image), 0);
	CHECK_CONTAINS(output.data, "[CGROUP_MISSED]");
	const char *first = strstr(output.data, "[CGROUP_MISSED]"), *second = strstr(first + 1, "[CGROUP_MISSED]");
	CHECK(second); /* the child was in another one than its parent */
	CHECK(!strstr(second + 1, "[CGROUP_MISSED]"));
	_cleanup_free_ char *after = groups_of(t->pid);
	CHECK_STR(after, own);
	target_judge(t);
}

TEST(gone, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	start_grouped(&t, &g, NULL);
	target_dump(&t, false);
	target_gone(t.pid);
	remove_group(&g);
	expect_missed(&t);
}

TEST(frozen, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	char freeze[300];
	start_grouped(&t, &g, NULL);
	snprintf(freeze, sizeof freeze, "%s/cgroup.freeze", g.dir);
	if (access(freeze, W_OK) < 0)
		SKIP("control groups cannot be frozen before Linux 5.2");
	target_dump(&t, false);
	target_gone(t.pid);
	write_text(freeze, "1");
	expect_missed(&t);
	remove_group(&g);
}

TEST(not_wanted, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	_cleanup_text_ struct text output = { 0 };
	_cleanup_free_ char *own = groups_of(getpid());
	start_grouped(&t, &g, NULL);
	target_dump(&t, false);
	target_gone(t.pid);
	CHECK_EQ(ckpt(&output, "restore", "-d", "--policy", "cgroup=drop", t.image), 0);
	CHECK(!output.data || !strstr(output.data, "[CGROUP_MISSED]"));
	_cleanup_free_ char *after = groups_of(t.pid);
	CHECK_STR(after, own);
	target_judge(&t);
	remove_group(&g);
}
