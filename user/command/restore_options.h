/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that say how an image is to be restored: those of `ckpt restore` that `ckpt check --image` knows too. */
#pragma once
#include "restore/restore.h"

#define RESTORE_OPTIONS                                                                                                        \
	{ "trust", no_argument, NULL, 't' }, { "pidns", no_argument, NULL, 'n' }, { "tty", optional_argument, NULL, 'T' },     \
		{ "stdio", no_argument, NULL, 's' }, { "cut", no_argument, NULL, 'c' },                                        \
		{ "policy", required_argument, NULL, 'o' }, { "userns", no_argument, NULL, 'u' },                              \
		{ "groups", no_argument, NULL, 'g' }, { "cgroup-root", required_argument, NULL, 'G' },                         \
	{                                                                                                                      \
		"inherit", required_argument, NULL, 'i'                                                                        \
	}
#define RESTORE_OPTIONS_TEXT                                                                                                   \
	"[--trust] [--pidns] [--userns] [--groups] [--tty[=PATH|fd:N]] [--stdio] [--inherit FILE=fd:N] [--cut] "               \
	"[--policy NAME=POLICY] [--cgroup-root [CONTROLLER:]/PATH]"
/* Takes what getopt_long() gave; 1: it was one of these, 0: it was none. The argument must outlive config. */
int restore_option(struct restore_config *, int option, const char *argument);
void restore_options_free(struct restore_config *);
