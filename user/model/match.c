// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the matching of files of two graphs. */
#include "model/match.h"

void match_free(struct match *m)
{
	map_free(&m->a_to_b);
	map_free(&m->b_to_a);
	vector_free(&m->pairs);
}

bool field_names_file(const ProtobufCFieldDescriptor *f)
{
	static const char *const names[] = { "file", "exe", "cwd", "root", "peer", "pipe", "memory" };
	for (size_t i = 0; f->type == PROTOBUF_C_TYPE_UINT32 && i < ARRAY_SIZE(names); i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return false;
}

bool match_files(struct match *m, u32 x, u32 y)
{
	bool in_a = graph_find(m->a, &kind_file, x), in_b = graph_find(m->b, &kind_file, y);
	if (!in_a || !in_b)
		return in_a == in_b && x == y;
	u32 of_x = map_get(&m->a_to_b, x), of_y = map_get(&m->b_to_a, y);
	if (file_is_external(m->a, x)) { /* any file is in its place, also one that others have */
		m->failed |= (!of_x && map_set(&m->a_to_b, x, y) < 0) || (!of_y && map_set(&m->b_to_a, y, x) < 0);
		return true;
	}
	if (of_x || of_y || !x || !y)
		return of_x == y && of_y == x;
	struct file_pair *pair = vector_add(&m->pairs);
	m->failed |= !pair || map_set(&m->a_to_b, x, y) < 0 || map_set(&m->b_to_a, y, x) < 0;
	if (pair)
		*pair = (struct file_pair){ x, y };
	return true;
}

bool object_is_file(const struct graph *g, const struct object *o)
{
	const Ckpt__File *file = o->kind == &kind_file ? NULL : graph_data(g, &kind_file, o->id);
	return o->kind == &kind_file || (file && file->kind && !strcmp(file->kind, o->kind->name));
}
