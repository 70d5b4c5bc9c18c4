// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way out of restartable sequences: what the kernel does when a thread is preempted in one. */
#include "task/rseq.h"
#include "base/file.h"
#include "diag/diag.h"
#include <linux/rseq.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* linux/ptrace.h, since 5.13 */
#define GET_RSEQ_CONFIGURATION 0x420f
struct rseq_configuration {
	u64 address;
	u32 length, signature, flags, pad;
};

int rseq_get_area(pid_t tid, struct rseq_area *ret)
{
	struct rseq_configuration c = { 0 };
	if (syscall(SYS_ptrace, GET_RSEQ_CONFIGURATION, tid, sizeof c, &c) < 0)
		return neg_errno();
	*ret = (struct rseq_area){ 0 };
	if (c.address) /* some kernels tell a length without */
		*ret = (struct rseq_area){ c.address, c.length, c.signature };
	return 0;
}

static int read_memory(pid_t tid, u64 address, void *to, size_t len)
{
	struct iovec here = { to, len }, there = { (void *)(uintptr_t)address, len };
	ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
	return got < 0 ? neg_errno() : (size_t)got == len ? 0 : -EFAULT;
}

/* kernel/rseq.c, rseq_get_rseq_cs(): version 0, the handler outside of the section and behind the signature. */
static int check_section(pid_t tid, const struct rseq_cs *cs, const struct rseq_area *area)
{
	u32 signature;
	int err = read_memory(tid, cs->abort_ip - sizeof signature, &signature, sizeof signature);
	if (err < 0)
		return fail(RSEQ_SECTION, err, "signature before %#llx", (unsigned long long)cs->abort_ip);
	if (cs->version || cs->abort_ip - cs->start_ip < cs->post_commit_offset || signature != area->signature)
		return fail(RSEQ_SECTION, 0, "section %#llx, abort handler %#llx, signature %#x",
			    (unsigned long long)cs->start_ip, (unsigned long long)cs->abort_ip, signature);
	return 0;
}

int rseq_abort_fix(pid_t tid, arch_regs *regs, const struct rseq_area *area, u64 *ret_aborted_from)
{
	struct rseq_cs cs;
	u64 descriptor, pc = arch_pc(regs);
	*ret_aborted_from = 0;
	if (!area->address)
		return 0;
	int err = read_memory(tid, area->address + offsetof(struct rseq, rseq_cs), &descriptor, sizeof descriptor);
	if (err < 0)
		return fail(RSEQ_SECTION, err, "rseq area at %#llx", (unsigned long long)area->address);
	if (!descriptor)
		return 0;
	err = read_memory(tid, descriptor, &cs, sizeof cs);
	if (err < 0)
		return fail(RSEQ_SECTION, err, "descriptor at %#llx", (unsigned long long)descriptor);
	if (pc - cs.start_ip >= cs.post_commit_offset)
		return 0;
	err = check_section(tid, &cs, area);
	if (err < 0)
		return err;
	arch_abort_rseq(regs, cs.abort_ip);
	*ret_aborted_from = pc;
	return 0;
}

/* --- where no kernel tells of areas: what a program was started with says of its C library --- */

#define TUNABLES "GLIBC_TUNABLES="
#define RSEQ_OFF "glibc.pthread.rseq=0"

/* name=value, with colons between them. */
static bool has_rseq_off(const char *value)
{
	for (const char *at = value; *at; at += strspn(at, ":")) {
		size_t len = strcspn(at, ":");
		if (len == sizeof RSEQ_OFF - 1 && !memcmp(at, RSEQ_OFF, len))
			return true;
		at += len;
	}
	return false;
}

/* The C library may have cut the value into strings when it read it: then those that follow belong to it. */
bool rseq_is_off(int proc)
{
	_cleanup_text_ struct text environment = { 0 };
	bool inside = false;
	if (file_read(proc, "environ", &environment) < 0 || !environment.data)
		return false;
	for (size_t at = 0; at < environment.len; at += strlen(environment.data + at) + 1) {
		const char *entry = environment.data + at;
		bool begins = !strncmp(entry, TUNABLES, sizeof TUNABLES - 1);
		inside = begins || (inside && !strncmp(entry, "glibc.", 6));
		if (inside && has_rseq_off(begins ? entry + sizeof TUNABLES - 1 : entry))
			return true;
	}
	return false;
}
