// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what prctl(2) sets for a process: child subreaper, and of its memory dumpable, thp_disable and MDWE (the facts are
 * in the mm object); and its oom_score_adj. */
#include "base/file.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "model/kinds.h"
#include "plan/plan.h"
#include "prctl.pb-c.h"
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <sys/syscall.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

static const struct kind kind_prctl = { .name = "prctl", .desc = &ckpt__prctl__descriptor };

static int prctl_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	_cleanup_text_ struct text score = { 0 };
	const struct record_task *t = subject->task;
	Ckpt__Prctl *m = object->data;
	if (t->known & KNOWN_PRCTL)
		SET(m, subreaper, !!t->subreaper);
	if (t->known & KNOWN_OOM) {
		SET(m, oom_score_adj, t->oom_score_adj);
		return 0;
	}
	int proc = collector_proc(collector, t->tgid);
	if (proc < 0)
		return proc;
	int err = file_read(proc, "oom_score_adj", &score);
	if (err < 0)
		return fail(SYSCALL, err, "read(/proc/%u/oom_score_adj)", t->tgid);
	SET(m, oom_score_adj, (s32)strtol(score.data, NULL, 10));
	return 0;
}

static int prctl_judge(const struct graph *graph, const struct object *object, enum direction direction _unused_)
{
	const Ckpt__Prctl *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	const Ckpt__Mm *mm = task ? graph_data(graph, &kind_mm, task->mm) : NULL;
	WORKING_ON_TASK(object->id);
	if (!m->has_subreaper || (mm && (!mm->has_dumpable || !mm->has_thp_disable || !mm->has_mdwe)))
		return fail(PRCTL, 0, "child subreaper, dumpable, thp_disable and MDWE");
	return 0;
}

static void plan_oom(struct plan *plan, u32 pid, s32 score)
{
	char text[16];
	struct place at = AT(pid, STAGE_TASK);
	int len = snprintf(text, sizeof text, "%d", score);
	u32 path = plan_data(plan, "/proc/self/oom_score_adj", sizeof "/proc/self/oom_score_adj", 1);
	struct plan_step *open = plan_call(plan, at, SYS_openat, ARG(AT_FDCWD), ARG_OF_DATA(path), ARG(O_WRONLY | O_CLOEXEC));
	u32 fd = step_result(plan, open);
	u32 data = plan_data(plan, text, (size_t)len, 1);
	step_expect(plan_call(plan, at, SYS_write, ARG_OF_SLOT(fd), ARG_OF_DATA(data), ARG(len)), len);
	plan_call(plan, at, SYS_close, ARG_OF_SLOT(fd));
}

/* A change of credentials resets dumpable: each thread sets it after its own. The value 2 (of suid_dumpable) cannot be
 * set; 0 allows less. */
static void plan_dumpable(struct plan *plan, const Ckpt__Task *task, u32 dumpable)
{
	for (size_t i = 0; i < task->n_tid; i++)
		plan_call(plan, AT(task->tid[i], STAGE_TIMERS), SYS_prctl, ARG(PR_SET_DUMPABLE), ARG(dumpable == 1));
}

static int prctl_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Prctl *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	const Ckpt__Mm *mm = task ? graph_data(graph, &kind_mm, task->mm) : NULL;
	plan_for(plan, "attributes of process %u", object->id);
	plan_oom(plan, object->id, m->oom_score_adj);
	if (m->subreaper)
		plan_call(plan, AT(object->id, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_CHILD_SUBREAPER), ARG(1));
	if (!mm)
		return 0;
	plan_dumpable(plan, task, mm->dumpable);
	plan_call(plan, AT(object->id, STAGE_TIMERS), SYS_prctl, ARG(PR_SET_THP_DISABLE), ARG(mm->thp_disable));
	/* MDWE cannot be taken back and forbids mappings that a restore needs: the last of all. */
	if (mm->mdwe)
		plan_call(plan, AT(object->id, STAGE_CLOSE), SYS_prctl, ARG(PR_SET_MDWE), ARG(mm->mdwe));
	return 0;
}

const struct resource resource_prctl = {
	.name = "prctl",
	.scope = SCOPE_TASK,
	.kind = &kind_prctl,
	.collect = prctl_collect,
	.judge = prctl_judge,
	.plan = prctl_plan,
};
