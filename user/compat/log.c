// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the log file of criu(8). */
#include "base/clock.h"
#include "compat/log.h"
#include "base/file.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

int log_begin(struct log *log, const char *file, int verbosity)
{
	*log = (struct log){ .fd = STDERR_FILENO, .verbosity = verbosity, .begun = now_ns() };
	if (!file || !strcmp(file, "-"))
		return 0;
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) {
		int err = neg_errno();
		fprintf(stderr, "criu: cannot write the log file %s: %s\n", file, strerror(-err));
		return err;
	}
	log->fd = fd;
	return 0;
}

void log_end(struct log *log)
{
	if (log->fd > STDERR_FILENO)
		close(log->fd);
	log->fd = STDERR_FILENO;
}

void log_say(const struct log *log, enum log_level level, const char *where, const char *format, ...)
{
	static const char *const words[] = { [LOG_ERROR] = "Error ", [LOG_WARNING] = "Warn  " };
	if ((int)level > log->verbosity)
		return;
	_cleanup_text_ struct text line = { 0 };
	u64 us = (now_ns() - log->begun) / 1000;
	text_addf(&line, "(%02llu.%06llu) ", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
	if (where)
		text_addf(&line, "%s(%s): ", level <= LOG_WARNING ? words[level] : "", where);
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return;
	text_addf(&line, "%s\n", text);
	free(text);
	if (!text_failed(&line) && file_write_full(log->fd, line.data, line.len) < 0)
		return; /* nobody reads it */
}

static void say_entry(const struct log *log, const struct diag_view *e)
{
	enum log_level level = e->level == DIAG_ERROR ? LOG_ERROR : e->level == DIAG_WARNING ? LOG_WARNING : LOG_INFO;
	const char *error = e->err ? strerrorname_np(-e->err) ?: "unknown errno" : "";
	log_say(log, level, e->code, "%s%s %s: %s%s%s%s%s", level == LOG_ERROR ? "cannot " : "", e->verb, e->object, e->why,
		*e->detail ? ": " : "", e->detail, e->err ? ": " : "", error);
	if (level <= LOG_WARNING && *e->todo)
		log_say(log, level, e->code, "what to do: %s", e->todo);
}

void log_diagnostics(const struct log *log, size_t first)
{
	struct diag_view entry;
	for (size_t i = first; diag_look(i, &entry); i++)
		say_entry(log, &entry);
}
