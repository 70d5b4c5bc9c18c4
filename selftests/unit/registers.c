// SPDX-License-Identifier: LGPL-2.1-or-later
/* Extended registers of threads: states that mean the same are equal, and no others. */
#include "arch/arch.h"
#include "harness/test.h"
#include <elf.h>

#ifdef __x86_64__
#define XSTATE 0x202 /* NT_X86_XSTATE */
#define HEADER 512
#define BYTES 832 /* with the upper halves of AVX */

/* The x87, SSE and AVX components as in use, all in their initial state. */
static void make_initial(u8 area[BYTES])
{
	memset(area, 0, BYTES);
	area[0] = 0x7f; /* FCW 0x037f */
	area[1] = 0x03;
	area[24] = 0x80; /* MXCSR 0x1f80 */
	area[25] = 0x1f;
	area[HEADER] = 3;
}

TEST(states_are_the_same_byte_for_byte)
{
	u8 area[BYTES], other[BYTES];
	make_initial(area);
	make_initial(other);
	CHECK(arch_extended_same(area, BYTES, other, BYTES));
	CHECK(!arch_extended_same(area, BYTES, other, HEADER));
	other[0] ^= 1;
	CHECK(!arch_extended_same(area, BYTES, other, BYTES));
	CHECK(!arch_note_idle(XSTATE, area, BYTES));
}

static u8 settled(u8 area[BYTES])
{
	struct arch_components known = { 0 };
	arch_note_settle(XSTATE, area, BYTES, &known);
	return area[HEADER];
}

TEST(initial_components_are_unused)
{
	u8 area[BYTES];
	make_initial(area);
	CHECK_EQ(settled(area), 0);
	CHECK_EQ(area[24], 0x80);
}

TEST(used_components_stay)
{
	static const struct {
		size_t at;
		u8 used;
	} bytes[] = { { 0, 1 }, { 2, 1 }, { 32, 1 }, { 159, 1 }, { 24, 2 }, { 27, 2 }, { 160, 2 }, { 415, 2 } };
	u8 area[BYTES];
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		make_initial(area);
		area[bytes[i].at] ^= 0x40;
		CHECK_EQ(settled(area), bytes[i].used);
	}
}

TEST(other_notes_and_short_ones_stay)
{
	u8 area[BYTES];
	struct arch_components known = { 0 };
	make_initial(area);
	arch_note_settle(NT_PRSTATUS, area, sizeof area, &known);
	CHECK_EQ(area[HEADER], 3);
	arch_note_settle(XSTATE, area, HEADER, &known);
	CHECK_EQ(area[HEADER], 3);
}
#else
TEST(other_notes_stay)
{
	u8 area[64], before[64];
	memset(area, 7, sizeof area);
	memcpy(before, area, sizeof area);
	struct arch_components known = { 0 };
	arch_note_settle(NT_PRSTATUS, area, sizeof area, &known);
	CHECK_MEM(area, before, sizeof area);
}

struct sets {
	u32 tls_head[2];
	u64 tls[2];
	u32 head[2];
	u64 word;
};
#define TLS 0x401
#define ENABLED_KEYS 0x40a

/* A kernel with two thread pointers and keys that may be off, and one without either. */
TEST(sets_of_an_older_kernel_are_the_same)
{
	struct {
		u32 head[2];
		u64 tls;
	} old = { { TLS, 8 }, 0x1234 };
	struct sets now = { { TLS, 16 }, { 0x1234, 0 }, { ENABLED_KEYS, 8 }, 0xf };
	CHECK(arch_extended_same(&old, sizeof old, &now, sizeof now));
	CHECK(arch_extended_same(&now, sizeof now, &old, sizeof old));
	now.word = 0xe; /* one is off */
	CHECK(!arch_extended_same(&old, sizeof old, &now, sizeof now));
	CHECK(!arch_note_idle(ENABLED_KEYS, &now.word, sizeof now.word));
	now.word = 0xf;
	now.tls[1] = 1;
	CHECK(!arch_extended_same(&old, sizeof old, &now, sizeof now));
	now.tls[1] = 0;
	now.tls[0]++;
	CHECK(!arch_extended_same(&old, sizeof old, &now, sizeof now));
	CHECK(!arch_extended_same(&now, offsetof(struct sets, head) - 1, &old, sizeof old)); /* cut off */
}
#endif
