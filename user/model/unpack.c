// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of facts files. Every byte is hostile until it was checked: lengths, counts, names, numbers. */
#include "model/pack.h"

/* Bytes that are still to be read, and memory that may still be used for them. */
struct input {
	const char *start, *at, *end;
	size_t left; /* of the limit */
	bool out_of_memory;
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

/* A state field that this program does not know means an image that it cannot restore. */
static bool knows_state(const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->n_unknown_fields; i++)
		if (message->unknown_fields[i].tag < 100)
			return false;
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
		size_t n = f->type == PROTOBUF_C_TYPE_MESSAGE ? field_count(f, message) : 0;
		for (size_t k = 0; k < n; k++)
			if (!knows_state(field_message(field_value(f, message, k))))
				return false;
	}
	return true;
}

static int unpack_message(struct input *in, const struct kind *kind, const void *bytes, size_t len, void **ret)
{
	ProtobufCAllocator allocator = { capped_alloc, capped_free, in };
	ProtobufCMessage *message = protobuf_c_message_unpack(kind->desc, &allocator, len, bytes);
	if (!message)
		return in->out_of_memory ? -ENOMEM : -EBADMSG;
	if (!knows_state(message)) {
		protobuf_c_message_free_unpacked(message, NULL);
		return -EBADMSG;
	}
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

static int unpack_object(struct input *in, struct graph *g, const struct kind *const *table, u32 kinds)
{
	struct pack_object head;
	const void *bytes = take(in, sizeof head);
	if (!bytes)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof head);
	bytes = take(in, head.len);
	if (!bytes || head.kind >= kinds || head.zero || graph_find(g, table[head.kind], head.id))
		return -EBADMSG;
	const struct kind *kind = table[head.kind];
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

/* The kind that a row of the table names; NULL when it is unknown, of another layout, or named twice. */
static const struct kind *known_kind(const struct pack_kind *row, const struct kind *const *kinds,
				     const struct kind *const *table, u32 n)
{
	if (!memchr(row->name, 0, sizeof row->name) || row->zero)
		return NULL;
	while (*kinds && strcmp((*kinds)->name, row->name))
		kinds++;
	if (!*kinds || row->record_size != (*kinds)->record_size || row->layout != pack_layout(*kinds))
		return NULL;
	for (u32 i = 0; i < n; i++)
		if (table[i] == *kinds)
			return NULL;
	return *kinds;
}

static int unpack_kinds(struct input *in, const struct kind *const *kinds, const struct kind **table, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct pack_kind row;
		const void *bytes = take(in, sizeof row);
		if (!bytes)
			return -EBADMSG;
		memcpy(&row, bytes, sizeof row);
		table[i] = known_kind(&row, kinds, table, i);
		if (!table[i]) {
			in->at = bytes;
			return -EBADMSG;
		}
	}
	return 0;
}

static int unpack_all(struct input *in, struct graph *g, const struct kind *const *kinds)
{
	struct pack_header header;
	const void *bytes = take(in, sizeof header);
	if (!bytes)
		return -EBADMSG;
	memcpy(&header, bytes, sizeof header);
	if (memcmp(header.magic, PACK_MAGIC, sizeof header.magic) || header.version != PACK_VERSION || header.zero ||
	    header.kinds > (u64)(in->end - in->at) / sizeof(struct pack_kind)) {
		in->at = in->start;
		return -EBADMSG;
	}
	if (!charge(in, header.kinds * sizeof(struct kind *)))
		return -ENOMEM;
	_cleanup_free_ const struct kind **table = calloc(header.kinds + 1, sizeof *table);
	if (!table)
		return -ENOMEM;
	int r = unpack_kinds(in, kinds, table, header.kinds);
	for (u32 i = 0; r == 0 && i < header.objects; i++) {
		const char *start = in->at;
		r = unpack_object(in, g, table, header.kinds);
		if (r < 0)
			in->at = start;
	}
	return r == 0 && in->at != in->end ? -EBADMSG : r;
}

int graph_unpack(struct graph *ret, const void *bytes, size_t len, const struct kind *const *kinds, size_t limit,
		 size_t *ret_offset)
{
	struct input in = { bytes, bytes, (const char *)bytes + len, limit, false };
	*ret = (struct graph){ 0 };
	int r = unpack_all(&in, ret, kinds);
	if (r < 0) {
		graph_free(ret);
		*ret_offset = (size_t)(in.at - in.start);
	}
	return r;
}
