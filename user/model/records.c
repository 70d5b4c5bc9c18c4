// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the descriptors of the fixed-size records, generated from records.def. */
#include "model/records.h"
#include "model/field.h"

#define TYPE_u32 PROTOBUF_C_TYPE_UINT32
#define TYPE_u64 PROTOBUF_C_TYPE_UINT64
#define TYPE_s32 PROTOBUF_C_TYPE_INT32
#define TYPE_s64 PROTOBUF_C_TYPE_INT64
#define TYPE_hex32 PROTOBUF_C_TYPE_FIXED32
#define TYPE_hex64 PROTOBUF_C_TYPE_FIXED64
#define TYPE_name PROTOBUF_C_TYPE_STRING

#define RECORD(record) static const ProtobufCFieldDescriptor record##_fields[] = {
#define FIELD(record, number, kind, field)                                                                                     \
	{                                                                                                                      \
		.name = #field,                                                                                                \
		.id = number,                                                                                                  \
		.label = PROTOBUF_C_LABEL_NONE,                                                                                \
		.type = TYPE_##kind,                                                                                           \
		.offset = offsetof(struct record, field),                                                                      \
		.flags = TYPE_##kind == PROTOBUF_C_TYPE_STRING ? FIELD_FLAG_INLINE : 0,                                        \
	},
#define END(record)                                                                                                            \
	}                                                                                                                      \
	;
#include "model/records.def"
#undef RECORD
#undef FIELD
#undef END

#define RECORD(record)                                                                                                         \
	const ProtobufCMessageDescriptor record##_descriptor = {                                                               \
		.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,                                                                 \
		.name = #record,                                                                                               \
		.short_name = #record,                                                                                         \
		.c_name = #record,                                                                                             \
		.package_name = "",                                                                                            \
		.sizeof_message = sizeof(struct record),                                                                       \
		.n_fields = ARRAY_SIZE(record##_fields),                                                                       \
		.fields = record##_fields,                                                                                     \
	};                                                                                                                     \
	_Static_assert(sizeof(struct record) == 0
#define FIELD(record, number, type, name) +sizeof(record_##type)
#define END(record) , "padding would make images differ and leak memory");
#include "model/records.def"
#undef RECORD
#undef FIELD
#undef END
