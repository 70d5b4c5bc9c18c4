// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who stays on one CPU and gives way there has, when he leaves it, the CPUs and the policy that he had. */
#include "base/cpu.h"
#include "harness/test.h"
#include <sched.h>

static int policy(void) { return CHECK_OK(sched_getscheduler(0)); }

static void leaves_as_it_came(int expected_meanwhile)
{
	cpu_set_t before, meanwhile, after;
	int had = policy();
	struct cpu_stay stay;
	CHECK_OK(sched_getaffinity(0, sizeof before, &before));
	cpu_stay(&stay);
	CHECK_OK(sched_getaffinity(0, sizeof meanwhile, &meanwhile));
	CHECK_EQ(CPU_COUNT(&meanwhile), 1);
	CHECK_EQ(policy(), had);
	cpu_give_way(&stay);
	cpu_give_way(&stay);
	CHECK_EQ(policy(), expected_meanwhile);
	cpu_leave(&stay);
	CHECK_OK(sched_getaffinity(0, sizeof after, &after));
	CHECK(CPU_EQUAL(&before, &after));
	CHECK_EQ(policy(), had);
	cpu_leave(&stay);
	CHECK_EQ(policy(), had);
}

/* Whatever the test itself runs with. */
static void begin_with(int as)
{
	if (sched_setscheduler(0, as, &(struct sched_param){ 0 }) < 0)
		SKIP("this policy is not permitted here: %s", strerror(errno));
}

TEST(gives_way_while_it_stays)
{
	begin_with(SCHED_OTHER);
	leaves_as_it_came(SCHED_BATCH);
}

TEST(keeps_the_reset_of_its_policy)
{
	begin_with(SCHED_OTHER | SCHED_RESET_ON_FORK);
	leaves_as_it_came(SCHED_BATCH | SCHED_RESET_ON_FORK);
}

TEST(keeps_a_policy_of_its_own)
{
	begin_with(SCHED_IDLE);
	leaves_as_it_came(SCHED_IDLE);
}

TEST(gives_no_way_where_it_does_not_stay)
{
	struct cpu_stay stay = { .len = 0 };
	begin_with(SCHED_OTHER);
	cpu_give_way(&stay);
	CHECK_EQ(policy(), SCHED_OTHER);
	cpu_leave(&stay);
	CHECK_EQ(policy(), SCHED_OTHER);
}
