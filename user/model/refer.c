// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question who refers to a file. */
#include "model/field.h"
#include "model/match.h"

static bool field_refers(const ProtobufCFieldDescriptor *f, const void *message, u32 file);

static bool message_refers(const ProtobufCMessageDescriptor *desc, const void *message, u32 file)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		if ((desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE || field_names_file(&desc->fields[i])) &&
		    field_refers(&desc->fields[i], message, file))
			return true;
	return false;
}

static bool field_refers(const ProtobufCFieldDescriptor *f, const void *message, u32 file)
{
	bool nested = f->type == PROTOBUF_C_TYPE_MESSAGE;
	for (size_t k = 0; k < field_count(f, message); k++) {
		const void *value = field_value(f, message, k);
		if (nested ? message_refers(f->descriptor, field_message(value), file) : *(const u32 *)value == file)
			return true;
	}
	return false;
}

/* Of thousands of records each field is looked at once. */
static bool records_refer(const struct object *o, u32 file)
{
	const ProtobufCMessageDescriptor *desc = o->kind->desc;
	for (unsigned i = 0; i < desc->n_fields; i++)
		for (u32 k = 0, n = field_names_file(&desc->fields[i]) ? o->count : 0; k < n; k++)
			if (field_refers(&desc->fields[i], object_record(o, k), file))
				return true;
	return false;
}

static bool is_among(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

/* Do messages of this kind name files anywhere? No message contains itself. */
static bool names_files(const ProtobufCMessageDescriptor *desc)
{
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		if (f->type == PROTOBUF_C_TYPE_MESSAGE ? names_files(f->descriptor) : field_names_file(f))
			return true;
	}
	return false;
}

bool graph_refers(const struct graph *g, u32 file, const char *const *but)
{
	const struct kind *kind = NULL; /* objects of a kind lie together */
	bool may = false;
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		if (o->kind != kind) {
			kind = o->kind;
			may = !is_among(but, kind->name) && names_files(kind->desc);
		}
		if (may && (kind->record_size ? records_refer(o, file) : message_refers(kind->desc, o->data, file)))
			return true;
	}
	return false;
}
