// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the text form of single values. */
#include "model/field.h"
#include <xxhash.h>

/* A sequence that a terminal would not show as it is: control characters of C0, C1 and what is no UTF-8 are left to JSON. */
static bool is_plain(const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	for (size_t i = 0; s[i]; i++)
		if (s[i] < 0x20 || s[i] >= 0x7f)
			return false;
	return s[0] && s[0] != ' ' && s[strlen(string) - 1] != ' ';
}

void text_add_shown(struct text *t, const char *string)
{
	if (is_plain(string))
		text_adds(t, string);
	else
		text_add_json(t, string);
}

bool field_is_identity(const ProtobufCFieldDescriptor *f, const ProtobufCBinaryData *bytes)
{
	return !strcmp(f->name, "build_id") && bytes->len <= 32;
}

void text_add_hex(struct text *t, const ProtobufCBinaryData *bytes)
{
	for (size_t i = 0; i < bytes->len; i++)
		text_addf(t, "%02x", bytes->data[i]);
}

static void print_bytes(struct text *t, const ProtobufCFieldDescriptor *f, const ProtobufCBinaryData *bytes)
{
	if (field_is_identity(f, bytes))
		return text_add_hex(t, bytes);
	XXH128_hash_t hash = XXH3_128bits(bytes->data, bytes->len);
	text_addf(t, "%zu bytes, xxh3 %016llx%016llx", bytes->len, (unsigned long long)hash.high64,
		  (unsigned long long)hash.low64);
}

static void print_enum(struct text *t, const ProtobufCFieldDescriptor *f, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(f->descriptor, number);
	if (value)
		text_adds(t, value->name);
	else
		text_addf(t, "%d", number);
}

void field_print(struct text *t, const ProtobufCFieldDescriptor *f, const void *value, enum field_class classes)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_add_shown(t, field_string(f, value));
	case PROTOBUF_C_TYPE_BYTES:
		return print_bytes(t, f, value);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_print_line(t, f->descriptor, field_message(value), classes);
	case PROTOBUF_C_TYPE_ENUM:
		return print_enum(t, f, *(const int *)value);
	case PROTOBUF_C_TYPE_BOOL:
		return text_adds(t, field_integer(f, value) ? "yes" : "no");
	case PROTOBUF_C_TYPE_FLOAT:
		return text_addf(t, "%g", (double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return text_addf(t, "%g", *(const double *)value);
	case PROTOBUF_C_TYPE_UINT64:
		return text_addf(t, "%llu", (unsigned long long)field_integer(f, value));
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
		return text_addf(t, "0x%llx", (unsigned long long)field_integer(f, value));
	default:
		return text_addf(t, "%lld", (long long)field_integer(f, value));
	}
}

void field_print_all(struct text *t, const ProtobufCFieldDescriptor *f, const void *message, enum field_class classes)
{
	size_t n = field_count(f, message);
	bool many = f->label == PROTOBUF_C_LABEL_REPEATED;
	text_adds(t, many ? "[" : "");
	for (size_t i = 0; i < n; i++) {
		text_adds(t, i ? (f->type == PROTOBUF_C_TYPE_MESSAGE ? "; " : " ") : "");
		field_print(t, f, field_value(f, message, i), classes);
	}
	text_adds(t, many ? "]" : "");
}

void message_print_line(struct text *t, const ProtobufCMessageDescriptor *desc, const void *message, enum field_class classes)
{
	const char *separator = "";
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		if (!(field_class(f) & classes) || !field_count(f, message))
			continue;
		if (f->flags & FIELD_FLAG_INLINE && !*field_string(f, field_value(f, message, 0)))
			continue;
		text_addf(t, "%s%s ", separator, f->name);
		field_print_all(t, f, message, classes);
		separator = ", ";
	}
}
