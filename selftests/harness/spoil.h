/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes a step of a plan in the arena, before the root is born. */
#pragma once
#include "base/base.h"
#include "wire.h"
#include <sys/types.h>

enum spoil_how {
	SPOIL_FAILS,   /* a call that no kernel has */
	SPOIL_SKIPPED, /* nothing is done, and nobody notices at once */
	SPOIL_DIES,    /* the process ends there */
};

struct spoil {
	u32 step; /* of all arrays but the world's */
	enum spoil_how how;
	/* NULL, or which steps may be spoiled. */
	bool (*wanted)(const struct step *);
	/* What was found: */
	u32 steps;  /* there are so many */
	bool done;  /* it was wanted, and is spoiled */
	u16 nr;     /* its call */
	u64 arg[2]; /* and its first arguments */
};

/* For struct strike: at_birth, with a struct spoil. */
void spoil_step(pid_t pid, void *spoil);
