/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The heap of a command that is going to need much of it. */
#pragma once
#include "base/base.h"

/* For what every command needs: room at once instead of a page fault for each 4 KiB. Threads use the same heap. */
void heap_begin(void);
/* Room for so many bytes, to be filled in huge pages: one page fault for each 4 KiB takes longer than what ckpt does with them.
 * For little, or where the kernel has no such pages (mm/transparent_hugepage/enabled), the heap grows as it is used. */
void heap_expect(size_t bytes);
