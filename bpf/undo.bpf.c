// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* iter/task: what the kernel will undo at the end of a thread of its operations on System V semaphores (semop(2), SEM_UNDO; ipc/sem.c): a
 * list with an entry for each set, some of whose semaphores are told in one read. Loaded only for who has one. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SETS_MAX 256 /* in one list: what is behind is not told */

/* One reader at a time: ckpt locks a pinned program while it reads. */
struct {
	struct record_config
		config; /* only: sysvsem_id; cursor: the number of the entry, and in the high half the first semaphore */
	struct record_header header;
	struct record_undo undo;
} state;

static __always_inline struct list_head *entry_of(struct sem_undo_list *list, u32 number)
{
	struct list_head *end = (void *)((char *)list + bpf_core_field_offset(list->list_proc));
	struct list_head *node = BPF_CORE_READ(list, list_proc.next);

	for (u32 i = 0; i < SETS_MAX && i < number && node != end; i++)
		node = BPF_CORE_READ(node, next);
	return number < SETS_MAX && node != end ? node : NULL;
}

SEC("iter/task")
int ckpt_undo(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct sem_undo_list *list;
	struct sem_undo *undo = NULL;
	struct list_head *node;
	u64 adjustments;

	if (!t || !LAST_FLAVOR(t->sysvsem))
		return 0;
	list = BPF_CORE_READ(t, sysvsem.undo_list);
	if (!list || (u64)BPF_CORE_READ(list, list_proc.next) != state.config.only)
		return 0;
	node = entry_of(list, (u32)state.config.cursor);
	if (!node)
		return 0;
	undo = (void *)((char *)node - bpf_core_field_offset(undo->list_proc));
	adjustments = undo_adjustments(undo);
	if (!adjustments)
		return 0;
	state.undo.set = BPF_CORE_READ(undo, semid);
	bpf_probe_read_kernel(state.undo.adjust, sizeof(state.undo.adjust),
			      (void *)(adjustments + (state.config.cursor >> 32) * sizeof(*state.undo.adjust)));
	state.header.tag = RECORD_UNDO;
	state.header.len = sizeof(state.undo);
	bpf_seq_write(ctx->meta->seq, &state.header, sizeof(state.header) + sizeof(state.undo));
	return 0;
}
