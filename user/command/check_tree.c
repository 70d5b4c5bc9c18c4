// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt check --pid`: one live tree, judged without stopping it. */
#include "command/check.h"

int check_tree(const struct check_options *options _unused_) { return fail(USAGE, 0, "--pid is not there yet"); }
