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
	VECTOR(struct file_use) uses;  /* descriptors, sorted */
	VECTOR(struct file_use) anons; /* private memory (file: its anon number, table: mm), sorted */
};
struct names names_of(const struct graph *);
/* Without the descriptors and the memory: enough for names_rest(). */
struct names names_of_kinds(const struct graph *);
void names_free(struct names *);
/* The object that holds the rest of a file, under its kind; NULL when no resource knows it. */
const struct object *names_rest(const struct names *, u32 file);
/* "reg /tmp/log"; "file 12" when the graph does not say more. */
void names_file(struct text *, const struct names *, u32 file);
/* The descriptors that share a file: first of *ret_count, NULL when there is none. */
const struct file_use *names_uses(const struct names *, u32 file, size_t *ret_count);
/* The mms that have memory with this anon number, likewise; one mm may be named more than once. */
const struct file_use *names_anons(const struct names *, u32 anon, size_t *ret_count);
/* Adds what a number of a message means, when it refers to a file or is a set of flags: " (reg /bin/sh)". */
void names_explain(struct text *, const struct names *, const struct kind *, const ProtobufCFieldDescriptor *,
		   const void *message);
/* "132K", "1.5M": at most five characters. */
void text_add_size(struct text *, u64 bytes);
void text_add_vma_flags(struct text *, u32 flags);
/* Records that have a form of their own; false when they have none. names may be NULL. */
bool records_print(struct text *, const struct names *, const struct object *);
