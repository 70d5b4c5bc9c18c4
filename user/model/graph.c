// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns objects and finds them: a vector in order, a hash index by (kind, id), a chain for each kind. */
#include "base/map.h"
#include "model/field.h"
#include "model/schema.h"

/* What the graph knows of an object beyond its public part, which comes first. */
struct node {
	struct object object;
	u32 room;          /* records that data has room for */
	struct node *next; /* of its kind */
};

/* The objects of one kind, in order. */
struct chain {
	const struct kind *kind;
	struct node *first, *last;
};

/* An object by what it is looked for by: a search looks at no object that it does not find. */
struct slot {
	struct object *object; /* NULL: free */
	u32 id, kind;          /* the low half of the kind's address */
};

/* Open addressing; never more than half full. */
struct index {
	VECTOR(struct chain) chains;
	struct map remembered; /* by judges */
	size_t mask, used;
	struct slot slot[];
};

static struct node *node_of(const struct object *o) { return (struct node *)o; }

/* Neighbours in number lie side by side, since most are asked for one after the other. */
#define NEIGHBOURS 8u

static size_t hash(const struct kind *kind, u32 id)
{
	u64 h = ((uintptr_t)kind >> 3) * 0x9e3779b97f4a7c15ull;
	h = (h ^ id / NEIGHBOURS) * 0xbf58476d1ce4e5b9ull;
	return (size_t)(h ^ h >> 29) * NEIGHBOURS + id % NEIGHBOURS;
}

static bool is_of(const struct slot *slot, const struct kind *kind, u32 id)
{
	return slot->id == id && slot->kind == (u32)(uintptr_t)kind && slot->object->kind == kind;
}

static struct slot *index_slot(struct index *index, const struct kind *kind, u32 id)
{
	size_t i = hash(kind, id) & index->mask;
	while (index->slot[i].object && !is_of(&index->slot[i], kind, id))
		i = (i + 1) & index->mask;
	return &index->slot[i];
}

static int index_reserve(struct graph *g)
{
	struct index *old = g->index;
	if (old && (old->used + 1) * 2 <= old->mask + 1)
		return 0;
	size_t room = old ? (old->mask + 1) * 2 : 64;
	struct index *index = calloc(1, sizeof *index + room * sizeof index->slot[0]);
	if (!index)
		return -ENOMEM;
	if (old) {
		memcpy(&index->chains, &old->chains, sizeof index->chains);
		index->remembered = old->remembered;
	}
	index->mask = room - 1;
	for (size_t i = 0; old && i <= old->mask; i++)
		if (old->slot[i].object)
			*index_slot(index, old->slot[i].object->kind, old->slot[i].id) = old->slot[i];
	index->used = old ? old->used : 0;
	free(old);
	g->index = index;
	return 0;
}

struct object *graph_find(const struct graph *g, const struct kind *kind, u32 id)
{
	return g->index ? index_slot(g->index, kind, id)->object : NULL;
}

void *graph_data(const struct graph *g, const struct kind *kind, u32 id)
{
	struct object *o = graph_find(g, kind, id);
	return o ? o->data : NULL;
}

static struct chain *find_chain(const struct index *index, const struct kind *kind)
{
	for (size_t i = 0; i < index->chains.n; i++)
		if (index->chains.v[i].kind == kind)
			return &index->chains.v[i];
	return NULL;
}

static int link_node(struct index *index, struct node *node)
{
	struct chain *chain = find_chain(index, node->object.kind) ?: vector_add(&index->chains);
	if (!chain)
		return -ENOMEM;
	chain->kind = node->object.kind;
	node->next = NULL;
	*(chain->last ? &chain->last->next : &chain->first) = node;
	chain->last = node;
	return 0;
}

struct object *graph_adopt(struct graph *g, const struct kind *kind, u32 id, void *data, u32 count)
{
	if (graph_find(g, kind, id) || index_reserve(g) < 0)
		return NULL;
	struct node *node = calloc(1, sizeof *node);
	struct index *index = g->index;
	if (node)
		node->object = (struct object){ kind, id, count, data };
	struct object **place = node ? vector_add(&g->objects) : NULL;
	if (!place || link_node(index, node) < 0) {
		g->objects.n -= place != NULL;
		free(node);
		return NULL;
	}
	node->room = count;
	*place = &node->object;
	*index_slot(index, kind, id) = (struct slot){ &node->object, id, (u32)(uintptr_t)kind };
	index->used++;
	return &node->object;
}

struct object *graph_add(struct graph *g, const struct kind *kind, u32 id)
{
	if (kind->record_size)
		return graph_adopt(g, kind, id, NULL, 0);
	_cleanup_free_ ProtobufCMessage *message = calloc(1, kind->desc->sizeof_message);
	if (!message)
		return NULL;
	protobuf_c_message_init(kind->desc, message);
	struct object *o = graph_adopt(g, kind, id, message, 0);
	if (o)
		message = NULL;
	return o;
}

void *object_append(struct object *o)
{
	struct node *node = node_of(o);
	size_t size = o->kind->record_size;
	if (!size || o->count == UINT32_MAX)
		return NULL;
	if (o->count == node->room) {
		u32 room = node->room > UINT32_MAX / 2 ? UINT32_MAX : MAX(8u, node->room * 2);
		void *grown = reallocarray(o->data, room, size);
		if (!grown)
			return NULL;
		o->data = grown;
		node->room = room;
	}
	return memset((char *)o->data + size * o->count++, 0, size);
}

struct object *graph_next(const struct graph *g, const struct kind *kind, const struct object *after)
{
	const struct chain *chain = after || !g->index ? NULL : find_chain(g->index, kind);
	struct node *node = after ? node_of(after)->next : chain ? chain->first : NULL;
	return node ? &node->object : NULL;
}

const struct kind *graph_kind(const struct graph *g, const char *name)
{
	const struct index *index = g->index;
	for (size_t i = 0; index && i < index->chains.n; i++)
		if (!strcmp(index->chains.v[i].kind->name, name))
			return index->chains.v[i].kind;
	return NULL;
}

u32 graph_recall(const struct graph *g, u64 key)
{
	const struct index *index = g->index;
	return index ? map_get(&index->remembered, key) : 0;
}

int graph_remember(const struct graph *g, u64 key, u32 number)
{
	struct index *index = g->index;
	return index ? map_set(&index->remembered, key, number) : -ENOENT;
}

static int by_id(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The objects of one kind, by number, which they mostly are already; how many there are. */
static size_t sort_chain(const struct chain *chain, struct object **to)
{
	bool sorted = true;
	size_t n = 0;
	for (struct node *node = chain->first; node; node = node->next) {
		sorted = sorted && (!n || to[n - 1]->id < node->object.id);
		to[n++] = &node->object;
	}
	if (!sorted)
		qsort(to, n, sizeof *to, by_id);
	return n;
}

static void relink(struct chain *chain, struct object **objects, size_t n)
{
	chain->first = node_of(objects[0]);
	chain->last = node_of(objects[n - 1]);
	for (size_t i = 0; i < n; i++)
		node_of(objects[i])->next = i + 1 < n ? node_of(objects[i + 1]) : NULL;
}

void graph_sort(struct graph *g)
{
	struct index *index = g->index;
	size_t done = 0;
	for (size_t i = 0; index && i < index->chains.n; i++) {
		size_t n = sort_chain(&index->chains.v[i], g->objects.v + done);
		relink(&index->chains.v[i], g->objects.v + done, n);
		done += n;
	}
}

void graph_free(struct graph *g)
{
	for (size_t i = 0; i < g->objects.n; i++) {
		struct object *o = g->objects.v[i];
		if (o->kind->record_size)
			free(o->data);
		else
			protobuf_c_message_free_unpacked(o->data, NULL);
		free(o);
	}
	vector_free(&g->objects);
	struct index *index = g->index;
	if (index) {
		vector_free(&index->chains);
		map_free(&index->remembered);
	}
	free(index);
	g->index = NULL;
	if (g->schema)
		schema_free(g->schema);
	free(g->schema);
	g->schema = NULL;
}
