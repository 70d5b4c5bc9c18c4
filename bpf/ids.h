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

/* From the start of a struct pid, in bytes. */
static __always_inline u64 upid_offset(u32 level)
{
	struct pid *any = NULL;

	return bpf_core_field_offset(any->numbers) + (u64)level * bpf_core_type_size(struct upid);
}

/* A struct upid is an id and a namespace since 4.15. */
static __always_inline void read_upid(struct record_upid *to, struct pid *pid, u64 offset)
{
	bpf_probe_read_kernel(to, sizeof(*to), (char *)pid + offset);
}

/* What lies behind a pid of a lower level than asked is garbage: its level tells. */
static __always_inline void read_pid(struct record_pid *to, struct pid *pid, u64 offset)
{
	READ(to->level, pid, level);
	read_upid(&to->id, pid, offset);
}

static __always_inline struct pid *reader_pid(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return BPF_CORE_READ(t, thread_pid);
}

/* The reading process in its own, innermost pid namespace. */
static __always_inline void read_reader(struct record_pid *to)
{
	struct pid *pid = reader_pid();

	read_pid(to, pid, upid_offset(BPF_CORE_READ(pid, level)));
}
#endif
