// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the form in which records are compared: the kernel may split and join mappings as it likes. */
#include "model/field.h"
#include "model/records.h"

static void vma_normalize(void *record)
{
	struct vma *v = record;
	if (!v->file)
		v->pgoff = 0;           /* of private anonymous memory it is where it once was mapped */
	if (!strcmp(v->name, "[heap]")) /* brk tells; one that follows data without a gap has become one mapping with them */
		memset(v->name, 0, sizeof v->name);
}

static bool vma_join(void *into, const void *next)
{
	struct vma *a = into;
	const struct vma *b = next;
	if (a->end != b->start || a->prot != b->prot || a->flags != b->flags || a->file != b->file || strcmp(a->name, b->name))
		return false;
	if (a->file && a->pgoff + (a->end - a->start) != b->pgoff)
		return false;
	a->end = b->end;
	return true;
}

static bool run_join(void *into, const void *next)
{
	struct page_run *a = into;
	const struct page_run *b = next;
	if (a->start + a->len != b->start)
		return false;
	a->len += b->len;
	return true;
}

static const struct merger {
	const ProtobufCMessageDescriptor *desc;
	void (*normalize)(void *record);
	bool (*join)(void *into, const void *next); /* true: next is now part of into */
} mergers[] = {
	{ &vma_descriptor, vma_normalize, vma_join },
	{ &page_run_descriptor, NULL, run_join },
	{ NULL, NULL, NULL },
};

int records_merge(const struct object *o, struct merged *ret)
{
	size_t size = o->kind->record_size;
	const struct merger *m = mergers;
	while (m->desc && m->desc != o->kind->desc)
		m++;
	char *v = malloc(o->count ? o->count * size : 1);
	if (!v)
		return -ENOMEM;
	size_t n = 0;
	for (u32 i = 0; i < o->count; i++) {
		char *record = memcpy(v + n * size, object_record(o, i), size);
		if (m->normalize)
			m->normalize(record);
		if (n == 0 || !m->join || !m->join(record - size, record))
			n++;
	}
	*ret = (struct merged){ v, n };
	return 0;
}
