// SPDX-License-Identifier: LGPL-2.1-or-later
/* A PostgreSQL server with its processes, as a user of its own: System V shared memory, a file of shared memory without a name,
 * semaphores in it, latches by signalfd and epoll. */
#include "harness/load.h"
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

static void make_data(void)
{
	find_tools();
	const char *init[] = { AS_NOBODY, tool("initdb"), "-D",         data,        "-U", "postgres",
			       "-A",      "trust",        "--locale=C", "--no-sync", NULL };
	CHECK_OK(mkdir(data, 0700));
	CHECK_OK(chown(data, 65534, 65534));
	_cleanup_text_ struct text said = { 0 };
	if (run_program(&said, init[0], init))
		SKIP("initdb does not work here: %s", said.data ? said.data : "");
}

static void start(struct target *t)
{
	make_data();
	target_spawn(t, AS_NOBODY, tool("postgres"), "-D", data, "-k", data, "-c", "listen_addresses=", "-c", "fsync=off");
	WAIT_UNTIL(query(NULL, "select 1") == 0);
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

/* --- pgbench: three connections of a program in the tree, and three from outside. A client that is let down is named and ends, and
 * what was booked must add up. --- */

static const char bench_logs[] = WORK "/pgbench", outside_log[] = WORK "/pgbench-outside";

/* The size of the shorter of both logs. */
static long long logged(const void *prefix)
{
	static const char *const who[] = { "inside", "outside" };
	long long least = -1;
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		glob_t found;
		char pattern[64];
		snprintf(pattern, sizeof pattern, "%s-%s.*", (const char *)prefix, who[i]);
		long long size = glob(pattern, 0, NULL, &found) ? 0 : load_file_size(found.gl_pathv[0]);
		globfree(&found);
		least = least < 0 || size < least ? size : least;
	}
	return least;
}

static const char inside_script[] =
	"/usr/bin/setpriv --reuid nobody --regid nogroup --clear-groups $1/postgres -D $2 -k $2 -c listen_addresses=127.0.0.1 "
	"&\n"
	"until $1/psql -h $2 -U postgres -c 'select 1' postgres; do sleep 0.05; done\n"
	"$1/pgbench -h $2 -U postgres -i -q --no-vacuum postgres\n"
	"$1/pgbench -h $2 -U postgres -n -c 3 -T 600 -l --log-prefix " WORK "/pgbench-inside postgres >" WORK "/inside 2>&1\n"
	"echo aborted >>" WORK "/inside; wait\n";

static void must_not_notice(const char *who, const char *said)
{
	if (!said || strstr(said, "error") || strstr(said, "abort"))
		FAIL("clients %s have noticed: %s", who, said ?: "");
}

TEST(pgbench, .root = true, .net = true, .seconds = 120)
{
	struct target t;
	struct load load;
	make_data();
	need_program(tool("pgbench"));
	target_spawn(&t, "/bin/sh", "-c", inside_script, "sh", tools, data);
	for (long long begin = clock_ms(); access(WORK "/inside", F_OK) < 0; nap_ms(20))
		CHECK(clock_ms() - begin < WAIT_MS * test_patience());
	load_start(&load, tool("pgbench"), "-h", "127.0.0.1", "-U", "postgres", "-n", "-c", "3", "-T", "600", "-l",
		   "--log-prefix", outside_log, "postgres");
	load.progress = logged;
	load.of = bench_logs;
	load_across(&load, &t, 4096, NULL);
	_cleanup_free_ char *outside = load_stop(&load, SIGTERM), *inside = read_text(WORK "/inside");
	must_not_notice("outside", outside);
	must_not_notice("inside", inside);
	must_answer("begin; lock pgbench_history; "
		    "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), "
		    "(select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers), "
		    "(select count(*) > 100 from pgbench_history)",
		    "t|t|t\n");
}
