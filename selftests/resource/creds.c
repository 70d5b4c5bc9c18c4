// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of credentials and user namespaces as plans make them, in children of the test. */
#include "base/field.h"
#include "base/file.h"
#include "creds.pb-c.h"
#include "harness/plan.h"
#include "harness/test.h"
#include "model/kinds.h"
#include "resource/registry.h"
#include "userns.pb-c.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BIT(cap) (1ull << (cap))

/* Runs fn in a child that must end well. */
static void in_child(void (*fn)(void))
{
	int status;
	pid_t child = fork();
	if (!child) {
		fn();
		_exit(0);
	}
	CHECK_OK(waitpid(child, &status, 0));
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

static u64 status_hex(const char *name)
{
	_cleanup_text_ struct text status = { 0 };
	u64 value = 0;
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/status", &status));
	CHECK(field_u64(status.data, name, 16, &value));
	return value;
}

static Ckpt__Creds *full_creds(struct graph *g)
{
	Ckpt__Creds *m = OBJECT(g, &resource_creds, (u32)getpid());
	m->bounding = m->permitted = m->effective = status_hex("CapBnd");
	m->has_securebits = true;
	return m;
}

static void check_status(const Ckpt__Creds *m)
{
	_cleanup_text_ struct text status = { 0 }, groups = { 0 }, uids = { 0 }, gids = { 0 };
	CHECK_EQ(status_hex("CapInh"), m->inheritable);
	CHECK_EQ(status_hex("CapPrm"), m->permitted);
	CHECK_EQ(status_hex("CapEff"), m->effective);
	CHECK_EQ(status_hex("CapBnd"), m->bounding);
	CHECK_EQ(status_hex("CapAmb"), m->ambient);
	CHECK_EQ(status_hex("NoNewPrivs"), m->no_new_privs);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), m->securebits);
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/status", &status));
	text_addf(&uids, "\nUid:\t%u\t%u\t%u\t%u\n", m->uid, m->euid, m->suid, m->fsuid);
	text_addf(&gids, "\nGid:\t%u\t%u\t%u\t%u\n", m->gid, m->egid, m->sgid, m->fsgid);
	text_adds(&groups, "\nGroups:\t");
	for (size_t i = 0; i < m->n_group; i++)
		text_addf(&groups, "%u ", m->group[i]);
	CHECK_CONTAINS(status.data, uids.data);
	CHECK_CONTAINS(status.data, gids.data);
	CHECK_CONTAINS(status.data, groups.data);
}

static void every_field(void)
{
	_cleanup_graph_ struct graph g = { 0 };
	Ckpt__Creds *m = full_creds(&g);
	u32 groups[] = { 5, 100, 4000000000u };
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		CHECK(MESSAGE_APPEND(&m->n_group, &m->group, groups[i]));
	m->uid = 1000, m->euid = 1001, m->suid = 1002, m->fsuid = 1003;
	m->gid = 2000, m->egid = 2001, m->sgid = 2002, m->fsgid = 2003;
	m->inheritable = BIT(CAP_CHOWN) | BIT(CAP_SYS_TIME);
	m->permitted = BIT(CAP_CHOWN) | BIT(CAP_NET_ADMIN);
	m->effective = BIT(CAP_CHOWN);
	m->ambient = BIT(CAP_CHOWN);
	m->bounding = BIT(CAP_CHOWN) | BIT(CAP_KILL);
	m->securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE;
	m->no_new_privs = true;
	plan_free(run_plan(&resource_creds, &g, (u32)getpid()));
	check_status(m);
}

static void plain_root(void)
{
	_cleanup_graph_ struct graph g = { 0 };
	Ckpt__Creds *m = full_creds(&g);
	plan_free(run_plan(&resource_creds, &g, (u32)getpid()));
	check_status(m);
}

static void become_user(void)
{
	CHECK_OK(setgroups(1, (gid_t[]){ 77 }));
	CHECK_OK(setresgid(77, 77, 77));
	CHECK_OK(setresuid(1000, 1000, 1000));
	CHECK_EQ(status_hex("CapEff"), 0);
}

static Ckpt__Creds *user_creds(struct graph *g)
{
	Ckpt__Creds *m = full_creds(g);
	m->permitted = m->effective = 0;
	CHECK(MESSAGE_APPEND(&m->n_group, &m->group, 77));
	m->uid = m->euid = m->suid = m->fsuid = 1000;
	m->gid = m->egid = m->sgid = m->fsgid = 77;
	return m;
}

static void same_user(void)
{
	_cleanup_graph_ struct graph g = { 0 };
	become_user();
	Ckpt__Creds *m = user_creds(&g);
	plan_free(run_plan(&resource_creds, &g, (u32)getpid()));
	check_status(m);
}

static void must_not_gain(const char *what)
{
	_cleanup_graph_ struct graph g = { 0 };
	Ckpt__Creds *m = user_creds(&g);
	if (!strcmp(what, "uid"))
		m->uid = 0;
	if (!strcmp(what, "group"))
		m->group[0] = 0;
	if (!strcmp(what, "capability"))
		m->permitted = BIT(CAP_CHOWN);
	if (!strcmp(what, "bounding"))
		m->bounding &= ~BIT(CAP_CHOWN);
	s64 error = try_plan(&resource_creds, &g, (u32)getpid());
	if (!error)
		FAIL("a user restored with another %s", what);
}

static void no_rights_are_gained(void)
{
	become_user();
	must_not_gain("uid");
	must_not_gain("group");
	must_not_gain("capability");
	must_not_gain("bounding");
}

TEST(credentials_are_set, .root = true) { in_child(every_field); }
TEST(root_stays_root, .root = true) { in_child(plain_root); }
TEST(an_ordinary_user_needs_no_rights, .root = true) { in_child(same_user); }
TEST(rights_are_never_gained, .root = true) { in_child(no_rights_are_gained); }

/* --- user namespaces --- */

static void add_range(size_t *n, Ckpt__IdRange ***v, u32 inside, u32 outside, u32 count)
{
	Ckpt__IdRange *r = MESSAGE_NEW(Ckpt__IdRange, ckpt__id_range);
	CHECK(MESSAGE_APPEND(n, v, r));
	SET(r, inside, inside);
	SET(r, outside, outside);
	SET(r, count, count);
}

static Ckpt__UserNamespace *add_namespace(Ckpt__Userns *m, u32 number, u32 parent, u32 owner)
{
	Ckpt__UserNamespace *ns = MESSAGE_NEW(Ckpt__UserNamespace, ckpt__user_namespace);
	CHECK(MESSAGE_APPEND(&m->n_created, &m->created, ns));
	SET(ns, number, number);
	SET(ns, parent, parent);
	SET(ns, owner, owner);
	SET(ns, setgroups, true);
	return ns;
}

/* The maps of a process as its parent here sees them. */
static void check_file(pid_t pid, const char *name, const char *want)
{
	_cleanup_text_ struct text got = { 0 };
	CHECK_OK(file_readf(&got, AT_FDCWD, "/proc/%d/%s", pid, name));
	size_t to = 0;
	for (size_t from = 0; from < got.len; from++)
		if (got.data[from] != ' ' || (to && got.data[to - 1] != ' ' && got.data[to - 1] != '\n'))
			got.data[to++] = got.data[from];
	got.data[to] = 0;
	CHECK_STR(got.data, want);
}

static u32 owner_of(int fd)
{
	uid_t owner = 0;
	CHECK_OK(ioctl(fd, NS_GET_OWNER_UID, &owner));
	return owner;
}

TEST(user_namespaces_are_nested, .root = true)
{
	int status;
	pid_t child = fork();
	if (!child) {
		_cleanup_graph_ struct graph g = { 0 };
		Ckpt__Userns *m = OBJECT(&g, &resource_userns, (u32)getpid());
		Ckpt__UserNamespace *outer = add_namespace(m, 1, 0, 1234), *inner = add_namespace(m, 2, 1, 100005);
		add_range(&outer->n_uid, &outer->uid, 0, 100000, 1000);
		add_range(&outer->n_uid, &outer->uid, 5000, 1234, 1);
		add_range(&outer->n_gid, &outer->gid, 0, 200000, 1000);
		add_range(&inner->n_uid, &inner->uid, 0, 100010, 10);
		add_range(&inner->n_uid, &inner->uid, 70, 1234, 1);
		add_range(&inner->n_gid, &inner->gid, 3, 200020, 2);
		inner->setgroups = false;
		SET(m, number, 2);
		CHECK_EQ(resource_userns.judge(&g, graph_find(&g, resource_userns.kind, (u32)getpid()), DIRECTION_RESTORE), 0);
		plan_free(run_plan(&resource_userns, &g, (u32)getpid()));
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK_OK(waitpid(child, &status, WUNTRACED));
	CHECK(WIFSTOPPED(status));
	check_file(child, "uid_map", "0 100010 10\n70 1234 1\n");
	check_file(child, "gid_map", "3 200020 2\n");
	check_file(child, "setgroups", "deny\n");
	char path[64];
	struct stat own, top;
	snprintf(path, sizeof path, "/proc/%d/ns/user", child);
	int inner = open(path, O_RDONLY), outer = ioctl(inner, NS_GET_PARENT), root = ioctl(outer, NS_GET_PARENT);
	CHECK_EQ(owner_of(inner), 100005);
	CHECK_EQ(owner_of(outer), 1234);
	CHECK_OK(stat("/proc/self/ns/user", &own));
	CHECK_OK(fstat(root, &top));
	CHECK_EQ(own.st_ino, top.st_ino);
	kill(child, SIGKILL);
	CHECK_OK(waitpid(child, &status, 0));
	CHECK_EQ(wait(&status), -1);
}
