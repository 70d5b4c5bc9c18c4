/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Auxiliary vectors (getauxval(3)) that the kernel here keeps for processes. */
#pragma once
#include "base/base.h"
#include <elf.h>

#define AUXV_BYTES_MAX 4096 /* more than any kernel keeps */

/* How many bytes of an auxiliary vector, whole entries, the kernel here takes from prctl(2), PR_SET_MM_MAP: at most this many, which
 * are asked for in children. It keeps a fixed number that has grown (AT_VECTOR_SIZE: mm_struct.saved_auxv). 0: it told nothing. */
size_t auxv_room(size_t wanted);
