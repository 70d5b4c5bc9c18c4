/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the seccomp filters of a stopped thread say about system calls, before anything is tried. */
#pragma once
#include "base/base.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/types.h>

/* The action of one classic BPF program (SECCOMP_RET_*): what seccomp(2) defines; a program that the kernel would not have
 * loaded kills. */
u32 seccomp_run(const struct sock_filter *, size_t count, const struct seccomp_data *);

struct seccomp_filters;
/* Reads all filters of a stopped thread. NULL with *ret_err 0: there are none; with an error (-EPERM: strict mode;
 * -EACCES: reading needs CAP_SYS_ADMIN) nothing may be run in it. */
struct seccomp_filters *seccomp_read(pid_t tid, int *ret_err);
/* Does every filter let the call, made from the instruction in front of pc, pass unseen? */
bool seccomp_lets(const struct seccomp_filters *, u64 pc, u64 nr, const u64 args[6]);
void seccomp_freep(struct seccomp_filters **);
#define _cleanup_seccomp_ _cleanup_(seccomp_freep)
