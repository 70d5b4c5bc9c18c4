/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two halves of the hijack share: choosing and judging (judge.c), moving the thread (hijack.c). */
#pragma once
#include "infect/cave.h"
#include "infect/hijack.h"
#include "infect/remote.h"

/* The arena: struct cave_arena, the calls, then the data on a page of its own. */
struct hijack {
	struct tree_process *process;
	pid_t tid;
	struct cave cave;
	struct arch_stub stub;
	struct arch_stub_home home; /* extended: of its own */
	u64 arena, data, bytes;     /* data: its address */
	size_t room;                /* bytes of data */
	int signal;                 /* that ends a batch; 0: there is none, the calls are made one by one */
	bool deciding;              /* at a stop where the kernel still has to decide how the thread's call goes on */
	bool stop_again;            /* a SIGSTOP was met and put off */
	const char *why;            /* the target, not ckpt, is why it failed */
};

/* The address that an argument means. */
static inline u64 hijack_argument(const struct hijack *h, u64 value)
{
	return value >= HIJACK_ARENA && value < HIJACK_ARENA + h->room ? h->data + (value - HIJACK_ARENA) : value;
}

/* The best thread for a hijack, or tid if that one can be used, and where it goes on; 0 when there is none. */
pid_t hijack_pick(struct tree_process *, pid_t tid, struct remote_home *ret);
/* Fills in all that can be known before the target is touched; refusals are warned. */
int hijack_prepare(struct hijack *, pid_t tid, const struct hijack_call *, size_t count);
/* Frees what hijack_prepare() filled in. */
void hijack_done(struct hijack *);
#define _cleanup_hijack_ _cleanup_(hijack_done)
/* Warns that the process cannot be asked; returns err. */
int hijack_refuse(const char *why, int err);
