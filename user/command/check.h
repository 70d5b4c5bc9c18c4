/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of `ckpt check`, in two files. */
#pragma once
#include "command/command.h"

struct check_options {
	bool json, verbose;
	int pid; /* 0: the host */
};

/* Judges one live tree without stopping it. */
int check_tree(const struct check_options *);
