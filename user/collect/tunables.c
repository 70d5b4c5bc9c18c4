// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what is taken for known of rseq areas where no kernel tells of them. */
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include "task/rseq.h"

void collect_tunables(struct collector *c)
{
	size_t at = 0;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		const struct tree_process *p = &c->tree->processes.v[i];
		struct record_task *tasks = &c->facts.tasks.v[at];
		size_t unknown = 0;
		at += p->threads.n;
		for (size_t k = 0; k < p->threads.n; k++)
			unknown += !(tasks[k].known & KNOWN_RSEQ);
		if (!unknown || p->state == 'Z' || !rseq_is_off(p->proc))
			continue;
		WORKING_ON_TASK(p->pid);
		warn(RSEQ_ASSUMED, 0, "%zu thread%s", unknown, unknown == 1 ? "" : "s");
		for (size_t k = 0; k < p->threads.n; k++)
			tasks[k].known |= KNOWN_RSEQ; /* and the area is all zero: there is none */
	}
}
