/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections of a frozen tree, and the guard: a process that takes a connection out of repair mode when ckpt dies while
 * it is in it. A program would see errors otherwise. */
#pragma once
#include "base/cpu.h"
#include "base/map.h"
#include "base/vector.h"
#include "task/tree.h"
#include <sys/types.h>

struct connection {
	int fd;        /* a duplicate; -1: of what the tree has at a descriptor, which is opened when it is looked at: */
	pid_t holder;  /* a thread has it; 0: ckpt itself has what no descriptor of the tree leads to */
	int number;    /* there */
	u64 cookie;    /* SO_COOKIE: it is the same still */
	bool listens;  /* and has no connection */
	bool outside;  /* its other end lies outside of the tree */
	bool given_up; /* and shall notice */
	u32 received;  /* segments, or connections that wait, when it was read; of outside ones */
};

struct connections {
	VECTOR(struct connection) list;
	struct map place; /* file -> index + 1 in list */
	bool asked;       /* repair_allowed() */
	int allowed;
	pid_t guard;               /* 0: not needed so far */
	struct watch *watch;       /* what it shares with ckpt */
	struct cpu_stay stay;      /* ckpt on the guard's CPU, while a connection is in repair mode */
	struct tree_guard keepers; /* they have the duplicates that ckpt has no room for, until the tree is dead */
};

/* Remembers a connection, or a socket that listens, which a thread of the frozen tree has at a descriptor (fd: a duplicate, the
 * caller's); holder 0: nobody but ckpt has. Programs have thousands, so no duplicate is kept of what the tree has. 0 or negative errno. */
int connections_add(struct connections *, u32 file, int fd, pid_t holder, int number);
/* A duplicate of it, the caller's, while the tree is there; negative errno. */
int connections_open(const struct connections *, u32 file);
/* Its other end is outside, or who wants to connect to it is, and must not notice the end of the tree: it was read (fd: a duplicate) and
 * is quiet from now on. */
void connections_mark_outside(struct connections *, u32 file, int fd);
/* Its connection is given up: it ends with the tree, tells its other end so, and leaves its address free. */
void connections_give_up(struct connections *, u32 file);
/* Has one of the outside ones received anything since it was read? */
bool connections_moved(const struct connections *);
/* May this user put connections into repair mode? Asked once. 0 or negative errno. */
int repair_allowed(struct connections *);
/* Puts a connection into repair mode, guarded, and back, without a packet. One at a time. SO_REUSEADDR is lost on the way
 * (tcp(7) does not say so; do_tcp_setsockopt() does): begin tells what it was, end sets it again. */
int repair_begin(struct connections *, int fd, u8 *ret_reuse);
int repair_end(struct connections *, int fd, u8 reuse);
/* The tree is about to be killed: all connections are duplicated, so that none ends with it. When they are more than ckpt may have at once,
 * other processes keep them, a portion each. None is in repair mode yet: when ckpt dies before the root is killed, nothing has happened; when it dies
 * later, they do what connections_end() would. 0 or negative errno. */
int connections_keep(struct connections *, const struct tree *);
/* Their tree is gone, and the duplicates are the last: they are to end without a word when they are closed, and what the
 * kernel still keeps of closed other ends is given up too, so that nothing is in the way of a restore. */
void connections_end(struct connections *);
/* Closes the duplicates and ends the guard and the keepers. */
void connections_free(struct connections *);
