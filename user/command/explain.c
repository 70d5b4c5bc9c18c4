// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt explain`: one row of the catalog of failures or of the capabilities, in words. */
#include "command/command.h"

static void line(struct text *t, const char *word, const char *words)
{
	if (!*words)
		return;
	text_addf(t, "  %-13s", word);
	text_add_wrapped(t, 15, 15, command_width(), words);
	text_adds(t, "\n");
}

/* What cannot be done with ordinary programs where it is missing. */
static const char *needed_for(enum cap_id id)
{
	bool dump = caps_needed(id, CAP_FOR_DUMP), restore = caps_needed(id, CAP_FOR_RESTORE);
	return dump && restore ? "dump and restore" : dump ? "dump" : restore ? "restore" : "";
}

static void explain_capability(struct text *t, const struct caps *caps, enum cap_id id)
{
	static const char *const here[] = {
		[CAP_UNKNOWN] = "nobody can tell whether it is here",
		[CAP_NO] = "not here",
		[CAP_YES] = "it is here",
	};
	const struct cap_row *row = caps_row(id);
	const struct cap_state *state = &caps->state[id];
	text_addf(t, "%s: %s\n", row->id, row->interface);
	line(t, "since:", row->since);
	line(t, "config:", row->config);
	line(t, "privilege:", row->privilege);
	line(t, "needed for:", needed_for(id));
	line(t, "without it:", row->lost);
	if (caps_instead(id) != CAN_NOTHING)
		line(t, "instead:", caps_row(caps_instead(id))->id);
	line(t, "do:", row->todo);
	text_addf(t, "  %-13s%s%s%s\n", "this host:", here[state->answer], *state->note ? ": " : "", state->note);
}

static void explain_failure(struct text *t, const struct caps *caps, const struct diag_row *row)
{
	text_addf(t, "%s\n", row->code);
	line(t, "why:", row->why);
	line(t, "do:", row->todo);
	text_addf(t, "  %-13s%d (%s)\n", "exit status:", row->exit_class, diag_class_text(row->exit_class));
	if (row->cap != CAN_NOTHING) {
		text_adds(t, "\nIt hangs on the capability ");
		explain_capability(t, caps, row->cap);
	}
}

int command_explain(int argc, char **argv)
{
	struct caps caps = { 0 };
	struct text t = { 0 };
	const char *disable;
	diag_begin("explain", argc > 1 ? argv[1] : "nothing");
	if (argc != 2)
		return fail(USAGE, 0, "ckpt explain CODE");
	const struct diag_row *row = diag_find(argv[1]);
	enum cap_id id = caps_find(argv[1], strlen(argv[1]));
	if (!row && id == CAN_NOTHING)
		return fail(USAGE, 0, "\"%s\" is neither a failure (docs/errors.md) nor a capability (`ckpt check`)", argv[1]);
	int r = command_disable(&disable);
	if (r < 0)
		return r;
	if (id != CAN_NOTHING || row->cap != CAN_NOTHING)
		caps_probe_all(&caps, disable);
	if (row)
		explain_failure(&t, &caps, row);
	if (row && id != CAN_NOTHING && id != row->cap)
		text_adds(&t, "\n");
	if (id != CAN_NOTHING && !(row && id == row->cap))
		explain_capability(&t, &caps, id);
	return command_output(&t);
}
