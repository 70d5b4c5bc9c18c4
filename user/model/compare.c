// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the comparison of graphs: what was before a dump against what is after a restore. */
#include "model/field.h"
#include "model/match.h"
#include "model/names.h"
#include "model/schema.h"
#include <stdio.h>

struct comparison {
	struct text *out;
	compare_ignore ignore;
	size_t count;
	struct match match;
	const struct object *object; /* what is being compared, and its number in the second graph */
	u32 other;
	bool silent; /* its kind is ignored: only its files are matched */
	struct {     /* the kind that was looked up last: the objects of one follow each other */
		const struct kind *kind;
		bool ignored;
	} last;
};

/* Where a difference is: "call.code" or "part[2].size"; for records the key stands before it. */
struct path {
	char text[192];
};

static struct path path_below(const struct path *outer, const char *name)
{
	struct path p;
	snprintf(p.text, sizeof p.text, "%.120s%s%.64s", outer->text, outer->text[0] ? "." : "", name);
	return p;
}

/* Does text begin with this word, and the word end there or at a dot? Gives what follows the dot, or "". */
static const char *after_word(const char *text, const char *word)
{
	while (*word && *text == *word)
		text++, word++;
	if (*word || (*text && *text != '.'))
		return NULL;
	return *text ? text + 1 : text;
}

/* Is "kind.path", or something that contains it, in the list, behind this mark? path "": the whole kind. */
static bool is_listed(const struct comparison *c, const char *mark, const char *path)
{
	size_t len = strlen(mark);
	for (compare_ignore i = c->ignore; i && *i; i++) {
		const char *ignored = strncmp(*i, mark, len) ? NULL : after_word(*i + len, c->object->kind->name);
		if (ignored && (!*ignored || (*path && after_word(path, ignored))))
			return true;
	}
	return false;
}

static bool is_ignored(const struct comparison *c, const char *path) { return is_listed(c, "", path); }

/* A kind that an image could not know was not collected: that tells nothing. The same of fields. */
static bool both_know_kind(const struct comparison *c, const struct kind *kind)
{
	return schema_knows_kind(c->match.a->schema, kind) && schema_knows_kind(c->match.b->schema, kind);
}

static bool both_know_field(const struct comparison *c, const ProtobufCMessageDescriptor *desc,
			    const ProtobufCFieldDescriptor *f)
{
	return schema_knows_field(c->match.a->schema, desc, f) && schema_knows_field(c->match.b->schema, desc, f);
}

/* Did something come behind what was there, where that may be? */
static bool has_grown(const struct comparison *c, const char *path, const ProtobufCFieldDescriptor *f, const void *a,
		      const void *b)
{
	return f->type == PROTOBUF_C_TYPE_MESSAGE && field_count(f, a) < field_count(f, b) && is_listed(c, "+", path);
}

static void begin(struct comparison *c, const char *where, const char *field)
{
	c->count++;
	text_addf(c->out, "%s %u", c->object->kind->name, c->object->id);
	if (c->other != c->object->id)
		text_addf(c->out, "/%u", c->other);
	text_addf(c->out, "%s%s%s%s: ", where[0] ? " " : "", where, field[0] ? " " : "", field);
}

static void compare_messages(struct comparison *, const char *where, const struct path *, const ProtobufCMessageDescriptor *,
			     const void *a, const void *b);

static bool scalars_equal(const ProtobufCFieldDescriptor *f, const void *a, const void *b)
{
	const ProtobufCBinaryData *x = a, *y = b;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return !strcmp(field_string(f, a), field_string(f, b));
	case PROTOBUF_C_TYPE_BYTES:
		return x->len == y->len && (x->len == 0 || !memcmp(x->data, y->data, x->len));
	case PROTOBUF_C_TYPE_FLOAT:
		return !memcmp(a, b, sizeof(float));
	default:
		return field_integer(f, a) == field_integer(f, b);
	}
}

static void print_side(struct text *t, const ProtobufCFieldDescriptor *f, const void *message)
{
	if (field_count(f, message))
		field_print_all(t, f, message, FIELD_STATE);
	else
		text_adds(t, "absent");
}

/* Bytes of one length: where the first difference is, in a message that shows no contents. */
static void print_where(struct text *t, const ProtobufCFieldDescriptor *f, const void *a, const void *b)
{
	if (f->type != PROTOBUF_C_TYPE_BYTES || field_count(f, a) != 1 || field_count(f, b) != 1)
		return;
	const ProtobufCBinaryData *x = field_value(f, a, 0), *y = field_value(f, b, 0);
	size_t at = 0;
	while (at < MIN(x->len, y->len) && x->data[at] == y->data[at])
		at++;
	if (x->len == y->len)
		text_addf(t, " (from byte %zu on)", at);
}

static bool values_differ(struct comparison *c, const ProtobufCFieldDescriptor *f, const void *a, const void *b)
{
	size_t n = field_count(f, a);
	if (n != field_count(f, b))
		return true;
	bool differ = false;
	for (size_t i = 0; i < n && f->type != PROTOBUF_C_TYPE_MESSAGE; i++) {
		const void *x = field_value(f, a, i), *y = field_value(f, b, i);
		differ |= field_names_file(f) ? !match_files(&c->match, *(u32 *)x, *(u32 *)y) : !scalars_equal(f, x, y);
	}
	return differ;
}

static void compare_values(struct comparison *c, const char *where, const struct path *path, const ProtobufCFieldDescriptor *f,
			   const void *a, const void *b)
{
	if (values_differ(c, f, a, b) && !has_grown(c, path->text, f, a, b)) {
		if (c->silent)
			return;
		begin(c, where, path->text);
		print_side(c->out, f, a);
		text_adds(c->out, " != ");
		print_side(c->out, f, b);
		print_where(c->out, f, a, b);
		text_adds(c->out, "\n");
		return;
	}
	for (size_t i = 0; f->type == PROTOBUF_C_TYPE_MESSAGE && i < field_count(f, a); i++) {
		char place[64];
		snprintf(place, sizeof place, "%.40s%s#%zu", where, where[0] ? " " : "", i);
		compare_messages(c, f->label == PROTOBUF_C_LABEL_REPEATED ? place : where, path, f->descriptor,
				 field_message(field_value(f, a, i)), field_message(field_value(f, b, i)));
	}
}

/* What is ignored is looked at in silence: it still tells which file is which. */
static void compare_field(struct comparison *c, const char *where, const struct path *outer,
			  const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *f, const void *a,
			  const void *b)
{
	if (field_class(f) != FIELD_STATE)
		return;
	if (f->type != PROTOBUF_C_TYPE_MESSAGE && !values_differ(c, f, a, b)) /* nobody asks for its name */
		return;
	bool silent = c->silent;
	struct path path = path_below(outer, f->name);
	c->silent = silent || is_ignored(c, path.text) || !both_know_field(c, desc, f);
	compare_values(c, where, &path, f, a, b);
	c->silent = silent;
}

static void compare_messages(struct comparison *c, const char *where, const struct path *outer,
			     const ProtobufCMessageDescriptor *desc, const void *a, const void *b)
{
	for (unsigned i = 0; i < desc->n_fields; i++)
		compare_field(c, where, outer, desc, &desc->fields[i], a, b);
}

static void only_in(struct comparison *c, const char *where, const char *side, const void *record)
{
	if (c->silent)
		return;
	begin(c, where, "");
	text_addf(c->out, "only in the %s", side);
	if (record) {
		text_adds(c->out, " (");
		message_print_line(c->out, c->object->kind->desc, record, FIELD_STATE);
		text_adds(c->out, ")");
	}
	text_adds(c->out, "\n");
}

#define RECORD_MAX 256

/* The ordinary case, told without a look at each field: all bytes are equal but for the numbers of files, which match. */
static bool records_equal(struct comparison *c, const u32 *file_at, size_t files, const void *a, const void *b)
{
	size_t size = c->object->kind->record_size;
	char x[RECORD_MAX], y[RECORD_MAX];
	if (size > sizeof x)
		return false;
	memcpy(x, a, size);
	memcpy(y, b, size);
	for (size_t i = 0; i < files; i++) {
		u32 *p = (u32 *)(x + file_at[i]), *q = (u32 *)(y + file_at[i]);
		if (!match_files(&c->match, *p, *q))
			return false;
		*p = *q = 0;
	}
	return !memcmp(x, y, size);
}

/* Records are sorted by their first field: walks both lists side by side. */
static void compare_sorted(struct comparison *c, const struct merged *a, const struct merged *b)
{
	const ProtobufCFieldDescriptor *key = c->object->kind->desc->fields;
	const struct path root = { "" };
	const ProtobufCMessageDescriptor *desc = c->object->kind->desc;
	size_t size = c->object->kind->record_size, files = 0;
	u32 file_at[8];
	for (unsigned i = 0; i < desc->n_fields && files < ARRAY_SIZE(file_at); i++)
		if (field_names_file(&desc->fields[i]))
			file_at[files++] = desc->fields[i].offset;
	for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
		const char *x = i < a->n ? (char *)a->v + i * size : NULL, *y = k < b->n ? (char *)b->v + k * size : NULL;
		u64 at_x = x ? field_integer(key, x + key->offset) : UINT64_MAX;
		u64 at_y = y ? field_integer(key, y + key->offset) : UINT64_MAX;
		bool use_x = x && (!y || at_x <= at_y), use_y = y && (!x || at_y <= at_x);
		if (use_x && use_y && files < ARRAY_SIZE(file_at) && records_equal(c, file_at, files, x, y)) {
			i++, k++;
			continue;
		}
		char where[40];
		snprintf(where, sizeof where, field_is_hex(key) ? "%llx" : "%llu", (unsigned long long)MIN(at_x, at_y));
		if (use_x && use_y)
			compare_messages(c, where, &root, desc, x, y);
		else
			only_in(c, where, use_x ? "first" : "second", use_x ? x : y);
		i += use_x;
		k += use_y;
	}
}

static void compare_records(struct comparison *c, const struct object *a, const struct object *b)
{
	struct merged x = { 0 }, y = { 0 };
	if (records_merge(a, &x) < 0 || records_merge(b, &y) < 0)
		c->out->failed = true;
	else
		compare_sorted(c, &x, &y);
	free(x.v);
	free(y.v);
}

static bool is_kind_ignored(struct comparison *c)
{
	const struct kind *kind = c->object->kind;
	if (c->last.kind != kind) {
		c->last.kind = kind;
		c->last.ignored = is_ignored(c, "") || !both_know_kind(c, kind);
	}
	return c->last.ignored;
}

static void compare_objects(struct comparison *c, const struct object *a, const struct object *b)
{
	const struct path root = { "" };
	const void *line = a && a->kind == &kind_file ? a->data : b && b->kind == &kind_file ? b->data : NULL;
	c->object = a ? a : b;
	if (!c->object)
		return;
	c->other = a && b ? b->id : c->object->id;
	c->silent = is_kind_ignored(c);
	if (!a || !b)
		only_in(c, "", a ? "first" : "second", line);
	else if (a->kind->record_size)
		compare_records(c, a, b);
	else
		compare_messages(c, "", &root, a->kind->desc, a->data, b->data);
}

/* Everything that is known by its own number. On the way the files that it refers to are matched. */
static void compare_numbered(struct comparison *c, const struct graph *a, const struct graph *b)
{
	for (size_t i = 0; i < a->objects.n; i++) {
		const struct object *o = a->objects.v[i];
		if (!object_is_file(a, o))
			compare_objects(c, o, graph_find(b, o->kind, o->id));
	}
	for (size_t i = 0; i < b->objects.n; i++) {
		const struct object *o = b->objects.v[i];
		if (!object_is_file(b, o) && !graph_find(a, o->kind, o->id))
			compare_objects(c, NULL, o);
	}
}

/* The pairs that were matched; files that they refer to become new pairs meanwhile. */
static void compare_pairs(struct comparison *c, const struct names *a, const struct names *b, size_t first)
{
	for (size_t i = first; i < c->match.pairs.n; i++) {
		struct file_pair pair = c->match.pairs.v[i];
		const struct object *x = names_rest(a, pair.a), *y = names_rest(b, pair.b);
		compare_objects(c, graph_find(a->graph, &kind_file, pair.a), graph_find(b->graph, &kind_file, pair.b));
		if (x && y && x->kind == y->kind)
			compare_objects(c, x, y);
	}
}

/* Files that nothing refers to on one side. */
static void compare_rest(struct comparison *c, const struct graph *a, const struct graph *b)
{
	for (struct object *o = NULL; (o = graph_next(a, &kind_file, o));)
		if (!map_get(&c->match.a_to_b, o->id))
			compare_objects(c, o, NULL);
	for (struct object *o = NULL; (o = graph_next(b, &kind_file, o));)
		if (!map_get(&c->match.b_to_a, o->id))
			compare_objects(c, NULL, o);
}

size_t graph_compare(struct text *differences, const struct graph *a, const struct graph *b, compare_ignore ignore)
{
	struct comparison c = { .out = differences, .ignore = ignore, .match = { .a = a, .b = b } };
	_cleanup_(names_free) struct names in_a = names_of_kinds(a), in_b = names_of_kinds(b);
	compare_numbered(&c, a, b);
	compare_pairs(&c, &in_a, &in_b, 0);
	/* What nothing refers to is known by its number after all. */
	size_t matched = c.match.pairs.n;
	for (struct object *o = NULL; (o = graph_next(a, &kind_file, o));)
		if (!map_get(&c.match.a_to_b, o->id) && !map_get(&c.match.b_to_a, o->id) && graph_find(b, &kind_file, o->id))
			match_files(&c.match, o->id, o->id);
	compare_pairs(&c, &in_a, &in_b, matched);
	compare_rest(&c, a, b);
	if (c.match.failed)
		differences->failed = true;
	match_free(&c.match);
	return c.count + text_failed(differences);
}

bool object_equal(const struct object *a, const struct object *b)
{
	const struct graph none = { 0 };
	_cleanup_text_ struct text differences = { 0 };
	struct comparison c = { .out = &differences, .match = { .a = &none, .b = &none } };
	if (a->kind != b->kind)
		return false;
	compare_objects(&c, a, b);
	bool equal = !c.count && !c.match.failed && !text_failed(&differences);
	match_free(&c.match);
	return equal;
}
