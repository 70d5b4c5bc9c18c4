// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns how the heap grows. */
#include "base/heap.h"
#include <malloc.h>
#include <sys/mman.h>

#define LITTLE (4u << 20)
#define MOST (256u << 20)
#define LARGEST (32u << 20) /* what mallopt(3) takes: larger blocks are mapped */
#define HUGE (2u << 20)

#define FIRST (128u << 10) /* the least that a restore takes: a page too many costs more than a microsecond */
#define MORE (512u << 10)  /* by which the heap grows */

/* Bytes by which the heap has grown for `least`, from *ret on. */
static size_t grow(size_t least, uintptr_t *ret)
{
	*ret = ALIGN_UP((uintptr_t)sbrk(0), PAGE_BYTES);
	void *volatile first = malloc(least);
	free(first);
	uintptr_t to = (uintptr_t)sbrk(0);
	return to > *ret ? to - *ret : 0;
}

void heap_begin(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, MORE);
	mallopt(M_MMAP_THRESHOLD, LITTLE); /* what is set no more grows by itself */
	mallopt(M_TRIM_THRESHOLD, LITTLE);
	void *volatile first = malloc(FIRST);
	if (first) /* what is free there now is what the next blocks are taken from */
		madvise((void *)ALIGN_DOWN((uintptr_t)first, PAGE_BYTES), FIRST, MADV_POPULATE_WRITE); /* Linux 5.14 */
	free(first);
}

void heap_expect(size_t bytes)
{
	if (bytes < LITTLE)
		return;
	uintptr_t from;
	mallopt(M_MMAP_THRESHOLD, LARGEST);
	mallopt(M_TRIM_THRESHOLD, INT32_MAX);
	mallopt(M_TOP_PAD, (int)MIN(bytes, MOST));
	size_t len = grow(LITTLE, &from); /* none when it has room */
	mallopt(M_TOP_PAD, HUGE);
	if (len)
		madvise((void *)from, len, MADV_HUGEPAGE);
}
