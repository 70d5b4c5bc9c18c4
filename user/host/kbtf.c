// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading of BTF: one pass, one hash of names. */
#include "host/kbtf.h"
#include "base/file.h"
#include <fcntl.h>
#include <linux/btf.h>

struct kbtf {
	char *data;
	const char *strings;
	u32 string_bytes;
	u32 *offset; /* of each type id in data */
	u32 types;
	u32 *slot; /* type ids by hash of name; 0: free */
	u32 slots; /* a power of two */
};

/* Bytes that follow a struct btf_type, -1 for a kind that is not known. */
static long kbtf_tail(const struct btf_type *t)
{
	u32 n = BTF_INFO_VLEN(t->info);
	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
	case BTF_KIND_DATASEC:
		return n * 12;
	case BTF_KIND_FUNC_PROTO:
		return n * sizeof(struct btf_param);
	default:
		return BTF_INFO_KIND(t->info) <= BTF_KIND_ENUM64 ? 0 : -1;
	}
}

static const struct btf_type *kbtf_type(const struct kbtf *b, u32 id)
{
	return (const struct btf_type *)(b->data + b->offset[id]);
}

static const char *kbtf_name(const struct kbtf *b, u32 offset) { return offset < b->string_bytes ? b->strings + offset : ""; }

/* FNV-1a: short names, no need for better. */
static u32 kbtf_hash(const char *name)
{
	u32 h = 2166136261u;
	for (; *name; name++)
		h = (h ^ (u8)*name) * 16777619u;
	return h;
}

static bool kbtf_indexed(u32 kind)
{
	return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
	       kind == BTF_KIND_FUNC || kind == BTF_KIND_TYPEDEF;
}

static int kbtf_index(struct kbtf *b)
{
	for (b->slots = 1024; b->slots < b->types * 2; b->slots *= 2)
		;
	b->slot = calloc(b->slots, sizeof *b->slot);
	if (!b->slot)
		return -ENOMEM;
	for (u32 id = 1; id < b->types; id++) {
		const struct btf_type *t = kbtf_type(b, id);
		if (!t->name_off || !kbtf_indexed(BTF_INFO_KIND(t->info)))
			continue;
		u32 at = kbtf_hash(kbtf_name(b, t->name_off)) & (b->slots - 1);
		while (b->slot[at])
			at = (at + 1) & (b->slots - 1);
		b->slot[at] = id;
	}
	return 0;
}

/* Finds where each type begins. */
static int kbtf_scan(struct kbtf *b, u32 start, u32 bytes)
{
	b->offset = calloc(bytes / sizeof(struct btf_type) + 2, sizeof *b->offset);
	if (!b->offset)
		return -ENOMEM;
	b->types = 1; /* 0 is void */
	for (u32 at = 0; at < bytes;) {
		if (bytes - at < sizeof(struct btf_type))
			return -EINVAL;
		const struct btf_type *t = (const struct btf_type *)(b->data + start + at);
		long tail = kbtf_tail(t);
		if (tail < 0 || (u64)tail > bytes - at - sizeof *t)
			return -EINVAL;
		b->offset[b->types++] = start + at;
		at += (u32)(sizeof *t + (size_t)tail);
	}
	return 0;
}

/* What each header has; in that of Linux 7 there is more behind it. */
#define HEADER_BYTES (offsetof(struct btf_header, str_len) + sizeof(u32))

static int kbtf_read(struct kbtf *b, size_t len)
{
	const struct btf_header *h = (const struct btf_header *)b->data;
	if (len < HEADER_BYTES || h->magic != BTF_MAGIC || h->hdr_len < HEADER_BYTES || h->hdr_len > len)
		return -EINVAL;
	size_t room = len - h->hdr_len;
	if (h->type_off > room || h->type_len > room - h->type_off || h->str_off > room || h->str_len > room - h->str_off)
		return -EINVAL;
	b->strings = b->data + h->hdr_len + h->str_off;
	b->string_bytes = h->str_len;
	if (!b->string_bytes || b->strings[b->string_bytes - 1] || (h->hdr_len + h->type_off) % 4)
		return -EINVAL;
	int r = kbtf_scan(b, h->hdr_len + h->type_off, h->type_len);
	return r < 0 ? r : kbtf_index(b);
}

int kbtf_parse(struct kbtf **ret, void *data, size_t len)
{
	_cleanup_kbtf_ struct kbtf *b = calloc(1, sizeof *b);
	if (!b) {
		free(data);
		return -ENOMEM;
	}
	b->data = data;
	int r = kbtf_read(b, len);
	if (r < 0)
		return r;
	*ret = take_ptr(b);
	return 0;
}

int kbtf_open(struct kbtf **ret, const char *path)
{
	_cleanup_text_ struct text bytes = { 0 };
	int r = file_read(AT_FDCWD, path, &bytes);
	if (r < 0)
		return r;
	size_t len = bytes.len;
	return kbtf_parse(ret, text_take(&bytes), len);
}

void kbtf_free(struct kbtf *b)
{
	if (!b)
		return;
	free(b->data);
	free(b->offset);
	free(b->slot);
	free(b);
}

/* The next type of this name at or behind slot *at, 0 at the end of the chain. */
static u32 kbtf_next(const struct kbtf *b, const char *name, u32 *at)
{
	for (u32 id; (id = b->slot[*at]); *at = (*at + 1) & (b->slots - 1)) {
		if (strcmp(kbtf_name(b, kbtf_type(b, id)->name_off), name))
			continue;
		*at = (*at + 1) & (b->slots - 1);
		return id;
	}
	return 0;
}

u32 kbtf_find(const struct kbtf *b, u32 kind, const char *name)
{
	u32 at = kbtf_hash(name) & (b->slots - 1);
	for (u32 id; (id = kbtf_next(b, name, &at));)
		if (BTF_INFO_KIND(kbtf_type(b, id)->info) == kind)
			return id;
	return 0;
}

static bool kbtf_member(const struct kbtf *b, u32 id, const char *field, int depth)
{
	if (id == 0 || id >= b->types || depth > 8)
		return false;
	const struct btf_type *t = kbtf_type(b, id);
	u32 kind = BTF_INFO_KIND(t->info);
	if (kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION)
		return false;
	const struct btf_member *m = (const struct btf_member *)(t + 1);
	for (u32 i = 0; i < BTF_INFO_VLEN(t->info); i++) {
		if (m[i].name_off && !strcmp(kbtf_name(b, m[i].name_off), field))
			return true;
		if (!m[i].name_off && kbtf_member(b, m[i].type, field, depth + 1))
			return true;
	}
	return false;
}

bool kbtf_has_member(const struct kbtf *b, const char *type, const char *field)
{
	u32 at = kbtf_hash(type) & (b->slots - 1);
	for (u32 id; (id = kbtf_next(b, type, &at));)
		if (kbtf_member(b, id, field, 0))
			return true;
	return false;
}

bool kbtf_has_value(const struct kbtf *b, const char *type, const char *value)
{
	u32 at = kbtf_hash(type) & (b->slots - 1);
	for (u32 id; (id = kbtf_next(b, type, &at));) {
		const struct btf_type *t = kbtf_type(b, id);
		u32 kind = BTF_INFO_KIND(t->info);
		size_t step = kind == BTF_KIND_ENUM ? sizeof(struct btf_enum) : kind == BTF_KIND_ENUM64 ? 12 : 0;
		for (u32 i = 0; step && i < BTF_INFO_VLEN(t->info); i++) {
			u32 name = *(const u32 *)((const char *)(t + 1) + i * step);
			if (!strcmp(kbtf_name(b, name), value))
				return true;
		}
	}
	return false;
}
