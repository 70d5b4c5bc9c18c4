/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What collect/proc.c takes of the mappings that are read ahead. Private to collect/. */
#pragma once
#include "base/text.h"
#include "collect/source.h"

/* The text of /proc/PID/smaps of one process, by its place in the tree; the caller frees it. False: it was not read, or there is no
 * such thread (NULL). Waits for the thread. */
bool smaps_ahead_take(struct smaps_ahead *, size_t process, struct text *ret);
