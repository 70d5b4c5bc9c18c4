// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the table of policies and what the command line says of them. */
#include "model/policy.h"
#include "diag/diag.h"

enum {
	KEEP = POLICY_KEEP,
	CLOSE = POLICY_CLOSE,
	RESET = POLICY_RESET,
	REFUSE = POLICY_REFUSE,
	DROP = POLICY_DROP,
	ENTER = POLICY_ENTER,
	REQUIRE = POLICY_REQUIRE,
	SET_AGAIN = POLICY_SET,
	FULL = POLICY_FULL,
	STRICT = POLICY_STRICT,
	AT_DUMP = POLICY_AT_DUMP,
	AT_RESTORE = POLICY_AT_RESTORE
};

static const struct row {
	const char *name, *about;
	u8 when;
	u16 initial, choices;
} rows[] = {
#define POLICY(id, name, about, when, initial, choices) { name, about, when, initial, choices },
#include "model/policy.def"
#undef POLICY
};

static const char *const words[] = { "keep", "close", "reset", "refuse", "drop", "enter", "require", "set", "full", "strict" };

static void add_choices(struct text *t, const struct row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (row->initial == 1u << i)
			text_adds(t, words[i]);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (row->choices & 1u << i && row->initial != 1u << i)
			text_addf(t, ", %s", words[i]);
}

static int choose(struct policies *p, size_t id, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]) && rows[id].choices & 1u << i) {
			p->choice[id] = (u16)(1u << i);
			p->chosen |= (u8)(1u << id);
			return 0;
		}
	_cleanup_text_ struct text choices = { 0 };
	add_choices(&choices, &rows[id]);
	return fail(USAGE, 0, "\"%s\" is no policy for %s: there are %s", word, rows[id].name,
		    choices.data ? choices.data : "");
}

int policy_parse(struct policies *p, const char *text, enum policy_when when)
{
	size_t len = strcspn(text, "=");
	for (size_t i = 0; text[len] && i < ARRAY_SIZE(rows); i++)
		if (rows[i].when & when && strlen(rows[i].name) == len && !memcmp(rows[i].name, text, len))
			return choose(p, i, text + len + 1);
	_cleanup_text_ struct text names = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].when & when)
			text_addf(&names, "%s%s", names.len ? ", " : "", rows[i].name);
	return fail(USAGE, 0, "\"%s\" is no NAME=POLICY; names are %s", text, names.data ? names.data : "");
}

bool policy_is_chosen(const struct policies *p, enum policy_id id) { return p->chosen & 1u << id; }

enum policy_choice policy_of(const struct policies *p, enum policy_id id)
{
	return (enum policy_choice)(policy_is_chosen(p, id) ? p->choice[id] : rows[id].initial);
}

bool policy_row(size_t index, const char **ret_name, const char **ret_about, struct text *ret_choices)
{
	if (index >= ARRAY_SIZE(rows))
		return false;
	*ret_name = rows[index].name;
	*ret_about = rows[index].about;
	add_choices(ret_choices, &rows[index]);
	return true;
}
