// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question who refers to a file. */
#include "model/field.h"
#include "model/match.h"

/* Who is told of each number; it returns true to end the search. */
struct search {
	bool (*visit)(void *arg, const struct object *, u32 file);
	void *arg;
	const struct object *object;
};

static bool search_field(const struct search *s, const ProtobufCFieldDescriptor *f, const void *message);

static bool search_message(const struct search *s, const ProtobufCMessageDescriptor *desc, const void *message)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		if ((desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE || field_names_file(&desc->fields[i])) &&
		    search_field(s, &desc->fields[i], message))
			return true;
	return false;
}

static bool search_field(const struct search *s, const ProtobufCFieldDescriptor *f, const void *message)
{
	bool nested = f->type == PROTOBUF_C_TYPE_MESSAGE;
	for (size_t k = 0; k < field_count(f, message); k++) {
		const void *value = field_value(f, message, k);
		if (nested ? search_message(s, f->descriptor, field_message(value))
			   : *(const u32 *)value && s->visit(s->arg, s->object, *(const u32 *)value))
			return true;
	}
	return false;
}

/* Of thousands of records each field is looked at once. */
static bool search_records(const struct search *s)
{
	const ProtobufCMessageDescriptor *desc = s->object->kind->desc;
	for (unsigned i = 0; i < desc->n_fields; i++)
		for (u32 k = 0, n = field_names_file(&desc->fields[i]) ? s->object->count : 0; k < n; k++)
			if (search_field(s, &desc->fields[i], object_record(s->object, k)))
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

bool graph_references(const struct graph *g, const char *const *but, bool (*visit)(void *arg, const struct object *, u32 file),
		      void *arg)
{
	const struct kind *kind = NULL; /* objects of a kind lie together */
	bool may = false;
	for (size_t i = 0; i < g->objects.n; i++) {
		struct search s = { visit, arg, g->objects.v[i] };
		if (s.object->kind != kind) {
			kind = s.object->kind;
			may = !is_among(but, kind->name) && names_files(kind->desc);
		}
		if (may && (kind->record_size ? search_records(&s) : search_message(&s, kind->desc, s.object->data)))
			return true;
	}
	return false;
}

static bool is_it(void *arg, const struct object *o _unused_, u32 file) { return file == *(const u32 *)arg; }

bool graph_refers(const struct graph *g, u32 file, const char *const *but) { return graph_references(g, but, is_it, &file); }
