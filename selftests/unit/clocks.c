// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of what time namespaces do to clocks. */
#include "collect/clocks.h"
#include "collect/proc_text.h"
#include "harness/test.h"

TEST(offsets_are_read)
{
	s64 monotonic, boottime;
	CHECK_OK(parse_clock_offsets("monotonic      864000 500000000\nboottime           -5         1\n", &monotonic,
				     &boottime));
	CHECK_EQ(monotonic, 864000500000000);
	CHECK_EQ(boottime, -4999999999);
	CHECK_OK(parse_clock_offsets("1 0 0\n7 3 0\n", &monotonic, &boottime)); /* Linux 5.6 */
	CHECK_EQ(boottime, 3000000000);
}

TEST(other_offsets_are_not)
{
	static const char *const wrong[] = { "",
					     "monotonic 1 2\n",
					     "boottime 1 2\nmonotonic 1 2\n",
					     "monotonic 1 -1\nboottime 1 2\n",
					     "monotonic 1 1000000000\nboottime 1 2\n",
					     "monotonic 9223372036 0\nboottime 1 2\n" };
	s64 monotonic, boottime;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK(parse_clock_offsets(wrong[i], &monotonic, &boottime) < 0);
}

TEST(only_clocks_of_namespaces_are_shifted)
{
	struct clock_offsets offsets = { 1, 2 };
	CHECK_EQ(clock_offset(&offsets, CLOCK_MONOTONIC), 1);
	CHECK_EQ(clock_offset(&offsets, CLOCK_BOOTTIME_ALARM), 2);
	CHECK_EQ(clock_offset(&offsets, CLOCK_REALTIME), 0);
	CHECK_EQ(clock_offset(&offsets, CLOCK_PROCESS_CPUTIME_ID), 0);
}
