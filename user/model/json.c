// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the JSON form of objects. */
#include "model/field.h"
#include <math.h>
#include <xxhash.h>

static void json_message(struct text *, const ProtobufCMessageDescriptor *, const void *, enum field_class);

static void json_bytes(struct text *t, const ProtobufCFieldDescriptor *f, const ProtobufCBinaryData *bytes)
{
	if (field_is_identity(f, bytes)) {
		text_adds(t, "\"");
		text_add_hex(t, bytes);
		return text_adds(t, "\"");
	}
	XXH128_hash_t hash = XXH3_128bits(bytes->data, bytes->len);
	text_addf(t, "{\"len\":%zu,\"xxh3\":\"%016llx%016llx\"}", bytes->len, (unsigned long long)hash.high64,
		  (unsigned long long)hash.low64);
}

/* JSON knows neither infinity nor NaN. */
static void json_double(struct text *t, double value)
{
	if (isfinite(value))
		text_addf(t, "%.17g", value);
	else
		text_adds(t, "null");
}

static void json_value(struct text *t, const ProtobufCFieldDescriptor *f, const void *value, enum field_class classes)
{
	const ProtobufCEnumValue *named;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_add_json(t, field_string(f, value));
	case PROTOBUF_C_TYPE_BYTES:
		return json_bytes(t, f, value);
	case PROTOBUF_C_TYPE_MESSAGE:
		return json_message(t, f->descriptor, field_message(value), classes);
	case PROTOBUF_C_TYPE_BOOL:
		return text_adds(t, field_integer(f, value) ? "true" : "false");
	case PROTOBUF_C_TYPE_FLOAT:
		return json_double(t, (double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_double(t, *(const double *)value);
	case PROTOBUF_C_TYPE_UINT64:
		return text_addf(t, "%llu", (unsigned long long)field_integer(f, value));
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
		return text_addf(t, "\"0x%llx\"", (unsigned long long)field_integer(f, value));
	case PROTOBUF_C_TYPE_ENUM:
		named = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)value);
		if (named)
			return text_add_json(t, named->name);
		/* fall through */
	default:
		return text_addf(t, "%lld", (long long)field_integer(f, value));
	}
}

static void json_field(struct text *t, const ProtobufCFieldDescriptor *f, const void *message, enum field_class classes)
{
	size_t n = field_count(f, message);
	bool many = f->label == PROTOBUF_C_LABEL_REPEATED;
	text_addf(t, "\"%s\":%s", f->name, many ? "[" : "");
	for (size_t i = 0; i < n; i++) {
		text_adds(t, i ? "," : "");
		json_value(t, f, field_value(f, message, i), classes);
	}
	text_adds(t, many ? "]" : "");
}

static void json_message(struct text *t, const ProtobufCMessageDescriptor *desc, const void *message, enum field_class classes)
{
	const char *separator = "";
	text_adds(t, "{");
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		if (!(field_class(f) & classes) || !field_count(f, message))
			continue;
		text_adds(t, separator);
		json_field(t, f, message, classes);
		separator = ",";
	}
	text_adds(t, "}");
}

void object_json(struct text *t, const struct object *o, enum field_class classes)
{
	text_addf(t, "{\"kind\":\"%s\",\"id\":%u,", o->kind->name, o->id);
	if (!o->kind->record_size) {
		text_adds(t, "\"fields\":");
		json_message(t, o->kind->desc, o->data, classes);
		return text_adds(t, "}");
	}
	text_adds(t, "\"records\":[");
	for (u32 i = 0; i < o->count; i++) {
		text_adds(t, i ? "," : "");
		json_message(t, o->kind->desc, object_record(o, i), classes);
	}
	text_adds(t, "]}");
}

void graph_json(struct text *t, const struct graph *g, enum field_class classes, kind_filter kinds)
{
	const char *separator = "\n";
	text_adds(t, "{\"objects\":[");
	for (size_t i = 0; i < g->objects.n; i++) {
		if (!kind_wanted(kinds, g->objects.v[i]->kind))
			continue;
		text_adds(t, separator);
		object_json(t, g->objects.v[i], classes);
		separator = ",\n";
	}
	text_adds(t, "\n]}\n");
}
