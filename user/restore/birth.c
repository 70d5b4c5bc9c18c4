// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the first moments of a tree that is not ckpt's child: its parent's death is not ckpt's, so between its birth and the moment
 * when ckpt has hold of it nothing but a guard ends it when ckpt dies. */
#include "base/child.h"
#include "base/file.h"
#include "diag/diag.h"
#include "model/shape.h"
#include "restore/execute_internal.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

pid_t fork_aside(const struct graph *g)
{
	pid_t pid = 0;
	do {
		child_end(pid);
		pid = fork();
	} while (pid > 0 && shape_wants(g, (u32)pid));
	return pid;
}

/* Has the process ckpt's arena? One that ckpt makes has it from its first moment on. */
static bool has_arena(pid_t pid, ino_t arena)
{
	_cleanup_text_ struct text maps = { 0 };
	unsigned long inode;
	if (file_readf(&maps, AT_FDCWD, "/proc/%d/maps", (int)pid) < 0 || !maps.data)
		return false;
	for (const char *line = maps.data; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1 && inode == arena)
			return true;
	return false;
}

/* Ends it, if it is there and is of this restore, and waits until it has ended. */
static void end_born(pid_t pid, ino_t arena)
{
	_cleanup_close_ int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (fd < 0 || !has_arena(pid, arena))
		return;
	syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
}

/* Who makes the root goes first: then nobody makes it any more. */
static _Noreturn void be_guard(int ckpt, ino_t arena, pid_t first, pid_t root)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	poll(&(struct pollfd){ .fd = ckpt, .events = POLLIN }, 1, -1);
	end_born(first, arena);
	end_born(root, arena);
	_exit(0);
}

void birth_undo(const struct execution *x)
{
	struct stat arena;
	if (x->memory >= 0 && fstat(x->memory, &arena) == 0)
		end_born(x->root, arena.st_ino);
}

int birth_guard(pid_t *ret, const struct execution *x)
{
	const Ckpt__Host *host = graph_data(x->graph, &kind_host, 1);
	const Ckpt__Task *root = shape_task(x->graph, host->root_pid);
	struct stat arena;
	_cleanup_close_ int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0 || fstat(x->memory, &arena) < 0)
		return fail(SYSCALL, neg_errno(), "pidfd_open");
	pid_t guard = fork_aside(x->graph);
	if (guard == 0)
		be_guard(self, arena.st_ino, shape_birth(x->graph, root) == BIRTH_ADOPTED ? (pid_t)root->sid : 0,
			 (pid_t)root->pid);
	*ret = guard;
	return guard < 0 ? fail(SYSCALL, neg_errno(), "fork") : 0;
}
