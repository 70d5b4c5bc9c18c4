/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections of a frozen tree, and the guard: a process that takes a connection out of repair mode when ckpt dies while
 * it is in it. A program would see errors otherwise. */
#pragma once
#include "base/vector.h"
#include <sys/types.h>

struct connections {
	VECTOR(int) fds; /* duplicates */
	pid_t guard;     /* 0: not needed so far */
	int wire;        /* what the guard reads; ckpt's death closes it */
};

/* Remembers a connection (a duplicate of fd is kept) and tells the guard of it. */
int connections_add(struct connections *, int fd);
/* Puts one that was added into repair mode and back, without a packet. */
int repair_begin(int fd);
int repair_end(int fd);
/* Puts all of them into repair mode, so that they end without a word when the last descriptor is closed. */
int connections_silence(struct connections *);
void connections_resume(struct connections *);
/* Their tree is gone: what the kernel still keeps of closed other ends is given up too, so that nothing is in the way. */
void connections_end(struct connections *);
/* Closes the duplicates and ends the guard. Connections are in the mode that they were left in. */
void connections_free(struct connections *);
