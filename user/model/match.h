/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which file of one graph is which of another: known by what refers to them, because their numbers mean nothing. Private to
 * model/. */
#pragma once
#include "base/map.h"
#include "model/kinds.h"
#include "model/reflect.h"

struct file_pair {
	u32 a, b;
};

struct match {
	const struct graph *a, *b;
	struct map a_to_b, b_to_a;
	VECTOR(struct file_pair) pairs; /* in the order of finding */
	bool failed;
};
void match_free(struct match *);
/* A field that holds the number of a file: a uint32 called file, exe, cwd, root, peer, pipe or memory. */
bool field_names_file(const ProtobufCFieldDescriptor *);
/* Can file x of a be file y of b? The first question about two files that are not matched yet matches them. */
bool match_files(struct match *, u32 x, u32 y);
/* An object that is named by the number of an open file: the file itself, or the rest of it under its kind. */
bool object_is_file(const struct graph *, const struct object *);
