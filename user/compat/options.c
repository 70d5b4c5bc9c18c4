// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the command line and the options files of criu(8). */
#include "compat/options.h"
#include "base/file.h"
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const struct option_row rows[OPTION_COUNT] = {
#define OPTION(id, ...) [OPTION_##id] = { __VA_ARGS__ },
#include "compat/options.def"
#undef OPTION
};

const struct option_row *option_row(enum option_id id) { return &rows[id]; }

/* --- what was given --- */

static void forget(struct options *o, enum option_id id)
{
	size_t kept = 0;
	for (size_t i = 0; i < o->list.n; i++) {
		if (o->list.v[i].id == id)
			free(o->list.v[i].value);
		else
			o->list.v[kept++] = o->list.v[i];
	}
	o->list.n = kept;
}

static int remember(struct options *o, enum option_id id, const char *value)
{
	struct given *place = vector_add(&o->list);
	char *copy = value ? strdup(value) : NULL;
	if (!place || (value && !copy)) {
		free(copy);
		fputs("criu: out of memory\n", stderr);
		return -ENOMEM;
	}
	*place = (struct given){ id, copy };
	return 0;
}

const char *option_next(const struct options *o, enum option_id id, size_t *at)
{
	for (; *at < o->list.n; (*at)++)
		if (o->list.v[*at].id == id)
			return o->list.v[(*at)++].value ?: "";
	return NULL;
}

const char *option_value(const struct options *o, enum option_id id)
{
	const char *last = NULL, *value;
	for (size_t at = 0; (value = option_next(o, id, &at));)
		last = value;
	return last;
}

void options_without_effect(struct text *t, const struct options *o)
{
	for (int id = 0; id < OPTION_COUNT; id++)
		if (rows[id].use == NOTHING && option_given(o, (enum option_id)id))
			text_addf(t, "--%s changes nothing: %s\n", rows[id].name, rows[id].text);
}

enum option_id options_refused(const struct options *o)
{
	int id = 0;
	while (id < OPTION_COUNT && !(rows[id].use == REFUSED && option_given(o, (enum option_id)id)))
		id++;
	return (enum option_id)id;
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < o->list.n; i++)
		free(o->list.v[i].value);
	vector_free(&o->list);
}

/* --- getopt's tables, made of the rows --- */

#define FIRST_ID 1000 /* above all letters */

struct tables {
	struct option options[2 * OPTION_COUNT + 1];
	char negated[OPTION_COUNT][40];
	char letters[2 * OPTION_COUNT + 8];
};

static int argument_of(enum option_argument argument)
{
	return argument == VALUE ? required_argument : argument == MAYBE ? optional_argument : no_argument;
}

static void make_tables(struct tables *t)
{
	size_t n = 0, at = 0;
	for (int id = 0; id < OPTION_COUNT; id++) {
		t->options[n++] = (struct option){ rows[id].name, argument_of(rows[id].argument), NULL, FIRST_ID + id };
		if (rows[id].argument == FLAG) {
			snprintf(t->negated[id], sizeof t->negated[id], "no-%s", rows[id].name);
			t->options[n++] = (struct option){ t->negated[id], no_argument, NULL, FIRST_ID + OPTION_COUNT + id };
		}
		if (rows[id].letter) {
			t->letters[at++] = (char)rows[id].letter;
			for (int colons = argument_of(rows[id].argument); colons > 0; colons--)
				t->letters[at++] = ':';
		}
	}
	t->options[n] = (struct option){ 0 };
	t->letters[at] = 0;
}

static enum option_id id_of_letter(int letter)
{
	int id = 0;
	while (id < OPTION_COUNT && rows[id].letter != letter)
		id++;
	return (enum option_id)id;
}

/* --- parsing --- */

static bool is_one_of(const char *values, const char *value)
{
	size_t len = strlen(value);
	for (const char *at = values; *at; at += strcspn(at, "|"), at += *at == '|')
		if (strcspn(at, "|") == len && !strncmp(at, value, len))
			return true;
	return false;
}

/* -v: one more than the default level and one more for each further v (-vvv, -v -v); -vN, --verbosity=N: so many. */
static int set_verbosity(struct options *o, const char *value)
{
	size_t more = value ? strspn(value, "v") : 0;
	char *end;
	if (!value || !value[more]) {
		o->verbosity = MAX(o->verbosity, 0) + 1 + (int)more;
		return 0;
	}
	o->verbosity = (int)strtol(value, &end, 10);
	if (*end || end == value || o->verbosity < 0) {
		fprintf(stderr, "criu: \"%s\" is no verbosity\n", value);
		return -EINVAL;
	}
	return 0;
}

static int take(struct options *o, enum option_id id, const char *value)
{
	if (id == OPTION_VERBOSITY)
		return set_verbosity(o, value);
	if (value && *rows[id].values && !is_one_of(rows[id].values, value)) {
		fprintf(stderr, "criu: --%s takes %s, not \"%s\"\n", rows[id].name, rows[id].values, value);
		return -EINVAL;
	}
	return remember(o, id, value);
}

static int take_all(struct options *o, int argc, char **argv)
{
	struct tables t;
	make_tables(&t);
	optind = 0;
	int r = 0;
	for (int c; r == 0 && (c = getopt_long(argc, argv, t.letters, t.options, NULL)) != -1;) {
		if (c == '?' || c == ':')
			return -EINVAL;
		if (c >= FIRST_ID + OPTION_COUNT)
			forget(o, (enum option_id)(c - FIRST_ID - OPTION_COUNT));
		else
			r = take(o, c >= FIRST_ID ? (enum option_id)(c - FIRST_ID) : id_of_letter(c), optarg);
	}
	return r;
}

/* --- options files: one option on a line, without --; # begins a comment; an argument may stand in double quotes --- */

/* Cuts a word off *at; NULL: the line has no more. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t");
	if (!*word || *word == '#')
		return NULL;
	if (*word == '"') {
		char *to = ++word, *from = word;
		for (; *from && *from != '"'; from++) {
			from += *from == '\\' && from[1];
			*to++ = *from;
		}
		*at = from + (*from == '"');
		*to = 0;
		return word;
	}
	char *end = word + strcspn(word, " \t");
	*at = end + (*end != 0);
	*end = 0;
	return word;
}

static int take_line(struct options *o, char *line)
{
	char long_name[80], *name = next_word(&line), *value = name ? next_word(&line) : NULL;
	if (!name)
		return 0;
	snprintf(long_name, sizeof long_name, "--%s", name);
	_cleanup_free_ char *joined = NULL;
	if (value && asprintf(&joined, "%s=%s", long_name, value) < 0)
		return -ENOMEM;
	char *argv[] = { (char *)"criu", joined ?: long_name, NULL };
	return take_all(o, 2, argv);
}

/* A file that is not there has no options. */
static int take_file(struct options *o, const char *path)
{
	_cleanup_text_ struct text text = { 0 };
	int r = file_read(AT_FDCWD, path, &text) < 0 ? 0 : 1;
	for (char *line, *rest = text.data; r > 0 && (line = strsep(&rest, "\n"));)
		if (take_line(o, line) < 0) {
			fprintf(stderr, "criu: this is in %s\n", path);
			return -EINVAL;
		}
	return 0;
}

static int take_files(struct options *o, bool defaults, const char *config)
{
	char path[4096];
	const char *home = getenv("HOME"), *named = getenv("CRIU_CONFIG_FILE");
	int r = defaults ? take_file(o, "/etc/criu/default.conf") : 0;
	if (r == 0 && defaults && home && (size_t)snprintf(path, sizeof path, "%s/.criu/default.conf", home) < sizeof path)
		r = take_file(o, path);
	if (r == 0 && defaults && named)
		r = take_file(o, named);
	return r == 0 && config ? take_file(o, config) : r;
}

static int take_words(struct options *o, int argc, char **argv)
{
	o->command = optind < argc ? argv[optind++] : NULL;
	bool has_two = o->command && (!strcmp(o->command, "cpuinfo") || !strcmp(o->command, "swrk"));
	if (has_two && optind < argc)
		o->subcommand = argv[optind++];
	if (option_given(o, OPTION_EXEC_CMD)) { /* getopt has moved the command behind -- */
		o->rest = argv + optind;
		return 0;
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "criu: \"%s\" is one argument too many for %s\n", argv[optind], o->command);
	return -EINVAL;
}

int options_parse(struct options *ret, int argc, char **argv)
{
	struct options first = { .verbosity = -1 };
	*ret = (struct options){ .verbosity = -1 };
	int r = take_all(&first, argc, argv); /* what says which files are read */
	const char *config = option_value(&first, OPTION_CONFIG);
	if (r == 0)
		r = take_files(ret, !option_given(&first, OPTION_NO_DEFAULT_CONFIG), config);
	options_free(&first);
	if (r == 0)
		r = take_all(ret, argc, argv);
	return r == 0 ? take_words(ret, argc, argv) : r;
}
