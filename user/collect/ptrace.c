// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what ptrace tells of stopped threads without running anything in them. */
#include "collect/collect_internal.h"
#include "diag/diag.h"
#include "task/rseq.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>

static void read_rseq(struct record_task *t)
{
	struct rseq_area area;
	if (t->known & KNOWN_RSEQ || rseq_get_area((pid_t)t->tid, &area) < 0)
		return;
	t->rseq = area.address;
	t->rseq_len = area.length;
	t->rseq_sig = area.signature;
	t->known |= KNOWN_RSEQ;
}

static void read_robust_list(struct record_task *t)
{
	void *head = NULL;
	size_t len;
	if (t->known & KNOWN_ROBUST || syscall(SYS_get_robust_list, t->tid, &head, &len) < 0)
		return;
	t->robust_list = (u64)(uintptr_t)head;
	t->known |= KNOWN_ROBUST;
}

void collect_hand_rseq(struct collector *c)
{
	const struct record_task *t = c->facts.tasks.v;
	for (size_t i = 0; i < c->tree->processes.n; i++) {
		struct tree_process *p = &c->tree->processes.v[i];
		for (size_t k = 0; k < p->threads.n; k++, t++) {
			p->threads.v[k].rseq_told = t->known & KNOWN_RSEQ;
			p->threads.v[k].rseq = (struct rseq_area){ t->rseq, t->rseq_len, t->rseq_sig };
		}
	}
}

int collect_ptrace(struct collector *c)
{
	for (size_t i = 0; i < c->facts.tasks.n; i++) {
		struct record_task *t = &c->facts.tasks.v[i];
		if (t->state == 'Z')
			continue;
		/* the mask that goes back by sigreturn when a call such as sigsuspend has put another in its place */
		if (!(t->known & KNOWN_SIGMASK) && ptrace(PTRACE_GETSIGMASK, t->tid, sizeof t->sigmask, &t->sigmask) < 0) {
			WORKING_ON_THREAD(t->tid);
			return fail(TASK_RACED, neg_errno(), "PTRACE_GETSIGMASK");
		}
		t->known |= KNOWN_SIGMASK;
		if (caps_has(c->config->caps, CAN_RSEQ_CONFIG))
			read_rseq(t);
		read_robust_list(t);
	}
	return 0;
}
