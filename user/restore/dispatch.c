// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns syscall user dispatch of restored threads: the kernel hands their system calls to a handler of theirs, those that a plan
 * makes too, so the tracer sets it when they have made the last one. */
#include "diag/diag.h"
#include "infect/dispatch.h"
#include "persona.pb-c.h"
#include "restore/execute_internal.h"

/* The next thread that has it on; *at: where the search goes on, 0 at first. NULL: there is none. */
static const Ckpt__Persona *next_on(const struct graph *g, size_t *at, u32 *ret_tid)
{
	while (*at < g->objects.n) {
		const struct object *o = g->objects.v[(*at)++];
		const Ckpt__Persona *m = o->kind->desc == &ckpt__persona__descriptor ? o->data : NULL;
		*ret_tid = o->id;
		if (m && m->syscall_dispatch)
			return m;
	}
	return NULL;
}

int judge_dispatch(const struct graph *g, const struct survey *s)
{
	const Ckpt__Persona *m;
	u32 tid;
	int r = 0;
	for (size_t at = 0; (m = next_on(g, &at, &tid));) {
		WORKING_ON_THREAD(tid);
		if (caps_lacks(s->caps, CAN_SUD_CONFIG))
			r = fail(SYSCALL_DISPATCH, 0, "PR_SET_SYSCALL_USER_DISPATCH was on");
		else if (m->dispatch_inside && !dispatch_knows_inside())
			r = fail(SYSCALL_DISPATCH_RANGE, 0, "%llu bytes from %#llx on", (unsigned long long)m->dispatch_length,
				 (unsigned long long)m->dispatch_start);
	}
	return r;
}

int restore_dispatch(const struct execution *x)
{
	const Ckpt__Persona *m;
	u32 tid;
	for (size_t at = 0; (m = next_on(x->graph, &at, &tid));) {
		WORKING_ON_THREAD(tid);
		int r = dispatch_set((pid_t)tid, &(struct dispatch){ .on = true,
								     .inside = m->dispatch_inside,
								     .start = m->dispatch_start,
								     .length = m->dispatch_length,
								     .selector = m->dispatch_selector });
		if (r < 0)
			return fail(REGISTERS, r, "PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG");
	}
	return 0;
}
