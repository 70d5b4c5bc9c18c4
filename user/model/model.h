/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one model: a graph of objects. An object's state is a protobuf message or an array of fixed-size records; both are
 * described by a protobuf-c message descriptor, so that print, JSON, compare, save and load cost no line per kind.
 * Field numbers 1-99 are state (compared, restored), 100-199 facts of this host (printed), 200+ diagnostics.
 * Makes no system call. */
#pragma once
#include "base/base.h"
#include "base/text.h"
#include "base/vector.h"
#include <protobuf-c/protobuf-c.h>

/* A kind of object: by its name it is known in images. Constant data, owned by the registry or the spine. */
struct kind {
	const char *name;
	const ProtobufCMessageDescriptor *desc;
	size_t record_size; /* 0: the object is a message; else an array of records of this size described by desc */
};

struct object {
	const struct kind *kind;
	u32 id;     /* unique within the kind; tasks and threads: their pid and tid */
	u32 count;  /* records */
	void *data; /* ProtobufCMessage, or count records; owned by the graph */
};

struct schema;
struct graph {
	VECTOR(struct object *) objects; /* in the order of adding until graph_sort */
	void *index;                     /* opaque */
	struct schema *schema;           /* of an image: what its maker could know; NULL: all that this ckpt knows */
};

/* An empty object of the kind, with its message initialised; NULL without memory or when (kind, id) is taken. */
struct object *graph_add(struct graph *, const struct kind *, u32 id);
/* Record kinds: appends one zeroed record; its address is valid until the next append. NULL without memory. */
void *object_append(struct object *);
struct object *graph_find(const struct graph *, const struct kind *, u32 id);
/* The message or the records of (kind, id); NULL when there is none. */
void *graph_data(const struct graph *, const struct kind *, u32 id);
/* Objects of one kind in the graph's order: for (o = NULL; (o = graph_next(g, kind, o));) */
struct object *graph_next(const struct graph *, const struct kind *, const struct object *after);
/* The kind of this name, to find its objects by; NULL: there are none in the graph. */
const struct kind *graph_kind(const struct graph *, const char *name);
/* What a judge has found out for one object, for others that it will be asked about: a number by a key that no other judge
 * has. 0: nothing is known of it. */
u32 graph_recall(const struct graph *, u64 key);
int graph_remember(const struct graph *, u64 key, u32 number);
/* By kind (order of first use), then id: the order of images and of comparisons. */
void graph_sort(struct graph *);
void graph_free(struct graph *);
#define _cleanup_graph_ _cleanup_(graph_free)

/* Strings and bytes of messages are owned by the message: these copy. False without memory. */
bool message_set_string(char **field, const char *value);
bool message_set_bytes(ProtobufCBinaryData *field, const void *data, size_t len);
/* Appends to a repeated field: MESSAGE_APPEND(&m->n_tids, &m->tids, 17u). False without memory. */
#define MESSAGE_APPEND(count, array, value)                                                                                    \
	({                                                                                                                     \
		__typeof__(*(array)) grown_ = reallocarray(*(array), *(count) + 1, sizeof **(array));                          \
		if (grown_) {                                                                                                  \
			grown_[*(count)] = (value);                                                                            \
			*(array) = grown_;                                                                                     \
			++*(count);                                                                                            \
		}                                                                                                              \
		grown_ != NULL;                                                                                                \
	})
/* An optional scalar field and its presence. */
#define SET(message, field, value) ((message)->has_##field = 1, (message)->field = (value))
/* A new, initialised message for a repeated or nested field: MESSAGE_NEW(Ckpt__IdRange, ckpt__id_range) */
#define MESSAGE_NEW(type, prefix)                                                                                              \
	({                                                                                                                     \
		type *new_ = calloc(1, sizeof *new_);                                                                          \
		if (new_)                                                                                                      \
			prefix##__init(new_);                                                                                  \
		new_;                                                                                                          \
	})
