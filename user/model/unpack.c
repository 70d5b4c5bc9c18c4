// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of facts files. Every byte is hostile until it was checked: lengths, counts, names, numbers. */
#include "model/pack.h"
#include <stdio.h>

/* Bytes that are still to be read, and memory that may still be used for them. */
struct input {
	const char *start, *at, *end;
	size_t left; /* of the limit */
	bool out_of_memory;
	const struct kind **table; /* by their number in the file; NULL: unknown here */
	u32 kinds;
	const char *rows;     /* of the kinds */
	struct text *unknown; /* what a newer ckpt has put in, by its names */
};

static const void *take(struct input *in, u64 len)
{
	if (len > (u64)(in->end - in->at))
		return NULL;
	const void *bytes = in->at;
	in->at += len;
	return bytes;
}

static bool charge(struct input *in, size_t bytes)
{
	in->out_of_memory |= bytes > in->left;
	if (!in->out_of_memory)
		in->left -= bytes;
	return !in->out_of_memory;
}

/* The allocator of protobuf-c: counts what was ever asked for, so that freeing in between gives no more room. */
static void *capped_alloc(void *input, size_t size)
{
	struct input *in = input;
	void *p = charge(in, size + 16) ? malloc(size) : NULL;
	in->out_of_memory |= !p;
	return p;
}

static void capped_free(_unused_ void *input, void *p) { free(p); }

#define UNKNOWN_SHOWN 400 /* bytes of names: the first tell enough */

/* Each name once: "kind x, field 99 of Thread". */
static void note_unknown(struct input *in, const char *name)
{
	struct text *t = in->unknown;
	if (t->len > UNKNOWN_SHOWN || (t->data && strstr(t->data, name)))
		return;
	text_adds(t, t->len ? ", " : "");
	text_adds(t, name);
}

/* A state field that this program does not know means an image that it cannot restore. */
static void note_unknown_state(struct input *in, const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->n_unknown_fields; i++) {
		char name[80];
		if (message->unknown_fields[i].tag >= FIRST_HOST_FIELD)
			continue;
		snprintf(name, sizeof name, "field %u of %.40s", message->unknown_fields[i].tag,
			 message->descriptor->short_name);
		note_unknown(in, name);
	}
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
		size_t n = f->type == PROTOBUF_C_TYPE_MESSAGE ? field_count(f, message) : 0;
		for (size_t k = 0; k < n; k++)
			note_unknown_state(in, field_message(field_value(f, message, k)));
	}
}

/* The name of a kind is the image's, so it is shown as what could be anything. */
static void note_unknown_kind(struct input *in, const char *row)
{
	_cleanup_text_ struct text name = { 0 };
	text_adds(&name, "kind ");
	text_add_shown(&name, row);
	note_unknown(in, name.data ? name.data : "kind");
}

static int unpack_message(struct input *in, const struct kind *kind, const void *bytes, size_t len, void **ret)
{
	ProtobufCAllocator allocator = { capped_alloc, capped_free, in };
	ProtobufCMessage *message = protobuf_c_message_unpack(kind->desc, &allocator, len, bytes);
	if (!message)
		return in->out_of_memory ? -ENOMEM : -EBADMSG;
	note_unknown_state(in, message);
	*ret = message;
	return 0;
}

static bool names_end(const struct kind *kind, const char *record)
{
	for (unsigned i = 0; i < kind->desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &kind->desc->fields[i];
		if (f->flags & FIELD_FLAG_INLINE && !memchr(record + f->offset, 0, RECORD_NAME_ROOM))
			return false;
	}
	return true;
}

static int unpack_records(struct input *in, const struct kind *kind, const void *bytes, size_t len, u32 count, void **ret)
{
	if (len != (u64)count * kind->record_size)
		return -EBADMSG;
	for (u32 i = 0; i < count; i++)
		if (!names_end(kind, (const char *)bytes + i * kind->record_size))
			return -EBADMSG;
	*ret = len ? charge(in, len) ? malloc(len) : NULL : NULL;
	if (len && !*ret)
		return -ENOMEM;
	if (len)
		memcpy(*ret, bytes, len);
	return 0;
}

static void data_free(const struct kind *kind, void *data)
{
	if (kind->record_size)
		free(data);
	else
		protobuf_c_message_free_unpacked(data, NULL);
}

static int unpack_object(struct input *in, struct graph *g)
{
	struct pack_object head;
	const void *bytes = take(in, sizeof head);
	if (!bytes)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof head);
	bytes = take(in, head.len);
	if (!bytes || head.kind >= in->kinds || head.zero)
		return -EBADMSG;
	const struct kind *kind = in->table[head.kind];
	if (!kind) {
		note_unknown_kind(in, in->rows + head.kind * sizeof(struct pack_kind));
		return 0;
	}
	if (graph_find(g, kind, head.id))
		return -EBADMSG;
	if (!kind->record_size && head.count)
		return -EBADMSG;
	/* 192: the object itself and its share of the index. */
	if (!charge(in, 192))
		return -ENOMEM;
	void *data;
	int r = kind->record_size ? unpack_records(in, kind, bytes, head.len, head.count, &data)
				  : unpack_message(in, kind, bytes, head.len, &data);
	if (r == 0 && !graph_adopt(g, kind, head.id, data, head.count)) {
		data_free(kind, data);
		return -ENOMEM;
	}
	return r;
}

/* Most images have the kinds that are known here, in the same order. */
static const struct kind *kind_named(const struct kind *const *kinds, const char *name, u32 guess)
{
	u32 at = 0;
	while (kinds[at] && at < guess)
		at++;
	if (kinds[at] && !strcmp(kinds[at]->name, name))
		return kinds[at];
	while (*kinds && strcmp((*kinds)->name, name))
		kinds++;
	return *kinds;
}

/* The kind that a row of the table names; NULL when it is unknown. -EBADMSG: no name, or one of another row; -EPROTO: of another
 * layout. */
static int find_kind(struct input *in, const struct pack_kind *row, const struct kind *const *kinds, u32 n)
{
	if (!row->name[0] || !memchr(row->name, 0, sizeof row->name) || row->zero)
		return -EBADMSG;
	const struct kind *kind = kind_named(kinds, row->name, n);
	for (u32 i = 0; kind && i < n; i++)
		if (in->table[i] == kind)
			return -EBADMSG;
	in->table[n] = kind;
	if (!kind || (row->record_size == kind->record_size && row->layout == pack_layout(kind)))
		return 0;
	note_unknown(in, kind->name);
	return -EPROTO;
}

static int unpack_kinds(struct input *in, const struct kind *const *kinds, struct schema *image)
{
	in->rows = in->at;
	for (u32 i = 0; i < in->kinds; i++) {
		struct pack_kind row;
		const void *bytes = take(in, sizeof row);
		if (!bytes)
			return -EBADMSG;
		memcpy(&row, bytes, sizeof row);
		int r = find_kind(in, &row, kinds, i);
		if (r < 0) {
			in->at = bytes;
			return r;
		}
		const struct kind **place = in->table[i] ? vector_add(&image->kinds) : NULL;
		if (in->table[i] && !place)
			return -ENOMEM;
		if (place)
			*place = in->table[i];
	}
	return 0;
}

/* Messages that are unknown here are in fields that are unknown here. */
static int unpack_messages(struct input *in, u32 n, struct schema *image)
{
	for (u32 i = 0; i < n; i++) {
		struct pack_message row;
		const char *bytes = take(in, sizeof row);
		if (!bytes || !memchr(bytes, 0, sizeof row.name)) {
			in->at = bytes ? bytes : in->at;
			return -EBADMSG;
		}
		memcpy(&row, bytes, sizeof row);
		struct known_message *m = schema_message(image, row.name, i);
		if (m)
			memcpy(m->fields, row.fields, sizeof m->fields);
	}
	return 0;
}

/* What the maker could know, where that is less than what this ckpt knows. */
static int keep_schema(struct graph *g, struct schema *image, const struct schema *own)
{
	if (schema_covers(image, own))
		return 0;
	g->schema = malloc(sizeof *g->schema);
	if (!g->schema)
		return -ENOMEM;
	*g->schema = *image;
	*image = (struct schema){ 0 };
	return 0;
}

static int take_header(struct input *in, struct pack_header *ret)
{
	const void *bytes = take(in, sizeof *ret);
	if (!bytes)
		return -EBADMSG;
	memcpy(ret, bytes, sizeof *ret);
	size_t room = (size_t)(in->end - in->at);
	bool told = ret->version == PACK_VERSION_TOLD;
	if (!memcmp(ret->magic, PACK_MAGIC, sizeof ret->magic) && (told ? !ret->messages : ret->version == PACK_VERSION) &&
	    ret->kinds <= room / sizeof(struct pack_kind) && ret->messages <= room / sizeof(struct pack_message))
		return 0;
	in->at = in->start;
	return -EBADMSG;
}

static int unpack_objects(struct input *in, struct graph *g, u32 objects)
{
	int r = 0;
	for (u32 i = 0; r == 0 && i < objects; i++) {
		const char *start = in->at;
		r = unpack_object(in, g);
		if (r < 0)
			in->at = start;
	}
	if (r < 0)
		return r;
	return in->at != in->end ? -EBADMSG : in->unknown->len ? -EPROTONOSUPPORT : 0;
}

static int unpack_all(struct input *in, struct graph *g, const struct kind *const *kinds)
{
	struct pack_header header;
	_cleanup_schema_ struct schema own = { 0 }, image = { 0 };
	int r = take_header(in, &header);
	if (r < 0)
		return r;
	in->kinds = header.kinds;
	in->table = charge(in, header.kinds * sizeof(struct kind *)) ? calloc(header.kinds + 1, sizeof(struct kind *)) : NULL;
	if (!in->table || schema_of_kinds(&own, kinds) < 0 || schema_without_fields(&image, &own) < 0)
		return -ENOMEM;
	r = unpack_kinds(in, kinds, &image);
	if (r == 0)
		r = unpack_messages(in, header.messages, &image);
	if (r == 0)
		r = unpack_objects(in, g, header.objects);
	if (r == 0 && header.version == PACK_VERSION_TOLD)
		schema_add_told(&image, g);
	return r == 0 ? keep_schema(g, &image, &own) : r;
}

int graph_unpack(struct graph *ret, const void *bytes, size_t len, const struct kind *const *kinds, size_t limit,
		 size_t *ret_offset, struct text *unknown)
{
	struct input in = { .start = bytes, .at = bytes, .end = (const char *)bytes + len, .left = limit, .unknown = unknown };
	*ret = (struct graph){ 0 };
	int r = unpack_all(&in, ret, kinds);
	free(in.table);
	if (r < 0) {
		graph_free(ret);
		*ret_offset = (size_t)(in.at - in.start);
	}
	return r;
}
