/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of criu(8) as they were given: a list of rows of options.def with their arguments, the last of a row counts unless it may
 * be given several times. */
#pragma once
#include "base/text.h"
#include "base/vector.h"

enum option_id {
#define OPTION(id, ...) OPTION_##id,
#include "compat/options.def"
#undef OPTION
	OPTION_COUNT
};

enum option_argument { FLAG, PLAIN, VALUE, MAYBE };
enum option_use { DOES, NOTHING, REFUSED };

struct option_row {
	const char *name;
	int letter; /* 0: none */
	enum option_argument argument;
	const char *values;
	enum option_use use;
	const char *text;
};
const struct option_row *option_row(enum option_id);

struct given {
	enum option_id id;
	char *value; /* NULL: none; owned */
};

struct options {
	VECTOR(struct given) list;
	const char *command;    /* NULL: none was named */
	const char *subcommand; /* of cpuinfo; the descriptor of swrk */
	char *const *rest;      /* behind --, NULL-terminated */
	int verbosity;          /* -1: not said */
};

/* Reads the default options files, that of --config, and the command line, in this order. A usage error is written to standard
 * error (with the name of the option), and -EINVAL returned. */
int options_parse(struct options *ret, int argc, char **argv);
void options_free(struct options *);
/* The last value; "" for an option that was given without one; NULL: not given. */
const char *option_value(const struct options *, enum option_id);
static inline bool option_given(const struct options *o, enum option_id id) { return option_value(o, id); }
/* Goes through all values of an option: *at begins with 0; NULL behind the last. */
const char *option_next(const struct options *, enum option_id, size_t *at);
/* One line for each option that was given and changes nothing, "--name: why"; in the order of options.def. */
void options_without_effect(struct text *, const struct options *);
/* The first option that is refused, or OPTION_COUNT. */
enum option_id options_refused(const struct options *);
