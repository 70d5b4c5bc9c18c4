// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns turning the mapping programs' streams into facts: what the bits of vm_flags mean, and the names of /proc/PID/maps. */
#include "collect/bpf_internal.h"
#include "arch/arch.h"
#include <stdio.h>
#include <sys/mman.h>

#define CHUNKS_MAX (1u << 16) /* 4 million mappings: a list that does not end is one that changes */

/* vm_flags below bit 32 have kept their numbers from before 5.10 on (enum VMA_*_BIT since 7.2); the higher ones have not
 * and are calibrated. MAP_SHARED of a file that is open for reading has VM_MAYSHARE (7) but not VM_SHARED (3). */
static const struct {
	u32 bit, flag;
} flag_rows[] = {
	{ 7, VMA_SHARED },       { 5, VMA_MAYWRITE },    { 7, VMA_MAYSHARE },     { 8, VMA_GROWSDOWN }, { 10, VMA_PFNMAP },
	{ 9, VMA_UFFD_MISSING }, { 12, VMA_UFFD_WP },    { 13, VMA_LOCKED },      { 14, VMA_IO },       { 15, VMA_SEQUENTIAL },
	{ 16, VMA_RANDOM },      { 17, VMA_DONTFORK },   { 19, VMA_LOCKONFAULT }, { 20, VMA_ACCOUNT },  { 21, VMA_NORESERVE },
	{ 22, VMA_HUGETLB },     { 25, VMA_WIPEONFORK }, { 26, VMA_DONTDUMP },    { 29, VMA_HUGEPAGE }, { 30, VMA_NOHUGEPAGE },
	{ 31, VMA_MERGEABLE },
};

static u32 flags_known(const struct record_config *config)
{
	u32 known = VMA_ANONYMOUS | VMA_SPECIAL;

	for (size_t i = 0; i < ARRAY_SIZE(flag_rows); i++)
		known |= flag_rows[i].flag;
	if (config->calibrated)
		known |= VMA_SEALED | VMA_DROPPABLE | VMA_UFFD_MINOR | 0xfu << VMA_PKEY_SHIFT;
	return known;
}

u32 bpf_vma_flags(u64 vm_flags)
{
	u32 flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_rows); i++)
		if (vm_flags & 1ull << flag_rows[i].bit)
			flags |= flag_rows[i].flag;
	return flags;
}

static u32 decode_flags(const struct record_vma_raw *raw, const struct record_config *config)
{
	u32 flags = bpf_vma_flags(raw->vm_flags);

	if (raw->vm_flags & config->sealed_mask)
		flags |= VMA_SEALED;
	if (raw->vm_flags & config->droppable_mask)
		flags |= VMA_DROPPABLE;
	if (config->pkey_mask)
		flags |= (u32)((raw->vm_flags & config->pkey_mask) / (config->pkey_mask & -config->pkey_mask))
			 << VMA_PKEY_SHIFT;
	if (raw->vm_flags & config->minor_mask)
		flags |= VMA_UFFD_MINOR;
	if (raw->ops_id && raw->vma.name[0])
		flags |= VMA_SPECIAL;
	if (!raw->vma.file_id && !(flags & VMA_SHARED))
		flags |= VMA_ANONYMOUS;
	return flags;
}

/* VM_READ, VM_WRITE and VM_EXEC have the values of PROT_*. */
static u32 decode_prot(const struct record_vma_raw *raw, const struct record_config *config)
{
	u32 prot = (u32)(raw->vm_flags & (PROT_READ | PROT_WRITE | PROT_EXEC));

	if (raw->vm_flags & ARCH_VM_BTI)
		prot |= ARCH_PROT_BTI;
	if (raw->vm_flags & config->tagged_mask)
		prot |= ARCH_PROT_MTE;
	return prot;
}

#define ANON "[anon:"
#define ANON_SHMEM "[anon_shmem:"

/* The names that /proc/PID/maps gives to what has no file. */
static void decode_name(const struct record_vma_raw *raw, struct record_vma *v)
{
	if (raw->anon_name)
		snprintf(v->name, sizeof(v->name), v->file_id ? ANON_SHMEM "%.*s]" : ANON "%.*s]",
			 (int)(sizeof(v->name) - sizeof(ANON_SHMEM) - 1), raw->vma.name);
	else if (v->file_id || v->name[0])
		return;
	else if (v->start < raw->brk && v->end > raw->start_brk)
		strcpy(v->name, "[heap]");
	else if (v->start <= raw->start_stack && v->end >= raw->start_stack)
		strcpy(v->name, "[stack]");
}

static void decode(const struct record_vma_raw *raw, const struct record_config *config, u32 tgid, struct record_vma *v)
{
	*v = raw->vma;
	v->tgid = tgid;
	v->pgoff = v->file_id ? v->pgoff * PAGE_BYTES : 0;
	v->prot = decode_prot(raw, config);
	v->flags = decode_flags(raw, config);
	v->flags_known = flags_known(config);
	v->dev_major = raw->dev >> 20;
	v->dev_minor = raw->dev & 0xfffff;
	decode_name(raw, v);
}

static int add_vmas(struct facts *facts, const struct record_config *config, const struct text *stream)
{
	struct bpf_reader reader = { .at = stream->data, .end = stream->data + stream->len };
	u64 signal_id = 0, end = 0;
	struct record_vma_raw raw;
	u32 tgid = 0;
	int r;

	while ((r = bpf_next(&reader)) > 0) {
		if (reader.tag != RECORD_VMA || reader.len != sizeof(raw))
			return -EBADMSG;
		memcpy(&raw, reader.data, sizeof(raw));
		if (raw.signal_id != signal_id)
			tgid = bpf_process_of(facts, raw.signal_id);
		else if (raw.vma.start < end) /* the mm changed below the iterator, or it goes round */
			return -EAGAIN;
		signal_id = raw.signal_id;
		end = raw.vma.end;
		if (!tgid)
			continue;
		struct record_vma *new = vector_add(&facts->vmas);
		if (!new)
			return -ENOMEM;
		decode(&raw, config, tgid, new);
	}
	return r;
}

static int walk_lists(struct bpf_walker *w, struct text *out, u32 tgid, u64 signal_id)
{
	w->config->only = signal_id;
	w->config->cursor = 0;
	for (u32 i = 0; i < CHUNKS_MAX; i++) {
		int r = bpf_run_process(w, tgid, out);
		if (r < 0 || !w->config->cursor)
			return r;
	}
	return -EAGAIN;
}

/* Before 5.12 there is no iterator over mappings. */
static int run_lists(struct bpf_walker *w, const struct facts *facts, struct text *out)
{
	int r = bpf_lock(w);
	if (r < 0)
		return r;
	for (size_t i = 0; i < facts->tasks.n && r == 0; i++) {
		const struct record_task *t = &facts->tasks.v[i];
		if (facts_leads(facts, i) && t->mm_id)
			r = walk_lists(w, out, t->tgid, t->signal_id);
	}
	bpf_unlock(w);
	return r;
}

static int by_process_and_address(const void *left, const void *right)
{
	const struct record_vma *a = left, *b = right;
	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	return a->start < b->start ? -1 : a->start > b->start;
}

static int run_vmas(struct bpf_source *source, struct facts *facts, const struct tree *tree, struct text *out,
		    const struct record_config **ret_config)
{
	struct bpf_walker *w;
	int r = bpf_source_walker(source, BPF_VMA, &w);
	if (r == 0) {
		*ret_config = w->config;
		return bpf_run_tree(w, tree, out);
	}
	r = bpf_source_walker(source, BPF_VMA_LIST, &w);
	if (r < 0)
		return r;
	if (!tree->frozen_at) /* nothing holds the list */
		return -EOPNOTSUPP;
	*ret_config = w->config;
	return run_lists(w, facts, out);
}

int bpf_vmas(struct bpf_source *source, struct facts *facts, struct tree *tree)
{
	const struct record_config *config = NULL;
	_cleanup_text_ struct text stream = { 0 };
	size_t before = facts->vmas.n;

	int r = run_vmas(source, facts, tree, &stream, &config);
	if (r == 0)
		r = add_vmas(facts, config, &stream);
	if (r < 0) {
		facts->vmas.n = before;
		return r;
	}
	if (facts->vmas.n)
		qsort(facts->vmas.v, facts->vmas.n, sizeof(*facts->vmas.v), by_process_and_address);
	facts->have_vmas = true;
	return 0;
}
