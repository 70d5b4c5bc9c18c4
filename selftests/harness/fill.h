/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graphs with every field of every kind set, and single changes to them, made by reflection. */
#pragma once
#include "model/field.h"
#include "model/kinds.h"

/* Two objects of each kind of the spine; equal seeds give equal graphs. */
void fill_graph(struct graph *, u64 seed);

/* One field of one kind. Start with zeroes. */
struct change {
	size_t kind_index, field_index;
	const struct kind *kind;
	const ProtobufCFieldDescriptor *field;
	bool is_state;
};
bool next_change(struct change *);
/* Changes that field of the first object of its kind. */
void change_field(struct graph *, const struct change *);
