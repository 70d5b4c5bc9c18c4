// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the printed form of a plan. */
#include "diag/diag.h"
#include "plan/plan_internal.h"
#include <sys/syscall.h>

static const char *const syscall_names[] = {
#include "syscall_names.h"
};

const char *plan_syscall_name(long nr)
{
	return nr >= 0 && (size_t)nr < ARRAY_SIZE(syscall_names) && syscall_names[nr] ? syscall_names[nr] : "syscall";
}

static void print_arg(struct text *t, const struct step *step, unsigned i)
{
	unsigned kind = step->arg_kinds >> 2 * i & 3;
	if (kind == ARG_SLOT)
		text_addf(t, "$%llu", (unsigned long long)step->a[i]);
	else if (kind == ARG_DATA)
		text_addf(t, "@%llx", (unsigned long long)step->a[i]);
	else if (step->a[i] < 4096)
		text_addf(t, "%llu", (unsigned long long)step->a[i]);
	else
		text_addf(t, "0x%llx", (unsigned long long)step->a[i]);
}

static unsigned used_args(const struct step *step)
{
	static const u8 of_op[] = { [OP_LOAD] = 1,   [OP_STORE] = 2, [OP_SPAWN] = 3, [OP_WAIT] = 2,      [OP_POST] = 1,
				    [OP_BRANCH] = 4, [OP_EXIT] = 1,  [OP_SKIP] = 4,  [OP_LOAD_LONG] = 1, [OP_TAG] = 2 };
	if (step->op != OP_CALL)
		return of_op[step->op];
	unsigned n = 6;
	while (n && !step->a[n - 1] && !(step->arg_kinds >> 2 * (n - 1) & 3))
		n--;
	return n;
}

void plan_print_step(struct text *t, const struct plan *plan, const struct step *step)
{
	static const char *const ops[] = { "call",   "load", "store", "spawn",     "wait", "post",
					   "branch", "exit", "skip",  "load-long", "tag" };
	text_addf(t, "%-10s %s(", stage_name(step->stage), step->op == OP_CALL ? plan_syscall_name(step->nr) : ops[step->op]);
	for (unsigned i = 0, n = used_args(step); i < n; i++) {
		text_adds(t, i ? ", " : "");
		print_arg(t, step, i);
	}
	text_adds(t, ")");
	if (step->expect_kind == EXPECT_EQUAL)
		text_addf(t, step->expect >= 4096 ? " = 0x%llx" : " = %lld", (long long)step->expect);
	else if (step->expect_kind == EXPECT_ANY)
		text_adds(t, " = any");
	if (step->slot)
		text_addf(t, " -> $%u", step->slot);
	text_addf(t, "  # %s", plan_object_name(plan, step->object));
}

void plan_walk(const struct plan *plan, void (*visit)(void *arg, const struct step *), void *arg)
{
	for (size_t i = 0; i < plan->arrays.n; i++)
		for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
			for (const struct plan_step *s = plan->arrays.v[i].first[stage]; s; s = s->next)
				visit(arg, &s->step);
}

void plan_print(struct text *t, const struct plan *plan, const void *results)
{
	const struct arena *arena = results;
	const struct step *done = results ? (const struct step *)((const char *)results + arena->steps) : NULL;
	u32 n = 0;
	for (size_t i = 0; i < plan->arrays.n; i++) {
		const struct plan_array *a = &plan->arrays.v[i];
		if (a->tid == PLAN_WORLD)
			text_adds(t, "world (by ckpt):\n");
		else if (a->tid >= PLAN_HELPER)
			text_addf(t, "helper %u (by a child of ckpt):\n", a->tid - PLAN_HELPER);
		else
			text_addf(t, "thread %u (by the blob):\n", a->tid);
		for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
			for (const struct plan_step *s = a->first[stage]; s; s = s->next, n++) {
				text_adds(t, "  ");
				plan_print_step(t, plan, &s->step);
				if (done)
					text_addf(t, "  [gave %lld]", (long long)done[n].result);
				text_adds(t, "\n");
			}
	}
}
