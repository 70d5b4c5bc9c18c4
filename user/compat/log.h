/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log in criu's form: "(seconds) text", "(seconds) Error (where): text". */
#pragma once
#include "base/base.h"

enum log_level { LOG_ERROR = 1, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
	int fd; /* a file, or standard error */
	int verbosity;
	u64 begun; /* CLOCK_MONOTONIC, ns */
};

/* file: made or emptied, below the current directory, mode 0600; NULL or "-": standard error. Reports to standard error. */
int log_begin(struct log *, const char *file, int verbosity);
void log_end(struct log *);
/* where: what an error or a warning is about; NULL for the others. */
void log_say(const struct log *, enum log_level, const char *where, const char *format, ...) _printf_(4, 5);
/* Everything that the diagnostics hold from entry first on: errors, warnings, and notes as information. */
void log_diagnostics(const struct log *, size_t first);
