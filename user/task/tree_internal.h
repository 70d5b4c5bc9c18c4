/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What scanning and freezing share. Private to task/. */
#pragma once
#include "task/tree.h"

/* proc(5), /proc/PID/stat */
struct task_stat {
	char state;
	int ppid, pgid, sid;
	unsigned flags;
	long threads; /* that are not released: more than one of a dead leader that has threads */
	u64 start_ticks;
};
int stat_read(int proc, struct task_stat *ret);

int tree_add(struct tree *, pid_t pid, pid_t ppid, struct tree_process **ret);
int tree_scan_threads(struct tree_process *, bool *ret_grew);
enum scan_extent {
	SCAN_ALL,
	SCAN_LEADERS, /* no children of other threads: before the freeze, which finds them, and where ckpt has made them all */
};
/* When the tree is known: where a leader has ended its process is looked at through the first thread. -ESRCH: it has ended, too. */
int tree_look_through(struct tree *);
/* Reports why the tree could not be followed: why, when it was not for want of memory or descriptors. Returns an error. */
int tree_lost(int err, const char *why);
/* Adds all processes and threads that are not known yet. */
int tree_scan_all(struct tree *, enum scan_extent, bool *ret_grew);
/* As tree_scan(). */
int tree_scan_begin(struct tree *, pid_t root, enum scan_extent);
void tree_clear(struct tree *);
/* Takes one stop of a seized thread, if there is one, and passes all but the one that is awaited; -ESRCH: it has ended. */
int tree_take_stop(struct tree_thread *);
/* A pause before stops are looked for again, the longer the more rounds there were. */
void tree_pause(unsigned round);
