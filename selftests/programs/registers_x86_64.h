/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vector registers of x86-64: SSE and x87, AVX, AVX-512. */
#pragma once

/* Loads patterns into all vector registers, spins until told, and compares. */
static void __attribute__((noinline)) hold_sse(uint64_t seed, uint64_t out[16])
{
	uint64_t in[16];
	for (uint64_t i = 0; i < 16; i++)
		in[i] = seed * 0x9e3779b97f4a7c15u + i;
	__asm__ volatile("movq 0(%0), %%xmm0\n movq 8(%0), %%xmm1\n movq 16(%0), %%xmm2\n movq 24(%0), %%xmm3\n"
			 "movq 32(%0), %%xmm4\n movq 40(%0), %%xmm5\n movq 48(%0), %%xmm6\n movq 56(%0), %%xmm7\n"
			 "movq 64(%0), %%xmm8\n movq 72(%0), %%xmm9\n movq 80(%0), %%xmm10\n movq 88(%0), %%xmm11\n"
			 "movq 96(%0), %%xmm12\n movq 104(%0), %%xmm13\n movq 112(%0), %%xmm14\n movq 120(%0), %%xmm15\n"
			 "fninit\n fldpi\n fld1\n"
			 "1: cmpb $0, %2\n je 1b\n"
			 "movq %%xmm0, 0(%1)\n movq %%xmm1, 8(%1)\n movq %%xmm2, 16(%1)\n movq %%xmm3, 24(%1)\n"
			 "movq %%xmm4, 32(%1)\n movq %%xmm5, 40(%1)\n movq %%xmm6, 48(%1)\n movq %%xmm7, 56(%1)\n"
			 "movq %%xmm8, 64(%1)\n movq %%xmm9, 72(%1)\n movq %%xmm10, 80(%1)\n movq %%xmm11, 88(%1)\n"
			 "movq %%xmm12, 96(%1)\n movq %%xmm13, 104(%1)\n movq %%xmm14, 112(%1)\n movq %%xmm15, 120(%1)\n"
			 "fxch\n fldpi\n fsubrp\n fsubrp\n fstpl 0(%0)\n"
			 :
			 : "r"(in), "r"(out), "m"(stop)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)",
			   "st(6)", "st(7)");
	/* On the stack were 1 and pi: pi - pi = 0, 1 - 0 or 0 - 1. */
	double left;
	memcpy(&left, in, sizeof left);
	MUST(left == 1 || left == -1);
}

static bool has_avx(void) { return __builtin_cpu_supports("avx"); }
static bool has_avx512(void) { return __builtin_cpu_supports("avx512f"); }

__attribute__((target("avx"), noinline)) static void hold_avx(uint64_t seed)
{
	uint64_t in[4] = { seed, seed + 1, seed + 2, seed + 3 }, out[8] = { 0 };
	__asm__ volatile("vmovdqu (%0), %%ymm3\n vmovdqu (%0), %%ymm15\n"
			 "1: cmpb $0, %2\n je 1b\n"
			 "vmovdqu %%ymm3, (%1)\n vmovdqu %%ymm15, 32(%1)\n vzeroupper\n"
			 :
			 : "r"(in), "r"(out), "m"(stop)
			 : "memory", "xmm3", "xmm15");
	for (int i = 0; i < 8; i++)
		MUST_EQ(out[i], in[i % 4]);
}

__attribute__((target("avx512f"), noinline)) static void hold_avx512(uint64_t seed)
{
	uint64_t in[8], out[16] = { 0 }, mask = 0;
	for (uint64_t i = 0; i < 8; i++)
		in[i] = seed * 77 + i;
	__asm__ volatile("vmovdqu64 (%0), %%zmm7\n vmovdqu64 (%0), %%zmm29\n kmovw %k4, %%k3\n"
			 "1: cmpb $0, %3\n je 1b\n"
			 "vmovdqu64 %%zmm7, (%1)\n vmovdqu64 %%zmm29, 64(%1)\n kmovw %%k3, %k2\n vzeroupper\n"
			 : "+r"(*(uint64_t **)&(uint64_t *){ in }), "+r"(*(uint64_t **)&(uint64_t *){ out }), "+r"(mask)
			 : "m"(stop), "r"(0xa5a5)
			 : "memory", "xmm7", "k3");
	for (int i = 0; i < 16; i++)
		MUST_EQ(out[i], in[i % 8]);
	MUST_EQ(mask & 0xffff, 0xa5a5);
}

/* Until stop; is the rounding mode still what it was set to (fninit resets that of the x87)? */
static bool hold_registers(uint64_t which)
{
	uint64_t out[16];
	if (which == 2 && has_avx()) {
		hold_avx(which);
		return true;
	}
	if (which == 3 && has_avx512()) {
		hold_avx512(which);
		return true;
	}
	hold_sse(which, out);
	for (uint64_t i = 0; i < 16; i++)
		MUST_EQ(out[i], which * 0x9e3779b97f4a7c15u + i);
	return false;
}
