/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands: one file each, one function each. */
#pragma once
#include "diag/diag.h"

/* argv[0] is the subcommand. 0 or a negative errno with a diagnostic, or a positive exit status of the restored program. */
typedef int command_fn(int argc, char **argv);
#define COMMAND(name, help) command_fn command_##name;
#include "command/commands.def"
#undef COMMAND

/* A pid from the command line: positive decimal; refused with USAGE otherwise. */
int command_pid(const char *text, int *ret_pid);
/* Writes a whole text to standard output and frees it; a failed write is reported. */
int command_output(struct text *);
