// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading what semop(2) has to undo: one set after the other, some of its semaphores at a time. */
#include "collect/bpf_internal.h"

int bpf_undo(struct bpf_source *source, u32 pid, u64 list, u32 number, u32 first, struct record_undo *ret)
{
	_cleanup_text_ struct text stream = { 0 };
	struct bpf_walker *w;
	int r = bpf_source_lock(source, BPF_UNDO, &w);
	if (r < 0)
		return r;
	w->config->only = list;
	w->config->cursor = (u64)first << 32 | number;
	r = bpf_run_process(w, pid, &stream);
	bpf_unlock(w);
	/* each thread that has the list tells the same */
	return r < 0 ? r : bpf_first_record(&stream, RECORD_UNDO, ret, sizeof *ret);
}
