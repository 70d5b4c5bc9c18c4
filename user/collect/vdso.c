// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns reading a vDSO: an ELF image of another process, so nothing in it is trusted. */
#include "collect/vdso.h"
#include "arch/arch.h"
#include "base/elf.h"
#include <elf.h>

struct image {
	const u8 *bytes;
	size_t len;
	const Elf64_Sym *symbols;
	const char *strings;
	const u16 *versions;
	size_t strings_len, nsymbols;
	const Elf64_Verdef *verdef;
	size_t nverdef;
};

static const void *image_at(const struct image *i, u64 offset, u64 len)
{
	return offset <= i->len && len <= i->len - offset ? i->bytes + offset : NULL;
}

static const char *image_string(const struct image *i, u64 offset)
{
	return offset < i->strings_len && memchr(i->strings + offset, 0, i->strings_len - offset) ? i->strings + offset : NULL;
}

static int find_tables(struct image *i, const Elf64_Ehdr *header)
{
	const Elf64_Shdr *sections = image_at(i, header->e_shoff, (u64)header->e_shnum * sizeof *sections);
	if (!sections || header->e_shentsize != sizeof *sections)
		return -EBADMSG;
	for (unsigned s = 0; s < header->e_shnum; s++) {
		const Elf64_Shdr *h = &sections[s];
		const void *data = image_at(i, h->sh_offset, h->sh_size);
		if (!data)
			continue;
		if (h->sh_type == SHT_DYNSYM && h->sh_link < header->e_shnum) {
			i->symbols = data;
			i->nsymbols = h->sh_size / sizeof(Elf64_Sym);
			const Elf64_Shdr *strings = &sections[h->sh_link];
			i->strings = image_at(i, strings->sh_offset, strings->sh_size);
			i->strings_len = i->strings ? strings->sh_size : 0;
		} else if (h->sh_type == SHT_GNU_versym) {
			i->versions = data;
		} else if (h->sh_type == SHT_GNU_verdef) {
			i->verdef = data;
			i->nverdef = h->sh_size / sizeof(Elf64_Verdef);
		}
	}
	return i->symbols ? 0 : -EBADMSG;
}

static int find_build_id(Ckpt__Vdso *m, const struct image *i)
{
	const u8 *id;
	size_t len;
	if (!elf_build_id(i->bytes, i->len, &id, &len))
		return 0;
	m->has_build_id = message_set_bytes(&m->build_id, id, len);
	return m->has_build_id ? 0 : -ENOMEM;
}

static const char *version_name(const struct image *i, size_t symbol)
{
	const u16 *version = i->versions ? image_at(i, (u64)((const u8 *)(i->versions + symbol) - i->bytes), 2) : NULL;
	if (!version || !i->verdef)
		return "";
	const u8 *at = (const u8 *)i->verdef;
	for (int guard = 0; guard < 64; guard++) {
		u64 offset = (u64)(at - i->bytes);
		const Elf64_Verdef *def = image_at(i, offset, sizeof *def);
		const Elf64_Verdaux *aux = def ? image_at(i, offset + def->vd_aux, sizeof *aux) : NULL;
		if (!aux)
			return "";
		if (def->vd_ndx == (*version & 0x7fff))
			return image_string(i, aux->vda_name) ?: "";
		if (!def->vd_next)
			return "";
		at += def->vd_next;
	}
	return "";
}

static int add_symbol(Ckpt__Vdso *m, const struct image *i, size_t n)
{
	const Elf64_Sym *symbol = &i->symbols[n];
	const char *name = image_string(i, symbol->st_name);
	if (!name || !*name || symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS)
		return 0;
	Ckpt__VdsoSymbol *s = MESSAGE_NEW(Ckpt__VdsoSymbol, ckpt__vdso_symbol);
	if (!s || !message_set_string(&s->name, name) || !message_set_string(&s->version, version_name(i, n)) ||
	    !MESSAGE_APPEND(&m->n_symbol, &m->symbol, s))
		return -ENOMEM;
	SET(s, value, symbol->st_value);
	SET(s, size, symbol->st_size);
	return 0;
}

static int add_part(Ckpt__Vdso *m, const struct record_vma *v, u64 base)
{
	Ckpt__VdsoPart *part = MESSAGE_NEW(Ckpt__VdsoPart, ckpt__vdso_part);
	if (!part || !message_set_string(&part->name, v->name) || !MESSAGE_APPEND(&m->n_part, &m->part, part))
		return -ENOMEM;
	SET(part, size, v->end - v->start);
	SET(part, offset, (s64)(v->start - base));
	return 0;
}

int vdso_describe(Ckpt__Vdso *m, const struct record_vma *vmas, size_t count, const void *image, size_t len)
{
	struct image i = { .bytes = image, .len = len };
	const Elf64_Ehdr *header = image_at(&i, 0, sizeof *header);
	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64)
		return -EBADMSG;
	int r = find_tables(&i, header);
	if (r == 0)
		r = find_build_id(m, &i);
	if (r == 0 && !(m->has_code = message_set_bytes(&m->code, image, len)))
		r = -ENOMEM;
	for (size_t n = 1; r == 0 && n < i.nsymbols; n++)
		r = add_symbol(m, &i, n);
	u64 base = 0;
	for (size_t v = 0; v < count; v++)
		if (!strcmp(vmas[v].name, "[vdso]"))
			base = vmas[v].start;
	for (size_t v = 0; r == 0 && v < count; v++)
		if (!strcmp(vmas[v].name, "[vdso]") || !strncmp(vmas[v].name, "[vvar", 5))
			r = add_part(m, &vmas[v], base);
	return r;
}

u64 vdso_symbol(const Ckpt__Vdso *m, const char *name)
{
	for (size_t i = 0; i < m->n_symbol; i++)
		if (!strcmp(m->symbol[i]->name, name))
			return m->symbol[i]->value;
	return 0;
}

/* An image may leave out what it likes. */
static bool same_name(const char *a, const char *b) { return a && b && !strcmp(a, b); }

static bool same_symbol(const Ckpt__VdsoSymbol *a, const Ckpt__VdsoSymbol *b)
{
	return a->value == b->value && a->size == b->size && same_name(a->name, b->name) && same_name(a->version, b->version);
}

static bool same_part(const Ckpt__VdsoPart *a, const Ckpt__VdsoPart *b)
{
	return a->size == b->size && a->offset == b->offset && same_name(a->name, b->name);
}

static bool has_part(const Ckpt__Vdso *v, const Ckpt__VdsoPart *part)
{
	for (size_t i = 0; i < v->n_part; i++)
		if (same_part(v->part[i], part))
			return true;
	return false;
}

bool vdso_same(const Ckpt__Vdso *a, const Ckpt__Vdso *kernels)
{
	bool same = a->build_id.len && a->build_id.len == kernels->build_id.len &&
		    !memcmp(a->build_id.data, kernels->build_id.data, a->build_id.len) && a->n_symbol == kernels->n_symbol;
	for (size_t i = 0; same && i < a->n_symbol; i++)
		same = same_symbol(a->symbol[i], kernels->symbol[i]);
	for (size_t i = 0; same && i < a->n_part; i++)
		same = has_part(kernels, a->part[i]);
	return same;
}

/* The entry of the same name and version, NULL when there is none. */
static const Ckpt__VdsoSymbol *find_entry(const Ckpt__Vdso *in, const Ckpt__VdsoSymbol *like)
{
	for (size_t i = 0; in && i < in->n_symbol; i++)
		if (same_name(in->symbol[i]->name, like->name) && same_name(in->symbol[i]->version, like->version))
			return in->symbol[i];
	return NULL;
}

static int redirect_entry(u8 *code, const Ckpt__Vdso *old, const Ckpt__VdsoSymbol *from, const Ckpt__VdsoSymbol *to, u64 base)
{
	u8 entry[ARCH_ENTRY_MAX], call[ARCH_ENTRY_MAX];
	if (!from->name || from->value > old->code.len || from->size > old->code.len - from->value)
		return -ENOSPC;
	size_t calling = arch_entry_call(call, from->name);
	size_t jumping = to ? arch_entry_jump(entry, code + from->value, from->size, base + to->value) : 0;
	if (!calling && (!to || jumping > from->size)) /* it asks nothing of its kernel */
		return 0;
	if ((to ? jumping : calling) > from->size)
		return -ENOSPC;
	memcpy(code + from->value, to ? entry : call, to ? jumping : calling);
	return 0;
}

/* Of the names of one entry some may be in both vDSOs and others not: jumps are written over calls. */
int vdso_redirect(u8 *code, const Ckpt__Vdso *old, const Ckpt__Vdso *other, u64 base, const char **ret_symbol)
{
	int r = 0;
	for (int jumps = 0; r == 0 && jumps < 2; jumps++)
		for (size_t i = 0; r == 0 && i < old->n_symbol; i++) {
			const Ckpt__VdsoSymbol *to = find_entry(other, old->symbol[i]);
			*ret_symbol = old->symbol[i]->name ?: "an entry without a name";
			if ((to != NULL) == jumps)
				r = redirect_entry(code, old, old->symbol[i], to, base);
		}
	return r;
}
