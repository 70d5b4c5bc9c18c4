// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns --confirm COMMAND of `ckpt dump` and `ckpt restore`: a command is asked before what cannot be undone. */
#include "base/child.h"
#include "command/command.h"
#include <stdio.h>
#include <unistd.h>

static int ask(void *arg, pid_t root)
{
	const char *command = arg;
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)root);
	setenv("CKPT_PID", pid, 1);
	int status = child_run((const char *const[]){ "/bin/sh", "-c", command, NULL });
	if (status < 0)
		return fail(CONFIRM, status, "%s", command);
	return status ? fail(CONFIRM, 0, "%s gave %d", command, status) : 0;
}

struct confirm command_confirm(const char *command)
{
	return command ? (struct confirm){ ask, (void *)(uintptr_t)command } : (struct confirm){ NULL, NULL };
}
