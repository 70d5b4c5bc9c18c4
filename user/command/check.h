/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of `ckpt check`, in three files. */
#pragma once
#include "command/command.h"

#include "restore/restore.h"

struct check_options {
	bool json, verbose, why;
	int pid;                  /* 0: the host */
	struct policies policies; /* of a dump of the tree */
	bool external;            /* see dump_config */
	const char *external_kinds;
	struct restore_config restore; /* dir: judge this image; NULL: none */
};

/* Judges one live tree without stopping it. */
int check_tree(const struct check_options *);
/* Judges whether an image can be restored here, and makes nothing. */
int check_image(struct check_options *);
