// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the list of what a ckpt can know, and the questions to it. */
#include "model/schema.h"
#include "model/field.h"

static struct known_message *find_message(const struct schema *s, const ProtobufCMessageDescriptor *desc)
{
	for (size_t i = 0; i < s->messages.n; i++)
		if (s->messages.v[i].desc == desc)
			return &s->messages.v[i];
	return NULL;
}

static void know_field(struct known_message *m, const ProtobufCFieldDescriptor *f)
{
	if (field_class(f) == FIELD_STATE)
		m->fields[f->id / 64] |= 1ull << f->id % 64;
}

static int add_message(struct schema *s, const ProtobufCMessageDescriptor *desc)
{
	struct known_message *m = find_message(s, desc) ? NULL : vector_add(&s->messages);
	if (!m)
		return find_message(s, desc) ? 0 : -ENOMEM;
	m->desc = desc;
	for (unsigned i = 0; i < desc->n_fields; i++)
		know_field(m, &desc->fields[i]);
	return 0;
}

/* The messages in a message. */
static int add_nested(struct schema *s, const ProtobufCMessageDescriptor *desc)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < desc->n_fields; i++)
		if (desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			r = add_message(s, desc->fields[i].descriptor);
	return r;
}

int schema_of_kinds(struct schema *ret, const struct kind *const *kinds)
{
	int r = 0;
	*ret = (struct schema){ 0 };
	for (; r == 0 && *kinds; kinds++) {
		const struct kind **place = vector_add(&ret->kinds);
		if (!place)
			return -ENOMEM;
		*place = *kinds;
		r = (*kinds)->record_size ? 0 : add_message(ret, (*kinds)->desc);
	}
	for (size_t i = 0; r == 0 && i < ret->messages.n; i++)
		r = add_nested(ret, ret->messages.v[i].desc);
	return r;
}

static void add_told_by(struct schema *s, const ProtobufCMessage *message)
{
	struct known_message *m = find_message(s, message->descriptor);
	for (unsigned i = 0; m && i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
		size_t n = field_count(f, message);
		if (n)
			know_field(m, f);
		for (size_t k = 0; f->type == PROTOBUF_C_TYPE_MESSAGE && k < n; k++)
			add_told_by(s, field_message(field_value(f, message, k)));
	}
}

void schema_add_told(struct schema *s, const struct graph *g)
{
	for (size_t i = 0; i < g->objects.n; i++)
		if (!g->objects.v[i]->kind->record_size)
			add_told_by(s, g->objects.v[i]->data);
}

struct known_message *schema_message(const struct schema *s, const char *name, size_t guess)
{
	if (guess < s->messages.n && !strcmp(s->messages.v[guess].desc->short_name, name))
		return &s->messages.v[guess];
	for (size_t i = 0; i < s->messages.n; i++)
		if (!strcmp(s->messages.v[i].desc->short_name, name))
			return &s->messages.v[i];
	return NULL;
}

int schema_without_fields(struct schema *ret, const struct schema *s)
{
	*ret = (struct schema){ 0 };
	for (size_t i = 0; i < s->messages.n; i++) {
		struct known_message *m = vector_add(&ret->messages);
		if (!m)
			return -ENOMEM;
		m->desc = s->messages.v[i].desc;
	}
	return 0;
}

void schema_free(struct schema *s)
{
	vector_free(&s->kinds);
	vector_free(&s->messages);
}

bool schema_covers(const struct schema *a, const struct schema *b)
{
	for (size_t i = 0; i < b->kinds.n; i++)
		if (!schema_knows_kind(a, b->kinds.v[i]))
			return false;
	for (size_t i = 0; i < b->messages.n; i++) {
		const struct known_message *m = &b->messages.v[i], *other = find_message(a, m->desc);
		for (size_t k = 0; k < ARRAY_SIZE(m->fields); k++)
			if (m->fields[k] & ~(other ? other->fields[k] : 0))
				return false;
	}
	return true;
}

bool schema_knows_kind(const struct schema *s, const struct kind *kind)
{
	for (size_t i = 0; s && i < s->kinds.n; i++)
		if (s->kinds.v[i] == kind)
			return true;
	return !s;
}

bool schema_knows_field(const struct schema *s, const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *f)
{
	const struct known_message *m = s ? find_message(s, desc) : NULL;
	return !m || field_class(f) != FIELD_STATE || m->fields[f->id / 64] >> f->id % 64 & 1;
}
