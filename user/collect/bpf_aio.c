// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading contexts of asynchronous I/O: one after the other, some processors at a time. */
#include "collect/bpf_internal.h"

#define CONTEXTS_MAX (1u << 20) /* of one process: a table that does not end is one that changes */
#define COUNT_BIAS (1ull << 63) /* PERCPU_COUNT_BIAS of lib/percpu-refcount.c */

/* 1, or 0 behind the last context. Two references are no requests: that of the context itself, and one of its users (ioctx_alloc() of
 * fs/aio.c). */
static int read_one(struct bpf_walker *w, u32 tgid, u32 number, struct record_aio *ret)
{
	struct record_aio_raw raw = { .more = true };
	u64 sum = 0;
	for (u32 cpu = 0; raw.more && cpu < BPF_CPUS_MAX; cpu += RECORD_CPUS_PER_READ) {
		int r = bpf_read_record(w, tgid, (u64)cpu << 32 | number, RECORD_AIO, &raw, sizeof raw);
		if (r <= 0)
			return r;
		sum += raw.references;
	}
	*ret = (struct record_aio){ .address = raw.atomic ? 0 : raw.address,
				    .max_reqs = raw.max_reqs,
				    .in_flight = sum + raw.shared_count - COUNT_BIAS - 2 };
	return 1;
}

int bpf_aio(struct bpf_source *source, u32 tgid, u64 address, struct record_aio *ret)
{
	struct bpf_walker *w;
	int r = bpf_source_lock(source, BPF_AIO, &w);
	if (r < 0)
		return r;
	for (u32 number = 0; number < CONTEXTS_MAX; number++) {
		r = read_one(w, tgid, number, ret);
		if (r <= 0 || ret->address == address)
			break;
	}
	bpf_unlock(w);
	return r;
}
