// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what all subcommands share. */
#include "command/command.h"
#include "base/file.h"
#include <limits.h>

int command_pid(const char *text, int *ret_pid)
{
	char *end;
	errno = 0;
	long pid = strtol(text, &end, 10);
	if (errno || end == text || *end || pid <= 0 || pid > INT_MAX)
		return fail(USAGE, 0, "\"%s\" is no process id", text);
	*ret_pid = (int)pid;
	return 0;
}

int command_output(struct text *text)
{
	int r = text_failed(text) ? fail_memory() : 0;
	if (r == 0 && text->len) {
		r = file_write_full(STDOUT_FILENO, text->data, text->len);
		if (r < 0)
			r = fail(SYSCALL, r, "write to standard output");
	}
	text_free(text);
	return r;
}
