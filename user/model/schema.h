/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a ckpt can know: kinds, and the state fields of their messages. An image holds that of its maker, so that what a ckpt of
 * another version did not know is told from what was not there. Makes no system call. */
#pragma once
#include "model/model.h"

#define STATE_FIELDS 128 /* numbers of state fields are below 100 */

/* A message, and its state fields: bit n for the field of number n. */
struct known_message {
	const ProtobufCMessageDescriptor *desc;
	u64 fields[STATE_FIELDS / 64];
};

struct schema {
	VECTOR(const struct kind *) kinds;
	VECTOR(struct known_message) messages; /* those of kinds, and all in them; in the order of kinds and fields */
};

/* All that a ckpt with these kinds (NULL-terminated) can know. 0, or -ENOMEM: free it in either case. */
int schema_of_kinds(struct schema *ret, const struct kind *const *kinds);
/* Adds the state fields that any object of the graph has, to a schema that has their messages. */
void schema_add_told(struct schema *, const struct graph *);
/* The message of this name, which mostly stands at the place guess; NULL: unknown. */
struct known_message *schema_message(const struct schema *, const char *name, size_t guess);
/* The same messages without any field, and no kinds. 0, or -ENOMEM: free it in either case. */
int schema_without_fields(struct schema *ret, const struct schema *);
void schema_free(struct schema *);
#define _cleanup_schema_ _cleanup_(schema_free)

/* Does all that b knows stand in a? */
bool schema_covers(const struct schema *a, const struct schema *b);
/* schema may be NULL: it knows everything that this ckpt knows. Fields of records are known with their kind. */
bool schema_knows_kind(const struct schema *, const struct kind *);
bool schema_knows_field(const struct schema *, const ProtobufCMessageDescriptor *, const ProtobufCFieldDescriptor *);
