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

/* Where a kernel shows its types (since 5.4). */
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
/* Where they are read: CKPT_BTF (`ckpt --btf`), else there. Never what the caller names when ckpt has rights that he has not:
 * wrong types would show him any memory of the kernel. */
const char *caps_btf(void);

enum cap_answer { CAP_UNKNOWN, CAP_NO, CAP_YES };

/* One row of the table; every text is for people. */
struct cap_row {
	const char *id, *group, *interface, *since, *config, *privilege, *lost, *todo;
};

struct cap_state {
	enum cap_answer answer;
	int err;        /* errno that the probe met, 0 when none */
	bool asked;     /* the running kernel answered, not only its build */
	char note[120]; /* what the answer rests on, for people */
};

/* What the caller may do, from little to much. */
enum cap_tier { CAP_TIER_USER, CAP_TIER_CHECKPOINT, CAP_TIER_NESTED, CAP_TIER_ROOT };

struct caps {
	struct cap_state state[CAN_COUNT];
	enum cap_tier tier;
};

const struct cap_row *caps_row(enum cap_id);
/* The row of this name, CAN_NOTHING when there is none. */
enum cap_id caps_find(const char *id, size_t len);
/* Every probe; used by `ckpt check`. disable: comma-separated ids (CKPT_DISABLE) that answer no, or NULL; an unknown id
 * gives -EINVAL. */
int caps_probe_all(struct caps *ret, const char *disable);
/* The rows that dump and restore ask (LOAD in probes.def), from the cache of this boot where it holds them, else probed
 * now; the others stay unknown. */
int caps_load(struct caps *ret, const char *disable);
/* Asks the kernel for one row, now. What rows share is read once for each struct host; NULL: only for this one. */
struct host;
struct host *caps_host_new(void);
void caps_host_free(struct host *);
struct cap_state caps_ask(struct host *, enum cap_id);
/* Does every id of the list have a row? If not, the first that has none. */
bool caps_disable_valid(const char *disable, char *ret_unknown, size_t room);
/* Asks again what policy has refused: for who has other rights now than when it was asked. */
void caps_again(struct caps *, const char *disable);
static inline bool caps_has(const struct caps *caps, enum cap_id id) { return caps->state[id].answer == CAP_YES; }

/* Is it known to be missing, or to be taken for that? */
static inline bool caps_lacks(const struct caps *caps, enum cap_id id) { return caps->state[id].answer == CAP_NO; }

enum cap_need { CAP_FOR_DUMP, CAP_FOR_RESTORE };
/* Do ordinary programs need the row? And is it, or what serves instead of it, there? */
bool caps_needed(enum cap_id, enum cap_need);
bool caps_serves(const struct caps *, enum cap_id);
/* What serves when the row is missing, or CAN_NOTHING. */
enum cap_id caps_instead(enum cap_id);
const char *caps_tier_text(enum cap_tier);
/* The table as Markdown: docs/capabilities.md. */
void caps_markdown(struct text *);
