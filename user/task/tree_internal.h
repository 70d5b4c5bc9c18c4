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
int tree_each_child(struct tree_process *, int (*visit)(void *, pid_t), void *);
/* Adds all processes and threads that are not known yet. */
int tree_scan_all(struct tree *, bool *ret_grew);
void tree_clear(struct tree *);
