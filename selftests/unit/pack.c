// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of facts files: what was packed comes back; what was damaged is refused or at least harmless. */
#include "harness/test.h"
#include "harness/fill.h"
#include "model/pack.h"

#define LIMIT ((size_t)8 << 20)

static void pack_filled(struct text *t, u64 seed)
{
	_cleanup_graph_ struct graph g = { 0 };
	fill_graph(&g, seed);
	graph_pack(t, &g);
	CHECK(!text_failed(t));
}

TEST(everything_comes_back)
{
	for (u64 seed = 1; seed < 20; seed++) {
		_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
		_cleanup_text_ struct text first = { 0 }, second = { 0 }, diff = { 0 };
		size_t offset;
		fill_graph(&a, seed);
		graph_pack(&first, &a);
		CHECK_OK(graph_unpack(&b, first.data, first.len, spine_kinds, LIMIT, &offset));
		CHECK_EQ(graph_compare(&diff, &a, &b, NULL), 0);
		graph_pack(&second, &b);
		CHECK_EQ(first.len, second.len);
		CHECK_MEM(first.data, second.data, first.len);
	}
}

TEST(an_empty_graph_comes_back)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 };
	size_t offset;
	graph_pack(&t, &g);
	CHECK_OK(graph_unpack(&g, t.data, t.len, spine_kinds, LIMIT, &offset));
	CHECK_EQ(g.objects.n, 0);
}

TEST(unpacked_records_can_grow)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 };
	size_t offset;
	pack_filled(&t, 1);
	CHECK_OK(graph_unpack(&g, t.data, t.len, spine_kinds, LIMIT, &offset));
	for (u32 i = 0; i < 100; i++)
		((struct fd_entry *)object_append(graph_find(&g, &kind_fds, 1)))->fd = i;
	CHECK_EQ(graph_find(&g, &kind_fds, 1)->count, 103);
}

/* The bytes are copied to a block of exactly their size, so that the sanitizer sees a read behind the end. */
static int try(const char *data, size_t len, size_t limit, size_t *offset)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_free_ char *copy = malloc(len ? len : 1);
	memcpy(copy, data, len);
	int r = graph_unpack(&g, copy, len, spine_kinds, limit, offset);
	CHECK(r == 0 || r == -EBADMSG || r == -ENOMEM);
	CHECK(r == 0 || (g.objects.n == 0 && *offset <= len));
	if (r == 0) {
		_cleanup_text_ struct text t = { 0 };
		graph_print(&t, &g, FIELD_ALL, NULL);
		graph_json(&t, &g, FIELD_ALL, NULL);
		graph_pack(&t, &g);
	}
	return r;
}

TEST(every_truncation_is_refused)
{
	_cleanup_text_ struct text t = { 0 };
	size_t offset;
	pack_filled(&t, 3);
	for (size_t len = 0; len < t.len; len++)
		CHECK_EQ(try(t.data, len, LIMIT, &offset), -EBADMSG);
	text_add(&t, "", 1);
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
	CHECK_EQ(offset, t.len - 1);
}

TEST(every_flipped_byte_is_harmless, .seconds = 120)
{
	_cleanup_text_ struct text t = { 0 };
	size_t offset;
	pack_filled(&t, 3);
	for (size_t i = 0; i < t.len; i++)
		for (unsigned flip = 1; flip < 256; flip += flip < 4 ? 1 : 63) {
			t.data[i] ^= (char)flip;
			try(t.data, t.len, LIMIT, &offset);
			t.data[i] ^= (char)flip;
		}
}

TEST(unknown_kinds_and_layouts_are_refused)
{
	_cleanup_text_ struct text t = { 0 };
	size_t offset, row = sizeof(struct pack_header);
	pack_filled(&t, 1);
	((struct pack_kind *)(t.data + row))->name[0] = 'X';
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
	CHECK_EQ(offset, row);
	((struct pack_kind *)(t.data + row))->name[0] = 'h';
	while (strcmp(t.data + row, "vmas"))
		row += sizeof(struct pack_kind);
	((struct pack_kind *)(t.data + row))->layout++;
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
	CHECK_EQ(offset, row);
}

/* One object of a kind, made of these bytes. */
static void pack_one(struct text *t, const struct kind *kind, const void *bytes, size_t len, u32 count)
{
	struct pack_header header = { PACK_MAGIC, PACK_VERSION, 1, 1, 0 };
	struct pack_kind row = { .record_size = (u32)kind->record_size, .layout = pack_layout(kind) };
	struct pack_object head = { .id = 1, .count = count, .len = len };
	strcpy(row.name, kind->name);
	text_add(t, &header, sizeof header);
	text_add(t, &row, sizeof row);
	text_add(t, &head, sizeof head);
	text_add(t, bytes, len);
}

TEST(unknown_state_is_refused)
{
	const struct {
		const char *bytes;
		int want;
	} cases[] = {
		{ "\x98\x06\x07", -EBADMSG },         /* field 99, varint: state that this program does not know */
		{ "\xb8\x0c\x07", 0 },                /* field 199: a fact of some host */
		{ "\x42\x03\x98\x06\x07", -EBADMSG }, /* field 8 (rseq) with a field 99 */
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_text_ struct text t = { 0 };
		size_t offset;
		pack_one(&t, &kind_thread, cases[i].bytes, strlen(cases[i].bytes), 0);
		CHECK_EQ(try(t.data, t.len, LIMIT, &offset), cases[i].want);
	}
}

TEST(names_without_end_are_refused)
{
	struct vma v = { .start = 1 };
	size_t offset;
	memset(v.name, 'x', sizeof v.name);
	_cleanup_text_ struct text t = { 0 };
	pack_one(&t, &kind_vmas, &v, sizeof v, 1);
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
}

/* 3 MB of empty nested messages would be hundreds of MB of heap. */
TEST(hostile_messages_are_capped)
{
	_cleanup_text_ struct text bytes = { 0 }, t = { 0 };
	size_t offset;
	while (bytes.len < 3u << 20)
		text_add(&bytes, "\x12\x00", 2);
	pack_one(&t, &kind_vdso, bytes.data, bytes.len, 0);
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -ENOMEM);
	CHECK_EQ(offset, sizeof(struct pack_header) + sizeof(struct pack_kind));
}

TEST(nested_bytes_do_not_recurse)
{
	_cleanup_text_ struct text bytes = { 0 }, t = { 0 };
	size_t offset;
	for (u32 i = 0; i < 1u << 20; i++)
		text_add(&bytes, "\x42\xff\xff\x3f", 4);
	pack_one(&t, &kind_thread, bytes.data, bytes.len, 0);
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
}

TEST(huge_counts_are_refused)
{
	struct fd_entry entry = { 0 };
	size_t offset;
	_cleanup_text_ struct text t = { 0 }, u = { 0 };
	pack_one(&t, &kind_fds, &entry, sizeof entry, UINT32_MAX);
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
	pack_filled(&u, 1);
	CHECK_EQ(try(u.data, u.len, 1000, &offset), -ENOMEM);
	((struct pack_header *)u.data)->objects = UINT32_MAX;
	CHECK_EQ(try(u.data, u.len, LIMIT, &offset), -EBADMSG);
	((struct pack_header *)u.data)->kinds = UINT32_MAX;
	CHECK_EQ(try(u.data, u.len, LIMIT, &offset), -EBADMSG);
}
