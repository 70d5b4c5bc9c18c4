/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What reflection gives for every kind: text, JSON, comparison, packing. Makes no system call. */
#pragma once
#include "model/model.h"

/* Which fields to see, by field number class. */
#define FIRST_HOST_FIELD 100
enum field_class { FIELD_STATE = 1, FIELD_HOST = 2, FIELD_DIAG = 4, FIELD_ALL = 7 };

/* Which kinds to see: a NULL-terminated list of names, or NULL for all. */
typedef const char *const *kind_filter;
bool kind_wanted(kind_filter, const struct kind *);

/* One object as indented lines for a terminal. Bytes are shown as length and hash, never as contents. */
void object_print(struct text *, const struct object *, enum field_class);
/* All objects, one block each; references to files are shown with the file's kind and path. */
void graph_print(struct text *, const struct graph *, enum field_class, kind_filter);
/* One object as a JSON object: {"kind":..,"id":..,"fields":{..}} or {"kind":..,"id":..,"records":[..]}. Absent fields are
 * left out; addresses, masks and flags are strings ("0x7f.."), other integers numbers; bytes {"len":..,"xxh3":".."}. */
void object_json(struct text *, const struct object *, enum field_class);
/* {"objects":[...]} */
void graph_json(struct text *, const struct graph *, enum field_class, kind_filter);

/* A string for a terminal: as it is, or as a JSON literal when it is empty or holds what a terminal would obey. */
void text_add_shown(struct text *, const char *string);

/* Every kind and field as Markdown: docs/images.md. kinds: NULL-terminated. */
void kinds_markdown(struct text *, const struct kind *const *kinds);

/* A filter of what a comparison ignores: "kind.field" or "kind"; "+kind.field": what the second graph has behind all that the first has
 * there. A NULL-terminated list. */
typedef const char *const *compare_ignore;
/* Compares the state fields of two graphs and appends one line per difference ("thread 12 sigmask: 0x0 != 0x200").
 * VMA-like records are compared after merging neighbours of equal attributes. Returns the number of differences. */
size_t graph_compare(struct text *differences, const struct graph *a, const struct graph *b, compare_ignore);

/* Does any object hold the number of the file, but those of the kinds that are named (NULL ends the list)? */
bool graph_refers(const struct graph *, u32 file, const char *const *but);

/* Calls visit for every number of a file (but 0) that objects hold, until it returns true: then so does this. but: as above. */
bool graph_references(const struct graph *, const char *const *but, bool (*visit)(void *arg, const struct object *, u32 file),
		      void *arg);

/* Are the state fields of two objects of one kind equal? Ids do not count. */
bool object_equal(const struct object *, const struct object *);

/* Packs all objects into the bytes of an image's facts file (appends) and back. kinds: NULL-terminated, all that could be there.
 * graph_unpack checks everything, allocates at most limit bytes, and returns 0 or
 *   -EBADMSG          with *ret_offset set to where the bytes are wrong
 *   -EPROTONOSUPPORT  the maker was newer: the names of kinds and state fields that are unknown here are appended to unknown
 *   -EPROTO           records have another layout: the name of their kind is appended to unknown
 *   -ENOMEM */
void graph_pack(struct text *, const struct graph *, const struct kind *const *kinds);
int graph_unpack(struct graph *ret, const void *bytes, size_t len, const struct kind *const *kinds, size_t limit,
		 size_t *ret_offset, struct text *unknown);
