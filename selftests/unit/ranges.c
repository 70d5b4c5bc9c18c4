// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of processors and nodes. */
#include "base/ranges.h"
#include "harness/test.h"

TEST(lists_of_numbers)
{
	u64 mask[2] = { 0 };
	CHECK_STR(ranges_parse("0-2,65,127 anon=1", mask, 128), " anon=1");
	CHECK_EQ(mask[0], 7u);
	CHECK_EQ(mask[1], 1ull << 1 | 1ull << 63);
}

TEST(no_lists)
{
	static const char *const wrong[] = {
		"", "-1", "1-", "3-2", "1,,2", "1,", "128", "0-128", " 1", "x", "99999999999999999999"
	};
	u64 mask[2];
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK(!ranges_parse(wrong[i], mask, 128));
}
