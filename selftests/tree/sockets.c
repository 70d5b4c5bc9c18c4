// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs that talk: sockets of the internet, each test in a network namespace of its own. */
#include "tree/program.h"
#include <unistd.h>

PROGRAM(unix_datagrams, QUIET | NET, "unix", "datagrams")
PROGRAM(unix_lost, QUIET | NET, "unix", "lost")
PROGRAM(unix_listeners, QUIET | NET, "unix", "listeners")
PROGRAM(unix_waiting, QUIET | NET, "unix", "waiting")
PROGRAM(unix_many, QUIET | NET, "unix", "many")
PROGRAM(unix_circle, QUIET | NET, "unix", "circle")
PROGRAM(queues_large, QUIET, "queues", "large")
PROGRAM(queues_empty, NET, "queues", "empty")
PROGRAM(inet, QUIET | NET, "inet")
PROGRAM(options, QUIET | NET, "options")
PROGRAM(connecting, QUIET | NET, "connecting")
PROGRAM(connecting_outside, NET, "connecting", "outside")
PROGRAM(ended, QUIET | NET, "ended")
PROGRAM(multipath, QUIET | NET, "multipath")
PROGRAM(tcp, QUIET | NET, "tcp")
PROGRAM(packets, QUIET | NET, "packets")
PROGRAM(netlink, QUIET | NET, "netlink")
PROGRAM(capture, QUIET | NET, "capture")
PROGRAM(rings, QUIET | NET | NEEDS(BPF_TASK_LINK), "rings")
PROGRAM(rings_full, QUIET | NET | NEEDS(BPF_TASK_LINK), "rings", "full")
PROGRAM(rings_wide, QUIET | NET | NEEDS(BPF_TASK_LINK), "rings", "wide")
PROGRAM(rings_fanout, QUIET | NET | NEEDS(BPF_TASK_LINK), "rings", "fanout")
PROGRAM(rings_traffic, NET | NEEDS(BPF_TASK_LINK), "rings", "traffic")
PROGRAM(loop_tcp, NET, "/usr/bin/python3", "loop.py", "tcp")

/* More than this in a queue fills it: how much more is a matter of the window, which the kernel opens as it likes. */
#define FULL 50000

/* What `ss` shows but for what was sent and not confirmed, sorted. */
static char *ss_shows(void)
{
	char line[512], state[16], kind[8], local[80], peer[80];
	struct text all = { 0 };
	int unread, unsent;
	FILE *pipe = popen("ss -Htuan | sed 's/  */ /g' | LC_ALL=C sort -k1,2 -k5", "r");
	while (fgets(line, sizeof line, pipe))
		if (sscanf(line, "%7s %15s %d %d %79s %79s", kind, state, &unread, &unsent, local, peer) == 6)
			text_addf(&all, "%s %s %d %s %s\n", kind, state, MIN(unread, FULL), local, peer);
	pclose(pipe);
	return text_take(&all);
}

/* Once it shows this, or (NULL) the same twice: what is on its way comes by and by, and acknowledgements are delayed. */
static char *ss_shows_again(const char *wanted)
{
	char *now = ss_shows();
	for (long long begin = clock_ms(); clock_ms() - begin < WAIT_MS * test_patience();) {
		char *before = now;
		nap_ms(100);
		now = ss_shows();
		bool same = before && now && !strcmp(wanted ?: before, now);
		free(before);
		if (same)
			break;
	}
	return now;
}

/* The same sockets afterwards; none in between: nothing lingers that could be in the way. */
static void ss_agrees(const char *program)
{
	struct target t;
	if (access("/bin/ss", X_OK) && access("/usr/bin/ss", X_OK))
		SKIP("ss is not installed");
	target_start(&t, program);
	_cleanup_free_ char *before = ss_shows_again(NULL);
	target_dump(&t, false);
	_cleanup_free_ char *between = ss_shows();
	target_restore(&t, 0);
	_cleanup_free_ char *after = ss_shows_again(before);
	CHECK(strlen(before) > 100);
	CHECK_STR(between ?: "", "");
	CHECK_STR(after, before);
	target_judge(&t);
}

TEST(ss_inet, .root = true, .net = true) { ss_agrees("inet"); }
TEST(ss_tcp, .root = true, .net = true) { ss_agrees("tcp"); }

/* What a restore has made can be dumped, and made again. */
static void goes_twice(const char *program, const char *argument)
{
	struct target t;
	char first[sizeof t.image];
	target_start(&t, program, argument);
	target_dump(&t, false);
	target_restore(&t, 0);
	memcpy(first, t.image, sizeof first);
	snprintf(t.image, sizeof t.image, "%.58s.next", first);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(connecting_twice, .root = true, .net = true, .seconds = 60) { goes_twice("connecting", NULL); }
TEST(connecting_outside_twice, .root = true, .net = true, .seconds = 60) { goes_twice("connecting", "outside"); }
TEST(ended_twice, .root = true, .net = true, .seconds = 60) { goes_twice("ended", NULL); }
