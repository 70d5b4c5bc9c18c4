// SPDX-License-Identifier: LGPL-2.1-or-later
/* redis-server: epoll, threads on futexes, listening on IPv4, IPv6 and a unix socket; over many generations. */
#include "harness/load.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SERVER "/usr/bin/redis-server"
#define CLIENT "/usr/bin/redis-cli"
static const char socket_path[] = WORK "/redis";
static const char first_image[] = WORK "/generation1";

static void must_answer_at(const char *const *where, const char *command, const char *key, const char *value,
			   const char *expected)
{
	_cleanup_text_ struct text output = { 0 };
	const char *argv[] = { "redis-cli", where[0], where[1], where[2], where[3], command, key, value, NULL };
	CHECK_EQ(run_program(&output, CLIENT, argv), 0);
	CHECK_STR(output.data, expected);
}

static const char *const four[] = { "-h", "127.0.0.1", "-p", "6390" };
static const char *const six[] = { "-h", "::1", "-p", "6390" };
static const char *const named[] = { "-s", socket_path, "-n", "0" };

static bool answers(void)
{
	return run_program(NULL, CLIENT, (const char *const[]){ "redis-cli", "-p", "6390", "ping", NULL }) == 0;
}

static void start(struct target *t)
{
	if (access(SERVER, X_OK) || access(CLIENT, X_OK))
		SKIP("redis-server and redis-cli are not installed");
	target_spawn(t, SERVER, "--port", "6390", "--bind", "127.0.0.1", "::1", "--unixsocket", socket_path, "--save", "");
	WAIT_UNTIL(answers());
	const char *fill = "for i = 1, 20000 do redis.call('set', 'key' .. i, 'value' .. i) end return 'filled'";
	must_answer_at(four, "eval", fill, "0", "filled\n");
}

/* Sets and gets in every way that leads to it. */
static void must_serve(int generation)
{
	char key[32], value[32], line[40];
	snprintf(key, sizeof key, "generation%d", generation);
	snprintf(value, sizeof value, "%d", generation * generation);
	snprintf(line, sizeof line, "%s\n", value);
	must_answer_at(four, "get", "key19999", NULL, "value19999\n");
	must_answer_at(four, "set", key, value, "OK\n");
	must_answer_at(six, "get", key, NULL, line);
	must_answer_at(named, "get", key, NULL, line);
	must_answer_at(four, "del", key, NULL, "1\n");
}

/* Has the server noticed that its last client is gone? Else that is carried too, but not equal. No socket of /proc/net/tcp with its
 * port is connected (TCP_ESTABLISHED, TCP_CLOSE_WAIT). */
static bool is_alone(void)
{
	_cleanup_free_ char *sockets = read_text("/proc/self/net/tcp");
	CHECK(sockets);
	for (const char *at = sockets; (at = strstr(at, ":18F6 ")); at++) {
		unsigned state = 0;
		if (sscanf(at, ":18F6 %*[0-9A-F]:%*[0-9A-F] %x", &state) == 1 && (state == 1 || state == 8))
			return false;
	}
	return true;
}

/* What is stored moves with every command, it waits for another time by its timer, and a thread of its allocator waits with a
 * limit or without. */
static const char *const moving = "pages,thread.registers,thread.extended,thread.call";

static void generations(int count)
{
	struct target t;
	start(&t);
	must_serve(0);
	for (int i = 1; i <= count; i++) {
		snprintf(t.image, sizeof t.image, WORK "/generation%d", i);
		if (i == 1)
			WAIT_UNTIL(is_alone());
		target_dump(&t, false);
		target_restore(&t, 0);
		must_serve(i);
		if (i > 1)
			CHECK_EQ(run_program(NULL, "/bin/rm", (const char *const[]){ "rm", "-rf", t.image, NULL }), 0);
	}
	snprintf(t.image, sizeof t.image, WORK "/last");
	WAIT_UNTIL(is_alone());
	target_dump(&t, true);
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", moving, first_image, t.image), 0);
	must_serve(count + 1);
}

TEST(redis, .root = true, .net = true, .seconds = 120) { generations(2); }
TEST(redis_20_generations, .root = true, .net = true, .seconds = 120) { generations(20); }

/* --- 50 clients from outside, each of which asks 16 questions at once; what was answered is on the disk --- */

static long long ask_number(const char *question, const char *argument)
{
	_cleanup_text_ struct text output = { 0 };
	const char *argv[] = { CLIENT, "-p", "6390", question, argument, NULL };
	CHECK_EQ(run_program(&output, CLIENT, argv), 0);
	const char *at = output.data ? strstr(output.data, "total_connections_received:") : NULL;
	return atoll(at ? strchr(at, ':') + 1 : output.data ?: "");
}

static void start_on_disk(struct target *t)
{
	need_program(SERVER);
	need_program(CLIENT);
	target_spawn(t, SERVER, "--port", "6390", "--bind", "127.0.0.1", "--save", "", "--dir", WORK, "--appendonly", "yes",
		     "--enable-debug-command", "yes");
	WAIT_UNTIL(answers());
}

TEST(redis_benchmark, .root = true, .net = true, .seconds = 60)
{
	static const char log[] = WORK "/appendonlydir/appendonly.aof.1.incr.aof";
	struct target t;
	struct load load;
	start_on_disk(&t);
	load_start(&load, "/usr/bin/redis-benchmark", "-p", "6390", "-c", "50", "-P", "16", "-n", "1000000000", "-q", "incr",
		   "count");
	load.progress = load_file_size;
	load.of = log;
	load_goes_on(&load, 100000);
	long long connections = ask_number("info", "stats");
	load_across(&load, &t, 100000, NULL);
	CHECK_EQ(ask_number("info", "stats"), connections + 1); /* that is who asks */
	free(load_stop(&load, SIGTERM));
	long long count = ask_number("get", "count");
	CHECK(count >= 1000);
	must_answer_at(four, "debug", "loadaof", NULL, "OK\n");
	CHECK_EQ(ask_number("get", "count"), count);
}
