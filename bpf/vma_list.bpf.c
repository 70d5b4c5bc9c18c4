// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task, for kernels without iter/task_vma (before 5.12): walks the list of one mm, a few mappings per read. Nothing
 * holds the list still: the process must be frozen. */
#define GET(pointer, field) BPF_CORE_READ(pointer, field)
#include "vma.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define VMAS_PER_READ 64 /* 64 * 250 bytes fit into the 32 KiB that one task may write */

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config config;
	struct record_header header;
	struct record_vma_raw raw;
} state;

SEC("iter/task")
int ckpt_vma_list(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *t = ctx->task;
	struct vm_area_struct *v;

	if (!t || t->pid != t->tgid)
		return 0;
	state.raw.signal_id = (u64)BPF_CORE_READ(t, signal);
	if (state.raw.signal_id != state.config.only)
		return 0;
	state.header.tag = RECORD_VMA;
	state.header.len = sizeof(state.raw);
	v = state.config.cursor ? (void *)state.config.cursor : mm_first_vma(BPF_CORE_READ(t, mm));
	for (int i = 0; i < VMAS_PER_READ && v; i++) {
		read_vma(v, &state.raw);
		bpf_seq_write(seq, &state.header, sizeof(state.header) + sizeof(state.raw));
		v = vma_next(v);
	}
	state.config.cursor = (u64)v;
	return 0;
}
