/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a facts file: header, kinds, then each object with its message or records behind it. Little-endian, packed
 * without padding. Private to model/. */
#pragma once
#include "model/field.h"

#define PACK_MAGIC "ckptfact"
#define PACK_VERSION 1

struct pack_header {
	char magic[8];
	u32 version, kinds, objects, zero;
};
struct pack_kind {
	char name[32]; /* NUL-padded */
	u32 record_size, zero;
	u64 layout; /* of its records' fields; 0 for messages */
};
struct pack_object {
	u32 kind, id, count, zero;
	u64 len;
};

u64 pack_layout(const struct kind *);
