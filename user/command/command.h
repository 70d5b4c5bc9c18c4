/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands: one file each, one function each. */
#pragma once
#include "diag/diag.h"
#include "host/caps.h"
#include "task/confirm.h"
#include <signal.h>

/* argv[0] is the subcommand. 0 or a negative errno with a diagnostic, or a positive exit status of the restored program. */
typedef int command_fn(int argc, char **argv);
#define COMMAND(name, help) command_fn command_##name;
#include "command/commands.def"
#undef COMMAND

/* A pid from the command line: positive decimal; refused with USAGE otherwise. */
int command_pid(const char *text, int *ret_pid);
/* Bytes from the command line: decimal, with K, M, G or T behind it for powers of 1024; refused with USAGE otherwise. */
int command_size(const char *text, u64 *ret);
/* `ckpt dump` behind its command line: finds what this host can, stands in the tree's pid namespace and dumps. caps and above of
 * the configuration are set here. */
struct dump_config;
struct dump_result;
int command_dump_tree(struct dump_config *, struct dump_result *ret);
/* Blocks the signals that a restore in the foreground hands on to the root; the set is for restore_wait(). */
void command_block_handed(sigset_t *ret);
/* Writes the decimal id and no newline to a file that may be there already, mode as given; reported. */
int command_pidfile(const char *path, unsigned mode, pid_t pid);
/* Goes into the pid namespace of the tree that the command is about; *pid becomes the id inside: task/stand.h. */
int command_stand(int *pid);
/* Asks a shell command, which finds the id of the tree's root in CKPT_PID; any status but 0 is a refusal. NULL: nobody. */
struct confirm command_confirm(const char *command);
/* Writes a whole text to standard output and frees it; a failed write is reported. */
int command_output(struct text *);
/* CKPT_DISABLE, or NULL; an unknown id in it is refused with USAGE. */
int command_disable(const char **ret);
/* What dump and restore may use here, CKPT_DISABLE obeyed. */
int command_caps(struct caps *ret);
/* Columns of the terminal that standard output is, between 60 and 140; 100 when it is none. */
size_t command_width(void);
