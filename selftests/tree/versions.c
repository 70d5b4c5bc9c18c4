// SPDX-License-Identifier: LGPL-2.1-or-later
/* Images that a ckpt of another version has made: an older one's are restored, and what it could not know is not held against it; a
 * newer one's are refused by that name, and never called damaged. */
#include "diag/diag.h"
#include "harness/edit.h"
#include "image/manifest.h"
#include "model/kinds.h"
#include "model/pack.h"
#include "persona.pb-c.h"
#include "resource/registry.h"
#include <stdio.h>

/* What the ckpt that made an older image did not know. */
static bool is_later(const struct kind *kind)
{
	return kind == resource_userfaults.kind || kind == resource_controls.kind || kind == resource_sysvsem.kind;
}

/* Those of this ckpt; older: without what came later. */
static void kinds_of(const struct kind *ret[REGISTRY_KINDS], bool older)
{
	const struct kind *all[REGISTRY_KINDS];
	size_t n = 0;
	registry_kinds(all);
	for (const struct kind **k = all; *k; k++)
		if (!older || !is_later(*k))
			ret[n++] = *k;
	ret[n] = NULL;
}

/* The objects but those of later kinds, and without the fields that came later. */
static void pack_older(struct text *t, const struct graph *g, bool older)
{
	struct graph few = { .objects = { 0 } };
	const struct kind *kinds[REGISTRY_KINDS];
	kinds_of(kinds, older);
	for (struct object *o = NULL; (o = graph_next(g, resource_persona.kind, o));)
		((Ckpt__Persona *)o->data)->has_personality = 0;
	for (size_t i = 0; i < g->objects.n; i++) {
		struct object **place = is_later(g->objects.v[i]->kind) ? NULL : vector_add(&few.objects);
		if (place)
			*place = g->objects.v[i];
	}
	CHECK(few.objects.n < g->objects.n);
	graph_pack(t, &few, kinds);
	vector_free(&few.objects);
}

/* The rows of messages in packed facts. */
static struct pack_message *messages_of(struct text *t, u32 *ret_count)
{
	struct pack_header header;
	memcpy(&header, t->data, sizeof header);
	*ret_count = header.messages;
	return (struct pack_message *)(t->data + sizeof header + header.kinds * sizeof(struct pack_kind));
}

static void forget_field(struct text *t, const char *field)
{
	u32 n, number = field_by_name(resource_persona.kind->desc, field)->id;
	struct pack_message *row = messages_of(t, &n);
	while (n && strcmp(row->name, resource_persona.kind->desc->short_name) != 0)
		row++, n--;
	CHECK(n && row->fields[number / 64] >> number % 64 & 1);
	row->fields[number / 64] &= ~(1ull << number % 64);
}

static void make_older(struct text *t, const struct graph *g)
{
	pack_older(t, g, true);
	forget_field(t, "personality");
}

/* The same facts, of a ckpt that says it knew all. */
static void make_incomplete(struct text *t, const struct graph *g) { pack_older(t, g, false); }

/* A program, and an image of it with other facts, beside its own. */
static void dump_edited(struct target *t, char edited[96], void (*make)(struct text *, const struct graph *))
{
	target_start(t, "sleeper");
	target_dump(t, false);
	snprintf(edited, 96, "%s.edited", t->image);
	edit_facts(t->image, edited, make);
}

TEST(an_older_image_is_restored, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_older);
	CHECK_EQ(ckpt(NULL, "verify", edited), 0);
	CHECK_EQ(ckpt(NULL, "diff", edited, t.image), 0);
	CHECK_EQ(ckpt(NULL, "restore", edited, "-d"), 0);
	target_judge(&t);
}

/* The list of what was known makes the difference: without it what is missing is a difference. */
TEST(what_was_known_is_missed, .root = true)
{
	struct target t;
	char edited[96];
	_cleanup_text_ struct text output = { 0 };
	dump_edited(&t, edited, make_incomplete);
	CHECK_EQ(ckpt(&output, "diff", edited, t.image), 1);
	CHECK_CONTAINS(output.data, "only in the second");
	CHECK_CONTAINS(output.data, "personality: absent");
	target_restore(&t, 0);
	target_judge(&t);
}

/* --- what the first format was: facts without a list of fields, and another number --- */

static void make_first_format(struct text *t, const struct graph *g)
{
	_cleanup_text_ struct text whole = { 0 };
	pack_older(&whole, g, true);
	struct pack_header header;
	memcpy(&header, whole.data, sizeof header);
	u32 n;
	const char *messages = (char *)messages_of(&whole, &n), *objects = messages + n * sizeof(struct pack_message);
	header.version = PACK_VERSION_TOLD;
	header.messages = 0;
	text_add(t, &header, sizeof header);
	text_add(t, whole.data + sizeof header, (size_t)(messages - whole.data) - sizeof header);
	text_add(t, objects, (size_t)(whole.data + whole.len - objects));
}

/* Writes the manifest anew: another format in the header, and the same in the message, which more may follow. */
static void set_format(const char *dir, u32 format, const char *more, size_t more_len)
{
	char path[128];
	struct manifest_header header;
	u8 bytes[8192];
	snprintf(path, sizeof path, "%.100s/" MANIFEST_NAME, dir);
	FILE *f = fopen(path, "r+");
	CHECK(f != NULL);
	size_t len = fread(bytes, 1, sizeof bytes, f);
	CHECK(len > sizeof header + 2 && len + more_len <= sizeof bytes);
	u8 *message = bytes + sizeof header;
	CHECK(message[0] == 0x08); /* field 1: the format */
	message[1] = (u8)format;
	memcpy(bytes + len, more, more_len);
	memcpy(&header, bytes, sizeof header);
	header.version = format;
	header.length += more_len;
	header.hash = image_hash(message, header.length);
	memcpy(bytes, &header, sizeof header);
	rewind(f);
	CHECK(fwrite(bytes, 1, len + more_len, f) == len + more_len && fclose(f) == 0);
}

TEST(an_image_of_the_first_format_is_restored, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_first_format);
	set_format(edited, 1, "", 0);
	CHECK_EQ(ckpt(NULL, "verify", edited), 0);
	CHECK_EQ(ckpt(NULL, "restore", edited, "-d"), 0);
	target_judge(&t);
}

/* --- newer ones --- */

/* Every command that reads the image says why, in these words, and nothing of damage. */
static void check_newer(struct target *t, const char *dir, const char *words)
{
	const char *const commands[][4] = {
		{ "restore", dir, "-d" }, { "check", "--image", dir }, { "show", dir }, { "verify", dir }
	};
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		_cleanup_text_ struct text output = { 0 };
		CHECK_EQ(ckpt(&output, commands[i][0], commands[i][1], commands[i][2]), EXIT_IMAGE);
		CHECK_CONTAINS(output.data, "[IMAGE_NEWER]");
		CHECK_CONTAINS(output.data, words);
		CHECK(!strstr(output.data, "[IMAGE_DAMAGED]"));
	}
	target_restore(t, 0);
	target_judge(t);
}

/* A kind that this ckpt does not know, with one object. */
static void make_newer_kind(struct text *t, const struct graph *g)
{
	const struct kind newer = { "teleporter", &ckpt__task__descriptor, 0 };
	const struct kind *kinds[REGISTRY_KINDS + 1];
	struct graph more = { .objects = { 0 } };
	struct object object = { &newer, 1, 0, graph_next(g, &kind_task, NULL)->data };
	kinds_of(kinds, false);
	size_t n = 0;
	while (kinds[n])
		n++;
	kinds[n++] = &newer;
	kinds[n] = NULL;
	for (size_t i = 0; i <= g->objects.n; i++) {
		struct object **place = vector_add(&more.objects);
		CHECK(place != NULL);
		*place = i < g->objects.n ? g->objects.v[i] : &object;
	}
	graph_pack(t, &more, kinds);
	vector_free(&more.objects);
}

TEST(a_newer_kind_is_named, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_newer_kind);
	check_newer(&t, edited, "does not know: kind teleporter");
}

static void make_same(struct text *t, const struct graph *g)
{
	const struct kind *kinds[REGISTRY_KINDS];
	kinds_of(kinds, false);
	graph_pack(t, g, kinds);
}

/* A state field that this ckpt does not know: protobuf writes it as it was read. */
static void make_newer_field(struct text *t, const struct graph *g)
{
	ProtobufCMessage *task = graph_next(g, &kind_task, NULL)->data;
	ProtobufCMessageUnknownField *field = calloc(1, sizeof *field);
	CHECK(field && (field->data = calloc(1, 1)) && !task->n_unknown_fields);
	field->tag = 95;
	field->wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
	field->len = 1;
	task->unknown_fields = field;
	task->n_unknown_fields = 1;
	make_same(t, g);
}

TEST(a_newer_field_is_named, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_newer_field);
	check_newer(&t, edited, "does not know: field 95 of Task");
}

TEST(a_newer_format_is_named, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_same);
	set_format(edited, IMAGE_FORMAT + 1, "", 0);
	check_newer(&t, edited, "which reads formats 1 to 2");
}

TEST(a_newer_manifest_is_named, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_same);
	set_format(edited, IMAGE_FORMAT, "\xf8\x05\x07", 3);
	check_newer(&t, edited, "field 95 of Manifest");
}

/* What only tells of a host may be passed over. */
TEST(a_newer_fact_is_passed_over, .root = true)
{
	struct target t;
	char edited[96];
	dump_edited(&t, edited, make_same);
	set_format(edited, IMAGE_FORMAT, "\xb8\x0c\x07", 3); /* number 199 */
	CHECK_EQ(ckpt(NULL, "restore", edited, "-d"), 0);
	target_judge(&t);
}
