// SPDX-License-Identifier: LGPL-2.1-or-later
/* A PostgreSQL server with its processes, as a user of its own: System V shared memory, a file of shared memory without a name,
 * semaphores in it, latches by signalfd and epoll. */
#include "harness/target.h"
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define AS_NOBODY "/usr/bin/setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"

static const char data[] = WORK "/postgres";
static char tools[256];

static const char *tool(const char *name)
{
	static char path[4][300];
	static unsigned turn;
	char *at = path[turn++ % 4];
	snprintf(at, sizeof path[0], "%s/%s", tools, name);
	return at;
}

static void find_tools(void)
{
	glob_t found;
	if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) || access("/usr/bin/setpriv", X_OK))
		SKIP("postgresql is not installed");
	snprintf(tools, sizeof tools, "%.*s", (int)(strrchr(found.gl_pathv[0], '/') - found.gl_pathv[0]), found.gl_pathv[0]);
	globfree(&found);
}

static int query(struct text *output, const char *sql)
{
	const char *argv[] = { tool("psql"), "-h", data, "-U", "postgres", "-Atq", "-c", sql, "postgres", NULL };
	return run_program(output, argv[0], argv);
}

static void must_answer(const char *sql, const char *expected)
{
	_cleanup_text_ struct text output = { 0 };
	CHECK_EQ(query(&output, sql), 0);
	CHECK_STR(output.data ?: "", expected);
}

static void start(struct target *t)
{
	find_tools();
	const char *init[] = { AS_NOBODY, tool("initdb"), "-D",         data,        "-U", "postgres",
			       "-A",      "trust",        "--locale=C", "--no-sync", NULL };
	CHECK_OK(mkdir(data, 0700));
	CHECK_OK(chown(data, 65534, 65534));
	_cleanup_text_ struct text said = { 0 };
	if (run_program(&said, init[0], init))
		SKIP("initdb does not work here: %s", said.data ? said.data : "");
	target_spawn(t, AS_NOBODY, tool("postgres"), "-D", data, "-k", data, "-c", "listen_addresses=", "-c", "fsync=off");
	for (long long begin = clock_ms(); query(NULL, "select 1"); nap_ms(50))
		CHECK(clock_ms() - begin < 30000);
	must_answer("create table t (i int)", "");
	must_answer("insert into t select generate_series(1, 20000)", "");
}

/* Reads, writes and has another process make a checkpoint. */
TEST(postgres, .root = true, .seconds = 120)
{
	struct target t;
	char line[64];
	start(&t);
	for (int i = 1; i <= 3; i++) {
		snprintf(t.image, sizeof t.image, WORK "/generation%d", i);
		target_dump(&t, false);
		target_restore(&t, 0);
		snprintf(line, sizeof line, "%d\n", 20000 + i);
		must_answer("insert into t values (0)", "");
		must_answer("select count(*) from t", line);
		must_answer("checkpoint", "");
	}
	CHECK_OK(kill(t.pid, SIGINT)); /* a fast shutdown, which removes the segment */
	target_gone(t.pid);
	_cleanup_text_ struct text segments = { 0 };
	CHECK_EQ(run_program(&segments, "/bin/cat", (const char *const[]){ "cat", "/proc/sysvipc/shm", NULL }), 0);
	CHECK_STR(strchr(segments.data, '\n'), "\n");
}
