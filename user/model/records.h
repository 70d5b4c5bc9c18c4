/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The structs of records.def. vma.flags are VMA_* of bpf/record.h; vma.file is a file object or 0; vma.pgoff is in bytes. */
#pragma once
#include "base/base.h"
#include <protobuf-c/protobuf-c.h>

typedef u32 record_u32, record_hex32;
typedef u64 record_u64, record_hex64;
typedef s32 record_s32;
typedef s64 record_s64;
typedef char record_name[48];

#define RECORD(record) struct record {
#define FIELD(record, number, type, name) record_##type name;
#define END(record)                                                                                                            \
	}                                                                                                                      \
	;
#include "model/records.def"
#undef RECORD
#undef FIELD
#undef END

enum page_run_flags {
	PAGES_INHERITED = 1, /* shared by copy-on-write with the parent at the same address: offset is not used */
	PAGES_GUARD = 2,     /* MADV_GUARD_INSTALL: no contents, offset is not used */
	PAGES_ELSEWHERE = PAGES_INHERITED | PAGES_GUARD,
};

/* One descriptor per record, in the form of protobuf-c: reflection sees records and messages alike. */
#define RECORD(record) extern const ProtobufCMessageDescriptor record##_descriptor;
#define FIELD(record, number, type, name)
#define END(record)
#include "model/records.def"
#undef RECORD
#undef FIELD
#undef END
