// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the scheduling of a thread: policy, nice, cpus, priority of input and output, timer slack. */
#include "base/cpu.h"
#include "base/file.h"
#include "base/ranges.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "plan/plan.h"
#include "sched.pb-c.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62 /* Linux 5.14 */
#endif
#define CORE_GET 0       /* PR_SCHED_CORE_GET */
#define CORE_OF_THREAD 0 /* PIDTYPE_PID of the kernel */
#define POLICY_DEADLINE 6
#define FLAG_RESET_ON_FORK 0x01
#define FLAGS_DEADLINE 0x06
#define FLAGS_UTIL 0x60
#define UTIL_FULL 1024
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_SHIFT 13
enum { IOPRIO_RT = 1, IOPRIO_BE, IOPRIO_IDLE };

/* struct sched_attr of sched_setattr(2); the C library's headers do not have it, or not always. */
struct attr {
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
	u32 util_min, util_max;
};

static const struct kind kind_sched = { .name = "sched", .desc = &ckpt__sched__descriptor };

static const char *const policies[] = { "other", "fifo", "rr", "batch", NULL, "idle", "deadline", "ext" };

static int find_policy(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		if (name && policies[i] && !strcmp(policies[i], name))
			return (int)i;
	return -1;
}

static bool is_realtime(u32 policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

static bool is_fair(u32 policy) { return policy != POLICY_DEADLINE && !is_realtime(policy); }

/* A fair thread reports a slice even when it is the kernel's choice: one that ckpt has too is not its own. */
static void collect_runtime(Ckpt__Sched *m, const struct attr *a)
{
	struct attr mine = { 0 };
	if (a->policy == POLICY_DEADLINE) {
		SET(m, runtime, a->runtime);
		SET(m, deadline, a->deadline);
		SET(m, period, a->period);
		SET(m, deadline_flags, a->flags & FLAGS_DEADLINE);
	} else if (a->runtime && !syscall(SYS_sched_getattr, 0, &mine, sizeof mine, 0) && is_fair(mine.policy) &&
		   mine.runtime != a->runtime) {
		SET(m, runtime, a->runtime);
	}
}

static int collect_policy(u32 tid, Ckpt__Sched *m, u32 *ret_policy)
{
	struct attr a = { 0 };
	if (syscall(SYS_sched_getattr, tid, &a, sizeof a, 0) < 0)
		return fail(SYSCALL, neg_errno(), "sched_getattr(%u)", tid);
	*ret_policy = a.policy;
	const char *name = a.policy < ARRAY_SIZE(policies) ? policies[a.policy] : NULL;
	if (name && !message_set_string(&m->policy, name))
		return fail_memory();
	SET(m, nice, is_fair(a.policy) ? a.nice : getpriority(PRIO_PROCESS, tid)); /* of others it waits for another policy */
	if (is_realtime(a.policy))
		SET(m, priority, a.priority);
	SET(m, reset_on_fork, a.flags & FLAG_RESET_ON_FORK);
	collect_runtime(m, &a);
	if (is_fair(a.policy) && a.util_max && (a.util_min || a.util_max != UTIL_FULL)) {
		SET(m, util_min, a.util_min);
		SET(m, util_max, a.util_max);
	}
	return 0;
}

static int collect_cpus(u32 tid, Ckpt__Sched *m)
{
	_cleanup_text_ struct text list = { 0 };
	u64 mask[CPU_ROOM / 64] = { 0 };
	long len = syscall(SYS_sched_getaffinity, tid, sizeof mask, mask);
	if (len < 0)
		return fail(SYSCALL, neg_errno(), "sched_getaffinity(%u)", tid);
#define HAS_CPU(cpu) ((cpu) < CPU_ROOM && mask[(cpu) / 64] >> (cpu) % 64 & 1)
	for (unsigned cpu = 0, last; cpu < (unsigned)len * 8; cpu = last + 1) {
		last = cpu;
		if (!HAS_CPU(cpu))
			continue;
		while (HAS_CPU(last + 1))
			last++;
		text_addf(&list, last > cpu ? "%s%u-%u" : "%s%u", list.len ? "," : "", cpu, last);
	}
#undef HAS_CPU
	return !text_failed(&list) && message_set_string(&m->cpus, list.data ? list.data : "") ? 0 : fail_memory();
}

/* A thread without a priority of its own reports class 0, or from Linux 5.18 on what follows from policy and nice. */
static int collect_io(u32 tid, u32 policy, Ckpt__Sched *m)
{
	long value = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid);
	if (value < 0)
		return errno == ENOSYS ? 0 : fail(SYSCALL, neg_errno(), "ioprio_get(%u)", tid);
	u32 io_class = policy == SCHED_IDLE ? IOPRIO_IDLE : is_fair(policy) ? IOPRIO_BE : IOPRIO_RT;
	u32 level = is_fair(policy) ? (u32)(m->nice + 20) / 5 : 4;
	bool follows = value >> IOPRIO_CLASS_SHIFT == 0 || (value >> IOPRIO_CLASS_SHIFT == io_class && (value & 7) == level);
	if (!follows)
		SET(m, io_priority, (u32)value);
	return 0;
}

/* Of others CAP_SYS_NICE reads it; without, a stopped process is asked itself. */
static int collect_slack(const struct record_task *t, Ckpt__Sched *m)
{
	_cleanup_text_ struct text value = { 0 };
	if (t->known & KNOWN_PRCTL) {
		SET(m, timer_slack, t->timer_slack);
		return 0;
	}
	int err = file_readf(&value, AT_FDCWD, "/proc/%u/timerslack_ns", t->tid);
	if (err == -EPERM || err == -EACCES)
		return 0;
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/%u/timerslack_ns)", t->tid);
	SET(m, timer_slack, strtoull(value.data, NULL, 10));
	return 0;
}

/* A number that means nothing but "the same"; -EINVAL where the kernel has none. */
static u64 core_cookie(u32 tid)
{
	u64 cookie = 0;
	return prctl(PR_SCHED_CORE, CORE_GET, tid, CORE_OF_THREAD, &cookie) < 0 ? 0 : cookie;
}

static bool kernel_has_cookies(const void *nothing _unused_)
{
	u64 cookie;
	return prctl(PR_SCHED_CORE, CORE_GET, 0, CORE_OF_THREAD, &cookie) == 0;
}

static void collect_core(struct collector *c, u32 tid, Ckpt__Sched *m)
{
	u64 cookie = collector_once(c, map_mix(PR_SCHED_CORE, 0x7363686564), kernel_has_cookies, NULL) ? core_cookie(tid) : 0;
	if (cookie && cookie != core_cookie(0))
		SET(m, core_cookie, true);
}

static int sched_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	u32 tid = subject->task->tid, policy = 0;
	Ckpt__Sched *m = object->data;
	int err = collect_policy(tid, m, &policy);
	if (err >= 0)
		err = collect_cpus(tid, m);
	if (err >= 0)
		err = collect_io(tid, policy, m);
	collect_core(collector, tid, m);
	return err < 0 ? err : collect_slack(subject->task, m);
}

/* To a mask of CPU_ROOM bits; false when it is no list. */
static bool parse_cpus(const char *list, u64 *mask)
{
	const char *end = ranges_parse(list, mask, CPU_ROOM);
	return end && !*end;
}

static int sched_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Sched *m = object->data;
	u64 mask[CPU_ROOM / 64] = { 0 };
	WORKING_ON_THREAD(object->id);
	if (m->core_cookie && direction == DIRECTION_DUMP)
		warn(SCHED_CORE, 0, "prctl(PR_SCHED_CORE)");
	if (find_policy(m->policy) < 0)
		return fail(SCHED_POLICY, 0, "its policy is not one that ckpt knows");
	if (!m->cpus || !parse_cpus(m->cpus, mask))
		return fail(IMAGE_VALUE, 0, "cpus '%s'", m->cpus ? m->cpus : "");
	if (!m->has_timer_slack && direction == DIRECTION_DUMP && !shape_is_live(graph))
		return fail(PRCTL, 0, "its timer slack, which CAP_SYS_NICE shows too");
	return 0;
}

/* kernel/sched/syscalls.c, __setscheduler_params(): of other policies than these two nice is not taken. */
static bool takes_nice(u32 policy) { return policy == SCHED_OTHER || policy == SCHED_BATCH; }

static void plan_policy(struct plan *plan, struct place at, const Ckpt__Sched *m)
{
	u32 policy = (u32)find_policy(m->policy);
	struct attr a = {
		.size = sizeof a,
		.policy = policy,
		.flags = (m->reset_on_fork ? FLAG_RESET_ON_FORK : 0) | m->deadline_flags | (m->has_util_max ? FLAGS_UTIL : 0),
		.nice = m->nice,
		.priority = m->priority,
		.runtime = m->runtime,
		.deadline = m->deadline,
		.period = m->period,
		.util_min = m->util_min,
		.util_max = m->util_max,
	};
	if (m->has_nice && !takes_nice(policy))
		plan_call(plan, at, SYS_setpriority, ARG(PRIO_PROCESS), ARG(0), ARG(m->nice));
	plan_call(plan, at, SYS_sched_setattr, ARG(0), ARG_OF_DATA(plan_data(plan, &a, sizeof a, 8)), ARG(0));
}

static void plan_cpus(struct plan *plan, struct place at, const Ckpt__Sched *m)
{
	u64 mask[CPU_ROOM / 64] = { 0 };
	size_t len = ARRAY_SIZE(mask);
	parse_cpus(m->cpus, mask);
	while (len > 1 && !mask[len - 1])
		len--;
	u32 data = plan_data(plan, mask, len * sizeof *mask, 8);
	plan_call(plan, at, SYS_sched_setaffinity, ARG(0), ARG(len * sizeof *mask), ARG_OF_DATA(data));
}

/* Cpus before the policy: a deadline thread may not change them. The policy before the slack: as long as a
 * thread is a realtime one its slack is 0 and stays so. */
static int sched_plan(struct plan *plan, const struct graph *graph _unused_, const struct object *object)
{
	const Ckpt__Sched *m = object->data;
	struct place at = AT(object->id, STAGE_THREAD);
	plan_for(plan, "scheduling of thread %u", object->id);
	plan_cpus(plan, at, m);
	plan_policy(plan, at, m);
	if (m->timer_slack)
		plan_call(plan, at, SYS_prctl, ARG(PR_SET_TIMERSLACK), ARG(m->timer_slack));
	if (m->has_io_priority)
		plan_call(plan, at, SYS_ioprio_set, ARG(IOPRIO_WHO_PROCESS), ARG(0), ARG(m->io_priority));
	return 0;
}

const struct resource resource_sched = {
	.name = "sched",
	.scope = SCOPE_THREAD,
	.kind = &kind_sched,
	.collect = sched_collect,
	.judge = sched_judge,
	.plan = sched_plan,
};
