// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question who refers to a file. */
#include "model/field.h"
#include "model/match.h"

static bool message_refers(const ProtobufCMessageDescriptor *desc, const void *message, u32 file)
{
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		bool nested = f->type == PROTOBUF_C_TYPE_MESSAGE;
		for (size_t k = 0; (nested || field_names_file(f)) && k < field_count(f, message); k++) {
			const void *value = field_value(f, message, k);
			if (nested ? message_refers(f->descriptor, field_message(value), file) : *(const u32 *)value == file)
				return true;
		}
	}
	return false;
}

static bool is_among(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

bool graph_refers(const struct graph *g, u32 file, const char *const *but)
{
	for (size_t i = 0; i < g->objects.n; i++) {
		const struct object *o = g->objects.v[i];
		if (is_among(but, o->kind->name))
			continue;
		if (!o->kind->record_size && message_refers(o->kind->desc, o->data, file))
			return true;
		for (u32 k = 0; k < o->count; k++)
			if (message_refers(o->kind->desc, object_record(o, k), file))
				return true;
	}
	return false;
}
