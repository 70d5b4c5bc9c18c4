/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a plan in the mind: address spaces, descriptor tables, words. Proves before anything is made that no step takes away
 * the ground it stands on, that no task waits for ever, and tells what each process would end with. Pure. */
#pragma once
#include "plan/plan.h"

struct sim_range {
	u64 start, end;
	u32 prot;
	bool shared;
	int fd; /* service descriptor of the mapped file, -1: none */
	u64 offset;
};

struct sim_fd {
	int fd, of; /* of: the service descriptor it was made from */
	bool cloexec;
};

/* What a process ends with: sorted by address, neighbours not merged; descriptors ascending. */
struct sim_process {
	u32 tid; /* of its leader */
	VECTOR(struct sim_range) ranges;
	VECTOR(struct sim_fd) fds;
};

struct simulation {
	VECTOR(struct sim_process) processes;
	struct text problems; /* one line each; empty: the plan is sound */
};

struct sim_config {
	u64 code, data, end;           /* the arena: [code, end) must never be touched */
	const struct sim_range *begin; /* what the root begins with */
	size_t nbegin;
	u32 root;
};
/* -ENOMEM, or 0 with what was found. */
int simulate(struct simulation *ret, const struct plan *, const struct sim_config *);
void simulation_free(struct simulation *);
