// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task with direct loads alone: what can be had where lockdown (confidentiality) refuses bpf_probe_read_kernel. Ids are
 * those of the initial pid namespace, the only ones that need no computed address. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_task_raw raw;
} state;

SEC("iter/task")
int ckpt_mini(struct bpf_iter__task *ctx)
{
	struct record_task *r = &state.raw.task;
	struct task_struct *t = ctx->task;

	if (!t)
		return 0;
	state.raw.pids[RECORD_PID_SELF].id.nr = t->pid;
	state.raw.pids[RECORD_PID_PROCESS].id.nr = t->tgid;
	task_rseq(t, &r->rseq, &r->rseq_len, &r->rseq_sig);
	r->clear_child_tid = (u64)t->clear_child_tid;
	r->altstack_sp = t->sas_ss_sp;
	r->altstack_size = t->sas_ss_size;
	r->altstack_flags = t->sas_ss_flags;
	r->known = KNOWN_RSEQ | KNOWN_CLEAR_TID | KNOWN_ALTSTACK;
	state.header.tag = RECORD_TASK;
	state.header.len = sizeof(state.raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(state.raw));
	return 0;
}
