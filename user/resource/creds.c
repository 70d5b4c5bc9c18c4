// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the rights of a thread: ids, groups, capability sets, securebits, no_new_privs, the label of a security module. */
#include "base/field.h"
#include "base/file.h"
#include "collect/collect.h"
#include "creds.pb-c.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "resource/poller.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Capabilities that a kernel newer than our headers may have: dropped from the bounding set where it has them. */
#define CAP_FUTURE (CAP_LAST_CAP + 8)
#define CAP_BIT(cap) (1ull << (cap))

static const struct kind kind_creds = { .name = "creds", .desc = &ckpt__creds__descriptor };

static int add_group(Ckpt__Creds *m, u32 gid) { return MESSAGE_APPEND(&m->n_group, &m->group, gid) ? 0 : fail_memory(); }

static int read_groups(int proc, u32 tid, Ckpt__Creds *m)
{
	_cleanup_text_ struct text status = { 0 };
	int err = file_readf(&status, proc, "task/%u/status", tid);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/PID/task/%u/status)", tid);
	const char *value = field_find(status.data, "Groups");
	for (char *end; value && *value && *value != '\n'; value = end + strspn(end, " \t")) {
		unsigned long gid = strtoul(value, &end, 10);
		if (end == value)
			break;
		err = add_group(m, (u32)gid);
		if (err < 0)
			return err;
	}
	return 0;
}

static int collect_groups(int proc, const struct record_task *t, Ckpt__Creds *m)
{
	if (!(t->known & KNOWN_GROUPS))
		return read_groups(proc, t->tid, m);
	for (u32 i = 0; i < t->ngroups; i++) {
		int err = add_group(m, t->groups[i]);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Without a security module that labels tasks the read fails with EINVAL: it is then tried for leaders only. */
static int collect_label(int proc, u32 tid, Ckpt__Creds *m)
{
	_cleanup_text_ struct text theirs = { 0 }, ours = { 0 };
	int err = file_readf(&theirs, proc, "task/%u/attr/current", tid);
	if (err < 0 || !theirs.len)
		return 0;
	while (theirs.len && (theirs.data[theirs.len - 1] == '\n' || !theirs.data[theirs.len - 1]))
		theirs.data[--theirs.len] = 0;
	if (!theirs.len)
		return 0;
	if (!message_set_string(&m->label, theirs.data))
		return fail_memory();
	err = file_read(AT_FDCWD, "/proc/thread-self/attr/current", &ours);
	SET(m, foreign_label,
	    err < 0 || ours.len < theirs.len || memcmp(ours.data, theirs.data, theirs.len) ||
		    (ours.len > theirs.len && ours.data[theirs.len] != '\n' && ours.data[theirs.len]));
	return 0;
}

/* leads: it is the first of its process, and tells of the keyrings that all of it has. */
static void collect_record(const struct record_task *t, bool leads, Ckpt__Creds *m)
{
	SET(m, uid, t->uid);
	SET(m, euid, t->euid);
	SET(m, suid, t->suid);
	SET(m, fsuid, t->fsuid);
	SET(m, gid, t->gid);
	SET(m, egid, t->egid);
	SET(m, sgid, t->sgid);
	SET(m, fsgid, t->fsgid);
	SET(m, inheritable, t->cap_inheritable);
	SET(m, permitted, t->cap_permitted);
	SET(m, effective, t->cap_effective);
	SET(m, bounding, t->cap_bounding);
	SET(m, ambient, t->cap_ambient);
	SET(m, no_new_privs, !!t->no_new_privs);
	if (t->keyrings & KEYRING_PROCESS && leads)
		SET(m, process_keyring, true);
	if (t->keyrings & KEYRING_THREAD)
		SET(m, thread_keyring, true);
	if (t->keyrings & KEYRING_SESSION && leads)
		SET(m, session_keyring, true);
	if (t->known & KNOWN_SECUREBITS)
		SET(m, securebits, t->securebits);
}

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#define LANDLOCK_VERSION 1 /* LANDLOCK_CREATE_RULESET_VERSION: asks which one the kernel has */

/* Who has not given up new privileges could enter a domain with CAP_SYS_ADMIN alone. */
static bool may_be_confined(const struct record_task *t)
{
	return !(t->known & KNOWN_LANDLOCK) && t->no_new_privs &&
	       syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION) > 0;
}

/* Of a process whose main thread is confined nothing is said of the others. */
static int collect_landlock(struct collector *c, const struct record_task *t, const Ckpt__Creds *leader, Ckpt__Creds *m)
{
	bool confined = t->known & KNOWN_LANDLOCK && t->landlock == LANDLOCK_CONFINED;
	if ((!confined && !may_be_confined(t)) || (leader && leader->landlock))
		return 0;
	if (collector_policy(c, POLICY_LANDLOCK) == POLICY_DROP)
		SET(m, landlock_dropped, true);
	return message_set_string(&m->landlock, confined ? "confined" : "unknown") ? 0 : fail_memory();
}

static int creds_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Creds *m = object->data;
	u32 first = shape_first(collector_graph(collector), t->tgid);
	int proc = collector_proc(collector, t->tgid);
	if (proc < 0)
		return proc;
	if (t->known & KNOWN_CREDS)
		collect_record(t, t->tid == first, m);
	int err = collect_groups(proc, t, m);
	const Ckpt__Creds *leader = t->tid == first ? NULL : graph_data(collector_graph(collector), &kind_creds, first);
	if (err >= 0)
		err = collect_landlock(collector, t, leader, m);
	return err < 0 || (leader && !leader->label) ? err : collect_label(proc, t->tid, m);
}

/* What stays behind. */
static void warn_keyrings(const Ckpt__Creds *m)
{
	if (m->process_keyring || m->thread_keyring)
		warn(KEYRINGS, 0, "%s", m->process_keyring ? "keyring of the process" : "keyring of the thread");
	if (m->session_keyring)
		warn(KEYRING_SESSION, 0, "keyring of the session");
}

static int judge_landlock(const Ckpt__Creds *m, bool live)
{
	if (!m->landlock)
		return 0;
	if (strcmp(m->landlock, "confined") != 0) {
		if (!live)
			warn(LANDLOCK_UNKNOWN, 0, "landlock_restrict_self(2)");
		return 0;
	}
	if (!m->landlock_dropped)
		return fail(LANDLOCK, 0, "landlock_restrict_self(2)");
	warn(LANDLOCK_DROPPED, 0, "landlock_restrict_self(2)");
	return 0;
}

static int creds_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Creds *m = object->data;
	int err = 0;
	WORKING_ON_THREAD(object->id);
	if (!m->has_uid)
		err = fail(CREDS, 0, "ids and capabilities are not known");
	if (!m->has_securebits && !(direction == DIRECTION_DUMP && shape_is_live(graph)))
		err = fail(SECUREBITS, 0, "no source told them");
	if (direction == DIRECTION_DUMP && m->foreign_label)
		err = fail(LSM_LABEL, 0, "it runs as '%s'", m->label);
	if (direction == DIRECTION_DUMP && judge_landlock(m, shape_is_live(graph)) < 0)
		err = -EPERM;
	if (direction == DIRECTION_DUMP)
		warn_keyrings(m);
	if (m->ambient & ~(m->permitted & m->inheritable) || m->effective & ~m->permitted)
		err = fail(IMAGE_VALUE, 0, "its capability sets contradict each other");
	return err;
}

/* --- plan: what needs a right even to change nothing is tried, and then the outcome is required --- */

/* In the ids of ckpt's namespace, before a namespace is entered: so ids that it does not map are kept as well. */
static void plan_ids(struct plan *plan, struct place at, const Ckpt__Creds *m)
{
	u32 groups = plan_data(plan, m->group, m->n_group * sizeof *m->group, 4);
	u32 found = plan_data(plan, NULL, MAX(m->n_group, 1ul) * sizeof *m->group, 4);
	step_any(plan_call(plan, at, SYS_prctl, ARG(PR_SET_SECUREBITS), ARG(SECBIT_NO_SETUID_FIXUP)));
	step_any(plan_call(plan, at, SYS_setgroups, ARG(m->n_group), ARG_OF_DATA(groups)));
	step_expect(plan_call(plan, at, SYS_getgroups, ARG(m->n_group), ARG_OF_DATA(found)), (s64)m->n_group);
	for (size_t i = 0; i < m->n_group; i++)
		step_expect(plan_op(plan, at, OP_LOAD, 0, (struct arg[6]){ ARG(found + i * sizeof *m->group) }),
			    (s32)m->group[i]);
	plan_call(plan, at, SYS_setresgid, ARG(m->gid), ARG(m->egid), ARG(m->sgid));
	step_any(plan_call(plan, at, SYS_setfsgid, ARG(m->fsgid)));
	step_expect(plan_call(plan, at, SYS_setfsgid, ARG(-1)), m->fsgid);
	plan_call(plan, at, SYS_setresuid, ARG(m->uid), ARG(m->euid), ARG(m->suid));
	step_any(plan_call(plan, at, SYS_setfsuid, ARG(m->fsuid)));
	step_expect(plan_call(plan, at, SYS_setfsuid, ARG(-1)), m->fsuid);
}

struct cap_call {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];
};

static u32 cap_data(struct plan *plan, u64 effective, u64 permitted, u64 inheritable)
{
	struct cap_call call = { .header = { .version = _LINUX_CAPABILITY_VERSION_3 } };
	for (unsigned i = 0; i < 2; i++)
		call.data[i] = (struct __user_cap_data_struct){ (u32)(effective >> 32 * i), (u32)(permitted >> 32 * i),
								(u32)(inheritable >> 32 * i) };
	return plan_data(plan, &call, sizeof call, 8);
}

static void cap_call(struct plan *plan, struct place at, long nr, u32 data)
{
	plan_call(plan, at, nr, ARG_OF_DATA(data), ARG_OF_DATA(data + offsetof(struct cap_call, data)));
}

/* An inheritable capability outside of the bounding set can only be added while the bounding set still has it. */
static void plan_inheritable(struct plan *plan, struct place at, u64 inheritable)
{
	u32 data = cap_data(plan, 0, 0, 0);
	cap_call(plan, at, SYS_capget, data);
	for (u32 i = 0; i < 2; i++) {
		u32 word = data + offsetof(struct cap_call, data[i].inheritable);
		plan_op(plan, at, OP_STORE, 0, (struct arg[6]){ ARG(word), ARG((u32)(inheritable >> 32 * i)) });
	}
	cap_call(plan, at, SYS_capset, data);
}

static void plan_bounding(struct plan *plan, struct place at, u64 bounding)
{
	for (unsigned cap = 0; cap <= CAP_FUTURE; cap++) {
		if (bounding & CAP_BIT(cap))
			continue;
		step_any(plan_call(plan, at, SYS_prctl, ARG(PR_CAPBSET_DROP), ARG(cap)));
		if (cap <= CAP_LAST_CAP)
			step_expect(plan_call(plan, at, SYS_prctl, ARG(PR_CAPBSET_READ), ARG(cap)), 0);
	}
}

static void plan_caps(struct plan *plan, struct place at, const Ckpt__Creds *m)
{
	if (m->inheritable)
		plan_inheritable(plan, at, m->inheritable);
	plan_call(plan, at, SYS_prctl, ARG(PR_CAP_AMBIENT), ARG(PR_CAP_AMBIENT_CLEAR_ALL));
	for (unsigned cap = 0; cap < 64; cap++)
		if (m->ambient & CAP_BIT(cap))
			plan_call(plan, at, SYS_prctl, ARG(PR_CAP_AMBIENT), ARG(PR_CAP_AMBIENT_RAISE), ARG(cap));
	plan_bounding(plan, at, m->bounding);
	step_any(plan_call(plan, at, SYS_prctl, ARG(PR_SET_SECUREBITS), ARG(m->securebits)));
	step_expect(plan_call(plan, at, SYS_prctl, ARG(PR_GET_SECUREBITS)), m->securebits);
	cap_call(plan, at, SYS_capset, cap_data(plan, m->effective, m->permitted, m->inheritable));
	if (m->no_new_privs)
		plan_call(plan, at, SYS_prctl, ARG(PR_SET_NO_NEW_PRIVS), ARG(1));
	step_expect(plan_call(plan, at, SYS_prctl, ARG(PR_GET_NO_NEW_PRIVS)), m->no_new_privs);
}

static void plan_rights(struct plan *plan, u32 tid, const Ckpt__Creds *m)
{
	plan_ids(plan, AT(tid, STAGE_IDS), m);
	plan_caps(plan, AT(tid, STAGE_CREDS), m);
}

/* A leader that will have ended has those of the first thread: who may send a signal to the process is asked by them. */
static int creds_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Creds *m = object->data;
	u32 maker = shape_maker(graph, object->id);
	plan_for(plan, "credentials of thread %u", object->id);
	plan_rights(plan, object->id, m);
	if (maker != object->id)
		plan_rights(plan, maker, m);
	if (is_poller(graph, object->id))
		plan_rights(plan, plan_poller(plan, object->id), m);
	return 0;
}

const struct resource resource_creds = {
	.name = "creds",
	.scope = SCOPE_THREAD,
	.kind = &kind_creds,
	.collect = creds_collect,
	.judge = creds_judge,
	.plan = creds_plan,
};
