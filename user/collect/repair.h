/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections of a frozen tree, and the guard: a process that takes a connection out of repair mode when ckpt dies while
 * it is in it. A program would see errors otherwise. */
#pragma once
#include "base/cpu.h"
#include "base/map.h"
#include "base/vector.h"
#include <sys/types.h>

struct connection {
	int fd;        /* a duplicate; -1: of a socket that listens, which is not kept open: */
	pid_t holder;  /* a thread of the tree has it */
	int number;    /* at this descriptor */
	bool outside;  /* its other end lies outside of the tree */
	bool given_up; /* and shall notice */
	u32 received;  /* segments, or connections that wait, when it was read; of outside ones */
};

struct connections {
	VECTOR(struct connection) list;
	struct map place;     /* descriptor -> index + 1 in list */
	struct map listeners; /* file -> index + 1 in list */
	pid_t guard;          /* 0: not needed so far */
	struct watch *watch;  /* what it shares with ckpt */
	struct cpu_stay stay; /* ckpt on the guard's CPU, while a connection is in repair mode */
};

/* Remembers a connection. The duplicate of fd that is kept, or negative errno. */
int connections_add(struct connections *, int fd);
/* Its other end is outside and must not notice the end of the tree: it was read and is quiet from now on. */
void connections_mark_outside(struct connections *, int own);
/* Remembers a socket that listens, which a thread of the frozen tree has at a descriptor; 0: ckpt itself has. Programs have thousands, so
 * no duplicate is kept of what the tree has. 0 or negative errno. */
int connections_add_listener(struct connections *, u32 file, pid_t holder, int number);
/* A duplicate of it, the caller's, while the tree is there; negative errno. */
int connections_open_listener(const struct connections *, u32 file);
/* Who wants to connect to it must not notice the end of the tree: it was read (fd: a duplicate) and is quiet from now on. */
void connections_mark_listener(struct connections *, u32 file, int fd);
/* Its connection is given up: it ends with the tree, tells its other end so, and leaves its address free. */
void connections_give_up(struct connections *, int own);
/* Has one of the outside ones received anything since it was read? */
bool connections_moved(const struct connections *);
/* May this user put connections into repair mode? 0 or negative errno. */
int repair_allowed(void);
/* Puts a connection into repair mode, guarded, and back, without a packet. One at a time. SO_REUSEADDR is lost on the way
 * (tcp(7) does not say so; do_tcp_setsockopt() does): begin tells what it was, end sets it again. */
int repair_begin(struct connections *, int fd, u8 *ret_reuse);
int repair_end(struct connections *, int fd, u8 reuse);
/* Their tree is gone, and the duplicates are the last: they are to end without a word when they are closed, and what the
 * kernel still keeps of closed other ends is given up too, so that nothing is in the way of a restore. */
void connections_end(struct connections *);
/* Closes the duplicates and ends the guard. */
void connections_free(struct connections *);
