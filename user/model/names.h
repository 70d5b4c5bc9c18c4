/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people call the things that the model numbers: files by kind and path, sizes, flags of mappings. */
#pragma once
#include "model/kinds.h"
#include "model/reflect.h"

struct file_use {
	u32 file, table, fd;
};

/* The kinds of a graph by name, and which descriptors each file has. */
struct names {
	const struct graph *graph;
	VECTOR(const struct kind *) kinds;
	VECTOR(struct file_use) uses; /* sorted */
};
struct names names_of(const struct graph *);
void names_free(struct names *);
/* "reg /tmp/log"; "file 12" when the graph does not say more. */
void names_file(struct text *, const struct names *, u32 file);
/* The descriptors that share a file: first of *ret_count, NULL when there is none. */
const struct file_use *names_uses(const struct names *, u32 file, size_t *ret_count);
/* "132K", "1.5M": at most five characters. */
void text_add_size(struct text *, u64 bytes);
void text_add_vma_flags(struct text *, u32 flags);
/* Records that have a form of their own; false when they have none. names may be NULL. */
bool records_print(struct text *, const struct names *, const struct object *, enum field_class);
