// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading an io_uring: one of its users after the other, some processors at a time. */
#include "collect/bpf_internal.h"

#define USERS_MAX 256u /* as bpf/uring.bpf.c finds them */

/* Adds what one of its users has; the rest is the same in every part. */
static int read_user(struct bpf_walker *w, u32 tgid, u32 fd, u32 user, struct record_uring *all, bool *ret_more)
{
	struct record_uring_raw raw = { .more_cpus = true };
	for (u32 cpu = 0; raw.more_cpus && cpu < BPF_CPUS_MAX; cpu += RECORD_CPUS_PER_READ) {
		u64 cursor = (u64)(cpu / RECORD_CPUS_PER_READ) << 48 | (u64)user << 32 | fd;
		int r = bpf_read_record(w, tgid, cursor, RECORD_URING, &raw, sizeof raw);
		if (r <= 0)
			return r;
		raw.uring.in_flight += all->in_flight;
		raw.uring.users = cpu ? all->users : all->users + raw.uring.users;
		raw.uring.has |= all->has;
		raw.uring.submitter = bpf_pid_seen(&raw.reader, &raw.submitter);
		raw.uring.poller = bpf_pid_seen(&raw.reader, &raw.poller);
		*all = raw.uring;
	}
	*ret_more = raw.more_users;
	return 1;
}

int bpf_uring(struct bpf_source *source, u32 tgid, u32 fd, struct record_uring *ret)
{
	struct bpf_walker *w;
	bool more = true;
	int r = bpf_source_lock(source, BPF_URING, &w);
	if (r < 0)
		return r;
	*ret = (struct record_uring){ 0 };
	for (u32 user = 0; more && r >= 0; user++) {
		r = user < USERS_MAX ? read_user(w, tgid, fd, user, ret, &more) : -E2BIG;
		if (r == 0)
			break;
	}
	bpf_unlock(w);
	return r;
}

int bpf_uring_slots(struct bpf_source *source, u32 tgid, u32 fd, u32 first, struct record_uring_slots *ret)
{
	struct bpf_walker *w;
	int r = bpf_source_lock(source, BPF_URING_TABLE, &w);
	if (r < 0)
		return r;
	u64 cursor = (u64)(first / URING_SLOTS_PER_READ) << 32 | fd;
	r = bpf_read_record(w, tgid, cursor, RECORD_URING_SLOTS, ret, sizeof *ret);
	bpf_unlock(w);
	return r;
}
