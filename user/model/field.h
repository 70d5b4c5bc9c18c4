/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access to the fields of messages and records through their descriptors; private to model/. */
#pragma once
#include "model/records.h"
#include "model/reflect.h"

/* A string that lies in the structure itself (record_name), not behind a pointer. */
#define FIELD_FLAG_INLINE (1u << 16)
#define RECORD_NAME_ROOM sizeof(record_name)

enum field_class field_class(const ProtobufCFieldDescriptor *);
/* Scalars of the fixed-width protobuf types are addresses, masks and flags: shown in hexadecimal. */
bool field_is_hex(const ProtobufCFieldDescriptor *);
/* Number of values: 0 when absent, the length of a repeated field, else 1. */
size_t field_count(const ProtobufCFieldDescriptor *, const void *message);
/* The address of one value. */
const void *field_value(const ProtobufCFieldDescriptor *, const void *message, size_t i);
const char *field_string(const ProtobufCFieldDescriptor *, const void *value);
static inline const ProtobufCMessage *field_message(const void *value) { return *(ProtobufCMessage *const *)value; }
/* An integer value, sign-extended; for every type that is neither string, bytes, message nor floating. */
u64 field_integer(const ProtobufCFieldDescriptor *, const void *value);
const ProtobufCFieldDescriptor *field_by_name(const ProtobufCMessageDescriptor *, const char *name);
static inline const void *object_record(const struct object *o, u32 i)
{
	return (const char *)o->data + (size_t)i * o->kind->record_size;
}
/* Bytes that name something (a build id) and may be shown, in hexadecimal; all others are contents. */
bool field_is_identity(const ProtobufCFieldDescriptor *, const ProtobufCBinaryData *);
void text_add_hex(struct text *, const ProtobufCBinaryData *);
/* One value as text: numbers, escaped strings, bytes as length and hash, messages as "name value, name value". */
void field_print(struct text *, const ProtobufCFieldDescriptor *, const void *value, enum field_class);
/* All values of a field that is present: "[a b c]" when it is repeated. */
void field_print_all(struct text *, const ProtobufCFieldDescriptor *, const void *message, enum field_class);
void message_print_line(struct text *, const ProtobufCMessageDescriptor *, const void *message, enum field_class);

/* Makes ready data (malloc'ed by the rules of the kind) an object; takes it only when it succeeds. */
struct object *graph_adopt(struct graph *, const struct kind *, u32 id, void *data, u32 count);
/* Records in the form in which they are compared: neighbours that mean one thing are one record. Owned by the caller. */
struct merged {
	void *v;
	size_t n;
};
int records_merge(const struct object *, struct merged *ret);
