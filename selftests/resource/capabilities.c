// SPDX-License-Identifier: LGPL-2.1-or-later
/* Every probe in a test machine: its answer is the one that is known for that kernel (selftests/vm/capabilities), and the kernel
 * did not mind to be asked. */
#include "harness/target.h"
#include "host/caps.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

static const char *const answers[] = { [CAP_UNKNOWN] = "unknown", [CAP_NO] = "no", [CAP_YES] = "yes" };

/* Of the series and the flavour of a Debian kernel: "5.10-cloud-amd64"; NULL: there is none. */
static char *read_table(char *ret_name, size_t room)
{
	struct utsname u;
	char path[300];
	CHECK_OK(uname(&u));
	size_t series = strcspn(u.release, ".");
	series += u.release[series] ? 1 + strcspn(u.release + series + 1, ".-") : 0;
	const char *flavour = strstr(u.release, "-cloud-");
	snprintf(ret_name, room, "%.*s%s", (int)series, u.release, flavour ?: "");
	snprintf(path, sizeof path, "%s/capabilities/%s", test_build_dir(), ret_name);
	return read_text(path);
}

/* The lines of the kernel's log since the descriptor was put at its end. */
static char *new_lines(int log)
{
	struct text all = { 0 };
	char line[8192];
	for (ssize_t n; (n = read(log, line, sizeof line)) > 0;)
		text_add(&all, line, (size_t)n);
	return text_take(&all);
}

static void check_quiet(const char *lines)
{
	static const char *const bad[] = { "WARNING:", "BUG:", "Oops", "INFO: task", "possible recursive locking",
					   "UBSAN",    "KASAN" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (strstr(lines, bad[i]))
			FAIL("the kernel says %s\n%s", bad[i], lines);
}

/* Each line of the table is "ID answer"; a row that it lacks is a failure as well. */
static void compare(struct text *wrong, const struct caps *caps, const char *name, const char *table)
{
	for (int i = 0; i < CAN_COUNT; i++) {
		char row[80], expected[16] = "nothing";
		const char *id = caps_row((enum cap_id)i)->id, *got = answers[caps->state[i].answer];
		snprintf(row, sizeof row, "\n%s ", id);
		const char *at = strstr(table, row);
		if (at)
			sscanf(at + strlen(row), "%15s", expected);
		if (strcmp(expected, got))
			text_addf(wrong, "\n%s: %s is expected on %s, got %s (%s)", id, expected, name, got,
				  caps->state[i].note);
	}
}

TEST(answers_of_this_kernel, .root = true, .host = true, .seconds = 120)
{
	struct caps caps;
	char name[96];
	_cleanup_text_ struct text wrong = { 0 };
	_cleanup_free_ char *table = read_table(name, sizeof name);
	if (!table)
		SKIP("no table of %s", name);
	_cleanup_close_ int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK_OK(log);
	CHECK_OK(lseek(log, 0, SEEK_END));
	_cleanup_free_ char *before = read_text("/proc/sys/kernel/tainted");
	CHECK_OK(caps_probe_all(&caps, NULL));
	_cleanup_free_ char *after = read_text("/proc/sys/kernel/tainted"), *lines = new_lines(log);
	CHECK_STR(after, before);
	check_quiet(lines);
	compare(&wrong, &caps, name, table);
	if (wrong.len)
		FAIL("other answers than the table has:%s", wrong.data);
	size_t rows = 0;
	for (const char *at = table; (at = strchr(at, '\n')); at++)
		rows += at[1] >= 'A' && at[1] <= 'Z';
	CHECK_EQ(rows, CAN_COUNT);
}
