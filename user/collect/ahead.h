/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mappings that are read in a thread while other facts are collected. Private to collect/. */
#pragma once
#include "base/text.h"
#include "collect/source.h"

/* Begins to read the mappings of a frozen tree in a thread: walking the page tables takes longer than all other files of a small
 * process. Silent: NULL when there can be no thread; what it fails to read is left to proc_vmas(). */
struct smaps_ahead *smaps_ahead(const struct tree *);
/* Until it has read all that it will; nothing to do for NULL. */
void smaps_ahead_await(struct smaps_ahead *);
void smaps_ahead_end(struct smaps_ahead *);
/* The text of /proc/PID/smaps of one process, by its place in the tree; the caller frees it. False: it was not read, or there is no
 * such thread (NULL). Waits for the thread. */
bool smaps_ahead_take(struct smaps_ahead *, size_t process, struct text *ret);
