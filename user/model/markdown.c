// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns docs/images.md: every kind, message and field, from the descriptors. */
#include "model/field.h"

static const char *type_name(const ProtobufCFieldDescriptor *f)
{
	static const char *const names[] = {
		[PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
		[PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
		[PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
		[PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "hex32",
		[PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "hex64",
		[PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
		[PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_ENUM] = "enum",
		[PROTOBUF_C_TYPE_STRING] = "string",     [PROTOBUF_C_TYPE_BYTES] = "bytes",
		[PROTOBUF_C_TYPE_MESSAGE] = "message",
	};
	return f->flags & FIELD_FLAG_INLINE ? "char[48]" : names[f->type];
}

static const char *class_name(const ProtobufCFieldDescriptor *f)
{
	return field_class(f) == FIELD_STATE ? "state" : field_class(f) == FIELD_HOST ? "host" : "diagnostic";
}

static void add_fields(struct text *t, const ProtobufCMessageDescriptor *desc)
{
	text_adds(t, "| number | name | type | class |\n|---:|---|---|---|\n");
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		const ProtobufCMessageDescriptor *nested = f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
		text_addf(t, "| %u | %s | %s%s | %s |\n", f->id, f->name, nested ? nested->short_name : type_name(f),
			  f->label == PROTOBUF_C_LABEL_REPEATED ? ", repeated" : "", class_name(f));
	}
	text_adds(t, "\n");
}

typedef VECTOR(const ProtobufCMessageDescriptor *) messages_vector;

static void add_message(messages_vector *messages, const ProtobufCMessageDescriptor *desc)
{
	for (size_t i = 0; i < messages->n; i++)
		if (messages->v[i] == desc)
			return;
	const ProtobufCMessageDescriptor **place = vector_add(messages);
	if (place)
		*place = desc;
}

static void add_nested(messages_vector *messages, const ProtobufCMessageDescriptor *desc)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		if (desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			add_message(messages, desc->fields[i].descriptor);
}

void kinds_markdown(struct text *t, const struct kind *const *kinds)
{
	messages_vector messages = { 0 };
	text_adds(
		t,
		"# Images: kinds and fields\n\n"
		"Made by `ckpt docs images`; do not edit. State is restored and compared; host facts and diagnostics are\n"
		"printed only. An absent field is not known or does not apply. hex32 and hex64 are fixed-width integers of\n"
		"protobuf that are shown in hexadecimal.\n\n"
		"An image lists the kinds and state fields that its maker could know. What an older ckpt did not know is not\n"
		"compared; what a newer one has put in is refused by its name (`IMAGE_NEWER`), but for fields from 100 "
		"on.\n\n");
	for (; *kinds; kinds++) {
		if ((*kinds)->record_size)
			text_addf(t, "## %s\n\nRecords of %zu bytes.\n\n", (*kinds)->name, (*kinds)->record_size);
		else
			text_addf(t, "## %s\n\nMessage %s.\n\n", (*kinds)->name, (*kinds)->desc->short_name);
		add_fields(t, (*kinds)->desc);
		add_nested(&messages, (*kinds)->desc);
	}
	text_adds(t, messages.n ? "# Nested messages\n\n" : "");
	for (size_t i = 0; i < messages.n; i++) {
		text_addf(t, "## %s\n\n", messages.v[i]->short_name);
		add_fields(t, messages.v[i]);
		add_nested(&messages, messages.v[i]);
	}
	vector_free(&messages);
}
