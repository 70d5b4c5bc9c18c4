// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the facts of ckpt itself that every task inherits which it makes. */
#include "base/file.h"
#include "collect/collect_internal.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static u32 own_speculation(int which)
{
	int state = prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);
	return state < 0 ? 0 : (u32)state & ~(u32)PR_SPEC_PRCTL;
}

/* A process tells of itself what others need eBPF for. */
static int read_own(int proc, struct record_task *t)
{
	_cleanup_text_ struct text status = { 0 }, stat = { 0 };
	struct record_task ids = { 0 };
	int r = file_read_once(proc, "status", &status);
	if (r == 0)
		r = file_read_once(proc, "stat", &stat);
	if (r == 0)
		r = parse_status(status.data, t);
	if (r == 0)
		r = parse_stat(stat.data, &ids);
	t->flags = ids.flags;
	t->personality = (u32)personality(0xffffffff);
	t->securebits = (u32)prctl(PR_GET_SECUREBITS);
	t->timer_slack = (u64)prctl(PR_GET_TIMERSLACK);
	int tsc = 0;
	t->tsc = prctl(PR_GET_TSC, &tsc) == 0 ? (u32)tsc : 0;
	t->store_bypass = own_speculation(PR_SPEC_STORE_BYPASS);
	t->indirect_branch = own_speculation(PR_SPEC_INDIRECT_BRANCH);
	t->l1d_flush = own_speculation(PR_SPEC_L1D_FLUSH);
	int policy = 0;
	if (syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0) == 0 || errno == ENOSYS)
		t->known |= KNOWN_NUMA;
	t->has_mempolicy = policy != 0;
	t->pdeath_signal = 0; /* of ckpt it may be another: a child begins without */
	/* syscall user dispatch is off: nothing here turns it on, and execve(2) ends it */
	t->ns_ours = NS_OURS_USER | NS_OURS_OTHERS;
	/* its namespaces are its own: their numbers are of no interest */
	t->known |= KNOWN_PERSONALITY | KNOWN_SECUREBITS | KNOWN_PRCTL | KNOWN_SUD | KNOWN_NS_OURS | KNOWN_NS | KNOWN_CONTROLS;
	return r;
}

static int own_tree(struct tree *tree)
{
	struct tree_process *p = map_set(&tree->by_pid, (u64)getpid(), 1) < 0 ? NULL : vector_add(&tree->processes);
	if (!p)
		return -ENOMEM;
	*p = (struct tree_process){ .pid = getpid(), .pidfd = -1, .state = 'R' };
	p->proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct tree_thread *thread = p->proc < 0 ? NULL : vector_add(&p->threads);
	if (!thread)
		return p->proc < 0 ? neg_errno() : -ENOMEM;
	thread->tid = getpid();
	return 0;
}

int collect_self(struct graph *ret, const struct collect_config *config)
{
	struct collect_config live = *config;
	live.live = true;
	_cleanup_tree_ struct tree tree = { 0 };
	struct collector c = { .config = &live, .tree = &tree, .graph = ret };
	int r = own_tree(&tree);
	if (r == 0)
		r = facts_begin(&c.facts, &tree);
	if (r == 0)
		r = read_own(tree.processes.v[0].proc, &c.facts.tasks.v[0]);
	if (r < 0)
		r = fail(PROC_READ, r, "/proc/self");
	else
		r = collect_resources(&c, SCOPE_THREAD);
	collector_free(&c);
	return r;
}
