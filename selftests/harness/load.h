/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients outside of the tree that keep a server busy while it is dumped and restored. For tests with .root. */
#pragma once
#include "harness/target.h"

struct load {
	pid_t pid;
	char output[64];                       /* the file that it writes what it says to */
	long long (*progress)(const void *of); /* a number that only grows, and only when the server has answered */
	const void *of;
};

/* Starts a program in the background; without it the test is skipped. progress and of are the caller's to set. */
#define load_start(load, ...) load_startv(load, (const char *const[]){ __VA_ARGS__, NULL })
void load_startv(struct load *, const char *const *argv);
/* Starts a child that calls client(arg) until it is killed; a check in there that does not hold fails the test. */
void load_fork(struct load *, void (*client)(void *arg), void *arg);
/* For progress: the size of the file at a path; a number that a client raises in shared memory. */
long long load_file_size(const void *path);
long long load_number(const void *number);

/* `ckpt check --pid` names no blocker: at most that something changes while it looks. */
void check_no_blocker(pid_t);
/* Lets the server be busy with it (progress by `much`), then dumps and restores it under the load, twice, by away(t); NULL:
 * target_dump() and target_restore(). Each time there is no blocker before, and the clients stay at it. */
void load_across(const struct load *, struct target *, long long much, void (*away)(struct target *));
/* Waits until it has gone on by so much. */
void load_goes_on(const struct load *, long long much);
/* Ends it by this signal and gives what it has said, to be freed. */
char *load_stop(const struct load *, int signal);
