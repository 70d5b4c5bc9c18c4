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
/* Is it that of this kernel: the same code with the same data behind it, by build-id, symbols and parts? Some parts may have been
 * unmapped by the process. Without a build-id nothing proves it. */
bool vdso_same(const Ckpt__Vdso *, const Ckpt__Vdso *kernels);
/* Makes the code of a vDSO useless but for its entries, which go on at those of another that is mapped at base (NULL: there
 * is none), or make the system call that they stood for. code: old->code.len bytes. *ret_symbol: the entry that has too
 * little room when it is -ENOSPC. */
int vdso_redirect(u8 *code, const Ckpt__Vdso *old, const Ckpt__Vdso *other, u64 base, const char **ret_symbol);
