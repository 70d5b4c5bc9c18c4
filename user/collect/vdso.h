/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a vDSO is: its parts in memory, its build-id, its symbols. Identity is never its size. */
#pragma once
#include "model/kinds.h"
#include "record.h"

/* Fills the message from the mappings of one process and the bytes of its [vdso]. -EBADMSG for bytes that are no vDSO,
 * -ENOMEM. */
int vdso_describe(Ckpt__Vdso *, const struct record_vma *vmas, size_t count, const void *image, size_t len);
/* Value of a symbol, 0 when there is none. */
u64 vdso_symbol(const Ckpt__Vdso *, const char *name);
