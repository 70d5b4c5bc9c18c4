/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command under a tracer that counts its system calls, over all of its threads, and strikes at one of them. */
#pragma once
#include "base/text.h"
#include "harness/test.h"
#include <sys/ptrace.h>
#include <linux/ptrace.h> /* behind the C library's */

struct strike {
	int at;    /* system call number, from 1, when it is entered; 0: never */
	int error; /* it fails with this errno (positive) without being made (but close(2)); 0: the command is killed (SIGKILL) */
	bool children; /* those of its child processes count too; else they are not traced (a restore traces its own) */
	int nr;        /* only calls of this number are counted, 0: all */
	bool stops;    /* who is traced and stops itself (SIGSTOP) stands still until it is killed; else it goes on */
	/* Called once instead of a strike, when the first call is entered that makes a child with an id of its own (clone3). */
	void (*at_birth)(pid_t pid, void *arg);
	/* Called at the entry and the exit of every call that is counted. */
	void (*seen)(pid_t tid, const struct ptrace_syscall_info *, void *arg);
	void *arg;
};

struct struck {
	int calls;     /* seen until the strike, or in all; less than `at`: it was not struck */
	int status;    /* wait status of the command */
	int nr;        /* the call that was struck, -1: none */
	char on[100];  /* for people: the file that the call was about */
	bool injected; /* some calls must not fail: C libraries do not survive it, or they cannot fail */
};

/* Runs the command to its end. Everything that is traced is gone when this returns. output: what it prints, or NULL. */
struct struck strike_run(const char *path, const char *const *argv, const struct strike *, struct text *output);

/* For .seen, with a struct strike_end: kills the command (SIGKILL) as soon as it has sent SIGKILL to the target. */
struct strike_end {
	pid_t target;
	bool killed;
};
void strike_when_ended(pid_t tid, const struct ptrace_syscall_info *, void *strike_end);

/* From now on the test has a cache of capabilities of its own, which is full and stays as it is: what a call that fails makes
 * ckpt believe is forgotten. Every run begins with it. */
void strike_own_cache(void);

/* The calls of a whole run are the least of so many runs: one that finds no cache of capabilities makes more, which is the first,
 * and any for which another test took the cache away. calls: what was the least until now, 0 at first. */
#define STRIKE_WHOLE 3
int strike_least(int calls, const struct struck *whole);
/* Was a run that ended before its call so much shorter than *calls that a sweep of the last calls missed the end? They wait more often
 * on a busy machine. Then *calls is what it made, and the last calls are to be taken again; not for ever: *times counts. */
bool strike_shorter(int *calls, int *times, const struct struck *);

/* The call that a sweep begins with: first, or what SWEEP_FROM says, so that one that was broken off can go on. */
int strike_first(int first);
/* SWEEP_TURN, the number of the round: a sweep takes another error for the same call in each. */
int strike_turn(void);
