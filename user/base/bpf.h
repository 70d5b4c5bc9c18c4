/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bpf(2) itself: libbpf's wrappers first load programs of their own to learn what the kernel can do. */
#pragma once
#include "base/base.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

/* A descriptor or 0, as the command has it; or negative errno. size: bytes of attr. */
static inline int bpf_call(int command, const void *attr, size_t size)
{
	long r = syscall(SYS_bpf, command, attr, size);
	return r < 0 ? neg_errno() : (int)r;
}
