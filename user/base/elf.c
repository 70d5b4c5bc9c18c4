// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for a build-id in the notes of an ELF image, and for its end. */
#include "base/elf.h"
#include <elf.h>

struct image {
	const u8 *bytes;
	size_t len;
};

static const void *image_at(const struct image *i, u64 offset, u64 len)
{
	return offset <= i->len && len <= i->len - offset ? i->bytes + offset : NULL;
}

static bool find_in_notes(const struct image *i, u64 at, u64 end, const u8 **ret, size_t *ret_len)
{
	while (at < end) {
		Elf64_Nhdr note;
		const void *header = image_at(i, at, sizeof note);
		if (!header)
			return false;
		memcpy(&note, header, sizeof note);
		u64 desc = at + sizeof note + ALIGN_UP((u64)note.n_namesz, 4u);
		const void *name = image_at(i, at + sizeof note, note.n_namesz), *data = image_at(i, desc, note.n_descsz);
		if (!name || !data)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(name, "GNU", 4)) {
			*ret = data;
			*ret_len = note.n_descsz;
			return note.n_descsz > 0;
		}
		at = desc + ALIGN_UP((u64)note.n_descsz, 4u);
	}
	return false;
}

bool elf_build_id(const void *bytes, size_t len, const u8 **ret, size_t *ret_len)
{
	const struct image i = { bytes, len };
	Elf64_Ehdr header;
	const void *first = image_at(&i, 0, sizeof header);
	if (!first || memcmp(first, ELFMAG, SELFMAG))
		return false;
	memcpy(&header, first, sizeof header);
	for (unsigned p = 0; header.e_phentsize == sizeof(Elf64_Phdr) && p < header.e_phnum; p++) {
		Elf64_Phdr segment;
		const void *at = image_at(&i, header.e_phoff + p * sizeof segment, sizeof segment);
		if (!at)
			return false;
		memcpy(&segment, at, sizeof segment);
		u64 end = segment.p_offset + segment.p_filesz;
		if (segment.p_type == PT_NOTE && end >= segment.p_offset &&
		    find_in_notes(&i, segment.p_offset, end, ret, ret_len))
			return true;
	}
	return false;
}

u64 elf_image_bytes(const void *image, size_t len)
{
	Elf64_Ehdr elf;
	if (len < sizeof elf)
		return 0;
	memcpy(&elf, image, sizeof elf);
	u64 table = (u64)elf.e_shnum * elf.e_shentsize;
	bool is_elf = !memcmp(elf.e_ident, ELFMAG, SELFMAG) && elf.e_ident[EI_CLASS] == ELFCLASS64;
	return is_elf && elf.e_shoff && elf.e_shoff <= len && table <= len - elf.e_shoff ? elf.e_shoff + table : 0;
}
