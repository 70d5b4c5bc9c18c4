// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what all subcommands share. */
#include "command/command.h"
#include "base/file.h"
#include "task/stand.h"
#include <limits.h>
#include <sys/ioctl.h>

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

int command_size(const char *text, u64 *ret)
{
	static const char units[] = "KMGT";
	char *end;
	errno = 0;
	u64 size = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (errno || text[0] < '0' || text[0] > '9' || (*end && (!unit || end[1])) || size > UINT64_MAX >> shift)
		return fail(USAGE, 0, "\"%s\" is no size such as 300M", text);
	*ret = size << shift;
	return 0;
}

int command_stand(int *pid)
{
	pid_t inside = *pid;
	int r = stand_in_tree(&inside);
	*pid = inside;
	return r;
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

int command_disable(const char **ret)
{
	char unknown[64];
	*ret = getenv("CKPT_DISABLE");
	if (!caps_disable_valid(*ret, unknown, sizeof unknown))
		return fail(USAGE, 0, "CKPT_DISABLE names \"%s\", which is no capability: see `ckpt check`", unknown);
	return 0;
}

int command_caps(struct caps *ret)
{
	const char *disable;
	int r = command_disable(&disable);
	return r < 0 ? r : caps_load(ret, disable);
}

size_t command_width(void)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 100;
	return MAX(60u, MIN(140u, size.ws_col));
}
