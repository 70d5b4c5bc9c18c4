// SPDX-License-Identifier: LGPL-2.1-or-later
/* Two looks at a running thing: what both say is certain, what one says is changing. */
#include "harness/test.h"
#include "diag/diag.h"

static void say(const char *object, const char *detail)
{
	WORKING_ON("%s", object);
	fail(TRACED, 0, "%s", detail);
}

TEST(settled_entries_are_kept_once)
{
	CHECK_OK(diag_begin("dump", "a test"));
	say("an older thing", "before both looks");
	size_t first = diag_mark();
	say("process 1", "by process 7");
	say("process 2", "by process 7");
	size_t second = diag_mark();
	say("process 1", "by process 7");
	say("process 2", "by process 8");
	say("process 3", "by process 9");
	diag_settle(first, second);
	CHECK_EQ(diag_count(DIAG_ERROR), 2); /* the older one and process 1 */
	CHECK_EQ(diag_count(DIAG_CHANGING), 3);
	struct text t = { 0 };
	diag_print_json(&t);
	CHECK_CONTAINS(t.data, "{\"level\":\"error\",\"code\":\"TRACED\",\"object\":\"process 1\"");
	CHECK_CONTAINS(t.data, "{\"level\":\"changing\",\"code\":\"TRACED\",\"object\":\"process 3\"");
	text_free(&t);
}

TEST(only_changing_entries_are_no_failure)
{
	CHECK_OK(diag_begin("dump", "a test"));
	size_t first = diag_mark();
	say("process 1", "by process 7");
	diag_settle(first, diag_mark());
	CHECK(!diag_failed());
	CHECK_EQ(diag_exit_class(), EXIT_OK);
	CHECK_EQ(diag_count(DIAG_CHANGING), 1);
}

/* What may pass by itself is told from what stays: one error of another class, and trying again is no use. */
TEST(errors_of_one_class)
{
	CHECK_OK(diag_begin("dump", "a test"));
	say("before", "of another class");
	size_t mark = diag_mark();
	CHECK(!diag_only(mark, EXIT_RACED));
	fail(TASK_RACED, 0, "process 1");
	note(FILE_CUT, "process 1");
	CHECK(diag_only(mark, EXIT_RACED));
	CHECK(!diag_only(0, EXIT_RACED));
	say("process 2", "by process 7");
	CHECK(!diag_only(mark, EXIT_RACED));
}

TEST(nothing_to_settle)
{
	CHECK_OK(diag_begin("dump", "a test"));
	diag_settle(diag_mark(), diag_mark());
	CHECK_EQ(diag_mark(), 0);
}

TEST(every_code_is_found_and_has_a_class_in_words)
{
	for (int i = 0; i < DIAG_COUNT; i++) {
		const struct diag_row *row = diag_row((enum diag_code)i);
		CHECK(diag_find(row->code) == row);
		CHECK(row->exit_class != EXIT_OK && *diag_class_text(row->exit_class));
		CHECK(*row->why && *row->todo);
	}
	CHECK(!diag_find("NO_SUCH_CODE"));
}
