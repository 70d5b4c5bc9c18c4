// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns `ckpt check`: what this kernel and this user can do, as text and JSON. */
#include "command/check.h"
#include "command/restore_options.h"
#include "netlock/lock.h"
#include "why/why.h"
#include <getopt.h>
#include <sys/utsname.h>

#define ID_COLUMN 11
#define CELL_COLUMN 31

static const char *const answers[] = { [CAP_UNKNOWN] = "unknown", [CAP_NO] = "no", [CAP_YES] = "yes" };

/* "interface (since; config; privilege)" */
static void row_cell(struct text *cell, const struct cap_row *row)
{
	const char *const parts[] = { row->since, row->config, row->privilege };
	const char *separator = " (";
	text_adds(cell, row->interface);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!*parts[i])
			continue;
		text_addf(cell, "%s%s", separator, parts[i]);
		separator = "; ";
	}
	if (*separator == ';')
		text_adds(cell, ")");
}

static void row_detail(struct text *t, size_t width, const char *word, const char *words)
{
	if (!*words)
		return;
	size_t len = MAX(strlen(word) + 1, (size_t)6);
	text_addf(t, "%*s%-*s", ID_COLUMN, "", (int)len, word);
	text_add_wrapped(t, ID_COLUMN + len, ID_COLUMN + 6, width, words);
	text_adds(t, "\n");
}

/* What this host answers, and with --why what the kernel says of each refusal. */
struct answers {
	struct caps caps;
	struct text kernel[CAN_COUNT];
};

static void answers_free(struct answers *a)
{
	for (int i = 0; i < CAN_COUNT; i++)
		text_free(&a->kernel[i]);
}

static int ask_why(struct answers *a)
{
	_cleanup_why_ struct why *why = why_begin(&a->caps);
	if (!why)
		return fail_memory();
	for (int i = 0; i < CAN_COUNT; i++)
		if (a->caps.state[i].answer == CAP_NO && a->caps.state[i].err)
			why_capability(why, (enum cap_id)i, &a->kernel[i]);
	return *why_limits(why) ? note(WHY_UNKNOWN, "%s", why_limits(why)) : 0;
}

static void row_text(struct text *t, const struct answers *a, enum cap_id id, size_t width, bool verbose)
{
	const struct caps *caps = &a->caps;
	_cleanup_text_ struct text cell = { 0 };
	const struct cap_row *row = caps_row(id);
	const struct cap_state *state = &caps->state[id];
	enum cap_id instead = caps_instead(id);
	row_cell(&cell, row);
	text_addf(t, "  %-8s %-19s ", answers[state->answer], row->id);
	if (!text_failed(&cell))
		text_add_wrapped(t, CELL_COLUMN, CELL_COLUMN, width, cell.data);
	text_adds(t, "\n");
	bool yes = state->answer == CAP_YES;
	if (!yes || verbose || state->asked)
		row_detail(t, width, yes ? "note:" : "why:", state->note);
	row_detail(t, width, "kernel:", a->kernel[id].data ?: "");
	if (yes && !verbose)
		return;
	row_detail(t, width, "lost:", row->lost);
	row_detail(t, width, "do:", row->todo);
	if (!yes && instead != CAN_NOTHING && caps_has(caps, instead)) {
		_cleanup_text_ struct text serves = { 0 };
		text_addf(&serves, "%s serves instead", caps_row(instead)->id);
		row_detail(t, width, "but:", text_failed(&serves) ? "" : serves.data);
	}
}

/* Is a row that ordinary programs need missing, with nothing that serves instead? */
static bool row_missing(const struct caps *caps, enum cap_id id, enum cap_need need)
{
	return caps_needed(id, need) && caps->state[id].answer == CAP_NO && !caps_serves(caps, id);
}

static size_t missing_names(struct text *t, const struct caps *caps, enum cap_need need)
{
	size_t n = 0;
	for (int i = 0; i < CAN_COUNT; i++)
		if (row_missing(caps, (enum cap_id)i, need))
			text_addf(t, "%s%s", n++ ? ", " : "", caps_row((enum cap_id)i)->id);
	return n;
}

/* One sentence; true when nothing is missing. */
static bool verdict(struct text *t, const struct caps *caps)
{
	_cleanup_text_ struct text dump = { 0 }, restore = { 0 };
	size_t d = missing_names(&dump, caps, CAP_FOR_DUMP), r = missing_names(&restore, caps, CAP_FOR_RESTORE);
	if (d + r == 0)
		text_adds(t, "ordinary programs can be dumped and restored here");
	else if (d && r)
		text_addf(t, "ordinary programs can neither be dumped (missing: %s) nor restored (missing: %s) here", dump.data,
			  restore.data);
	else
		text_addf(t, "ordinary programs can be %s, but not be %s here (missing: %s)", d ? "restored" : "dumped",
			  d ? "dumped" : "restored", d ? dump.data : restore.data);
	return d + r == 0;
}

static void host_text(struct text *t, const struct answers *a, const struct utsname *name, bool verbose)
{
	const struct caps *caps = &a->caps;
	size_t width = command_width(), count[3] = { 0 };
	const char *group = "";
	text_addf(t, "ckpt %s on %s %s (%s), as %s\n", CKPT_VERSION, name->sysname, name->release, name->machine,
		  caps_tier_text(caps->tier));
	for (int i = 0; i < CAN_COUNT; i++) {
		if (strcmp(group, caps_row((enum cap_id)i)->group))
			text_addf(t, "\n%s\n", group = caps_row((enum cap_id)i)->group);
		row_text(t, a, (enum cap_id)i, width, verbose);
		count[caps->state[i].answer]++;
	}
	text_addf(t, "\n%zu yes, %zu no, %zu unknown\nverdict: ", count[CAP_YES], count[CAP_NO], count[CAP_UNKNOWN]);
}

static void json_string(struct text *t, const char *name, const char *value)
{
	text_addf(t, "\"%s\":", name);
	text_add_json(t, value);
	text_adds(t, ",");
}

static void row_json(struct text *t, const struct answers *a, enum cap_id id)
{
	const struct caps *caps = &a->caps;
	const struct cap_row *row = caps_row(id);
	const struct cap_state *state = &caps->state[id];
	text_adds(t, "{");
	json_string(t, "id", row->id);
	json_string(t, "group", row->group);
	json_string(t, "interface", row->interface);
	json_string(t, "answer", answers[state->answer]);
	json_string(t, "why", state->note);
	json_string(t, "kernel", a->kernel[id].data ?: "");
	text_addf(t, "\"errno\":%d,\"asked\":%s,", state->err, state->asked ? "true" : "false");
	json_string(t, "since", row->since);
	json_string(t, "config", row->config);
	json_string(t, "privilege", row->privilege);
	json_string(t, "lost", row->lost);
	json_string(t, "do", row->todo);
	text_addf(t, "\"needed_for_dump\":%s,\"needed_for_restore\":%s,\"instead\":",
		  caps_needed(id, CAP_FOR_DUMP) ? "true" : "false", caps_needed(id, CAP_FOR_RESTORE) ? "true" : "false");
	if (caps_instead(id) == CAN_NOTHING)
		text_adds(t, "null");
	else
		text_add_json(t, caps_row(caps_instead(id))->id);
	text_adds(t, "}");
}

static void host_json(struct text *t, const struct answers *a, const struct utsname *name)
{
	text_adds(t, "{");
	json_string(t, "ckpt", CKPT_VERSION);
	json_string(t, "kernel", name->release);
	json_string(t, "machine", name->machine);
	json_string(t, "tier", caps_tier_text(a->caps.tier));
	text_adds(t, "\"capabilities\":[");
	for (int i = 0; i < CAN_COUNT; i++) {
		text_adds(t, i ? ",\n" : "\n");
		row_json(t, a, (enum cap_id)i);
	}
	text_adds(t, "],\n");
}

/* Locks that a dump has left for a restore, the first thing to look at when a host drops packets. */
static void locks_text(struct text *t)
{
	struct netlock_entry e;
	_cleanup_text_ struct text line = { 0 };
	for (size_t i = 0; netlock_entry(i, &e) == 0; i++) {
		text_free(&line);
		text_addf(&line, "network lock %s (%s), of the image %s%s", e.id, e.method, *e.dir ? e.dir : "?",
			  *e.dir && access(e.dir, F_OK) < 0 ? ", which is gone: `ckpt unlock` with this id ends it" : "");
		text_add_wrapped(t, 0, 2, command_width(), text_failed(&line) ? e.id : line.data);
		text_adds(t, "\n");
	}
}

static void locks_json(struct text *t)
{
	struct netlock_entry e;
	text_adds(t, "\"network_locks\":[");
	for (size_t i = 0; netlock_entry(i, &e) == 0; i++) {
		text_adds(t, i ? ",{" : "{");
		json_string(t, "id", e.id);
		json_string(t, "method", e.method);
		json_string(t, "image", e.dir);
		text_addf(t, "\"orphan\":%s}", *e.dir && access(e.dir, F_OK) < 0 ? "true" : "false");
	}
	text_adds(t, "],");
}

static int check_host(const struct check_options *options)
{
	_cleanup_(answers_free) struct answers a = { 0 };
	struct utsname name;
	struct text t = { 0 };
	_cleanup_text_ struct text sentence = { 0 };
	const char *disable;
	int r = command_disable(&disable);
	if (r < 0)
		return r;
	r = caps_probe_all(&a.caps, disable);
	if (r < 0 || uname(&name) < 0)
		return fail(SYSCALL, r < 0 ? r : neg_errno(), "probe the kernel");
	if (options->why && ask_why(&a) < 0)
		return -ENOMEM;
	bool able = verdict(&sentence, &a.caps);
	if (options->json) {
		host_json(&t, &a, &name);
		locks_json(&t);
		json_string(&t, "verdict", sentence.data);
		text_addf(&t, "\"able\":%s,\"exit_class\":%d}\n", able ? "true" : "false", able ? EXIT_OK : EXIT_KERNEL);
	} else {
		host_text(&t, &a, &name, options->verbose);
		text_add_wrapped(&t, 9, 9, command_width(), sentence.data);
		text_adds(&t, "\n");
		locks_text(&t);
	}
	r = command_output(&t);
	if (r < 0)
		return r;
	return able ? 0 : fail(HOST_LACKS, 0, "%s", sentence.data);
}

#define CHECK_USAGE                                                                                                            \
	"ckpt check [-v] [--json] [--why] [--pid PID [--policy NAME=POLICY] [--external[=KIND,...]] | --image DIR "            \
	"[-d] " RESTORE_OPTIONS_TEXT "]"

/* Options that belong to one of the questions, whichever comes first. */
struct asked {
	VECTOR(const char *) policies;
	bool image; /* an option is for --image alone */
};

static int take_option(struct check_options *o, struct asked *asked, int option, const char *value)
{
	switch (option) {
	case 'j':
		o->json = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'w':
		o->why = true;
		return 0;
	case 'p':
		return command_pid(value, &o->pid);
	case 'm':
		o->restore.dir = value;
		return 0;
	case 'd':
		o->restore.detach = asked->image = true;
		return 0;
	case 'e':
		o->external = true;
		o->external_kinds = value;
		return 0;
	case 'o': {
		const char **place = vector_add(&asked->policies);
		if (!place)
			return fail_memory();
		*place = value;
		return 0;
	}
	default: {
		int r = restore_option(&o->restore, option, value);
		asked->image |= r > 0;
		return r ?: fail(USAGE, 0, CHECK_USAGE);
	}
	}
}

static int take_policies(struct check_options *o, const struct asked *asked)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < asked->policies.n; i++)
		r = o->pid ? policy_parse(&o->policies, asked->policies.v[i], POLICY_AT_DUMP)
			   : policy_parse(&o->restore.policies, asked->policies.v[i], POLICY_AT_RESTORE);
	return r;
}

static int judge_options(const struct check_options *o, const struct asked *asked)
{
	if (o->pid && o->restore.dir)
		return fail(USAGE, 0, "--pid and --image are two questions");
	if (asked->image && !o->restore.dir)
		return fail(USAGE, 0, "an option is for --image alone");
	if (o->external && !o->pid)
		return fail(USAGE, 0, "--external is for --pid alone");
	return asked->policies.n && !o->pid && !o->restore.dir ? fail(USAGE, 0, "--policy is for --pid and --image") : 0;
}

static int parse(int argc, char **argv, struct check_options *o)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "pid", required_argument, NULL, 'p' },
		{ "image", required_argument, NULL, 'm' },
		{ "detach", no_argument, NULL, 'd' },
		{ "why", no_argument, NULL, 'w' },
		{ "external", optional_argument, NULL, 'e' },
		RESTORE_OPTIONS,
		{ 0 },
	};
	struct asked asked = { 0 };
	int r = 0;
	opterr = 0;
	for (int c; r >= 0 && (c = getopt_long(argc, argv, ":vdp:", options, NULL)) != -1;)
		r = take_option(o, &asked, c, optarg);
	if (r >= 0 && optind != argc)
		r = fail(USAGE, 0, "ckpt check takes no argument \"%s\"", argv[optind]);
	if (r >= 0)
		r = judge_options(o, &asked);
	if (r >= 0)
		r = take_policies(o, &asked);
	vector_free(&asked.policies);
	return MIN(r, 0);
}

static int answer(struct check_options *o)
{
	int r = o->pid ? command_stand(&o->pid) : 0;
	if (r < 0)
		return r;
	return o->restore.dir ? check_image(o) : o->pid ? check_tree(o) : check_host(o);
}

int command_check(int argc, char **argv)
{
	struct check_options o = { 0 };
	diag_begin("use", "this host");
	int r = parse(argc, argv, &o);
	if (r == 0)
		r = answer(&o);
	restore_options_free(&o.restore);
	return r;
}
