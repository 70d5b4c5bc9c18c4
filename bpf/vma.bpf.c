// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task_vma (since 5.12): one struct record_vma_raw per mapping. To be attached by link_info.task.pid: with .tid the
 * iterator of 6.1 to 7.2 writes its last buffer for ever. */
#define GET(pointer, field) ((pointer)->field)
#include "vma.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_vma_raw raw;
} state;

SEC("iter/task_vma")
int ckpt_vma(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *t = ctx->task;
	struct vm_area_struct *v = ctx->vma;

	if (!t || !v || t->pid != t->tgid)
		return 0;
	state.raw.signal_id = (u64)BPF_CORE_READ(t, signal);
	read_vma(v, &state.raw);
	state.header.tag = RECORD_VMA;
	state.header.len = sizeof(state.raw);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(state.raw));
	return 0;
}
