/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kill-safe hijack: runs a batch of system calls in one stopped thread of a process and brings it home exactly.
 * Laws: no single-step, int3, sigreturn, timed sleep, uprobe; nothing on the target's stack; SIGKILL of ckpt at any
 * instant leaves a target that goes on by itself. */
#pragma once
#include "base/base.h"
#include "task/tree.h"

/* One system call of a batch. Pointers into the target's arena are given as HIJACK_ARENA + offset. */
#define HIJACK_ARENA 0x7c00000000000000ull
#define HIJACK_ARENA_DATA 8192u /* bytes of scratch data that do for most batches */
struct hijack_call {
	u64 nr, arg[6];
	s64 result;
};

/* Runs the batch in one thread (tid 0: the best one) and fills in results; data: room bytes copied in before and out after.
 * The process is left as it was. Where it is not allowed (a thread that is not stopped, a seccomp filter that refuses the
 * calls, a vDSO without room behind it, a compat task): -EPERM with the reason reported by warn(). */
int hijack_run(struct tree_process *, pid_t tid, struct hijack_call *, size_t count, void *data, size_t room);
