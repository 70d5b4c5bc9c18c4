/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan as its builder, printer and simulator see it. Private to plan/. */
#pragma once
#include "plan/plan.h"

struct plan_step {
	struct plan_step *next; /* same array, same stage */
	struct step step;
};

struct step_block {
	struct step_block *next;
	u32 used;
	struct plan_step steps[];
};

struct plan_array {
	u32 tid, count, stack; /* stack: data offset of its top */
	u32 hold;              /* index + 1 */
	struct plan_step *first[STAGE_COUNT], *last[STAGE_COUNT];
};

struct plan_word {
	char *name;
	u32 hash, offset;
};

struct plan_pointer {
	u32 at, target;
};

struct plan_hold {
	struct plan_held held;
	u32 parent;
	struct plan_step *wait;
};

struct plan {
	struct plan_config config;
	struct step_block *blocks;
	VECTOR(struct plan_array) arrays;
	VECTOR(struct plan_word) words;
	VECTOR(struct plan_pointer) pointers;
	VECTOR(size_t) objects; /* where their names begin */
	struct text names;
	VECTOR(u32) gated; /* tids */
	VECTOR(struct plan_hold) holds;
	VECTOR(struct plan_home) homes; /* by file */
	VECTOR(u32) makers;             /* slots */
	u32 world;                      /* the tid of who makes what steps for the world are about now */
	struct text data;
	u32 *by_tid, tid_room; /* open addressing: array index + 1 */
	u32 slots, steps;
	bool failed;
	struct plan_step lost;
	struct arena layout;
};
