/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of numbers as the kernel writes those of processors and nodes: "0-3,8". */
#pragma once
#include "base/base.h"

/* Sets the bits of a list in a mask of so many bits. Gives what stands behind the list; NULL: it is none, or has a number that the mask
 * has no room for. */
const char *ranges_parse(const char *list, u64 *mask, size_t bits);
