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
	graph_pack(t, &g, spine_kinds);
	CHECK(!text_failed(t));
}

TEST(everything_comes_back)
{
	for (u64 seed = 1; seed < 20; seed++) {
		_cleanup_graph_ struct graph a = { 0 }, b = { 0 };
		_cleanup_text_ struct text first = { 0 }, second = { 0 }, diff = { 0 }, unknown = { 0 };
		size_t offset;
		fill_graph(&a, seed);
		graph_pack(&first, &a, spine_kinds);
		CHECK_OK(graph_unpack(&b, first.data, first.len, spine_kinds, LIMIT, &offset, &unknown));
		CHECK_EQ(graph_compare(&diff, &a, &b, NULL), 0);
		graph_pack(&second, &b, spine_kinds);
		CHECK_EQ(first.len, second.len);
		CHECK_MEM(first.data, second.data, first.len);
	}
}

TEST(an_empty_graph_comes_back)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 }, unknown = { 0 };
	size_t offset;
	graph_pack(&t, &g, spine_kinds);
	CHECK_OK(graph_unpack(&g, t.data, t.len, spine_kinds, LIMIT, &offset, &unknown));
	CHECK_EQ(g.objects.n, 0);
}

TEST(unpacked_records_can_grow)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 }, unknown = { 0 };
	size_t offset;
	pack_filled(&t, 1);
	CHECK_OK(graph_unpack(&g, t.data, t.len, spine_kinds, LIMIT, &offset, &unknown));
	for (u32 i = 0; i < 100; i++)
		((struct fd_entry *)object_append(graph_find(&g, &kind_fds, 1)))->fd = i;
	CHECK_EQ(graph_find(&g, &kind_fds, 1)->count, 103);
}

/* The bytes are copied to a block of exactly their size, so that the sanitizer sees a read behind the end. */
static int try(const char *data, size_t len, size_t limit, size_t *offset)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text unknown = { 0 };
	_cleanup_free_ char *copy = malloc(len ? len : 1);
	memcpy(copy, data, len);
	int r = graph_unpack(&g, copy, len, spine_kinds, limit, offset, &unknown);
	CHECK(r == 0 || r == -EBADMSG || r == -ENOMEM || ((r == -EPROTONOSUPPORT || r == -EPROTO) && unknown.len));
	CHECK(r == 0 || (g.objects.n == 0 && *offset <= len));
	if (r == 0) {
		_cleanup_text_ struct text t = { 0 };
		graph_print(&t, &g, FIELD_ALL, NULL);
		graph_json(&t, &g, FIELD_ALL, NULL);
		graph_pack(&t, &g, spine_kinds);
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

/* What graph_unpack gives, and what it calls unknown. */
static int unpack(struct graph *g, const struct text *t, const struct kind *const *kinds, struct text *unknown)
{
	size_t offset;
	return graph_unpack(g, t->data, t->len, kinds, LIMIT, &offset, unknown);
}

/* The row of a kind in packed bytes. */
static struct pack_kind *row_of(struct text *t, const char *kind)
{
	size_t at = sizeof(struct pack_header);
	while (strcmp(t->data + at, kind) != 0)
		at += sizeof(struct pack_kind);
	return (struct pack_kind *)(t->data + at);
}

TEST(other_layouts_are_refused)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 }, unknown = { 0 };
	pack_filled(&t, 1);
	row_of(&t, "vmas")->layout++;
	CHECK_EQ(unpack(&g, &t, spine_kinds, &unknown), -EPROTO);
	CHECK_STR(unknown.data, "vmas");
}

TEST(a_kind_twice_is_refused)
{
	_cleanup_text_ struct text t = { 0 };
	size_t offset;
	pack_filled(&t, 1);
	strcpy(row_of(&t, "thread")->name, "task");
	CHECK_EQ(try(t.data, t.len, LIMIT, &offset), -EBADMSG);
	CHECK_EQ(offset, (size_t)((char *)(row_of(&t, "task") + 1) - t.data));
}

/* The kinds of the spine but the last one, whose objects are then of a kind that is unknown. */
TEST(kinds_of_a_newer_ckpt_are_named)
{
	const struct kind *fewer[SPINE_KINDS] = { NULL };
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text t = { 0 }, empty = { 0 }, unknown = { 0 };
	memcpy(fewer, spine_kinds, sizeof fewer - sizeof *fewer);
	pack_filled(&t, 1);
	CHECK_EQ(unpack(&g, &t, fewer, &unknown), -EPROTONOSUPPORT);
	CHECK_STR(unknown.data, "kind vdso");
	unknown.len = 0;
	graph_pack(&empty, &g, spine_kinds);
	CHECK_OK(unpack(&g, &empty, fewer, &unknown)); /* it has none of them */
	CHECK_EQ(unknown.len, 0);
}

/* What a graph of the image's objects differs in from one with them all. */
static size_t missed(const struct text *t, const struct graph *all)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_text_ struct text differences = { 0 }, unknown = { 0 };
	CHECK_OK(unpack(&g, t, spine_kinds, &unknown));
	return graph_compare(&differences, &g, all, NULL);
}

TEST(kinds_of_a_newer_ckpt_are_not_compared)
{
	const struct kind *fewer[SPINE_KINDS] = { NULL };
	_cleanup_graph_ struct graph few = { 0 }, all = { 0 };
	_cleanup_text_ struct text older = { 0 }, emptied = { 0 };
	memcpy(fewer, spine_kinds, sizeof fewer - sizeof *fewer);
	CHECK(graph_add(&few, &kind_task, 1) && graph_add(&all, &kind_task, 1) && graph_add(&all, &kind_vdso, 1));
	graph_pack(&older, &few, fewer);
	graph_pack(&emptied, &few, spine_kinds);
	CHECK_EQ(missed(&older, &all), 0);
	CHECK_EQ(missed(&emptied, &all), 1);
}

static void fill(struct graph *g)
{
	fill_graph(g, 1);
	for (struct object *o = NULL; (o = graph_next(g, &kind_file, o));)
		((Ckpt__File *)o->data)->external = false; /* such a one may be anything */
}

/* Each state field of each message in turn, as if the maker had not known it. */
TEST(fields_of_a_newer_ckpt_are_not_compared)
{
	size_t tried = 0;
	for (struct change change = { 0 }; next_change(&change);) {
		_cleanup_graph_ struct graph a = { 0 }, all = { 0 };
		_cleanup_text_ struct text t = { 0 };
		const char *message = change.kind->desc->short_name;
		if (!change.is_state || change.kind->record_size)
			continue;
		fill(&a);
		fill(&all);
		change_field(&a, &change);
		graph_pack(&t, &a, spine_kinds);
		CHECK_EQ(missed(&t, &all), 1);
		struct pack_message *row = memmem(t.data, t.len, message, strlen(message) + 1);
		CHECK(row != NULL);
		row->fields[change.field->id / 64] &= ~(1ull << change.field->id % 64);
		CHECK_EQ(missed(&t, &all), 0);
		tried++;
	}
	CHECK(tried > 50);
}

/* The first version had the rows of kinds that are there, and nothing of messages. */
static void pack_first_version(struct text *t, const struct graph *g, const struct kind *const *kinds)
{
	_cleanup_text_ struct text whole = { 0 };
	graph_pack(&whole, g, kinds);
	struct pack_header header;
	memcpy(&header, whole.data, sizeof header);
	size_t rows = sizeof header + header.kinds * sizeof(struct pack_kind),
	       skip = header.messages * sizeof(struct pack_message);
	header.version = PACK_VERSION_TOLD;
	header.messages = 0;
	text_add(t, &header, sizeof header);
	text_add(t, whole.data + sizeof header, rows - sizeof header);
	text_add(t, whole.data + rows + skip, whole.len - rows - skip);
}

TEST(the_first_version_knows_what_it_tells)
{
	const struct kind *kinds[] = { &kind_task, NULL };
	_cleanup_graph_ struct graph few = { 0 }, all = { 0 };
	_cleanup_text_ struct text t = { 0 };
	for (u32 id = 1; id <= 2; id++)
		CHECK(graph_add(&few, &kind_task, id) && graph_add(&all, &kind_task, id));
	SET((Ckpt__Task *)graph_data(&few, &kind_task, 1), fds, 7);
	SET((Ckpt__Task *)graph_data(&all, &kind_task, 1), fds, 7);
	SET((Ckpt__Task *)graph_data(&all, &kind_task, 1), fs, 5);
	CHECK(graph_add(&all, &kind_vdso, 1) != NULL);
	pack_first_version(&t, &few, kinds);
	CHECK_EQ(missed(&t, &all), 0);
	SET((Ckpt__Task *)graph_data(&all, &kind_task, 2), fds, 7); /* which the image could know */
	CHECK_EQ(missed(&t, &all), 1);
}

/* One object of a kind, made of these bytes. */
static void pack_one(struct text *t, const struct kind *kind, const void *bytes, size_t len, u32 count)
{
	struct pack_header header = { { 0 }, PACK_VERSION, 1, 1, 0 };
	struct pack_kind row = { .record_size = (u32)kind->record_size, .layout = pack_layout(kind) };
	struct pack_object head = { .id = 1, .count = count, .len = len };
	memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
	strcpy(row.name, kind->name);
	text_add(t, &header, sizeof header);
	text_add(t, &row, sizeof row);
	text_add(t, &head, sizeof head);
	text_add(t, bytes, len);
}

TEST(unknown_state_is_refused)
{
	const struct {
		const char *bytes, *unknown;
	} cases[] = {
		{ "\x98\x06\x07", "field 99 of Thread" },       /* field 99, varint: state that this program does not know */
		{ "\xb8\x0c\x07", "" },                         /* field 199: a fact of some host */
		{ "\x42\x03\x98\x06\x07", "field 99 of Rseq" }, /* field 8 (rseq) with a field 99 */
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_graph_ struct graph g = { 0 };
		_cleanup_text_ struct text t = { 0 }, unknown = { 0 };
		pack_one(&t, &kind_thread, cases[i].bytes, strlen(cases[i].bytes), 0);
		CHECK_EQ(unpack(&g, &t, spine_kinds, &unknown), *cases[i].unknown ? -EPROTONOSUPPORT : 0);
		CHECK_STR(unknown.data ? unknown.data : "", cases[i].unknown);
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
