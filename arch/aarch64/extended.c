// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question whether the extended registers of a thread fit this processor: sets that it has no registers for. */
#include "arch/arch.h"
#include <elf.h>
#include <stdio.h>

#ifndef NT_ARM_PACA_KEYS
#define NT_ARM_PACA_KEYS 0x407
#define NT_ARM_PACG_KEYS 0x408
#endif

static const char *name_of(u32 note)
{
	if (note == NT_ARM_SVE)
		return "SVE";
	if (note == NT_ARM_PACA_KEYS || note == NT_ARM_PACG_KEYS)
		return "pointer authentication";
	return NULL; /* every processor has it, or its kernel says what it thinks of it */
}

/* Sets lie one behind the other: u32 note, u32 length, registers. */
enum arch_fit arch_extended_fit(const void *data, size_t len, char *ret, size_t room)
{
	int notes[ARCH_NOTES_MAX];
	size_t count = arch_extended_notes(notes);
	for (size_t at = 0; at + 8 <= len;) {
		u32 head[2];
		bool has = false;
		memcpy(head, (const char *)data + at, sizeof head);
		for (size_t i = 0; i < count; i++)
			has |= (u32)notes[i] == head[0];
		if (!has && name_of(head[0])) {
			snprintf(ret, room, "%s", name_of(head[0]));
			return ARCH_FIT_LACKS;
		}
		at += sizeof head + head[1];
	}
	return ARCH_FIT_SAME;
}

size_t arch_extended_convert(void *ret, const void *data, size_t len)
{
	memcpy(ret, data, len);
	return len;
}
