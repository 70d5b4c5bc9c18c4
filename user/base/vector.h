/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Growable arrays: struct { T *v; size_t n, room; }. */
#pragma once
#include "base/base.h"

#define VECTOR(type)                                                                                                           \
	struct {                                                                                                               \
		type *v;                                                                                                       \
		size_t n, room;                                                                                                \
	}

int vector_reserve_bytes(void **v, size_t *room, size_t need, size_t item);

/* Appends a zeroed item; its address, or NULL without memory. */
#define vector_add(x)                                                                                                          \
	(vector_reserve_bytes((void **)&(x)->v, &(x)->room, (x)->n + 1, sizeof *(x)->v) < 0                                    \
		 ? NULL                                                                                                        \
		 : (memset(&(x)->v[(x)->n], 0, sizeof *(x)->v), &(x)->v[(x)->n++]))
#define vector_free(x)                                                                                                         \
	do {                                                                                                                   \
		free((x)->v);                                                                                                  \
		(x)->v = NULL;                                                                                                 \
		(x)->n = (x)->room = 0;                                                                                        \
	} while (0)
