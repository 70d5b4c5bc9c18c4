// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the names of what the model numbers. */
#include "model/names.h"
#include "model/field.h"

static int by_file(const void *a, const void *b)
{
	const struct file_use *x = a, *y = b;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static void add_kind(struct names *names, const struct kind *kind)
{
	for (size_t i = 0; i < names->kinds.n; i++)
		if (names->kinds.v[i] == kind)
			return;
	const struct kind **place = vector_add(&names->kinds);
	if (place)
		*place = kind;
}

static void add_use(struct names *names, const struct object *o, u32 i)
{
	const struct fd_entry *entry = object_record(o, i);
	const struct vma *vma = object_record(o, i);
	struct file_use *use = NULL;
	if (o->kind == &kind_fds && (use = vector_add(&names->uses)))
		*use = (struct file_use){ entry->file, o->id, entry->fd };
	else if (o->kind == &kind_vmas && vma->anon && (use = vector_add(&names->anons)))
		*use = (struct file_use){ vma->anon, o->id, 0 };
}

struct names names_of_kinds(const struct graph *g)
{
	struct names names = { .graph = g };
	for (size_t i = 0; i < g->objects.n; i++)
		if (!i || g->objects.v[i]->kind != g->objects.v[i - 1]->kind) /* mostly they lie together */
			add_kind(&names, g->objects.v[i]->kind);
	return names;
}

struct names names_of(const struct graph *g)
{
	struct names names = names_of_kinds(g);
	for (size_t i = 0; i < g->objects.n; i++)
		for (u32 k = 0; k < g->objects.v[i]->count; k++)
			add_use(&names, g->objects.v[i], k);
	if (names.uses.n)
		qsort(names.uses.v, names.uses.n, sizeof *names.uses.v, by_file);
	if (names.anons.n)
		qsort(names.anons.v, names.anons.n, sizeof *names.anons.v, by_file);
	return names;
}

void names_free(struct names *names)
{
	vector_free(&names->kinds);
	vector_free(&names->uses);
	vector_free(&names->anons);
}

static const struct file_use *find_uses(const struct file_use *v, size_t n, u32 file, size_t *ret_count)
{
	size_t low = 0, high = n, count = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (v[middle].file < file)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + count < n && v[low + count].file == file)
		count++;
	*ret_count = count;
	return count ? &v[low] : NULL;
}

const struct file_use *names_uses(const struct names *names, u32 file, size_t *ret_count)
{
	return find_uses(names->uses.v, names->uses.n, file, ret_count);
}

const struct file_use *names_anons(const struct names *names, u32 anon, size_t *ret_count)
{
	return find_uses(names->anons.v, names->anons.n, anon, ret_count);
}

/* The first string of an object that is not empty: the path of a file, the name of a socket. */
static const char *first_string(const struct object *o)
{
	for (unsigned i = 0; !o->kind->record_size && i < o->kind->desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &o->kind->desc->fields[i];
		if (f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED || !field_count(f, o->data))
			continue;
		const char *string = field_string(f, field_value(f, o->data, 0));
		if (*string)
			return string;
	}
	return NULL;
}

const struct object *names_rest(const struct names *names, u32 id)
{
	const Ckpt__File *file = graph_data(names->graph, &kind_file, id);
	for (size_t i = 0; file && file->kind && i < names->kinds.n; i++)
		if (*names->kinds.v[i]->name == *file->kind && !strcmp(names->kinds.v[i]->name, file->kind))
			return graph_find(names->graph, names->kinds.v[i], id);
	return NULL;
}

void names_file(struct text *t, const struct names *names, u32 id)
{
	const Ckpt__File *file = names ? graph_data(names->graph, &kind_file, id) : NULL;
	if (!file || !file->kind)
		return text_addf(t, "file %u", id);
	const struct object *rest = names_rest(names, id);
	const char *name = rest ? first_string(rest) : NULL;
	if (!name)
		name = file->link && *file->link ? file->link : NULL;
	/* A link such as "pipe:[7]" names the kind by itself; "": no resource claimed the file. */
	bool kind = *file->kind && (!name || strncmp(name, file->kind, strlen(file->kind)));
	if (kind)
		text_add_shown(t, file->kind);
	text_adds(t, kind && name ? " " : "");
	if (name || !*file->kind)
		text_add_shown(t, name ? name : "unknown");
}

void text_add_size(struct text *t, u64 bytes)
{
	const char *unit = "BKMGTPE";
	u64 rest = 0;
	for (; bytes >= 1024 && unit[1]; unit++) {
		rest = bytes % 1024;
		bytes /= 1024;
	}
	if (bytes < 10 && rest >= 103)
		text_addf(t, "%llu.%llu%c", (unsigned long long)bytes, (unsigned long long)(rest * 10 / 1024), *unit);
	else
		text_addf(t, "%llu%c", (unsigned long long)bytes, *unit);
}
