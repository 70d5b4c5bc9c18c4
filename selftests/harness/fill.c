// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the making of filled graphs for tests. */
#include "harness/fill.h"
#include "harness/test.h"
#include <stdio.h>

static u64 next(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 20 | *seed << 44;
}

static void fill_message(void *message, const ProtobufCMessageDescriptor *, u64 *seed);

static void fill_value(const ProtobufCFieldDescriptor *f, void *place, u64 *seed)
{
	char name[32];
	snprintf(name, sizeof name, "%llx \"\\ \xc3\xa4\x01", (unsigned long long)next(seed));
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (f->flags & FIELD_FLAG_INLINE)
			strcpy(place, name);
		else
			CHECK(message_set_string(place, name));
		return;
	case PROTOBUF_C_TYPE_BYTES:
		CHECK(message_set_bytes(place, name, 3 + next(seed) % 7));
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(void **)place = calloc(1, ((const ProtobufCMessageDescriptor *)f->descriptor)->sizeof_message);
		protobuf_c_message_init(f->descriptor, *(void **)place);
		return fill_message(*(void **)place, f->descriptor, seed);
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)place = next(seed) % 2;
		return;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		*(u32 *)place = (u32)next(seed);
		return;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*(u64 *)place = next(seed);
		return;
	default:
		FAIL("no test fills type %d", f->type);
	}
}

static void fill_field(void *message, const ProtobufCFieldDescriptor *f, u64 *seed)
{
	char *place = (char *)message + f->offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n = 1 + next(seed) % 3;
		char *values = calloc(n, 16);
		*(void **)place = values;
		*(size_t *)((char *)message + f->quantifier_offset) = n;
		for (size_t i = 0; i < n; i++)
			fill_value(f, (void *)field_value(f, message, i), seed);
		return;
	}
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
		*(protobuf_c_boolean *)((char *)message + f->quantifier_offset) = 1;
	fill_value(f, place, seed);
}

static void fill_message(void *message, const ProtobufCMessageDescriptor *desc, u64 *seed)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		fill_field(message, &desc->fields[i], seed);
}

/* Mappings and runs of memory that lie apart, in order. */
static void place_record(const struct kind *kind, void *record, u32 i)
{
	if (kind == &kind_fds)
		((struct fd_entry *)record)->fd = i;
	u64 *range = record;
	if (kind == &kind_vmas || kind == &kind_pages)
		range[0] = (i + 1) * 0x10000;
	if (kind == &kind_vmas)
		range[1] = range[0] + 0x1000;
	if (kind == &kind_pages)
		range[1] = 0x1000;
}

void fill_graph(struct graph *g, u64 seed)
{
	for (size_t k = 0; spine_kinds[k]; k++)
		for (u32 id = 1; id <= 2; id++) {
			struct object *o = graph_add(g, spine_kinds[k], id);
			for (u32 i = 0; o->kind->record_size && i < 3; i++) {
				void *record = object_append(o);
				fill_message(record, o->kind->desc, &seed);
				place_record(o->kind, record, i);
			}
			if (!o->kind->record_size)
				fill_message(o->data, o->kind->desc, &seed);
		}
}

bool next_change(struct change *c)
{
	if (c->kind)
		c->field_index++;
	while (spine_kinds[c->kind_index] && c->field_index >= spine_kinds[c->kind_index]->desc->n_fields) {
		c->kind_index++;
		c->field_index = 0;
	}
	c->kind = spine_kinds[c->kind_index];
	/* The key of records is their identity, and not a field that differs. */
	if (c->kind && c->kind->record_size && c->field_index == 0)
		return next_change(c);
	if (!c->kind)
		return false;
	c->field = &c->kind->desc->fields[c->field_index];
	c->is_state = c->field->id < 100;
	return true;
}

static void change_value(const ProtobufCFieldDescriptor *f, void *place)
{
	if (f->type == PROTOBUF_C_TYPE_STRING)
		(f->flags & FIELD_FLAG_INLINE ? (char *)place : *(char **)place)[0] ^= 1;
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		((ProtobufCBinaryData *)place)->data[1] ^= 0x80;
	else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		change_value(((const ProtobufCMessageDescriptor *)f->descriptor)->fields,
			     *(char **)place + ((const ProtobufCMessageDescriptor *)f->descriptor)->fields->offset);
	else
		*(u8 *)place ^= 1;
}

void change_field(struct graph *g, const struct change *c)
{
	struct object *o = graph_next(g, c->kind, NULL);
	size_t last = field_count(c->field, o->data) - 1;
	change_value(c->field, (void *)field_value(c->field, o->data, last));
}
