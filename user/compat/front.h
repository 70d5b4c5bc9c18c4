/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The criu front: a command line of criu(8) becomes the configuration of a dump, a restore or a check. */
#pragma once
#include "compat/log.h"
#include "compat/options.h"
#include "task/confirm.h"
#include <limits.h>

/* `criu ARGUMENT...`, also as `ckpt criu ARGUMENT...`; argv[0] is the program's name. The exit status: 0, or 1. */
int criu_main(int argc, char **argv);
/* The tables as Markdown: docs/from-criu.md; and its part on the commands. */
void criu_markdown(struct text *);
void commands_markdown(struct text *);

#define FRONT_IMAGE "ckpt" /* below the images directory */

struct front {
	struct options options;
	struct log log;
	char image[PATH_MAX];  /* of ckpt, below the images directory; absolute */
	char images[PATH_MAX]; /* absolute */
	int work;              /* where files of this run are written; -1: nowhere yet */
	size_t told;           /* so many diagnostics are in the log */
	pid_t pid;             /* of the tree's root as the caller knows it; 0: not yet */
};

/* Finds the directories, goes to the work directory, begins the log, says what became of the options; refuses what is refused.
 * Reported to standard error or the log. */
int front_begin(struct front *);
/* Writes what has happened since it was called last, and what became of the tree, to the log. */
void front_tell(struct front *, bool bad);
/* Writes what happened to the log (to standard error too when something failed and the log is a file): the exit status of the
 * command. */
int front_end(struct front *, int r, const char *done, const char *failed);

/* Runs all action scripts with what criu(8) promises them in the environment; the first that fails is reported and ends it. */
int scripts_run(const struct front *, const char *action);
/* What becomes of TCP connections to the outside; reported. */
struct policies;
int tcp_policies(const struct front *, struct policies *ret, bool at_dump);
/* Tells --status-fd that the command works. */
int status_tell(const struct front *);

struct dump_result;
struct restored;
/* stats-dump and stats-restore in the work directory, in the form that crit(1) reads; and for people with --display-stats. */
void stats_dump(const struct front *, const struct dump_result *);
void stats_restore(const struct front *, u64 restore_ns, u64 pages);

typedef int front_command(struct front *);
front_command front_dump, front_restore, front_check;
