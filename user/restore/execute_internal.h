/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What running and finishing a plan share. Private to restore/. */
#pragma once
#include "model/kinds.h"
#include "restore/restore.h"

struct arena *execution_arena(struct execution *);
struct array *execution_array(struct execution *, u32 tid);
/* The `syscall` instruction of the blob: whatever else a task has lost, this page it has. */
u64 execution_syscall(const struct execution *);
/* A process that ends what has been born when ckpt dies; for a root that is not ckpt's child, until ckpt has hold of it. The caller
 * ends it (child_end). Reports failures. */
int birth_guard(pid_t *ret, const struct execution *);
/* Ends a root that is not ckpt's child and of which it has no hold yet, if it has been born. */
void birth_undo(const struct execution *);
/* Leaders that had ended while others of their process lived: when all of their plan is done ckpt takes hold of the process by the first
 * of its threads, and then lets the leader end. Report failures. */
int leaders_await(struct execution *);
int leaders_end(struct execution *);
/* Until the array of a thread of the plan is done. Reports what has failed. */
int execution_await(struct execution *, u32 tid);
/* May the thread be stopped when it is done, while others are still made? Not those of a process that is to be stopped by a signal: all of
 * its threads take part in that. */
bool execution_stops_early(const struct execution *, const Ckpt__Thread *);
/* Sets the extended registers of threads that were stopped early, in their order, as far as they have stopped by now. */
void finish_early(struct execution *);
/* Until /proc/TID/stat shows one of these states; TID: a process, or a thread of one. Reports failures. */
int await_state(u32 tid, const char *letters);
/* Stops the tasks that were stopped; swallow_stops() lets their (seized) parents take the wait status and SIGCHLD. */
int stop_tasks(struct execution *);
int swallow_stops(struct execution *);
/* SIGSTOPs that were pending, once nobody runs: 0, or a reported error. */
int send_stops(const struct execution *);
/* How a thread that is stopped goes on, with a restart block when the image's had one. */
bool restore_runs_nothing(const Ckpt__Thread *); /* no call is made in the thread for that */
struct remote_home;
int restore_interrupted(struct execution *, const Ckpt__Thread *, struct remote_home *ret);
/* Threads that handle their own system calls: from now on none of them makes a call for ckpt. Reports failures. */
int restore_dispatch(const struct execution *);
