// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question whether the extended registers of a thread fit this processor: NT_X86_XSTATE is the standard form of XSAVE
 * (Intel SDM, volume 1, chapter 13), with the features that its kernel had enabled where the processor leaves room for software
 * (arch/x86/kernel/fpu/xstate.c, copy_xstate_to_uabi_buf). */
#include "arch/arch.h"
#include <cpuid.h>
#include <stdio.h>
#include <sys/platform/x86.h>

#define AT_ENABLED 464 /* XCR0 of the machine that the state is of */
#define AT_IN_USE 512  /* XSTATE_BV: what is not in its initial state */
#define HEADER_END 576
#define LEGACY 3ull /* x87 and SSE: always there */

static const char *const features[] = {
	[2] = "AVX",
	[3] = "MPX",
	[4] = "MPX",
	[5] = "AVX-512",
	[6] = "AVX-512",
	[7] = "AVX-512",
	[9] = "protection keys (PKU)",
	[17] = "AMX",
	[18] = "AMX",
	[19] = "APX",
};

static u64 word_at(const void *data, size_t at)
{
	u64 word;
	memcpy(&word, (const char *)data + at, sizeof word);
	return word;
}

/* XCR0, which the kernel sets to what it lets programs use. */
static u64 enabled_here(void)
{
	u32 low, high;
	if (!x86_cpu_active(
		    x86_cpu_XSAVE)) /* the C library has asked the processor already, which takes long where it is virtual */
		return LEGACY;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

/* Where the component of a feature ends; it begins size bytes before. */
static size_t end_of(unsigned feature, u32 *ret_size)
{
	u32 size = 0, offset = 0, c, d;
	__cpuid_count(0xd, feature, size, offset, c, d);
	*ret_size = size;
	return (size_t)offset + size;
}

static unsigned highest(u64 set) { return 63 - (unsigned)__builtin_clzll(set); }

static size_t size_of(u64 enabled)
{
	u32 size;
	return enabled & ~LEGACY ? end_of(highest(enabled & ~LEGACY), &size) : HEADER_END;
}

static void name_features(u64 set, char *ret, size_t room)
{
	const char *last = "";
	size_t at = 0;
	for (unsigned i = 0; i < 64 && at < room; i++) {
		const char *name = i < ARRAY_SIZE(features) && features[i] ? features[i] : "an unknown feature";
		if (!(set >> i & 1) || name == last)
			continue;
		at += (size_t)snprintf(ret + at, room - at, "%s%s", at ? ", " : "", name);
		last = name;
	}
}

/* Of two machines whose states differ in size: do the components lie where they do here? Those of the image are known by where
 * its last one ends. */
static bool is_layout_known(u64 enabled, u64 here, size_t len)
{
	u32 size;
	return !(enabled & ~LEGACY) || !(here >> highest(enabled) & 1) || end_of(highest(enabled), &size) == len;
}

enum arch_fit arch_extended_fit(const void *data, size_t len, char *ret, size_t room)
{
	u64 here = enabled_here();
	if (len < HEADER_END)
		return ARCH_FIT_MOVED;
	u64 enabled = word_at(data, AT_ENABLED), used = word_at(data, AT_IN_USE);
	if (used & ~here) {
		name_features(used & ~here, ret, room);
		return ARCH_FIT_LACKS;
	}
	if (enabled == here)
		return ARCH_FIT_SAME;
	return is_layout_known(enabled, here, len) ? ARCH_FIT_OTHER : ARCH_FIT_MOVED;
}

bool arch_note_idle(int note _unused_, const void *data _unused_, size_t len _unused_) { return false; }

bool arch_extended_same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (!a_len || !memcmp(a, b, a_len));
}

/* Components that are not in use are zero in either form. */
size_t arch_extended_convert(void *ret, const void *data, size_t len)
{
	u64 here = enabled_here(), used = word_at(data, AT_IN_USE) & ~LEGACY;
	size_t end = size_of(here);
	memset(ret, 0, end);
	memcpy(ret, data, HEADER_END);
	memcpy((char *)ret + AT_ENABLED, &here, sizeof here);
	for (unsigned i = 2; i < 64; i++) {
		u32 size = 0;
		size_t last = used >> i & 1 ? end_of(i, &size) : 0;
		if (last && last <= len && last <= end)
			memcpy((char *)ret + last - size, (const char *)data + last - size, size);
	}
	return end;
}

#define PKU 9

/* PKRU: two bits for each key, of which a new process has the lower one set (arch/x86/mm/pkeys.c, init_pkru_value). */
u32 arch_open_keys(const void *data, size_t len)
{
	u32 size, pkru, open = 0;
	if (len < HEADER_END || !(word_at(data, AT_ENABLED) >> PKU & 1))
		return 0;
	size_t end = end_of(PKU, &size);
	if (size < sizeof pkru || end > len)
		return 0;
	memcpy(&pkru, (const char *)data + end - size, sizeof pkru);
	for (u32 key = 1; key < 16; key++)
		if ((pkru >> 2 * key & 3) != 1)
			open |= 1u << key;
	return open;
}
