/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is asked before what cannot be undone, while the whole tree is stopped: a dump asks when its image is committed and the
 * tree is about to be let go or ended, a restore when its tree is made and proven and has not run. */
#pragma once
#include <sys/types.h>

struct confirm {
	/* 0: go on; a negative errno, which was reported: do not. NULL: nobody is asked. root: the id of the tree's root as ckpt
	 * sees it. */
	int (*ask)(void *arg, pid_t root);
	void *arg;
};

static inline int confirm_ask(const struct confirm *c, pid_t root) { return c->ask ? c->ask(c->arg, root) : 0; }
