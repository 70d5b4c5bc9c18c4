// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files of every kind, through a whole dump and restore. */
#include "tree/program.h"

PROGRAM(shared_memory, PLAIN, "shared")
PROGRAM(fifos, QUIET, "fifos")
PROGRAM(ghosts, QUIET, "ghosts")
PROGRAM(elsewhere, QUIET, "ghosts", "elsewhere")
PROGRAM(overlay, QUIET | NEEDS(BPF), "ghosts", "overlay")
PROGRAM(covered, QUIET, "covered")
PROGRAM(replaced, QUIET, "replaced")
PROGRAM(replaced_memfd, QUIET, "replaced", "memfd")
PROGRAM(memfds, QUIET, "memfds")
PROGRAM(nodes, QUIET, "nodes")
PROGRAM(queues, QUIET, "queues")

static int list(const char *dir, struct text *ret)
{
	return run_program(ret, "/bin/ls", (const char *const[]){ "ls", "-A", dir, NULL });
}

/* Each needs the same names for a moment. */
TEST(ghosts_side_by_side, .root = true, .seconds = 60)
{
	struct target t;
	char command[300];
	_cleanup_text_ struct text before = { 0 }, after = { 0 };
	if (access("/usr/bin/unshare", X_OK))
		SKIP("unshare(1) is not installed");
	target_start(&t, "ghosts");
	target_dump(&t, false);
	CHECK_EQ(list(t.dir, &before), 0);
	snprintf(command, sizeof command,
		 "for i in 1 2 3 4 5 6; do (unshare -pf --mount-proc %s restore %s -d || echo failed > " WORK
		 "/failed) & done; wait; cat " WORK "/failed",
		 ckpt_path(), t.image);
	CHECK(system(command) != 0); /* there is no such file */
	CHECK_EQ(list(t.dir, &after), 0);
	CHECK_STR(after.data, before.data);
}

/* Every generation is dumped and ended; the first and the last are equal, name by name. */
TEST(ghosts_generations, .root = true, .seconds = 60)
{
	struct target t;
	static const char first[] = WORK "/generation0";
	target_start(&t, "ghosts");
	for (int i = 0; i < 6; i++) {
		snprintf(t.image, sizeof t.image, WORK "/generation%d", i);
		target_dump(&t, false);
		target_restore(&t, 0);
	}
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", first, t.image), 0);
	target_judge(&t);
}

/* What eBPF does not tell is found otherwise. */
TEST(files_without_bpf, .root = true, .seconds = 60)
{
	static const char *const programs[] = { "ghosts", "fifos", "memfds", "nodes", "replaced" };
	target_lose_bpf();
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct target t;
		char pid[16];
		target_start(&t, programs[i]);
		snprintf(pid, sizeof pid, "%d", t.pid);
		CHECK_EQ(ckpt(NULL, "dump", pid, t.image, "--no-bpf"), 0);
		target_gone(t.pid);
		target_restore(&t, 0);
		target_judge(&t);
	}
}
