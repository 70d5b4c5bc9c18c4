// SPDX-License-Identifier: LGPL-2.1-or-later
/* More open files, sockets, connections and locks than ckpt may have open at once: neither it nor any task ever holds those of all. */
#include "harness/target.h"
#include <sys/resource.h>

#define PROCESSES "10"
#define EACH "500"
#define LIMIT 1024

/* A process has its own, service descriptors begin behind them, and ten times as many are in the tree. */
static void across_the_limit(const char *what, const char *each)
{
	const struct rlimit limit = { LIMIT, LIMIT };
	struct target t;
	target_start(&t, "crowd", what, PROCESSES, each, "1024");
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

/* ckpt holds but a portion of them at once, and no task more than its own. */
static void across_processes(const char *what, const char *each)
{
	const struct rlimit limit = { 4096, 4096 };
	struct target t;
	target_start(&t, "crowd", what, PROCESSES, each, "4096");
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(shared_pipes, .root = true, .seconds = 60) { across_processes("pipes", "600"); }
TEST(shared_pairs, .root = true, .seconds = 60) { across_processes("pairs", "600"); }
TEST(shared_connections, .root = true, .net = true, .seconds = 180) { across_processes("connections", "300"); }

TEST(open_files, .root = true, .seconds = 60) { across_the_limit("files", EACH); }
TEST(sockets, .root = true, .net = true, .seconds = 60) { across_the_limit("sockets", EACH); }
TEST(locks, .root = true, .seconds = 60) { across_the_limit("locks", EACH); }
TEST(connections_to_others, .root = true, .net = true, .seconds = 180) { across_the_limit("guests", "200"); }

#define SOME "150" /* of what takes more work: together still more than the limit */

TEST(timers, .root = true, .seconds = 60) { across_the_limit("timers", SOME); }
TEST(signalfds, .root = true, .seconds = 60) { across_the_limit("signalfds", SOME); }
TEST(eventfds, .root = true, .seconds = 60) { across_the_limit("eventfds", SOME); }
TEST(memfds, .root = true, .seconds = 60) { across_the_limit("memfds", SOME); }
TEST(removed_files, .root = true, .seconds = 180) { across_the_limit("removed", SOME); }
TEST(files_without_name, .root = true, .seconds = 180) { across_the_limit("tmpfiles", SOME); }
TEST(mapped_files, .root = true, .seconds = 180) { across_the_limit("mapped", SOME); }
TEST(named_pipes, .root = true, .seconds = 60) { across_the_limit("fifos", SOME); }
TEST(owned_files, .root = true, .seconds = 60) { across_the_limit("owned", SOME); }
TEST(flocks, .root = true, .seconds = 60) { across_the_limit("flocks", SOME); }
TEST(watched_listeners, .root = true, .net = true, .seconds = 60) { across_the_limit("watched", SOME); }
TEST(notified_files, .root = true, .seconds = 60) { across_the_limit("notified", SOME); }
TEST(netlinks, .root = true, .net = true, .seconds = 60) { across_the_limit("netlinks", SOME); }
TEST(pidfds, .root = true, .seconds = 60) { across_the_limit("pidfds", SOME); }
TEST(accepted, .root = true, .seconds = 180) { across_the_limit("accepted", SOME); }
TEST(shared_locks, .root = true, .seconds = 60) { across_the_limit("shared_locks", SOME); }
TEST(shared_timers, .root = true, .seconds = 60) { across_the_limit("shared_timers", SOME); }
