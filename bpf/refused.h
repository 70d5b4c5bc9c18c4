/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is told of system calls that ended with an error: the wire between why.bpf.c and user/why. */
#ifndef CKPT_REFUSED_H
#define CKPT_REFUSED_H
#include "record.h"

#define WHY_EVENTS 1024u /* a power of two: the newest are kept */

struct why_event {
	rec_u64 at;   /* ns, CLOCK_MONOTONIC */
	rec_u64 caps; /* capabilities that were asked for and missing: bit 0 is number 0 */
	rec_u32 nr, tid, tgid;
	rec_s32 err;            /* negative errno */
	rec_u32 first, last;    /* numbers of functions that returned it one after the other; 0: none was seen */
	rec_u32 depth;          /* so many did */
	rec_u32 cap_ns, own_ns; /* inode numbers of user namespaces: where the last of them was wanted, where the caller is */
	rec_u32 pad;
};
struct why_log {
	rec_u32 head, pad; /* events written so far */
	struct why_event event[WHY_EVENTS];
};

/* Functions that refuse, which are watched by fexit where kretprobe.multi is not to be had: X(name, arguments). Those that have
 * the same arguments from Linux 5.10 on, and return an int or a pointer; each takes the kernel time (synchronize_rcu_tasks).
 * A function's number is its place, from 1. */
#define WHY_FUNCTIONS(X)                                                                                                       \
	X(__ptrace_may_access, 2)                                                                                              \
	X(ptrace_attach, 4)                                                                                                    \
	X(mm_access, 2)                                                                                                        \
	X(prctl_set_mm_map, 3)                                                                                                 \
	X(alloc_pid, 3)                                                                                                        \
	X(create_new_namespaces, 4)                                                                                            \
	X(userns_install, 2)                                                                                                   \
	X(do_prlimit, 4)
#define WHY_MULTI 1000u /* from here on: functions that kretprobe.multi watches, by the cookies they were given */
#endif
