/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process tree that a command works on: found, frozen, let go. Processes are held by pidfd from the first sight. */
#pragma once
#include "arch/arch.h"
#include "base/map.h"
#include "base/vector.h"
#include "task/rseq.h"
#include <sys/types.h>

struct tree_thread {
	pid_t tid;
	bool seized, stopped;
	bool held;                  /* it dies with ckpt: what it is made to do meanwhile nobody sees */
	bool runs_on;               /* see tree_run_on() */
	bool read_out;              /* its children were read while it was stopped: it has no more */
	int stop_signal;            /* not 0: was in group-stop when the freeze met it */
	struct arch_seen_call seen; /* what it slept in before, where arch_decides_at_exit() */
	bool rseq_told;             /* its rseq area is known: ptrace does not tell it before Linux 5.13 */
	struct rseq_area rseq;
};

#define PF_EXITING 4u /* include/linux/sched.h: it is ending, and loses what it had */

struct tree_process {
	pid_t pid, ppid; /* ppid 0: the root */
	int pidfd;
	int proc;          /* /proc/PID, O_PATH; of the first thread, when the leader has ended */
	char state;        /* of its leader when it was met; 'Z': all of it has ended */
	u32 flags;         /* PF_* of the leader, /proc/PID/stat */
	bool large;        /* its memory takes so long to be freed that ckpt helps */
	bool leader_ended; /* and others live: it is none of the threads, and has no memory or files any more */
	u32 workers;       /* threads of the kernel's own in it, for io_uring(7): as the last scan saw them */
	VECTOR(struct tree_thread) threads; /* leader first, or the oldest that lives, then ascending */
};

struct tree {
	VECTOR(struct tree_process) processes; /* parents before children; siblings ascending */
	struct map by_pid;                     /* pid -> index + 1 in processes */
	u64 frozen_at;                         /* ns, CLOCK_MONOTONIC; 0: live */
};

struct freeze_options {
	u64 timeout; /* ns to converge, default 5 s */
	bool held;   /* tree_hold() has every process */
	bool here;   /* its threads wait for the CPU that ckpt runs on */
};

/* Finds the tree below root without stopping anything. Refuses kernel threads, pid 1, missing pids, trees that contain
 * ckpt or its ancestors. */
int tree_scan(struct tree *ret, pid_t root);
/* Scans and stops every thread; new tasks are caught until nothing moves. On failure everything runs on. */
int tree_freeze(struct tree *ret, pid_t root, const struct freeze_options *);
/* Lets the threads that are marked so run for some ns with all others stopped, then freezes the tree again whatever they have
 * done. On failure the tree is as after a failed freeze. */
int tree_run_on(struct tree *, u64 moment);
/* Seizes a new process, or one of its other threads, which runs on: the process dies with ckpt. The freeze takes processes as they
 * are, and threads once PTRACE_INTERRUPT was sent. */
enum tree_hold {
	HOLD_PROCESS = 1,
	HOLD_UNFILTERED = 2, /* its seccomp filters are suspended as long as it is seized */
};
int tree_hold(pid_t tid, enum tree_hold);
/* Seizes another thread of a held process, and lets it stop: the freeze takes it as it is. */
int tree_stop_early(pid_t tid);
/* A frozen tree is stopped, as by SIGSTOP, once it is let go. */
void tree_leave_stopped(const struct tree *);
/* A process that outlives ckpt: when ckpt dies before the tree was let off, it ends the tree and calls undone(arg), if any. */
struct tree_guard {
	pid_t pid;          /* 0: there is none */
	int tell, wait;     /* ends of its pipe: to write to it does not end ckpt, whatever became of the guard */
	VECTOR(pid_t) more; /* others that wait at the same pipe: told with one write(2), or none of them is */
};
/* The tree is held and has stopped. Reports failures. */
int tree_guard(struct tree_guard *ret, const struct tree *, void (*undone)(const void *arg), const void *arg);
/* One more of its kind, which keeps the descriptors that ckpt has at this moment, when ckpt closes them: undone(arg) has them. */
int tree_guard_more(struct tree_guard *, const struct tree *, void (*undone)(const void *arg), const void *arg);
/* The same for a frozen tree that is to be killed, where it need not be the second: it does all this only when the root was killed, be it
 * by ckpt, which has to end it (tree_guard_end()) once all of the tree is dead. 0 or negative errno. */
int tree_keep_files(struct tree_guard *, const struct tree *, void (*undone)(const void *arg), const void *arg);
/* Lets a held tree off, all of it or nothing: when ckpt dies before this is done, the tree dies, and none of it has run. From then
 * on it does not depend on ckpt, and stands still until tree_thaw(). Ends the guard; one that is not there is made when it
 * matters. Reports failures. */
int tree_let_off(struct tree *, struct tree_guard *);
/* Has the guard do what it would do if ckpt died, if it is still there. */
void tree_guard_end(struct tree_guard *);
/* Ends it without that. */
void tree_guard_dismiss(struct tree_guard *);
/* Lets every thread go on; safe to call twice. */
void tree_thaw(struct tree *);
/* Kills and reaps the frozen tree, the root first; when ckpt dies after that, the others are killed all the same. -errno when a task
 * could not be killed. */
int tree_kill(struct tree *);
void tree_free(struct tree *); /* thaws what is still frozen */
#define _cleanup_tree_ _cleanup_(tree_free)
struct tree_process *tree_find(struct tree *, pid_t pid);
/* The thread by which the kernel tells of a process: the leader, or, when that has ended, the oldest that lives. */
static inline pid_t tree_first(const struct tree_process *p) { return p->threads.n ? p->threads.v[0].tid : p->pid; }
/* Was the process of this directory of /proc sent SIGKILL, or has it ended? */
bool task_was_killed(int proc);
/* When a process was started, whatever it is: with its id, who it is. In clock ticks since the boot, as ckpt's time namespace
 * has it. Negative errno: it cannot be seen. */
int task_started(pid_t pid, u64 *ret_ticks);
