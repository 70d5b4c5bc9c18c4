// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the wait of a restore in the foreground: the root's end, signals that are handed on, a terminal that is relayed. */
#include "diag/diag.h"
#include "reaper.h"
#include "restore/pidns.h"
#include "restore/terminal.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A job of ckpt's own session was stopped: so is ckpt, for its shell to see it, and they go on together. */
static void stop_together(struct restored *p)
{
	pid_t group = getpgid(p->root);
	if (!p->terminal.is_own || group <= 1)
		return;
	raise(SIGSTOP);
	if (tcgetpgrp(p->terminal.fd) == getpgrp())
		tcsetpgrp(p->terminal.fd, group);
	kill(-group, SIGCONT);
}

/* -EAGAIN: it has not ended. */
static int ended_child(struct restored *p, int *ret_status)
{
	pid_t got = waitpid(p->root, ret_status, WNOHANG | WUNTRACED);
	if (got < 0)
		return fail(SYSCALL, neg_errno(), "waitpid(%d)", (int)p->root);
	if (got == p->root && WIFSTOPPED(*ret_status))
		stop_together(p);
	return got == p->root && !WIFSTOPPED(*ret_status) ? 0 : -EAGAIN;
}

static void hand_on(struct restored *p, const struct signalfd_siginfo *info)
{
	int signal = (int)info->ssi_signo;
	if (signal == SIGWINCH && p->terminal.master >= 0)
		relay_resize(&p->terminal);
	else if (signal != SIGCHLD && p->reaper)
		syscall(SYS_pidfd_send_signal, p->reaper_fd, signal, NULL, 0);
	else if (signal != SIGCHLD && p->root > 1)
		kill(p->root, signal);
}

enum { SIGNALS, CHANNEL, INPUT, OUTPUT, SOURCES };

static int serve(struct restored *p, struct pollfd fds[SOURCES], int *ret_status)
{
	struct signalfd_siginfo info;
	int r = p->reaper ? -EAGAIN : ended_child(p, ret_status);
	if (r != -EAGAIN)
		return r;
	if (poll(fds, SOURCES, -1) < 0)
		return errno == EINTR ? -EAGAIN : fail(SYSCALL, neg_errno(), "poll");
	if (fds[CHANNEL].revents)
		r = pidns_ended(p, ret_status);
	if ((fds[SIGNALS].revents & POLLIN) && read(fds[SIGNALS].fd, &info, sizeof info) == sizeof info)
		hand_on(p, &info);
	if (fds[INPUT].revents && !relay_input(&p->terminal))
		fds[INPUT].fd = -1;
	if (fds[OUTPUT].revents && !relay_output(&p->terminal))
		fds[OUTPUT].fd = -1;
	return r;
}

int restore_wait(struct restored *p, const sigset_t *signals)
{
	bool relay = p->terminal.master >= 0;
	_cleanup_close_ int queue = signalfd(-1, signals, SFD_CLOEXEC);
	struct pollfd fds[SOURCES] = {
		[SIGNALS] = { .fd = queue, .events = POLLIN },
		[CHANNEL] = { .fd = p->channel, .events = POLLIN },
		[INPUT] = { .fd = relay ? 0 : -1, .events = POLLIN },
		[OUTPUT] = { .fd = p->terminal.master, .events = POLLIN },
	};
	int status = 0, r;
	if (queue < 0)
		return fail(SYSCALL, neg_errno(), "signalfd");
	if (relay)
		relay_begin(&p->terminal);
	do
		r = serve(p, fds, &status);
	while (r == -EAGAIN);
	if (relay)
		relay_end(&p->terminal);
	return r < 0 ? r : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void restored_free(struct restored *p)
{
	terminal_free(&p->terminal);
	closep(&p->reaper_fd);
	closep(&p->channel);
}
