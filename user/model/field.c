// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns access to the fields of messages and records through their descriptors. */
#include "model/field.h"
#include "model/records.h"

bool message_set_string(char **field, const char *value)
{
	char *copy = strdup(value);
	if (!copy)
		return false;
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = copy;
	return true;
}

bool message_set_bytes(ProtobufCBinaryData *field, const void *data, size_t len)
{
	u8 *copy = malloc(len ? len : 1);
	if (!copy)
		return false;
	if (len)
		memcpy(copy, data, len);
	free(field->data);
	*field = (ProtobufCBinaryData){ .len = len, .data = copy };
	return true;
}

enum field_class field_class(const ProtobufCFieldDescriptor *f)
{
	return f->id < FIRST_HOST_FIELD ? FIELD_STATE : f->id < 200 ? FIELD_HOST : FIELD_DIAG;
}

bool field_is_hex(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_FIXED32 || f->type == PROTOBUF_C_TYPE_FIXED64;
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
		return f->flags & FIELD_FLAG_INLINE ? RECORD_NAME_ROOM : sizeof(char *);
	default:
		return 8;
	}
}

static bool is_present(const ProtobufCFieldDescriptor *f, const char *message)
{
	const void *value = message + f->offset;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(const u32 *)(message + f->quantifier_offset) != f->id)
		return false;
	if (f->type == PROTOBUF_C_TYPE_STRING && !(f->flags & FIELD_FLAG_INLINE))
		return *(char *const *)value && *(char *const *)value != f->default_value;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return field_message(value) != NULL;
	if (f->label != PROTOBUF_C_LABEL_OPTIONAL || f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return true;
	return *(const protobuf_c_boolean *)(message + f->quantifier_offset);
}

size_t field_count(const ProtobufCFieldDescriptor *f, const void *message)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)((const char *)message + f->quantifier_offset);
	return is_present(f, message);
}

const void *field_value(const ProtobufCFieldDescriptor *f, const void *message, size_t i)
{
	const char *place = (const char *)message + f->offset;
	return f->label == PROTOBUF_C_LABEL_REPEATED ? *(char *const *)place + i * value_size(f) : place;
}

const char *field_string(const ProtobufCFieldDescriptor *f, const void *value)
{
	return f->flags & FIELD_FLAG_INLINE ? value : *(char *const *)value;
}

u64 field_integer(const ProtobufCFieldDescriptor *f, const void *value)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return (u64)(s64) * (const s32 *)value;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return *(const u32 *)value;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)value != 0;
	default:
		return *(const u64 *)value;
	}
}

const ProtobufCFieldDescriptor *field_by_name(const ProtobufCMessageDescriptor *desc, const char *name)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		if (!strcmp(desc->fields[i].name, name))
			return &desc->fields[i];
	return NULL;
}
