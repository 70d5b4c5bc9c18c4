// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns local descriptor tables (modify_ldt(2)): segments that a program of x86 has made for itself. A table belongs to the memory of
 * a process, and only the process can read it. */
#include "arch/arch.h"
#include "base/child.h"
#include "collect/collect.h"
#include "diag/diag.h"
#include "infect/hijack.h"
#include "ldt.pb-c.h"
#include "model/shape.h"
#include "plan/plan.h"

#define READ 0     /* functions of modify_ldt(2) */
#define WRITE 0x11 /* "write, new mode" */
#define DESCRIPTOR sizeof(u64)

static const struct kind kind_ldt = { .name = "ldt", .desc = &ckpt__ldt__descriptor };

/* --- collect --- */

/* Without those that are empty at its end, but for the first. */
static size_t used_bytes(const u64 *table, size_t bytes)
{
	size_t n = bytes / DESCRIPTOR;
	while (n > 1 && !table[n - 1])
		n--;
	return n * DESCRIPTOR;
}

static int ldt_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Ldt *m = object->data;
	struct hijack_call call = { .nr = (u64)arch_ldt_call(), .arg = { READ, HIJACK_ARENA, ARCH_LDT_BYTES } };
	if (!(t->known & KNOWN_LDT))
		SET(m, unknown, true);
	if (!t->has_ldt)
		return 0;
	_cleanup_free_ u64 *table = calloc(1, ARCH_LDT_BYTES);
	if (!table)
		return fail_memory();
	if (collector_run(collector, t->tgid, &call, 1, table, ARCH_LDT_BYTES) < 0 || call.result <= 0) {
		SET(m, unread, true);
		return 0;
	}
	m->has_descriptors = message_set_bytes(&m->descriptors, table, used_bytes(table, ARCH_LDT_BYTES));
	return m->has_descriptors ? 0 : fail_memory();
}

/* --- judge --- */

static u64 descriptor_at(const Ckpt__Ldt *m, u32 i)
{
	u64 descriptor;
	memcpy(&descriptor, m->descriptors.data + i * DESCRIPTOR, DESCRIPTOR);
	return descriptor;
}

static u32 count(const Ckpt__Ldt *m) { return (u32)(m->descriptors.len / DESCRIPTOR); }

/* The first that a new process writes, and none that is empty behind it. */
static bool entry_at(u8 ret[ARCH_LDT_ENTRY], const Ckpt__Ldt *m, u32 i)
{
	return (!i || descriptor_at(m, i)) && arch_ldt_entry(ret, i, descriptor_at(m, i));
}

/* The kernel gives its errors as 32 bits without a sign (arch/x86/kernel/ldt.c, modify_ldt()). */
static int write_entry(const u8 entry[ARCH_LDT_ENTRY])
{
	long result = syscall(arch_ldt_call(), WRITE, entry, ARCH_LDT_ENTRY);
	return result == -1 ? neg_errno() : MIN((int)result, 0);
}

/* In a child: a table stays with the process that has written one. */
static int write_all(void *arg)
{
	const Ckpt__Ldt *m = arg;
	u8 entry[ARCH_LDT_ENTRY];
	int r = 0;
	for (u32 i = 0; r == 0 && i < count(m); i++)
		if (entry_at(entry, m, i))
			r = write_entry(entry);
	return r;
}

static int judge_restore(Ckpt__Ldt *m)
{
	u8 entry[ARCH_LDT_ENTRY];
	if (!m->has_descriptors)
		return 0;
	if (!m->descriptors.len || m->descriptors.len % DESCRIPTOR || m->descriptors.len > ARCH_LDT_BYTES)
		return fail(IMAGE_VALUE, 0, "a descriptor table of %zu bytes", m->descriptors.len);
	for (u32 i = 0; i < count(m); i++)
		if (!arch_ldt_entry(entry, i, descriptor_at(m, i)))
			return fail(IMAGE_VALUE, 0, "segment descriptor 0x%llx", (unsigned long long)descriptor_at(m, i));
	int err = child_try(write_all, m);
	return err < 0 ? fail(LDT_NONE, err, "modify_ldt") : 0;
}

static int ldt_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	Ckpt__Ldt *m = object->data;
	WORKING_ON_TASK(object->id);
	if (direction == DIRECTION_RESTORE)
		return judge_restore(m);
	if (shape_is_live(graph))
		return 0;
	if (m->unknown)
		warn(LDT_UNKNOWN, 0, "modify_ldt");
	return m->unread ? fail(LDT_READ, 0, "modify_ldt") : 0;
}

/* --- plan --- */

/* Children get a copy at their birth, which comes before. */
static int ldt_plan(struct plan *plan, const struct graph *graph, const struct object *object)
{
	const Ckpt__Ldt *m = object->data;
	const Ckpt__Task *task = graph_data(graph, &kind_task, object->id);
	u8 entry[ARCH_LDT_ENTRY];
	if (!m->has_descriptors || !task || task->mm != object->id)
		return 0;
	plan_for(plan, "segments of process %u", object->id);
	for (u32 i = 0; i < count(m); i++) {
		if (!entry_at(entry, m, i))
			continue;
		plan_call(plan, AT(object->id, STAGE_TIMERS), arch_ldt_call(), ARG(WRITE),
			  ARG_OF_DATA(plan_data(plan, entry, sizeof entry, 8)), ARG(sizeof entry));
	}
	return 0;
}

const struct resource resource_ldt = {
	.name = "ldt",
	.scope = SCOPE_TASK,
	.kind = &kind_ldt,
	.collect = ldt_collect,
	.judge = ldt_judge,
	.plan = ldt_plan,
};
