// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the reading and the judging of seccomp filters. */
#include "infect/seccomp.h"
#include "base/file.h"
#include "base/vector.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif

struct filter {
	struct sock_filter *code;
	size_t count;
};
struct seccomp_filters {
	VECTOR(struct filter) list;
};

struct machine {
	u32 a, x, memory[BPF_MEMWORDS];
	const struct seccomp_data *data;
};

static u32 load(const struct machine *m, const struct sock_filter *f)
{
	u32 word = 0;
	switch (BPF_MODE(f->code)) {
	case BPF_IMM:
		return f->k;
	case BPF_LEN:
		return sizeof *m->data;
	case BPF_MEM:
		return f->k < BPF_MEMWORDS ? m->memory[f->k] : 0;
	case BPF_ABS:
		if (f->k <= sizeof *m->data - sizeof word)
			memcpy(&word, (const char *)m->data + f->k, sizeof word);
		return word;
	}
	return 0;
}

static u32 compute(u16 code, u32 a, u32 b)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_MOD:
		return b ? a % b : 0;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return b < 32 ? a << b : 0;
	case BPF_RSH:
		return b < 32 ? a >> b : 0;
	case BPF_NEG:
		return -a;
	}
	return 0;
}

static bool holds(u16 code, u32 a, u32 b)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JSET:
		return a & b;
	}
	return false;
}

/* One instruction that is neither jump nor return. */
static void step(struct machine *m, const struct sock_filter *f)
{
	u32 operand = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	switch (BPF_CLASS(f->code)) {
	case BPF_LD:
		m->a = load(m, f);
		return;
	case BPF_LDX:
		m->x = load(m, f);
		return;
	case BPF_ST:
	case BPF_STX:
		if (f->k < BPF_MEMWORDS)
			m->memory[f->k] = BPF_CLASS(f->code) == BPF_ST ? m->a : m->x;
		return;
	case BPF_ALU:
		m->a = compute(f->code, m->a, operand);
		return;
	case BPF_MISC:
		if (BPF_MISCOP(f->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return;
	}
}

u32 seccomp_run(const struct sock_filter *code, size_t count, const struct seccomp_data *data)
{
	struct machine m = { .data = data };
	for (size_t pc = 0; pc < count; pc++) {
		const struct sock_filter *f = &code[pc];
		u32 operand = BPF_SRC(f->code) == BPF_X ? m.x : f->k;
		if (BPF_CLASS(f->code) == BPF_RET)
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		if (BPF_CLASS(f->code) != BPF_JMP)
			step(&m, f);
		else if (BPF_OP(f->code) == BPF_JA)
			pc += f->k;
		else
			pc += holds(f->code, m.a, operand) ? f->jt : f->jf;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* "Seccomp:" of /proc/PID/status: 0 none, 1 strict, 2 filters. */
static int seccomp_mode(pid_t tid)
{
	_cleanup_text_ struct text status = { 0 };
	int err = file_readf(&status, AT_FDCWD, "/proc/%d/status", (int)tid);
	if (err < 0)
		return err;
	const char *at = strstr(status.data, "\nSeccomp:");
	return at ? atoi(at + strlen("\nSeccomp:")) : 0;
}

/* ptrace(2): PTRACE_SECCOMP_GET_FILTER gives the number of instructions; -ENOENT behind the last filter. */
static int read_filter(pid_t tid, struct seccomp_filters *filters)
{
	long count = syscall(SYS_ptrace, PTRACE_SECCOMP_GET_FILTER, tid, filters->list.n, NULL);
	if (count < 0)
		return neg_errno();
	struct filter *filter = vector_add(&filters->list);
	if (!filter || !(filter->code = calloc((size_t)count, sizeof *filter->code)))
		return -ENOMEM;
	filter->count = (size_t)count;
	return syscall(SYS_ptrace, PTRACE_SECCOMP_GET_FILTER, tid, filters->list.n - 1, filter->code) < 0 ? neg_errno() : 0;
}

struct seccomp_filters *seccomp_read(pid_t tid, int *ret_err)
{
	*ret_err = seccomp_mode(tid);
	if (*ret_err <= 0)
		return NULL;
	if (*ret_err != SECCOMP_MODE_FILTER) {
		*ret_err = -EPERM;
		return NULL;
	}
	_cleanup_seccomp_ struct seccomp_filters *filters = calloc(1, sizeof *filters);
	*ret_err = filters ? 0 : -ENOMEM;
	while (!*ret_err)
		*ret_err = read_filter(tid, filters);
	if (*ret_err != -ENOENT)
		return NULL;
	*ret_err = 0;
	return take_ptr(filters);
}

bool seccomp_lets(const struct seccomp_filters *filters, u64 pc, u64 nr, const u64 args[6])
{
	struct seccomp_data data = { .nr = (int)nr, .arch = NATIVE_ARCH, .instruction_pointer = pc };
	if (!filters)
		return true;
	memcpy(data.args, args, sizeof data.args);
	for (size_t i = 0; i < filters->list.n; i++) {
		u32 action = seccomp_run(filters->list.v[i].code, filters->list.v[i].count, &data) & SECCOMP_RET_ACTION_FULL;
		if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG)
			return false;
	}
	return true;
}

void seccomp_freep(struct seccomp_filters **filters)
{
	if (!*filters)
		return;
	for (size_t i = 0; i < (*filters)->list.n; i++)
		free((*filters)->list.v[i].code);
	vector_free(&(*filters)->list);
	free(*filters);
}
