// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the harness itself: what every other test relies on. */
#include "harness/test.h"
#include "base/text.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

TEST(passes_quietly)
{
	printf("this is not shown\n");
	CHECK(1 + 1 == 2);
	CHECK_EQ(0x10, 16);
	CHECK_STR("a", "a");
	CHECK_CONTAINS("a needle", "needle");
	CHECK_OK(close(CHECK_OK(dup(0))));
}

TEST(lives_in_a_pid_namespace, .root = true)
{
	CHECK_EQ(getpid(), 2);
	CHECK_EQ(access("/proc/2/stat", R_OK), 0);
	CHECK_EQ(getsid(0), getpid());
}

TEST(finds_the_build_directory) { CHECK_EQ(access(test_build_dir(), X_OK), 0); }

TEST(bad_value, .manual = true) { CHECK_EQ(6 * 9, 42); }

TEST(bad_child, .manual = true)
{
	if (fork() == 0)
		CHECK_STR("left", "right");
	wait(NULL);
}

TEST(bad_crash, .manual = true) { raise(SIGSEGV); }

TEST(bad_hang, .manual = true, .seconds = 1)
{
	for (;;)
		pause();
}

TEST(skipped, .manual = true) { SKIP("because of %d", 7); }

/* Runs the manual tests of this binary that match; gives their output and exit status. */
static int run_self(const char *pattern, struct text *output)
{
	char command[512], line[512];
	snprintf(command, sizeof command, "%s/selftests/unit/harness '%s'", test_build_dir(), pattern);
	FILE *pipe = popen(command, "r");
	while (fgets(line, sizeof line, pipe))
		text_adds(output, line);
	int status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(nothing_is_no_success)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(run_self("such_a_test", &output), 2);
	CHECK_CONTAINS(output.data, "no test here is called such_a_test");
}

TEST(failures_are_seen)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(run_self("bad_*", &output), 1);
	CHECK_CONTAINS(output.data, "1..4\n");
	CHECK_CONTAINS(output.data, "6 * 9 is 54 (0x36), not 42 = 42 (0x2a)\n");
	CHECK_CONTAINS(output.data, "not ok 1 bad_value\n");
	CHECK_CONTAINS(output.data, "\"left\" is \"left\", not \"right\" = \"right\"\n");
	CHECK_CONTAINS(output.data, "not ok 2 bad_child\n");
	CHECK_CONTAINS(output.data, "not ok 3 bad_crash\n");
	CHECK_CONTAINS(output.data, "time limit");
	CHECK_CONTAINS(output.data, "not ok 4 bad_hang\n");
}

TEST(skips_have_a_reason)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(run_self("skipped", &output), 4);
	CHECK_CONTAINS(output.data, "ok 1 skipped # SKIP because of 7\n");
}
