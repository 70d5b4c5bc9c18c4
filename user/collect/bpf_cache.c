// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the form in which the relocated instructions of a program are stored, keyed by kernel and object. */
#include "collect/bpf_internal.h"

#define INSNS_MAX (1u << 20)

/* The instructions are behind it, those of the second program last. */
struct cache_header {
	u32 attach_btf_id, map_size, count, fields_count;
	struct record_config config;
};

static int key_of(enum bpf_object_id id, char key[STORE_KEY_MAX])
{
	struct bpf_image image = bpf_image(id);
	return store_key(key, image.name, image.hash, RECORD_WIRE_VERSION);
}

static int unpack(const struct text *bytes, struct bpf_code *ret)
{
	struct cache_header header;
	if (bytes->len < sizeof header)
		return -EBADMSG;
	memcpy(&header, bytes->data, sizeof header);
	if (!header.count || header.count > INSNS_MAX || header.fields_count > RECORD_CODE_MAX)
		return -EBADMSG;
	size_t len = ((size_t)header.count + header.fields_count) * sizeof(struct bpf_insn);
	if (bytes->len != sizeof header + len)
		return -EBADMSG;
	ret->insns = malloc(len);
	if (!ret->insns)
		return -ENOMEM;
	memcpy(ret->insns, bytes->data + sizeof header, len);
	ret->attach_btf_id = header.attach_btf_id;
	ret->map_size = header.map_size;
	ret->count = header.count;
	ret->fields_count = header.fields_count;
	ret->config = header.config;
	return 0;
}

int bpf_cache_read(enum bpf_object_id id, struct bpf_code *ret)
{
	_cleanup_text_ struct text bytes = { 0 };
	char key[STORE_KEY_MAX];
	int r = key_of(id, key);
	if (r == 0)
		r = store_read(key, &bytes);
	return r < 0 ? r : unpack(&bytes, ret);
}

int bpf_cache_write(enum bpf_object_id id, const struct bpf_code *code)
{
	const struct cache_header header = { .attach_btf_id = code->attach_btf_id,
					     .map_size = code->map_size,
					     .count = code->count,
					     .fields_count = code->fields_count,
					     .config = code->config };
	_cleanup_text_ struct text bytes = { 0 };
	char key[STORE_KEY_MAX];
	int r = key_of(id, key);
	text_add(&bytes, &header, sizeof header);
	text_add(&bytes, code->insns, ((size_t)code->count + code->fields_count) * sizeof(struct bpf_insn));
	if (r == 0 && text_failed(&bytes))
		r = -ENOMEM;
	return r < 0 ? r : store_write(key, bytes.data, bytes.len);
}
