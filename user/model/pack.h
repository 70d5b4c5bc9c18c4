/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a facts file: header, what its maker could know (all kinds, all their messages), then each object with its message or
 * records behind it. Little-endian, packed without padding. Private to model/.
 * Version 1 had the kinds of its objects alone, and no messages. */
#pragma once
#include "model/field.h"
#include "model/schema.h"

#define PACK_MAGIC "ckptfact"
#define PACK_VERSION 2
#define PACK_VERSION_TOLD 1 /* what it knew, only its objects tell */

struct pack_header {
	char magic[8];
	u32 version, kinds, objects, messages;
};
struct pack_kind {
	char name[32]; /* NUL-padded */
	u32 record_size, zero;
	u64 layout; /* of its records' fields; 0 for messages */
};
struct pack_message {
	char name[32];                 /* NUL-padded */
	u64 fields[STATE_FIELDS / 64]; /* bit n: state field of number n */
};
struct pack_object {
	u32 kind, id, count, zero;
	u64 len;
};

u64 pack_layout(const struct kind *);
