// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the extended registers: which sets there are, how much of each is in use, and whether those of an image fit this processor. */
#include "arch/arch.h"
#include <asm/hwcap.h>
#include <elf.h>
#include <stdio.h>
#include <sys/auxv.h>

/* linux/elf.h, asm/hwcap.h; what the C library does not name yet */
#ifndef NT_ARM_PACA_KEYS
#define NT_ARM_PACA_KEYS 0x407
#define NT_ARM_PACG_KEYS 0x408
#endif
#ifndef NT_ARM_TAGGED_ADDR_CTRL
#define NT_ARM_TAGGED_ADDR_CTRL 0x409
#endif
#ifndef NT_ARM_PAC_ENABLED_KEYS
#define NT_ARM_PAC_ENABLED_KEYS 0x40a
#endif
#ifndef NT_ARM_SSVE
#define NT_ARM_SSVE 0x40b
#define NT_ARM_ZA 0x40c
#endif
#ifndef NT_ARM_ZT
#define NT_ARM_ZT 0x40d
#endif
#ifndef NT_ARM_FPMR
#define NT_ARM_FPMR 0x40e
#endif
#ifndef NT_ARM_POE
#define NT_ARM_POE 0x40f
#endif
#ifndef HWCAP2_SME
#define HWCAP2_SME (1ul << 23)
#endif
#ifndef HWCAP2_SME2
#define HWCAP2_SME2 (1ul << 37)
#endif
#ifndef HWCAP2_FPMR
#define HWCAP2_FPMR (1ul << 48)
#endif
#ifndef HWCAP2_POE
#define HWCAP2_POE (1ul << 63)
#endif

/* The extended state as it is put one set behind the other. Of the two vector sets the one of the mode that the thread is in is
 * written last: writing one selects its mode (Documentation/arch/arm64/sme.rst). What only newer kernels have is optional where
 * an older one has no such state. */
static const struct {
	struct arch_note note;
	const char *name;        /* of the feature that its registers belong to */
	unsigned long cap, cap2; /* of AT_HWCAP, AT_HWCAP2: with either there is the set; none: every processor has it */
} sets[] = {
	{ { NT_ARM_TLS }, "thread pointers" },
	{ { NT_PRFPREG }, "FPSIMD" }, /* where there is no SVE, whose set has these too */
	{ { NT_ARM_SVE }, "SVE", HWCAP_SVE },
	{ { NT_ARM_ZA }, "SME", .cap2 = HWCAP2_SME },
	{ { NT_ARM_ZT }, "SME2", .cap2 = HWCAP2_SME2 },
	{ { NT_ARM_SSVE }, "SME", .cap2 = HWCAP2_SME },
	{ { NT_ARM_FPMR }, "FPMR", .cap2 = HWCAP2_FPMR },
	{ { NT_ARM_POE }, "permission overlays", .cap2 = HWCAP2_POE },
	{ { NT_ARM_PACA_KEYS }, "pointer authentication", HWCAP_PACA },
	{ { NT_ARM_PACG_KEYS }, "pointer authentication", HWCAP_PACG },
	{ { NT_ARM_PAC_ENABLED_KEYS, .optional = true },
	  "pointer authentication",
	  HWCAP_PACA }, /* before 5.13 no key can be off */
	{ { NT_ARM_TAGGED_ADDR_CTRL, .optional = true }, "tagged addresses" },
};

static bool is_here(size_t set)
{
	unsigned long cap = sets[set].cap, cap2 = sets[set].cap2, has = getauxval(AT_HWCAP);
	if (sets[set].note.type == NT_PRFPREG)
		return !(has & HWCAP_SVE);
	return (!cap && !cap2) || has & cap || getauxval(AT_HWCAP2) & cap2;
}

size_t arch_extended_notes(struct arch_note ret[ARCH_NOTES_MAX])
{
	size_t n = 0;
	_Static_assert(ARRAY_SIZE(sets) <= ARCH_NOTES_MAX, "room");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (is_here(i))
			ret[n++] = sets[i].note;
	return n;
}

/* asm/ptrace.h: struct user_sve_header, and user_za_header with the same fields. */
struct vector_header {
	u32 size, max_size;
	u16 vl, max_vl, flags, reserved;
};
#define VECTOR_IN_USE 1 /* SVE_PT_REGS_SVE; of the streaming set: the thread is in that mode */

/* Registers that are written are turned on: those that are off are left out (ZT0 is zero then, and when ZA is turned on). */
size_t arch_note_used(int note, const void *data, size_t len)
{
	static const u8 zero[64];
	struct vector_header header;
	if (note == NT_ARM_ZT)
		return len == sizeof zero && !memcmp(data, zero, len) ? 0 : len;
	if ((note != NT_ARM_SVE && note != NT_ARM_SSVE && note != NT_ARM_ZA) || len < sizeof header)
		return len;
	memcpy(&header, data, sizeof header);
	if (note == NT_ARM_SSVE && !(header.flags & VECTOR_IN_USE))
		return 0;
	/* of a mode that the thread is not in, 6.18 gives the size of a pointer */
	return MAX((size_t)header.size, sizeof header);
}

void arch_note_settle(int note _unused_, void *data _unused_, size_t len _unused_, struct arch_components *known _unused_) {}

/* SVE takes 9 KiB and as much in streaming mode when vectors have 2048 bits, ZA 64 KiB. */
size_t arch_extended_size(void) { return getauxval(AT_HWCAP2) & HWCAP2_SME ? 98304 : 16384; }

#define ALL_KEYS 0xf    /* of PR_PAC_SET_ENABLED_KEYS */
#define OVERLAY_NEW 0x7 /* POR_EL0: all is allowed by key 0, nothing by others */

bool arch_note_idle(int note, const void *data, size_t len)
{
	u64 word;
	if (note == NT_ARM_ZA)
		return len == sizeof(struct vector_header);
	if (len != sizeof word)
		return false;
	memcpy(&word, data, sizeof word);
	switch (note) {
	case NT_ARM_PAC_ENABLED_KEYS:
		return word == ALL_KEYS;
	case NT_ARM_POE:
		return word == OVERLAY_NEW;
	case NT_ARM_FPMR:
	case NT_ARM_TAGGED_ADDR_CTRL:
		return word == 0;
	default:
		return false;
	}
}

static bool is_zero(const void *data, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (((const u8 *)data)[i])
			return false;
	return true;
}

/* One of the sets of a state, which lie one behind the other: u32 note, u32 length, registers. at NULL: it has none. */
struct set {
	const void *at;
	size_t len;
};

static struct set find_set(const void *data, size_t len, u32 note)
{
	u32 head[2];
	for (size_t at = 0; at + sizeof head <= len; at += head[1]) {
		memcpy(head, (const char *)data + at, sizeof head);
		at += sizeof head;
		if (head[0] == note && head[1] <= len - at)
			return (struct set){ (const char *)data + at, head[1] };
	}
	return (struct set){ 0 };
}

/* Before Linux 6.2 there is one thread pointer in its set, then two. */
static bool is_same_set(u32 note, struct set a, struct set b)
{
	size_t both = MIN(a.len, b.len);
	bool fits = a.len == b.len || (note == NT_ARM_TLS && is_zero(a.at, both, a.len) && is_zero(b.at, both, b.len));
	return fits && !memcmp(a.at, b.at, both);
}

static bool is_missed(u32 note, struct set set) { return set.at && !arch_note_idle((int)note, set.at, set.len); }

bool arch_extended_same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		u32 note = (u32)sets[i].note.type;
		struct set in_a = find_set(a, a_len, note), in_b = find_set(b, b_len, note);
		bool both = in_a.at && in_b.at;
		if (both ? !is_same_set(note, in_a, in_b) : is_missed(note, in_a) || is_missed(note, in_b))
			return false;
	}
	return true;
}

static bool fits(u32 note, const void *data, size_t len, const char **ret_name)
{
	if (note == NT_ARM_TLS && len > sizeof(u64) && !is_zero(data, sizeof(u64), len)) { /* TPIDR2_EL0 */
		*ret_name = "SME";
		return getauxval(AT_HWCAP2) & HWCAP2_SME;
	}

	*ret_name = "unknown registers";
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		if ((u32)sets[i].note.type != note)
			continue;
		*ret_name = sets[i].name;
		/* FPSIMD alone goes into every processor */
		return note == NT_PRFPREG || is_here(i) || arch_note_idle((int)note, data, len);
	}
	return false;
}

enum arch_fit arch_extended_fit(const void *data, size_t len, char *ret, size_t room)
{
	const char *name;
	u32 head[2];
	for (size_t at = 0; at + sizeof head <= len; at += sizeof head + head[1]) {
		memcpy(head, (const char *)data + at, sizeof head);
		size_t left = len - at - sizeof head;
		if (!fits(head[0], (const char *)data + at + sizeof head, MIN(left, (size_t)head[1]), &name)) {
			snprintf(ret, room, "%s", name);
			return ARCH_FIT_LACKS;
		}
	}
	return ARCH_FIT_SAME;
}

size_t arch_extended_convert(void *ret, const void *data, size_t len)
{
	memcpy(ret, data, len);
	return len;
}

/* POR_EL0: four bits for each key, of which a new process has none set but those of key 0. */
u32 arch_open_keys(const void *data, size_t len)
{
	struct set overlays = find_set(data, len, NT_ARM_POE);
	u64 word = 0;
	u32 open = 0;
	memcpy(&word, overlays.at ?: &word, MIN(overlays.len, sizeof word));
	for (u32 key = 1; key < 16; key++)
		open |= word >> 4 * key & 15 ? 1u << key : 0;
	return open;
}
