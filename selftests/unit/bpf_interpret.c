// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs of eBPF that ckpt runs itself. */
#include "collect/bpf_internal.h"
#include "harness/test.h"

struct memory {
	u64 in[4], out;
};

#define INSN(op, dst, src, offset, immediate)                                                                                  \
	((struct bpf_insn){ .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (immediate) })
#define MAP_ADDRESS(dst, offset) INSN(BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_VALUE, 0, 0), INSN(0, 0, 0, 0, offset)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* What a program leaves at map->out of what r1 and r2 hold when it begins: it computes r1. */
static u64 result_of(struct bpf_insn middle, u64 a, u64 b)
{
	struct memory map = { .in = { a, b } };
	const struct bpf_insn code[] = {
		MAP_ADDRESS(3, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 3, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 2, 3, 8, 0),
		middle,
		INSN(BPF_JMP | BPF_JA, 0, 0, 1, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 4711), /* where a jump of one goes */
		INSN(BPF_STX | BPF_MEM | BPF_DW, 3, 1, offsetof(struct memory, out), 0),
		EXIT,
	};
	CHECK_EQ(bpf_interpret(code, ARRAY_SIZE(code), &map, sizeof(map)), 0);
	return map.out;
}

TEST(every_operation_computes_what_the_kernel_would)
{
	static const struct {
		u8 op;
		u64 a, b, wide, narrow;
	} rows[] = {
		{ BPF_ADD, ~0ull, 2, 1, 1 },
		{ BPF_SUB, 1, 2, ~0ull, 0xffffffff },
		{ BPF_MUL, 1ull << 33, 3, 3ull << 33, 0 },
		{ BPF_OR, 0x500000000, 10, 0x50000000a, 10 },
		{ BPF_AND, 0xff00000000ff, 0xf0000000000f, 0xf0000000000f, 15 },
		{ BPF_XOR, ~0ull, 1, ~1ull, 0xfffffffe },
		{ BPF_LSH, 3, 33, 3ull << 33, 6 },
		{ BPF_RSH, 1ull << 63, 63, 1, 0 },
		{ BPF_ARSH, 1ull << 63, 62, ~1ull, 0 },
		{ BPF_NEG, 1, 0, ~0ull, 0xffffffff },
		{ BPF_MOV, 7, 0x1234567890, 0x1234567890, 0x34567890 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(result_of(INSN(BPF_ALU64 | rows[i].op | BPF_X, 1, 2, 0, 0), rows[i].a, rows[i].b), rows[i].wide);
		CHECK_EQ(result_of(INSN(BPF_ALU | rows[i].op | BPF_X, 1, 2, 0, 0), rows[i].a, rows[i].b), rows[i].narrow);
	}
	CHECK_EQ(result_of(INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -1), 5, 0), 4);
}

TEST(every_comparison_jumps_as_the_kernel_would)
{
	static const struct {
		u8 op;
		u64 a, b;
		bool wide, narrow;
	} rows[] = {
		{ BPF_JEQ, 1ull << 32, 0, false, true }, { BPF_JNE, 1ull << 32, 0, true, false },
		{ BPF_JSET, 6, 4, true, true },          { BPF_JSET, 1ull << 32, 1ull << 32, true, false },
		{ BPF_JGT, ~0ull, 1, true, true },       { BPF_JGE, 1, 1, true, true },
		{ BPF_JLT, ~0ull, 1, false, false },     { BPF_JLE, 1, 1, true, true },
		{ BPF_JSGT, ~0ull, 1, false, false },    { BPF_JSGE, 0x80000000, 0, true, false },
		{ BPF_JSLT, ~0ull, 1, true, true },      { BPF_JSLE, 0x80000000, 0, false, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(result_of(INSN(BPF_JMP | rows[i].op | BPF_X, 1, 2, 1, 0), rows[i].a, rows[i].b),
			 rows[i].wide ? 4711 : rows[i].a);
		CHECK_EQ(result_of(INSN(BPF_JMP32 | rows[i].op | BPF_X, 1, 2, 1, 0), rows[i].a, rows[i].b),
			 rows[i].narrow ? 4711 : rows[i].a);
	}
}

TEST(loads_and_stores_have_their_width)
{
	struct memory map = { .in = { 0x1122334455667788 }, .out = ~0ull };
	const struct bpf_insn code[] = {
		MAP_ADDRESS(3, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_H, 1, 3, 6, 0),
		INSN(BPF_STX | BPF_MEM | BPF_W, 10, 1, -8, 0), /* through the stack */
		INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 10, -8, 0),
		INSN(BPF_STX | BPF_MEM | BPF_H, 3, 2, offsetof(struct memory, out), 0),
		INSN(BPF_ST | BPF_MEM | BPF_B, 3, 0, offsetof(struct memory, out) + 7, 5),
		INSN(BPF_LD | BPF_IMM | BPF_DW, 4, 0, 0, 0x11111111),
		INSN(0, 0, 0, 0, 0x22222222),
		MAP_ADDRESS(5, offsetof(struct memory, in) + 8),
		INSN(BPF_STX | BPF_MEM | BPF_DW, 5, 4, 0, 0),
		EXIT,
	};
	CHECK_EQ(bpf_interpret(code, ARRAY_SIZE(code), &map, sizeof(map)), 0);
	CHECK_EQ(map.out, 0x05ffffffffff1122);
	CHECK_EQ(map.in[1], 0x2222222211111111);
}

static int run_one(struct bpf_insn insn)
{
	struct memory map = { 0 };
	const struct bpf_insn code[] = { MAP_ADDRESS(3, 0), insn, EXIT };
	return bpf_interpret(code, ARRAY_SIZE(code), &map, sizeof(map));
}

TEST(no_program_leaves_its_memory_or_runs_for_ever)
{
	CHECK_EQ(run_one(INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 3, sizeof(struct memory) - 8, 0)), 0);
	CHECK_EQ(run_one(INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 3, sizeof(struct memory) - 7, 0)), -EFAULT);
	CHECK_EQ(run_one(INSN(BPF_STX | BPF_MEM | BPF_B, 3, 1, -1, 0)), -EFAULT);
	CHECK_EQ(run_one(INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 1, -512, 0)), 0);
	CHECK_EQ(run_one(INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 1, -520, 0)), -EFAULT);
	CHECK_EQ(run_one(INSN(BPF_STX | BPF_MEM | BPF_W, 10, 1, 0, 0)), -EFAULT);
	CHECK_EQ(run_one(INSN(BPF_JMP | BPF_JA, 0, 0, -1, 0)), -ELOOP);
	CHECK_EQ(run_one(INSN(BPF_JMP | BPF_JA, 0, 0, 1, 0)), -ELOOP); /* behind the end */
	CHECK_EQ(run_one(INSN(BPF_JMP | BPF_JA, 0, 0, -100, 0)), -ELOOP);
	CHECK_EQ(run_one(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 5)), -EOPNOTSUPP);
	CHECK_EQ(run_one(INSN(BPF_ALU64 | BPF_DIV | BPF_K, 1, 0, 0, 2)), -EOPNOTSUPP);
	CHECK_EQ(run_one(INSN(BPF_ALU64 | BPF_MOV | BPF_K, 11, 0, 0, 2)), -EOPNOTSUPP);
	CHECK_EQ(run_one(INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 3, 1, 0, BPF_ADD)), -EOPNOTSUPP);
}
