// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns running a BPF program that calls nothing, in ckpt itself: its only memory is its map and its stack. The instruction set is
 * that of Documentation/bpf/standardization/instruction-set.rst, without division, atomics, helpers and subprograms. */
#include "collect/bpf_internal.h"

#define STACK 512
#define FRAME_POINTER 10

struct machine {
	u64 reg[FRAME_POINTER + 1];
	u64 stack[STACK / sizeof(u64)];
	void *map;
	size_t size;
};

static bool is_inside(u64 address, size_t len, const void *memory, size_t size)
{
	u64 offset = address - (uintptr_t)memory;
	return offset <= size && size - offset >= len;
}

static void *memory_at(struct machine *m, u64 address, size_t len)
{
	bool mine = is_inside(address, len, m->map, m->size) || is_inside(address, len, m->stack, sizeof(m->stack));
	return mine ? (void *)(uintptr_t)address : NULL;
}

static size_t access_bytes(u8 code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

/* Little-endian, as both architectures are. */
static int load_or_store(struct machine *m, const struct bpf_insn *insn)
{
	bool load = BPF_CLASS(insn->code) == BPF_LDX;
	u64 address = m->reg[load ? insn->src_reg : insn->dst_reg] + (u64)(s64)insn->off;
	size_t len = access_bytes(insn->code);
	u64 value = BPF_CLASS(insn->code) == BPF_ST ? (u64)(s64)insn->imm : load ? 0 : m->reg[insn->src_reg];
	void *at = memory_at(m, address, len);

	if (BPF_MODE(insn->code) != BPF_MEM)
		return -EOPNOTSUPP;
	if (!at)
		return -EFAULT;
	memcpy(load ? (void *)&value : at, load ? at : (void *)&value, len);
	if (load)
		m->reg[insn->dst_reg] = value;
	return 0;
}

/* Of 64 bits, or of the low 32 with the high ones cleared. */
static int compute(u8 code, u64 *value, u64 by)
{
	bool wide = BPF_CLASS(code) == BPF_ALU64;
	u64 a = wide ? *value : (u32)*value, b = wide ? by : (u32)by, shift = b & (wide ? 63 : 31);

	switch (BPF_OP(code)) {
	case BPF_ADD:
		a += b;
		break;
	case BPF_SUB:
		a -= b;
		break;
	case BPF_MUL:
		a *= b;
		break;
	case BPF_OR:
		a |= b;
		break;
	case BPF_AND:
		a &= b;
		break;
	case BPF_XOR:
		a ^= b;
		break;
	case BPF_LSH:
		a <<= shift;
		break;
	case BPF_RSH:
		a >>= shift;
		break;
	case BPF_ARSH:
		a = wide ? (u64)((s64)a >> shift) : (u64)((s32)a >> shift);
		break;
	case BPF_NEG:
		a = -a;
		break;
	case BPF_MOV:
		a = b;
		break;
	default:
		return -EOPNOTSUPP;
	}
	*value = wide ? a : (u32)a;
	return 0;
}

/* 1: the jump is taken. */
static int is_taken(u8 code, u64 value, u64 with)
{
	bool wide = BPF_CLASS(code) == BPF_JMP;
	u64 a = wide ? value : (u32)value, b = wide ? with : (u32)with;
	s64 sa = wide ? (s64)a : (s32)a, sb = wide ? (s64)b : (s32)b;

	switch (BPF_OP(code)) {
	case BPF_JA:
		return 1;
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JSET:
		return (a & b) != 0;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	case BPF_JSLE:
		return sa <= sb;
	default:
		return -EOPNOTSUPP;
	}
}

/* The two instructions that hold 64 bits, or a place in the map. */
static int load_wide(struct machine *m, const struct bpf_insn *insn)
{
	u64 value = insn->src_reg == BPF_PSEUDO_MAP_VALUE ? (u64)(uintptr_t)m->map + (u32)insn[1].imm
							  : (u32)insn->imm | (u64)(u32)insn[1].imm << 32;

	if (insn->src_reg && insn->src_reg != BPF_PSEUDO_MAP_VALUE)
		return -EOPNOTSUPP;
	m->reg[insn->dst_reg] = value;
	return 0;
}

/* *ret_by: how many instructions to go on by. */
static int step(struct machine *m, const struct bpf_insn *insn, size_t left, s64 *ret_by)
{
	u64 operand = BPF_SRC(insn->code) == BPF_X ? m->reg[insn->src_reg] : (u64)(s64)insn->imm;
	int taken;

	*ret_by = 1;
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return compute(insn->code, &m->reg[insn->dst_reg], operand);
	case BPF_JMP:
	case BPF_JMP32:
		taken = is_taken(insn->code, m->reg[insn->dst_reg], operand);
		*ret_by += taken > 0 ? insn->off : 0;
		return MIN(taken, 0);
	case BPF_LD:
		*ret_by = 2;
		return insn->code == (BPF_LD | BPF_IMM | BPF_DW) && left >= 2 ? load_wide(m, insn) : -EOPNOTSUPP;
	default:
		return load_or_store(m, insn);
	}
}

int bpf_interpret(const struct bpf_insn *code, size_t count, void *map, size_t size)
{
	struct machine m = { .map = map, .size = size };
	u64 at = 0;

	m.reg[FRAME_POINTER] = (uintptr_t)(m.stack + ARRAY_SIZE(m.stack));
	for (size_t steps = 0; at < count && steps < count; steps++) { /* without loops none is run twice */
		const struct bpf_insn *insn = &code[at];
		s64 by;
		if (insn->dst_reg > FRAME_POINTER || insn->src_reg > FRAME_POINTER)
			return -EOPNOTSUPP;
		if (insn->code == (BPF_JMP | BPF_EXIT))
			return 0;
		int r = step(&m, insn, count - at, &by);
		if (r < 0)
			return r;
		at += (u64)by;
	}
	return -ELOOP;
}
