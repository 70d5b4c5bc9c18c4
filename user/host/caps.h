/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this kernel and this user may do: one row of caps.def per interface, three answers per row. */
#pragma once
#include "base/base.h"
#include "base/text.h"

enum cap_id {
#define CAN(id, ...) CAN_##id,
#include "host/caps.def"
#undef CAN
	CAN_COUNT,
	CAN_NOTHING = -1, /* a failure that hangs on no capability */
};

enum cap_answer { CAP_UNKNOWN, CAP_NO, CAP_YES };

/* One row of the table; every text is for people. */
struct cap_row {
	const char *id, *group, *interface, *since, *config, *privilege, *lost, *todo;
};

struct cap_state {
	enum cap_answer answer;
	int err;        /* errno that the probe met, 0 when none */
	char note[120]; /* what the answer rests on, for people */
};

struct caps {
	struct cap_state state[CAN_COUNT];
};

const struct cap_row *caps_row(enum cap_id);
/* Every probe; used by `ckpt check`. disable: comma-separated ids (CKPT_DISABLE) that answer no, or NULL; an unknown id
 * gives -EINVAL. */
int caps_probe_all(struct caps *ret, const char *disable);
/* The rows that dump and restore ask, from the cache of this boot where it holds them, else probed now. */
int caps_load(struct caps *ret, const char *disable);
static inline bool caps_has(const struct caps *caps, enum cap_id id) { return caps->state[id].answer == CAP_YES; }
