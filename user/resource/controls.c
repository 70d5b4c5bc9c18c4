// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what a thread may choose about the machine below it: what happens when its memory fails, whether it reads the time stamp counter,
 * whether it waits for file systems to give memory back, how the processor may speculate for it, and its ports (ioperm(2), iopl(2)). */
#include "collect/collect.h"
#include "controls.pb-c.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "plan/plan.h"
#include <elf.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* Linux 5.6 */
#endif
#ifndef PR_SPEC_L1D_FLUSH
#define PR_SPEC_L1D_FLUSH 2 /* Linux 5.15 */
#endif

/* Of include/linux/sched.h, as /proc/PID/stat shows them (proc(5)). */
#define MCE_PROCESS 0x00000080u
#define MCE_EARLY 0x08000000u
#define IO_FLUSHER 0x00180000u /* PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE */

static const struct kind kind_controls = { .name = "controls", .desc = &ckpt__controls__descriptor };

/* --- failing memory: PR_SET_MCE_KILL, by its argument --- */

static const char *const mce_policies[] = {
	[PR_MCE_KILL_LATE] = "late", [PR_MCE_KILL_EARLY] = "early", [PR_MCE_KILL_DEFAULT] = "default"
};

static const char *mce_policy(u32 flags)
{
	int policy = flags & MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
	return mce_policies[flags & MCE_PROCESS ? policy : PR_MCE_KILL_DEFAULT];
}

static int find_mce_policy(const char *name)
{
	for (int i = 0; i < (int)ARRAY_SIZE(mce_policies); i++)
		if (!strcmp(mce_policies[i], name))
			return i;
	return -1;
}

/* --- speculation: PR_SET_SPECULATION_CTRL, Documentation/userspace-api/spec_ctrl.rst of the kernel --- */

static const struct {
	u32 state;
	const char *name;
} states[] = { { PR_SPEC_ENABLE, "enabled" },
	       { PR_SPEC_DISABLE, "disabled" },
	       { PR_SPEC_FORCE_DISABLE, "force-disabled" },
	       { PR_SPEC_DISABLE_NOEXEC, "disabled-noexec" } };

static u32 find_state(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (!strcmp(states[i].name, name))
			return states[i].state;
	return 0;
}

/* One of what a thread may have of its own; safe: the state in which nothing leaks. */
struct speculation {
	int which;
	u32 safe;
	const char *words;
	size_t at; /* of its name in the message */
};
static const struct speculation speculations[] = {
	{ PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, "speculative store bypass", offsetof(Ckpt__Controls, store_bypass) },
	{ PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE, "indirect branch speculation", offsetof(Ckpt__Controls, indirect_branch) },
	{ PR_SPEC_L1D_FLUSH, PR_SPEC_ENABLE, "flushing of the L1 data cache", offsetof(Ckpt__Controls, l1d_flush) },
};

static const char *speculation_name(const Ckpt__Controls *m, const struct speculation *s)
{
	return *(const char *const *)((const char *)m + s->at);
}

/* What ckpt itself has: PR_SPEC_PRCTL is in it where threads have the choice. */
static int own_speculation(const struct speculation *s) { return prctl(PR_GET_SPECULATION_CTRL, s->which, 0, 0, 0); }

static bool is_chosen_by_threads(const void *speculation)
{
	int own = own_speculation(speculation);
	return own >= 0 && own & PR_SPEC_PRCTL;
}

static u64 speculation_key(const struct speculation *s) { return map_mix((u64)s->which, 0x73706563); }

static int collect_speculations(struct collector *c, const struct record_task *t, Ckpt__Controls *m)
{
	const u32 told[] = { t->store_bypass, t->indirect_branch, t->l1d_flush };
	for (size_t i = 0; i < ARRAY_SIZE(speculations); i++)
		for (size_t k = 0; k < ARRAY_SIZE(states); k++)
			if (told[i] == states[k].state &&
			    collector_once(c, speculation_key(&speculations[i]), is_chosen_by_threads, &speculations[i]) &&
			    !message_set_string((char **)((char *)m + speculations[i].at), states[k].name))
				return fail_memory();
	return 0;
}

/* --- ports of x86 --- */

#define SYS_RAWIO_BIT (1ull << 17) /* CAP_SYS_RAWIO */

/* The register set is there for who has a map of ports (arch/x86/kernel/ptrace.c, ioperm_active()). */
static bool shows_port_map(u32 tid)
{
	u8 map[8];
	struct iovec io = { map, sizeof map };
	return ptrace(PTRACE_GETREGSET, (pid_t)tid, NT_386_IOPERM, &io) == 0;
}

/* iopl(2): there is no level 4. */
static bool kernel_has_levels(void)
{
#ifdef SYS_iopl
	return syscall(SYS_iopl, 4) < 0 && errno == EINVAL;
#else
	return false;
#endif
}

/* Levels are emulated since Linux 5.5 and do not show in the flags register: eBPF alone tells. */
static void collect_ports(struct collector *c, const struct record_task *t, Ckpt__Controls *m)
{
	bool known = t->known & KNOWN_PORTS;
	if (known ? t->has_port_map && !t->io_level : !collector_live(c) && shows_port_map(t->tid))
		SET(m, port_map, true);
	if (t->io_level)
		SET(m, io_level, t->io_level);
	if (!known && t->cap_effective & SYS_RAWIO_BIT && kernel_has_levels())
		SET(m, io_unasked, true);
}

static int judge_ports(const Ckpt__Controls *m)
{
	if (m->io_level)
		return fail(IO_PORTS, 0, "iopl(%u)", m->io_level);
	return m->port_map ? fail(IO_PORTS, 0, "ioperm(2)") : 0;
}

/* --- collect --- */

static int controls_collect(struct collector *collector, const struct subject *subject, struct object *object)
{
	const struct record_task *t = subject->task;
	Ckpt__Controls *m = object->data;
	if (!message_set_string(&m->mce_kill, mce_policy(t->flags)))
		return fail_memory();
	SET(m, io_flusher, (t->flags & IO_FLUSHER) == IO_FLUSHER);
	if (t->tsc)
		SET(m, tsc_faults, t->tsc == PR_TSC_SIGSEGV);
	if (!(t->known & KNOWN_CONTROLS))
		SET(m, unasked, true);
	collect_ports(collector, t, m);
	return collect_speculations(collector, t, m);
}

/* --- judge --- */

static int judge_speculation(const Ckpt__Controls *m, const struct speculation *s)
{
	const char *name = speculation_name(m, s);
	u32 wanted = name ? find_state(name) : 0;
	if (!name)
		return 0;
	if (!wanted)
		return fail(IMAGE_VALUE, 0, "%s '%s'", s->words, name);
	int own = own_speculation(s);
	if (own >= 0 && own & PR_SPEC_PRCTL)
		return own & PR_SPEC_FORCE_DISABLE && wanted != PR_SPEC_FORCE_DISABLE
			       ? fail(SPECULATION_FORCED, 0, "%s, '%s' in the image", s->words, name)
			       : 0;
	bool wants_safety = s->safe == PR_SPEC_ENABLE ? wanted == PR_SPEC_ENABLE : wanted != PR_SPEC_ENABLE;
	bool is_safe = own == PR_SPEC_NOT_AFFECTED || (own > 0 && (u32)own == s->safe);
	if (wants_safety && !is_safe)
		warn(SPECULATION, own < 0 ? neg_errno() : 0, "%s, '%s' in the image", s->words, name);
	return 0;
}

static int judge_speculations(const Ckpt__Controls *m)
{
	int err = 0;
	for (size_t i = 0; i < ARRAY_SIZE(speculations); i++)
		if (judge_speculation(m, &speculations[i]) < 0)
			err = -EINVAL;
	return err;
}

static int controls_judge(const struct graph *graph, const struct object *object, enum direction direction)
{
	const Ckpt__Controls *m = object->data;
	WORKING_ON_THREAD(object->id);
	if (direction == DIRECTION_DUMP) {
		if (m->unasked && !shape_is_live(graph))
			warn(PRCTL, 0, "PR_SET_TSC and PR_SET_SPECULATION_CTRL");
		if (m->io_unasked && !shape_is_live(graph))
			warn(PRCTL, 0, "iopl(2)");
		return judge_ports(m);
	}
	if (m->mce_kill && find_mce_policy(m->mce_kill) < 0)
		return fail(IMAGE_VALUE, 0, "PR_SET_MCE_KILL '%s'", m->mce_kill);
	return judge_speculations(m);
}

/* --- plan --- */

/* Where threads have no choice it was judged what that means. */
static void plan_speculations(struct plan *plan, struct place at, const Ckpt__Controls *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(speculations); i++)
		if (speculation_name(m, &speculations[i]))
			step_any(plan_call(plan, at, SYS_prctl, ARG(PR_SET_SPECULATION_CTRL), ARG(speculations[i].which),
					   ARG(find_state(speculation_name(m, &speculations[i])))));
}

static int controls_plan(struct plan *plan, const struct graph *graph _unused_, const struct object *object)
{
	const Ckpt__Controls *m = object->data;
	struct place at = AT(object->id, STAGE_THREAD);
	plan_for(plan, "controls of thread %u", object->id);
	if (m->mce_kill)
		plan_call(plan, at, SYS_prctl, ARG(PR_MCE_KILL), ARG(PR_MCE_KILL_SET), ARG(find_mce_policy(m->mce_kill)));
	if (m->io_flusher)
		plan_call(plan, at, SYS_prctl, ARG(PR_SET_IO_FLUSHER), ARG(1));
	if (m->has_tsc_faults)
		step_any(plan_call(plan, at, SYS_prctl, ARG(PR_SET_TSC), ARG(m->tsc_faults ? PR_TSC_SIGSEGV : PR_TSC_ENABLE)));
	plan_speculations(plan, at, m);
	return 0;
}

const struct resource resource_controls = {
	.name = "controls",
	.scope = SCOPE_THREAD,
	.kind = &kind_controls,
	.collect = controls_collect,
	.judge = controls_judge,
	.plan = controls_plan,
};
