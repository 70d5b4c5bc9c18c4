/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The limit of locked memory (RLIMIT_MEMLOCK), which before Linux 5.11 also counted the eBPF programs and maps of a user, those of
 * his other processes too (kernel/bpf/syscall.c, bpf_charge_memlock(): EPERM). */
#pragma once
#include "base/base.h"

/* Runs load(): what it returned. When that is -EPERM it gets a second run with the limit of this process raised as far as that may
 * be; `first`: raised from the start, for libbpf, which remembers that a probe of its own was refused. Then the limit is what it was. */
int with_memlock(bool first, int (*load)(void *), void *arg);
