// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the tables that a terminal shows for the records of the spine. */
#include "arch/arch.h"
#include "model/field.h"
#include "model/names.h"
#include "record.h"
#include <sys/mman.h>

enum { MOST_SHARERS = 5 };

static const struct {
	u32 flag;
	const char *name;
} vma_flags[] = {
	{ VMA_GROWSDOWN, "growsdown" },
	{ VMA_LOCKED, "locked" },
	{ VMA_LOCKONFAULT, "lockonfault" },
	{ VMA_DONTFORK, "dontfork" },
	{ VMA_WIPEONFORK, "wipeonfork" },
	{ VMA_DONTDUMP, "dontdump" },
	{ VMA_HUGEPAGE, "hugepage" },
	{ VMA_NOHUGEPAGE, "nohugepage" },
	{ VMA_MERGEABLE, "mergeable" },
	{ VMA_SEQUENTIAL, "sequential" },
	{ VMA_RANDOM, "random" },
	{ VMA_NORESERVE, "noreserve" },
	{ VMA_HUGETLB, "hugetlb" },
	{ VMA_IO, "io" },
	{ VMA_PFNMAP, "pfnmap" },
	{ VMA_SEALED, "sealed" },
	{ VMA_DROPPABLE, "droppable" },
	{ VMA_UFFD_MISSING, "uffd-missing" },
	{ VMA_UFFD_WP, "uffd-wp" },
	{ VMA_UFFD_MINOR, "uffd-minor" },
	{ VMA_SHADOW_STACK, "shadow-stack" },
};

void text_add_vma_flags(struct text *t, u32 flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(vma_flags); i++)
		if (flags & vma_flags[i].flag)
			text_addf(t, " %s", vma_flags[i].name);
	if (flags >> VMA_PKEY_SHIFT)
		text_addf(t, " pkey=%u", flags >> VMA_PKEY_SHIFT);
}

/* Whom private memory is still shared with since a fork. */
static void add_cow(struct text *t, const struct names *names, u32 mm, u32 anon)
{
	size_t n = 0, shown = 0;
	const struct file_use *use = names && anon ? names_anons(names, anon, &n) : NULL;
	for (size_t i = 0; i < n && shown < MOST_SHARERS; i++)
		if (use[i].table != mm && (i == 0 || use[i].table != use[i - 1].table))
			text_addf(t, "%s %u", shown++ ? "" : " copy-on-write with", use[i].table);
}

static void print_vma(struct text *t, const struct names *names, u32 mm, const struct vma *v)
{
	text_addf(t, "%012llx-%012llx ", (unsigned long long)v->start, (unsigned long long)v->end);
	size_t before = t->len;
	text_add_size(t, v->end - v->start);
	text_addf(t, "%*s%c%c%c%c ", MAX(1, 7 - (int)(t->len - before)), "", v->prot & PROT_READ ? 'r' : '-',
		  v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-', v->flags & VMA_SHARED ? 's' : 'p');
	if (v->file) {
		names_file(t, names, v->file);
		text_addf(t, "+0x%llx", (unsigned long long)v->pgoff);
		if (v->flags & VMA_SHARED)
			text_addf(t, " (file %u)", v->file);
	}
	if (v->name[0]) {
		text_adds(t, v->file ? " " : "");
		text_add_shown(t, v->name);
	} else if (!v->file) {
		text_adds(t, v->flags & VMA_ANONYMOUS ? "anonymous" : "unknown");
	}
	text_adds(t, v->prot & ARCH_PROT_BTI ? " bti" : "");
	text_adds(t, v->prot & ARCH_PROT_MTE ? " tagged" : "");
	text_add_vma_flags(t, v->flags);
	add_cow(t, names, mm, v->anon);
	text_adds(t, "\n");
}

static void print_vmas(struct text *t, const struct names *names, const struct object *o)
{
	for (u32 i = 0; i < o->count; i++)
		print_vma(t, names, o->id, object_record(o, i));
}

static void print_pages(struct text *t, _unused_ const struct names *names, const struct object *o)
{
	u64 bytes = 0, inherited = 0, guards = 0;
	for (u32 i = 0; i < o->count; i++) {
		const struct page_run *run = object_record(o, i);
		*(run->flags & PAGES_INHERITED ? &inherited : run->flags & PAGES_GUARD ? &guards : &bytes) += run->len;
	}
	text_addf(t, "%u runs, ", o->count);
	text_add_size(t, bytes);
	if (guards) {
		text_adds(t, ", guards: ");
		text_add_size(t, guards);
	}
	if (inherited) {
		text_adds(t, " and ");
		text_add_size(t, inherited);
		text_adds(t, " shared with the parent by copy-on-write");
	}
	text_adds(t, "\n");
}

static void print_fds(struct text *t, const struct names *names, const struct object *o)
{
	for (u32 i = 0; i < o->count; i++) {
		const struct fd_entry *entry = object_record(o, i);
		text_addf(t, "%4u %-7s file %-4u ", entry->fd, entry->cloexec ? "cloexec" : "", entry->file);
		names_file(t, names, entry->file);
		size_t n = 0, shown = 0;
		const struct file_use *use = names ? names_uses(names, entry->file, &n) : NULL;
		for (size_t k = 0; k < n && shown < MOST_SHARERS; k++)
			if (use[k].table != o->id || use[k].fd != entry->fd)
				text_addf(t, "%s%u:%u", shown++ ? " " : "  (shared with ", use[k].table, use[k].fd);
		text_adds(t, shown ? n - 1 > shown ? " ...)\n" : ")\n" : "\n");
	}
}

static const struct {
	const ProtobufCMessageDescriptor *desc;
	void (*print)(struct text *, const struct names *, const struct object *);
} tables[] = {
	{ &vma_descriptor, print_vmas },
	{ &page_run_descriptor, print_pages },
	{ &fd_entry_descriptor, print_fds },
};

bool records_print(struct text *t, const struct names *names, const struct object *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i].desc == o->kind->desc)
			return tables[i].print(t, names, o), true;
	return false;
}
