// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns how the heap grows. */
#include "base/heap.h"
#include <malloc.h>
#include <sys/mman.h>

#define LITTLE (4u << 20)
#define MOST (256u << 20)
#define LARGEST (32u << 20) /* what mallopt(3) takes: larger blocks are mapped */
#define HUGE (2u << 20)

void heap_expect(size_t bytes)
{
	if (bytes < LITTLE)
		return;
	uintptr_t from = ALIGN_UP((uintptr_t)sbrk(0), PAGE_BYTES);
	mallopt(M_MMAP_THRESHOLD, LARGEST);
	mallopt(M_TRIM_THRESHOLD, INT32_MAX);
	mallopt(M_TOP_PAD, (int)MIN(bytes, MOST));
	void *volatile first = malloc(LITTLE); /* grows the heap unless it has room */
	free(first);
	mallopt(M_TOP_PAD, HUGE);
	uintptr_t to = (uintptr_t)sbrk(0);
	if (to > from)
		madvise((void *)from, to - from, MADV_HUGEPAGE);
}
