/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel counts for each processor apart. A map's word per processor is a ruler: both of its addresses can be learned, the
 * common one and that of each processor, and what lies between them is the same for all memory of the kind. */
#ifndef CKPT_BPF_PERCPU_H
#define CKPT_BPF_PERCPU_H
#include "flavors.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} ruler SEC(".maps");

/* The number of a pointer that the verifier knows as one: through a word of the program's own memory. */
static __always_inline u64 number_of(volatile u64 *word, void *pointer)
{
	*word = (u64)pointer;
	return *word;
}

/* The ruler's common address. */
static __always_inline u64 percpu_base(volatile u64 *word)
{
	struct bpf_array *array = (void *)number_of(word, &ruler);

	return (u64)BPF_CORE_READ(array, pptrs[0]);
}

/* From the common address of anything to that of a processor; false behind the last processor. */
static __always_inline bool percpu_distance(volatile u64 *word, u64 base, u32 cpu, u64 *ret)
{
	u32 zero = 0;
	void *own = bpf_map_lookup_percpu_elem(&ruler, &zero, cpu);

	if (!own)
		return false;
	*ret = number_of(word, own) - base;
	return true;
}
#endif
