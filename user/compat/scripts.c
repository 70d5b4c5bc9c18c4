// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns what others are told while a command runs: action scripts and the status descriptor. */
#include "base/child.h"
#include "compat/front.h"
#include "diag/diag.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void set_environment(const struct front *f, const char *action)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)f->pid);
	setenv("CRTOOLS_SCRIPT_ACTION", action, 1);
	setenv("CRTOOLS_IMAGE_DIR", f->images, 1);
	if (f->pid)
		setenv("CRTOOLS_INIT_PID", pid, 1);
	else
		unsetenv("CRTOOLS_INIT_PID");
}

int scripts_run(const struct front *f, const char *action)
{
	const char *script;
	for (size_t at = 0; (script = option_next(&f->options, OPTION_ACTION_SCRIPT, &at));) {
		set_environment(f, action);
		log_say(&f->log, LOG_INFO, NULL, "action %s: %s", action, script);
		bool is_file = *script == '/' && access(script, F_OK) == 0; /* whose name may hold anything */
		int status = is_file ? child_run((const char *const[]){ script, NULL })
				     : child_run((const char *const[]){ "/bin/sh", "-c", script, NULL });
		if (status < 0)
			return fail(CONFIRM, status, "%s at %s", script, action);
		if (status)
			return fail(CONFIRM, 0, "%s at %s gave %d", script, action, status);
	}
	return 0;
}

int status_tell(const struct front *f)
{
	const char *text = option_value(&f->options, OPTION_STATUS_FD);
	int fd = text ? atoi(text) : -1;
	if (!text)
		return 0;
	if (fd < 0 || write(fd, "", 1) != 1)
		return fail(SYSCALL, fd < 0 ? -EBADF : neg_errno(), "write to --status-fd %s", text);
	close(fd);
	return 0;
}
