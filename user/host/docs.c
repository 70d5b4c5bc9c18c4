// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns docs/capabilities.md. */
#include "host/caps.h"

static const char *or_dash(const char *text) { return *text ? text : "-"; }

static const char *needed_for(enum cap_id id)
{
	bool dump = caps_needed(id, CAP_FOR_DUMP), restore = caps_needed(id, CAP_FOR_RESTORE);
	return dump && restore ? "both" : dump ? "dump" : restore ? "restore" : "-";
}

static void row_markdown(struct text *t, enum cap_id id)
{
	const struct cap_row *row = caps_row(id);
	text_addf(t, "| `%s` | %s | %s | %s | %s | %s", row->id, row->interface, or_dash(row->since), or_dash(row->config),
		  or_dash(row->privilege), needed_for(id));
	if (caps_instead(id) != CAN_NOTHING)
		text_addf(t, " (or `%s`)", caps_row(caps_instead(id))->id);
	text_addf(t, " | %s | %s |\n", row->lost, row->todo);
}

void caps_markdown(struct text *t)
{
	const char *group = "";
	text_adds(t,
		  "# Kernel capabilities\n\nWhat ckpt asks a kernel for, what is lost without it, and what to do. "
		  "`ckpt check` says which of them are here. Version numbers are for people: ckpt never compares them, it asks "
		  "the kernel. Generated from `user/host/caps.def`; do not edit.\n");
	for (int i = 0; i < CAN_COUNT; i++) {
		const struct cap_row *row = caps_row((enum cap_id)i);
		if (strcmp(group, row->group))
			text_addf(t,
				  "\n## %c%s\n\n| id | interface | since | config | privilege | needed for | without it | what "
				  "to do |\n"
				  "|---|---|---|---|---|---|---|---|\n",
				  row->group[0] - 'a' + 'A', row->group + 1);
		group = row->group;
		row_markdown(t, (enum cap_id)i);
	}
}
