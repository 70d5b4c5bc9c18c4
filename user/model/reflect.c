// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the text form of objects: blocks of "name: value" lines, one line when it is short, tables for records. */
#include "model/field.h"
#include "model/names.h"

enum { SHORT_LINE = 110 };

bool kind_wanted(kind_filter kinds, const struct kind *kind)
{
	if (!kinds)
		return true;
	while (*kinds && strcmp(*kinds, kind->name))
		kinds++;
	return *kinds != NULL;
}

/* The newest block of each kind: an object that equals it says only so. */
struct block {
	const struct object *object;
	char *lines;
};
struct printer {
	struct text *out;
	const struct names *names;
	enum field_class classes;
	VECTOR(struct block) blocks;
	bool begun, one; /* something was printed; that was a single line */
};

static void printer_free(struct printer *p)
{
	for (size_t i = 0; i < p->blocks.n; i++)
		free(p->blocks.v[i].lines);
	vector_free(&p->blocks);
}

/* "name: value" lines. Repeated messages get a line each, repeated scalars share one. */
static void add_fields(struct text *t, const struct printer *p, const struct object *o)
{
	const ProtobufCMessageDescriptor *desc = o->kind->desc;
	for (unsigned i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		size_t n = field_class(f) & p->classes ? field_count(f, o->data) : 0;
		bool lines = f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE;
		for (size_t k = 0; k < (lines ? n : MIN(n, 1u)); k++) {
			text_addf(t, "%s: ", f->name);
			if (lines)
				field_print(t, f, field_value(f, o->data, k), p->classes);
			else
				field_print_all(t, f, o->data, p->classes);
			names_explain(t, p->names, o->kind, f, o->data);
			text_adds(t, "\n");
		}
	}
}

static void add_records(struct text *t, const struct printer *p, const struct object *o)
{
	if (records_print(t, p->names, o))
		return;
	for (u32 i = 0; i < o->count; i++) {
		message_print_line(t, o->kind->desc, object_record(o, i), p->classes);
		text_adds(t, "\n");
	}
}

/* Remembers the lines as the newest of their kind (takes them); gives the object that has had the same ones, or NULL. */
static const struct object *same_as(struct printer *p, const struct object *o, char *lines)
{
	struct block *block = NULL;
	for (size_t i = 0; i < p->blocks.n && !block; i++)
		if (p->blocks.v[i].object->kind == o->kind)
			block = &p->blocks.v[i];
	if (block && !strcmp(block->lines, lines)) {
		free(lines);
		return block->object;
	}
	if (!block)
		block = vector_add(&p->blocks);
	if (!block) {
		free(lines);
		return NULL;
	}
	free(block->lines);
	*block = (struct block){ o, lines };
	return NULL;
}

static void print_lines(struct printer *p, const struct object *o, const char *lines)
{
	size_t len = strlen(lines);
	bool one = len < SHORT_LINE && !o->kind->record_size;
	if (p->begun && !(one && p->one))
		text_adds(p->out, "\n");
	p->one = one;
	p->begun = true;
	text_addf(p->out, "%s %u%s", o->kind->name, o->id, one && len ? "  " : "");
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		text_adds(p->out, one ? "" : "\n  ");
		text_add(p->out, lines, n);
		lines += n + 1;
		text_adds(p->out, one && *lines ? ", " : "");
	}
	text_adds(p->out, "\n");
}

static void print_object(struct printer *p, const struct object *o)
{
	struct text t = { 0 };
	if (o->kind->record_size)
		add_records(&t, p, o);
	else
		add_fields(&t, p, o);
	char *lines = text_take(&t);
	if (!lines) {
		p->out->failed = true;
		return;
	}
	_cleanup_free_ char *shown = strdup(lines);
	const struct object *same = same_as(p, o, lines);
	if (same && strlen(shown) >= SHORT_LINE / 2) {
		struct text as = { 0 };
		text_addf(&as, "as %s %u\n", o->kind->name, same->id);
		free(shown);
		shown = text_take(&as);
	}
	p->out->failed |= !shown;
	if (shown && (*shown || o->kind->record_size))
		print_lines(p, o, shown);
}

void object_print(struct text *t, const struct object *o, enum field_class classes)
{
	_cleanup_(printer_free) struct printer p = { .out = t, .classes = classes };
	print_object(&p, o);
}

void graph_print(struct text *t, const struct graph *g, enum field_class classes, kind_filter kinds)
{
	_cleanup_(names_free) struct names names = names_of(g);
	_cleanup_(printer_free) struct printer p = { .out = t, .names = &names, .classes = classes };
	for (size_t i = 0; i < g->objects.n; i++)
		if (kind_wanted(kinds, g->objects.v[i]->kind))
			print_object(&p, g->objects.v[i]);
}
