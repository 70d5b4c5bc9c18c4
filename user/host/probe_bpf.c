// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of eBPF: programs of two instructions, loaded; attached, for a moment, where some kernels load them for nothing. */
#include "base/bpf.h"
#include "base/memlock.h"
#include "host/config.h"
#include "host/probe.h"
#include <linux/btf.h>
#include <linux/capability.h>
#include <fcntl.h>
#include <stdio.h>

static int load_program(void *attr) { return bpf_call(BPF_PROG_LOAD, attr, sizeof(union bpf_attr)); }

/* A descriptor, or a negative errno. */
static int load(const struct bpf_insn *code, size_t count, u32 type, u32 attach, u32 btf_id, u32 flags)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.attach_btf_id = btf_id;
	attr.prog_flags = flags;
	attr.insns = (u64)(uintptr_t)code;
	attr.insn_cnt = (u32)count;
	attr.license = (u64)(uintptr_t) "Dual BSD/GPL";
	return with_memlock(false, load_program, &attr);
}

/* Saves the reading of BTF where the answer is known: such programs are never permitted to others. */
static bool hopeless(const struct host *host, char *note)
{
	if (host_capable(host, CAP_SYS_ADMIN) || (host_capable(host, CAP_BPF) && host_capable(host, CAP_PERFMON)))
		return false;
	snprintf(note, NOTE_BYTES, "neither CAP_BPF with CAP_PERFMON nor CAP_SYS_ADMIN");
	return true;
}

int probe_btf(struct host *host, const struct probe *p _unused_, char *note)
{
	if (faccessat(AT_FDCWD, caps_btf(), R_OK, AT_EACCESS) < 0)
		return neg_errno();
	if (!host_btf(host))
		return -EINVAL;
	if (strcmp(caps_btf(), KERNEL_BTF))
		snprintf(note, NOTE_BYTES, "from %.100s", caps_btf());
	return PROBE_YES;
}

/* To what the program was loaded for. arm64 loads programs for functions long before it can call them (Linux 6.4: ENOTSUPP). */
static int attach_for_a_moment(int program)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.raw_tracepoint.prog_fd = (u32)program;
	_cleanup_close_ int link = bpf_call(BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof attr);
	return link < 0 ? link : PROBE_YES;
}

int probe_bpf_program(struct host *host, const struct probe *p, char *note)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	u32 id = 0;
	if (hopeless(host, note))
		return -EPERM;
	if (p->name && !(id = host_btf_id(host, p, (u32)p->arg[2]))) {
		snprintf(note, NOTE_BYTES, "no %s in the kernel's BTF", p->name);
		return -ENOENT;
	}
	_cleanup_close_ int fd = load(code, ARRAY_SIZE(code), (u32)p->arg[0], (u32)p->arg[1], id, (u32)p->arg[3]);
	return fd < 0 ? fd : p->arg[4] ? attach_for_a_moment(fd) : PROBE_YES;
}

/* Lockdown in confidentiality mode takes the helper away: the verifier then does not know it. */
int probe_bpf_read_kernel(struct host *host, const struct probe *p _unused_, char *note)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD, .dst_reg = BPF_REG_1, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	if (hopeless(host, note))
		return -EPERM;
	_cleanup_close_ int fd = load(code, ARRAY_SIZE(code), BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0, 0);
	return fd < 0 ? fd : PROBE_YES;
}

int probe_config(struct host *host, const struct probe *p _unused_, char *note)
{
	if (host_config(host))
		return PROBE_YES;
	snprintf(note, NOTE_BYTES, "no /proc/config.gz, /boot/config-RELEASE or /lib/modules/RELEASE/config");
	return -ENOENT;
}
