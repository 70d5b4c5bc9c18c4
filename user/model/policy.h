/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: for kinds of objects that can be treated in several ways. */
#pragma once
#include "base/text.h"

enum policy_choice {
	POLICY_KEEP = 1,   /* saved and made again as it was */
	POLICY_CLOSE = 2,  /* the program finds it closed by the other side */
	POLICY_RESET = 4,  /* the program finds it broken when it uses it */
	POLICY_REFUSE = 8, /* the dump is refused */
	POLICY_DROP = 16,  /* it is left out, and a warning says so */
	/* of things that may be there at restore, where KEEP makes those that are gone: */
	POLICY_ENTER = 32,   /* none is made; a warning tells which are gone */
	POLICY_REQUIRE = 64, /* all must be there */
	POLICY_SET = 128,    /* all must be there, and are set to what they were */
	POLICY_FULL = 256,   /* those that are gone are made, and all are set to what they were */
	POLICY_STRICT = 512, /* all are made: none may be there */
};
enum policy_when { POLICY_AT_DUMP = 1, POLICY_AT_RESTORE = 2 };

enum policy_id {
#define POLICY(id, ...) POLICY_##id,
#include "model/policy.def"
#undef POLICY
	POLICY_COUNT
};

/* Zeroed: the defaults. */
struct policies {
	u16 choice[POLICY_COUNT];
	u8 chosen; /* bit per id: it is not the default */
};

/* "name=choice" from the command line. Refused with USAGE, with the choices that there are. */
int policy_parse(struct policies *, const char *text, enum policy_when);
enum policy_choice policy_of(const struct policies *, enum policy_id);
bool policy_is_chosen(const struct policies *, enum policy_id);
/* The index-th policy for people: its name, what it is about and its choices, the default first. False behind the last. */
bool policy_row(size_t index, const char **ret_name, const char **ret_about, struct text *ret_choices);
