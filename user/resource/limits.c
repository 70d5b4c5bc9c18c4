// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the resource limits of a process. They are read from /proc/PID/limits: prlimit(2) on another process may need
 * CAP_SYS_RESOURCE. */
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "limits.pb-c.h"
#include "model/kinds.h"
#include "plan/plan.h"
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const struct kind kind_limits = { .name = "limits", .desc = &ckpt__limits__descriptor };

/* In the order of their numbers, which is also that of /proc/PID/limits. */
static const char *const names[] = { "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
				     "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime" };

/* Below this a limit of pending signals was lowered: the kernel begins with more. */
#define FEW_SIGNALS 1024u

/* Column of /proc/PID/limits where the soft limit begins. */
#define COLUMN_SOFT 26

static int add_limit(Ckpt__Limits *m, const char *name, const char *soft, const char *hard)
{
	Ckpt__Limit *limit = MESSAGE_NEW(Ckpt__Limit, ckpt__limit);
	if (!limit || !MESSAGE_APPEND(&m->n_limit, &m->limit, limit)) {
		free(limit);
		return fail_memory();
	}
	if (strcmp(soft, "unlimited"))
		SET(limit, soft, strtoull(soft, NULL, 10));
	if (strcmp(hard, "unlimited"))
		SET(limit, hard, strtoull(hard, NULL, 10));
	return message_set_string(&limit->name, name) ? 0 : fail_memory();
}

static int parse(char *table, Ckpt__Limits *m)
{
	char *rest = table, soft[24], hard[24];
	strsep(&rest, "\n"); /* the heading */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *line = strsep(&rest, "\n");
		if (!line || strlen(line) < COLUMN_SOFT || sscanf(line + COLUMN_SOFT, "%23s %23s", soft, hard) != 2)
			return fail(SYSCALL, -EPROTO, "/proc/PID/limits has no line for %s", names[i]);
		int err = add_limit(m, names[i], soft, hard);
		if (err < 0)
			return err;
	}
	return 0;
}

static int limits_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	_cleanup_text_ struct text table = { 0 };
	int proc = collector_proc(collector, subject->task->tgid);
	if (proc < 0)
		return proc;
	int err = file_read_once(proc, "limits", &table);
	return err < 0 ? fail(SYSCALL, err, "read(/proc/PID/limits)") : parse(table.data, object->data);
}

static int find_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (name && !strcmp(names[i], name))
			return (int)i;
	return -1;
}

static struct rlimit64 limit_of(const Ckpt__Limit *l)
{
	return (struct rlimit64){ l->has_soft ? l->soft : RLIM64_INFINITY, l->has_hard ? l->hard : RLIM64_INFINITY };
}

/* May ckpt set it? A right, and for open files fs.nr_open, decide: it tries, and goes back. */
static int judge_hard(const Ckpt__Limit *l)
{
	int number = find_name(l->name);
	struct rlimit64 own, wanted = limit_of(l);
	if (prlimit64(0, number, NULL, &own) < 0)
		return fail(SYSCALL, neg_errno(), "prlimit(%s)", l->name);
	if (wanted.rlim_max <= own.rlim_max)
		return 0;
	wanted.rlim_cur = own.rlim_cur;
	if (prlimit64(0, number, &wanted, NULL) < 0)
		return fail(LIMIT_RAISED, neg_errno(), "%s: %llu is wanted, ckpt has %llu", l->name,
			    (unsigned long long)wanted.rlim_max, (unsigned long long)own.rlim_max);
	return prlimit64(0, number, &own, NULL) < 0 ? fail(SYSCALL, neg_errno(), "prlimit(%s)", l->name) : 0;
}

static int limits_judge(const struct graph *graph _unused_, const struct object *object, enum direction direction)
{
	const Ckpt__Limits *m = object->data;
	int r = 0;
	WORKING_ON_TASK(object->id);
	for (size_t i = 0; i < m->n_limit; i++) {
		if (find_name(m->limit[i]->name) < 0)
			return fail(IMAGE_VALUE, 0, "limit '%s'", m->limit[i]->name ? m->limit[i]->name : "");
		if (direction == DIRECTION_RESTORE && judge_hard(m->limit[i]) < 0)
			r = -EINVAL;
	}
	return r;
}

static void plan_limit(struct plan *plan, struct place at, int number, struct rlimit64 limit)
{
	u32 data = plan_data(plan, &limit, sizeof limit, 8);
	plan_call(plan, at, SYS_prlimit64, ARG(0), ARG(number), ARG_OF_DATA(data));
}

/* One that signals and POSIX timers may not fit in, as it was lowered when they were there: it comes when all threads have theirs. */
static void plan_sigpending(struct plan *plan, const Ckpt__Task *task, struct rlimit64 limit)
{
	char name[48];
	struct place last = AT(task->pid, STAGE_CLOSE);
	snprintf(name, sizeof name, "signals of threads of %u", task->pid);
	u32 word = plan_word(plan, name), others = 0;
	if (limit.rlim_max >= FEW_SIGNALS)
		plan_limit(plan, AT(task->pid, STAGE_IDS), RLIMIT_SIGPENDING,
			   (struct rlimit64){ limit.rlim_max, limit.rlim_max });
	for (size_t i = 0; i < task->n_tid; i++)
		if (task->tid[i] != task->pid) {
			plan_post(plan, AT(task->tid[i], STAGE_CLOSE), word);
			others++;
		}
	if (others)
		plan_wait(plan, last, word, others);
	plan_limit(plan, last, RLIMIT_SIGPENDING, limit);
}

/* After the threads were made (RLIMIT_NPROC) and before rights are given up: a hard limit above what ckpt inherited needs
 * CAP_SYS_RESOURCE, and the step says so with EPERM. */
static int limits_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Limits *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	for (size_t i = 0; i < m->n_limit; i++) {
		const Ckpt__Limit *l = m->limit[i];
		int number = find_name(l->name);
		struct rlimit64 limit = limit_of(l);
		plan_for(plan, "limit %s of process %u", l->name, object->id);
		if (task && number == RLIMIT_SIGPENDING && limit.rlim_cur < FEW_SIGNALS)
			plan_sigpending(plan, task, limit);
		else
			plan_limit(plan, AT(object->id, STAGE_IDS), number, limit);
	}
	return 0;
}

const struct resource resource_limits = {
	.name = "limits",
	.scope = SCOPE_TASK,
	.kind = &kind_limits,
	.collect = limits_collect,
	.judge = limits_judge,
	.plan = limits_plan,
};
