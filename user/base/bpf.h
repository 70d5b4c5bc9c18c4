/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bpf(2) itself: libbpf's wrappers first load programs of their own to learn what the kernel can do. */
#pragma once
#include "base/base.h"
#include <linux/bpf.h>
#include <sys/syscall.h>

/* Does an instruction, the first of a pair, refer to a map, or to what is in it? Its imm is the map's descriptor. */
static inline bool bpf_refers_to_map(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW) &&
	       (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE);
}

/* A descriptor or 0, as the command has it; or negative errno. size: bytes of attr. */
static inline int bpf_call(int command, const void *attr, size_t size)
{
	long r = syscall(SYS_bpf, command, attr, size);
	return r < 0 ? neg_errno() : (int)r;
}
