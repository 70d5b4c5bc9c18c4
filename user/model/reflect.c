// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the text form of objects: blocks of "name: value" lines, tables for records. */
#include "model/field.h"
#include "model/names.h"

bool kind_wanted(kind_filter kinds, const struct kind *kind)
{
	if (!kinds)
		return true;
	while (*kinds && strcmp(*kinds, kind->name))
		kinds++;
	return *kinds != NULL;
}

static void print_fields(struct text *t, const struct object *o, enum field_class classes)
{
	const ProtobufCMessageDescriptor *desc = o->kind->desc;
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		size_t n = field_class(f) & classes ? field_count(f, o->data) : 0;
		/* Repeated messages get a line each, repeated scalars share one. */
		bool lines = f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE;
		for (size_t k = 0; k < (lines ? n : MIN(n, 1u)); k++) {
			text_addf(t, "  %s: ", f->name);
			if (lines)
				field_print(t, f, field_value(f, o->data, k), classes);
			else
				field_print_all(t, f, o->data, classes);
			text_adds(t, "\n");
		}
	}
}

static void print_object(struct text *t, struct names *names, const struct object *o, enum field_class classes)
{
	text_addf(t, "%s %u\n", o->kind->name, o->id);
	if (!o->kind->record_size)
		return print_fields(t, o, classes);
	if (records_print(t, names, o, classes))
		return;
	for (u32 i = 0; i < o->count; i++) {
		text_adds(t, "  ");
		message_print_line(t, o->kind->desc, object_record(o, i), classes);
		text_adds(t, "\n");
	}
}

void object_print(struct text *t, const struct object *o, enum field_class classes) { print_object(t, NULL, o, classes); }

void graph_print(struct text *t, const struct graph *g, enum field_class classes, kind_filter kinds)
{
	_cleanup_(names_free) struct names names = names_of(g);
	bool first = true;
	for (size_t i = 0; i < g->objects.n; i++) {
		if (!kind_wanted(kinds, g->objects.v[i]->kind))
			continue;
		text_adds(t, first ? "" : "\n");
		print_object(t, &names, g->objects.v[i], classes);
		first = false;
	}
}
