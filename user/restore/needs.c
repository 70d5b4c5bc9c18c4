// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what a plan needs of the kernel: steps that have no other way are refused before anything is made. Pure. */
#include "diag/diag.h"
#include "restore/restore.h"
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define DIAG_SELECT DIAG_COUNT

static const struct need {
	enum cap_id cap;
	enum diag_code code;
	u16 nr;
	u8 index;
	u64 mask, value;
} needs[] = {
#define NEED(cap, code, nr, i, mask, value) { CAN_##cap, DIAG_##code, nr, i, mask, value },
#include "restore/needs.def"
#undef NEED
};

struct search {
	const struct plan *plan;
	const struct caps *caps;
	u32 left_out; /* so many steps may be skipped when the plan runs */
	bool told[CAN_COUNT];
	int result;
};

static int lacks(const struct caps *caps, enum cap_id id, enum diag_code code)
{
	const struct cap_row *row = caps_row(id);
	const struct cap_state *state = &caps->state[id];
	bool right = state->err == EPERM || state->err == EACCES;
	if (code == DIAG_SELECT)
		code = right ? DIAG_PLAN_RIGHT : DIAG_PLAN_KERNEL;
	return diag_lacks(code, id, -state->err, "%s (%s)%s%s", row->interface, row->id, state->err ? "" : ": ",
			  state->err ? "" : state->note);
}

static void look(void *arg, const struct step *step)
{
	struct search *s = arg;
	u32 left_out = s->left_out;
	s->left_out = step->op == OP_SKIP ? MAX(left_out, (u32)step->a[3] + 1) - 1 : left_out ? left_out - 1 : 0;
	if (left_out || step->expect_kind == EXPECT_ANY || (step->op != OP_CALL && step->op != OP_SPAWN))
		return;
	u16 nr = step->op == OP_SPAWN ? SYS_clone3 : step->nr;
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		const struct need *n = &needs[i];
		if (n->nr != nr || (step->a[n->index] & n->mask) != n->value || s->told[n->cap] ||
		    s->caps->state[n->cap].answer != CAP_NO)
			continue;
		WORKING_ON("%s", plan_object_name(s->plan, step->object));
		s->told[n->cap] = true;
		s->result = lacks(s->caps, n->cap, n->code);
	}
}

int judge_needs(const struct plan *plan, const struct caps *caps)
{
	struct search s = { .plan = plan, .caps = caps };
	if (caps->state[CAN_SET_TID].answer == CAP_NO)
		s.result = lacks(caps, CAN_SET_TID, DIAG_SET_TID);
	if (caps->state[CAN_PIDFD_OPEN].answer == CAP_NO)
		s.result = lacks(caps, CAN_PIDFD_OPEN, DIAG_SELECT);
	if (caps->state[CAN_PTRACE_SEIZE].answer == CAP_NO)
		s.result = lacks(caps, CAN_PTRACE_SEIZE, DIAG_PTRACE_DENIED);
	if (plan_gated(plan, 0) && caps->state[CAN_SUSPEND_SECCOMP].answer == CAP_NO)
		s.result = lacks(caps, CAN_SUSPEND_SECCOMP, DIAG_SECCOMP_SUSPEND);
	plan_walk(plan, look, &s);
	return s.result;
}
