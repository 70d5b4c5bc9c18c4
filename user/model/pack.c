// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the writing of facts files. */
#include "model/pack.h"
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "facts files are little-endian");

/* A hash over number, type, offset and name of every field: records of another layout are refused, not misread. */
u64 pack_layout(const struct kind *kind)
{
	if (!kind->record_size)
		return 0;
	u64 hash = kind->record_size;
	for (unsigned i = 0; i < kind->desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &kind->desc->fields[i];
		u32 numbers[] = { f->id, f->type, f->offset };
		hash = XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
		hash = XXH3_64bits_withSeed(f->name, strlen(f->name), hash);
	}
	return hash;
}

struct text_buffer {
	ProtobufCBuffer base;
	struct text *text;
};

static void append(ProtobufCBuffer *buffer, size_t len, const u8 *data)
{
	text_add(((struct text_buffer *)buffer)->text, data, len);
}

static void pack_message(struct text *t, const ProtobufCMessage *message)
{
	struct text_buffer buffer = { { append }, t };
	protobuf_c_message_pack_to_buffer(message, &buffer.base);
}

static void pack_object(struct text *t, const struct object *o, u32 kind)
{
	size_t len = o->kind->record_size ? o->count * o->kind->record_size : protobuf_c_message_get_packed_size(o->data);
	struct pack_object head = { .kind = kind, .id = o->id, .count = o->count, .len = len };
	text_add(t, &head, sizeof head);
	if (o->kind->record_size)
		text_add(t, o->data, len);
	else
		pack_message(t, o->data);
}

static void pack_kind(struct text *t, const struct kind *kind)
{
	struct pack_kind packed = { .record_size = (u32)kind->record_size, .layout = pack_layout(kind) };
	strncpy(packed.name, kind->name, sizeof packed.name - 1);
	text_add(t, &packed, sizeof packed);
}

static void pack_known(struct text *t, const struct known_message *message)
{
	struct pack_message packed = { .name = "" };
	strncpy(packed.name, message->desc->short_name, sizeof packed.name - 1);
	memcpy(packed.fields, message->fields, sizeof packed.fields);
	text_add(t, &packed, sizeof packed);
}

/* The number of a kind among those that the schema knows, which is mostly that of the object before; kinds.n: unknown. */
static u32 number_of(const struct schema *schema, const struct kind *kind, u32 guess)
{
	if (guess < schema->kinds.n && schema->kinds.v[guess] == kind)
		return guess;
	for (guess = 0; guess < schema->kinds.n && schema->kinds.v[guess] != kind; guess++)
		;
	return guess;
}

void graph_pack(struct text *t, const struct graph *g, const struct kind *const *kinds)
{
	_cleanup_schema_ struct schema known = { 0 };
	t->failed |= schema_of_kinds(&known, kinds) < 0;
	struct pack_header header = { { 0 }, PACK_VERSION, (u32)known.kinds.n, (u32)g->objects.n, (u32)known.messages.n };
	memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
	text_add(t, &header, sizeof header);
	for (size_t i = 0; i < known.kinds.n; i++)
		pack_kind(t, known.kinds.v[i]);
	for (size_t i = 0; i < known.messages.n; i++)
		pack_known(t, &known.messages.v[i]);
	u32 number = 0;
	for (size_t i = 0; i < g->objects.n && !t->failed; i++) {
		number = number_of(&known, g->objects.v[i]->kind, number);
		t->failed |= number == known.kinds.n;
		pack_object(t, g->objects.v[i], number);
	}
}
