// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs in control groups: in those they are restored, which are made again when they are gone, unless they are frozen or not
 * wanted. */
#include "cgroup.pb-c.h"
#include "diag/diag.h"
#include "harness/edit.h"
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
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
static void expect_missed(struct target *t, const char *policy)
{
	_cleanup_text_ struct text output = { 0 };
	_cleanup_free_ char *own = groups_of(getpid());
	CHECK_EQ(ckpt(&output, "restore", "-d", policy, t->image), 0);
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
	expect_missed(&t, "--policy=cgroup=enter");
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
	expect_missed(&t, "--policy=cgroup=keep");
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

/* --- groups that are made again --- */

static void set_in(const char *dir, const char *file, const char *value)
{
	char path[320];
	snprintf(path, sizeof path, "%s/%s", dir, file);
	write_text(path, value);
}

static void check_in(const char *dir, const char *file, const char *value)
{
	char path[320];
	snprintf(path, sizeof path, "%s/%s", dir, file);
	_cleanup_free_ char *now = read_text(path);
	CHECK(now);
	now[strcspn(now, "\n")] = 0;
	CHECK_STR(now, value);
}

/* What is set in the groups of a test: a file of the lower one. */
struct setting {
	const char *controller, *file, *value, *other, *initial;
};
static const struct setting depth = { NULL, "cgroup.max.descendants", "7", "8", "max" };
static const struct setting tasks = { "pids", "pids.max", "777", "778", "max" };

#define USER 1000

/* Set and owned by another user; the image is there and the tree is not. */
static void dump_limited(struct target *t, struct group *g, const struct setting *s)
{
	start_grouped(t, g, s->controller);
	set_in(g->sub, s->file, s->value);
	CHECK_OK(chown(g->sub, USER, USER));
	CHECK_OK(chmod(g->sub, 0750));
	target_dump(t, false);
	target_gone(t->pid);
}

static void check_groups(const struct group *g, const struct setting *s, const char *value)
{
	struct stat st;
	check_in(g->sub, s->file, value);
	CHECK_OK(stat(g->sub, &st));
	CHECK_EQ(st.st_uid, USER);
	CHECK_EQ(st.st_mode & 07777, 0750);
}

static void check_none(const struct group *g) { CHECK(access(g->dir, F_OK) < 0 && errno == ENOENT); }

static void makes_again(const struct setting *s)
{
	struct target t;
	struct group g;
	_cleanup_text_ struct text told = { 0 };
	dump_limited(&t, &g, s);
	remove_group(&g);
	CHECK_EQ(ckpt(&told, "check", "--image", t.image), 0);
	CHECK_CONTAINS(told.data, "[CGROUP_MADE]");
	CHECK_CONTAINS(told.data, g.dir);
	check_none(&g);
	target_restore(&t, 0);
	_cleanup_free_ char *parent = groups_of(t.pid), *child = groups_of(first_child(t.pid));
	CHECK_CONTAINS(parent, strstr(g.dir, "/ckpt-test-"));
	CHECK_CONTAINS(child, strstr(g.sub, "/ckpt-test-"));
	check_groups(&g, s, s->value);
	target_compare(&t);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}

TEST(made_version_2, .root = true, .seconds = 60) { makes_again(&depth); }
TEST(made_version_1, .root = true, .seconds = 60) { makes_again(&tasks); }

/* Everything was made, and then it is not wanted. */
TEST(undone, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	dump_limited(&t, &g, &depth);
	remove_group(&g);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--confirm", "false", t.image), 1);
	check_none(&g);
	target_restore(&t, 0);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}

/* The same when ckpt is killed by who is asked: its parent. */
TEST(killed, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	char command[400];
	dump_limited(&t, &g, &depth);
	remove_group(&g);
	snprintf(command, sizeof command, "test -d %s && kill -9 $PPID", g.sub);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--confirm", command, t.image), 128 + SIGKILL);
	WAIT_UNTIL(access(g.dir, F_OK) < 0);
	check_none(&g);
}

static void refuses(struct target *t, const char *policy, const char *code)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(ckpt(&output, "restore", "-d", policy, t->image), 3);
	CHECK_CONTAINS(output.data, code);
}

static void restores(struct target *t, const char *policy)
{
	CHECK_EQ(ckpt(NULL, "restore", "-d", policy, t->image), 0);
	target_judge(t);
	target_gone(t->pid);
}

TEST(policies_when_gone, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	dump_limited(&t, &g, &depth);
	remove_group(&g);
	refuses(&t, "--policy=cgroup=require", "[CGROUP_REQUIRED]");
	refuses(&t, "--policy=cgroup=set", "[CGROUP_REQUIRED]");
	check_none(&g);
	restores(&t, "--policy=cgroup=strict");
	check_groups(&g, &depth, depth.value);
	remove_group(&g);
}

TEST(policies_when_there, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	dump_limited(&t, &g, &tasks);
	set_in(g.sub, tasks.file, tasks.other);
	set_in(g.dir, tasks.file, tasks.other);
	refuses(&t, "--policy=cgroup=strict", "[CGROUP_PRESENT]");
	check_in(g.sub, tasks.file, tasks.other);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--policy=cgroup=set", "--confirm", "true", t.image), 0);
	check_groups(&g, &tasks, tasks.value);
	check_in(g.dir, tasks.file, tasks.initial);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}

TEST(left_as_they_are, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	dump_limited(&t, &g, &tasks);
	set_in(g.sub, tasks.file, tasks.other);
	restores(&t, "--policy=cgroup=require");
	check_in(g.sub, tasks.file, tasks.other);
	remove_group(&g);
}

TEST(made_in_full, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	dump_limited(&t, &g, &tasks);
	CHECK_OK(rmdir(g.sub));
	set_in(g.dir, tasks.file, tasks.other);
	restores(&t, "--policy=cgroup=full");
	check_groups(&g, &tasks, tasks.value);
	check_in(g.dir, tasks.file, tasks.initial);
	remove_group(&g);
}

static Ckpt__CgroupGroup *first_group(struct graph *g)
{
	for (struct object *o = NULL; (o = graph_next(g, graph_kind(g, "cgroup"), o));) {
		const Ckpt__Cgroup *m = o->data;
		for (size_t i = 0; i < m->n_group; i++)
			if (!*m->group[i]->hierarchy)
				return m->group[i];
	}
	FAIL("the image has no group of version 2");
}

static void add_programs(struct graph *g, const void *with _unused_) { SET(first_group(g), programs, 2); }

static void add_limit(struct graph *g, const void *with _unused_)
{
	Ckpt__CgroupGroup *group = first_group(g);
	Ckpt__CgroupFile *f = MESSAGE_NEW(Ckpt__CgroupFile, ckpt__cgroup_file);
	CHECK(f && MESSAGE_APPEND(&group->n_file, &group->file, f));
	CHECK(message_set_string(&f->name, "dmem.max") && message_set_string(&f->value, "max"));
}

/* No file of a group that leads to another, and nothing that no dump has read. */
static void add_foreign(struct graph *g, const void *with)
{
	add_limit(g, with);
	Ckpt__CgroupGroup *group = first_group(g);
	CHECK(message_set_string(&group->file[group->n_file - 1]->name, with));
}

TEST(not_to_be_made, .root = true, .seconds = 60)
{
	static const struct {
		void (*change)(struct graph *, const void *);
		const void *with;
		const char *code;
		int status;
	} changes[] = { { add_programs, NULL, "[CGROUP_PROGRAMS]", 3 },
			{ add_limit, NULL, "[CGROUP_CONTROLLER]", 3 },
			{ add_foreign, "dmem./../cgroup.kill", "[IMAGE_VALUE]", 5 },
			{ add_foreign, "cgroup.kill", "[IMAGE_VALUE]", 5 } };
	struct target t;
	struct group g;
	dump_limited(&t, &g, &depth);
	remove_group(&g);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_text_ struct text output = { 0 };
		char to[80];
		snprintf(to, sizeof to, "%s.%zu", t.image, i);
		edit_image(t.image, to, changes[i].change, changes[i].with);
		CHECK_EQ(ckpt(&output, "restore", "-d", to), changes[i].status);
		CHECK_CONTAINS(output.data, changes[i].code);
		check_none(&g);
	}
}

/* A supervisor has the files of its groups open. */
TEST(open_files, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	char path[300], link[64], command[400], now[300] = { 0 };
	make_group(&g, NULL);
	snprintf(path, sizeof path, "%s/cgroup.procs", g.sub);
	snprintf(command, sizeof command, "exec /bin/sleep 1000 7<>%s", path);
	target_spawn(&t, "/bin/sh", "-c", command);
	WAIT_UNTIL(target_asleep(t.pid, "sleep"));
	enter(g.sub, t.pid);
	target_dump(&t, false);
	target_gone(t.pid);
	remove_group(&g);
	target_restore(&t, 0);
	snprintf(link, sizeof link, "/proc/%d/fd/7", t.pid);
	CHECK_OK(readlink(link, now, sizeof now - 1));
	CHECK_STR(now, path);
	target_compare(&t);
	CHECK_OK(kill(t.pid, SIGKILL));
	target_gone(t.pid);
	remove_group(&g);
}

/* --- groups that move --- */

/* A place below which a test's groups can be: it is removed with these. */
static void other_group(const struct group *g, struct group *other)
{
	char *below;
	snprintf(other->dir, sizeof other->dir, "%.240s-other", g->dir);
	snprintf(other->sub, sizeof other->sub, "%s/below", other->dir);
	below = strstr(other->dir, "/ckpt-test-");
	CHECK(below);
}

static void root_option(char option[400], const struct group *g)
{
	snprintf(option, 400, "--cgroup-root=cgroup2:%s", strstr(g->dir, "/ckpt-test-"));
}

/* Everybody is in the lower group, and the root of the dump is the upper one, which is the restore's. */
TEST(moved, .root = true, .seconds = 60)
{
	struct target t;
	struct group g, other;
	char from[400], to[400], pid[16];
	make_group(&g, NULL);
	target_start(&t, "sleeper");
	enter(g.sub, t.pid);
	set_in(g.dir, depth.file, depth.other);
	set_in(g.sub, depth.file, depth.value);
	other_group(&g, &other);
	root_option(from, &g);
	root_option(to, &other);
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(NULL, "dump", from, pid, t.image), 0);
	target_gone(t.pid);
	CHECK_EQ(ckpt(NULL, "restore", "-d", to, t.image), 0);
	_cleanup_free_ char *now = groups_of(t.pid);
	CHECK_CONTAINS(now, strstr(other.sub, "/ckpt-test-"));
	check_in(other.dir, depth.file, depth.other);
	check_in(other.sub, depth.file, depth.value);
	check_in(g.sub, depth.file, depth.value);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&other);
	remove_group(&g);
	CHECK_EQ(ckpt(NULL, "restore", "-d", "--cgroup-root=pids", t.image), 2);
}

/* Through the command line of criu(8); the group that all are in is the root, so it is the one that moves. */
static int restore_by_criu(struct target *t, struct text *output, const char *mode, const char *root)
{
	return criu(output, "restore", "-D", t->image, "-d", mode, root);
}

TEST(by_criu, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	char root[400];
	make_group(&g, NULL);
	target_start(&t, "sleeper");
	enter(g.sub, t.pid);
	set_in(g.sub, depth.file, depth.value);
	target_dump_by_criu(&t);
	remove_group(&g);
	root_option(root, &g);
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(restore_by_criu(&t, &output, "--manage-cgroups=none", "-v1"), 1);
	CHECK_CONTAINS(output.data, "CGROUP_REQUIRED");
	CHECK_EQ(restore_by_criu(&t, NULL, "--manage-cgroups", root), 0);
	_cleanup_free_ char *now = groups_of(t.pid);
	CHECK_CONTAINS(now, strstr(g.dir, "/ckpt-test-"));
	CHECK(!strstr(now, "/below"));
	check_in(g.dir, depth.file, depth.value);
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}

/* --- groups that are frozen --- */

static bool is_frozen(const struct group *g)
{
	char path[300];
	snprintf(path, sizeof path, "%s/cgroup.events", g->dir);
	_cleanup_free_ char *events = read_text(path);
	return events && strstr(events, "frozen 1");
}

TEST(frozen_again, .root = true, .seconds = 60)
{
	struct target t;
	struct group g;
	start_grouped(&t, &g, NULL);
	set_in(g.dir, "cgroup.freeze", "1");
	WAIT_UNTIL(is_frozen(&g));
	target_dump(&t, false);
	target_gone(t.pid);
	remove_group(&g);
	target_restore(&t, 0);
	WAIT_UNTIL(is_frozen(&g));
	set_in(g.dir, "cgroup.freeze", "0");
	target_judge(&t);
	target_gone(t.pid);
	remove_group(&g);
}
