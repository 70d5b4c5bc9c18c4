/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Process ids as the reader of the iterator sees them: BPF programs read global structures, ckpt may live in a pid
 * namespace. */
#ifndef CKPT_BPF_IDS_H
#define CKPT_BPF_IDS_H
#include "flavors.h"
#include "record.h"

/* Reads a field of the same size into a record: half of the instructions of an assignment of BPF_CORE_READ. A null
 * pointer reads as zeros. */
#define READ(to, from, field)                                                                                                  \
	({                                                                                                                     \
		_Static_assert(sizeof(to) == sizeof((from)->field), "sizes differ");                                           \
		bpf_core_read(&(to), sizeof(to), &(from)->field);                                                              \
	})

static __always_inline struct upid *upid_at(struct pid *pid, u32 level)
{
	return (void *)((char *)pid + bpf_core_field_offset(pid->numbers) + level * bpf_core_type_size(struct upid));
}

/* What lies behind a pid of a lower level than asked is garbage: its level tells. */
static __always_inline void read_pid(struct record_pid *to, struct pid *pid, u32 level)
{
	struct upid copy;

	READ(to->level, pid, level);
	bpf_probe_read_kernel(&copy, sizeof(copy), upid_at(pid, level));
	to->ns = (u64)copy.ns;
	to->nr = copy.nr;
}

/* The reading process in its own, innermost pid namespace. */
static __always_inline void read_reader(struct record_pid *to)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct pid *pid = BPF_CORE_READ(t, thread_pid);

	read_pid(to, pid, BPF_CORE_READ(pid, level));
}
#endif
