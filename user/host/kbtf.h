/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's own type information: what this kernel was built with, readable by everyone. */
#pragma once
#include "base/base.h"

struct kbtf;
/* Reads a BTF file; -EINVAL when it is none. */
int kbtf_open(struct kbtf **ret, const char *path);
/* The same from bytes, which it takes over (malloc'ed). */
int kbtf_parse(struct kbtf **ret, void *data, size_t len);
void kbtf_free(struct kbtf *);
static inline void kbtf_freep(struct kbtf **b) { kbtf_free(*b); }
#define _cleanup_kbtf_ _cleanup_(kbtf_freep)
/* Id of the type of this BTF_KIND_* and name, 0 when there is none. */
u32 kbtf_find(const struct kbtf *, u32 kind, const char *name);
/* Has any struct or union of this name such a field (looking into unnamed members too)? */
bool kbtf_has_member(const struct kbtf *, const char *type, const char *field);
/* Has the enumeration such a value? */
bool kbtf_has_value(const struct kbtf *, const char *type, const char *value);
