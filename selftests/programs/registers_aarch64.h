/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers of arm64, each set in a thread of its own: FPSIMD, SVE with a vector length of its own, SME's streaming mode and ZA.
 * All of them hold keys of pointer authentication and a thread pointer of their own. */
#pragma once
#include <asm/hwcap.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#ifndef HWCAP2_SME
#define HWCAP2_SME (1ul << 23)
#endif
#ifndef PR_PAC_SET_ENABLED_KEYS
#define PR_PAC_SET_ENABLED_KEYS 60
#define PR_PAC_GET_ENABLED_KEYS 61
#endif
#ifndef PR_SME_SET_VL
#define PR_SME_SET_VL 63
#define PR_SME_GET_VL 64
#endif
#define VL_MAX 256
#define VL_MASK 0xffff

static bool has(unsigned long cap) { return getauxval(AT_HWCAP) & cap; }
static bool has_sme(void) { return getauxval(AT_HWCAP2) & HWCAP2_SME; }

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((seed + 1) * 37 + i * 11 + i / 256);
}

static void same(const uint8_t *in, const uint8_t *out, size_t len, const char *what)
{
	for (size_t i = 0; i < len; i++)
		if (in[i] != out[i])
			judge_fail("%s: byte %zu is %u, not %u", what, i, out[i], in[i]);
}

/* All 32 registers of 128 bits, and the status register's sticky bits. */
static void __attribute__((noinline)) hold_fpsimd(uint64_t seed)
{
	uint8_t in[512], out[512];
	uint64_t status_in = 0x8000001f, status_out; /* QC, and all of the cumulative exceptions */
	fill(in, sizeof in, seed);
	__asm__ volatile("msr fpsr, %[sin]\n"
			 "mov x9, %[in]\n mov x10, %[out]\n"
			 "ld1 {v0.16b-v3.16b}, [x9], #64\n ld1 {v4.16b-v7.16b}, [x9], #64\n"
			 "ld1 {v8.16b-v11.16b}, [x9], #64\n ld1 {v12.16b-v15.16b}, [x9], #64\n"
			 "ld1 {v16.16b-v19.16b}, [x9], #64\n ld1 {v20.16b-v23.16b}, [x9], #64\n"
			 "ld1 {v24.16b-v27.16b}, [x9], #64\n ld1 {v28.16b-v31.16b}, [x9], #64\n"
			 "1: ldrb w11, [%[stop]]\n cbz w11, 1b\n"
			 "st1 {v0.16b-v3.16b}, [x10], #64\n st1 {v4.16b-v7.16b}, [x10], #64\n"
			 "st1 {v8.16b-v11.16b}, [x10], #64\n st1 {v12.16b-v15.16b}, [x10], #64\n"
			 "st1 {v16.16b-v19.16b}, [x10], #64\n st1 {v20.16b-v23.16b}, [x10], #64\n"
			 "st1 {v24.16b-v27.16b}, [x10], #64\n st1 {v28.16b-v31.16b}, [x10], #64\n"
			 "mrs %[sout], fpsr\n"
			 : [sout] "=&r"(status_out)
			 : [in] "r"(in), [out] "r"(out), [stop] "r"(&stop), [sin] "r"(status_in)
			 : "memory", "x9", "x10", "x11", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
			   "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24",
			   "v25", "v26", "v27", "v28", "v29", "v30", "v31");
	same(in, out, sizeof in, "FPSIMD");
	MUST_EQ(status_out, status_in);
}

#define EACH8(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)
#define EACH16(F) EACH8(F) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define EACH32(F) EACH16(F) F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31)
#define LOAD_Z(n) "ldr z" #n ", [%[zin], #" #n ", mul vl]\n"
#define STORE_Z(n) "str z" #n ", [%[zout], #" #n ", mul vl]\n"
#define LOAD_P(n) "ldr p" #n ", [%[pin], #" #n ", mul vl]\n"
#define STORE_P(n) "str p" #n ", [%[pout], #" #n ", mul vl]\n"
#define CLOBBER_V(n) , "v" #n

/* 32 vectors, 16 predicates and the first-fault register. */
static void __attribute__((noinline)) hold_sve(uint64_t seed)
{
	static __thread uint8_t zin[32 * VL_MAX], zout[32 * VL_MAX], pin[16 * VL_MAX / 8], pout[16 * VL_MAX / 8],
		ffr[VL_MAX / 8];
	int set = prctl(PR_SVE_SET_VL, 32); /* not the default of 64 bytes */
	MUST(set > 0);
	size_t vl = (size_t)set & VL_MASK;
	uint8_t first[VL_MAX / 8] = { 7 }; /* its set bits come first */
	fill(zin, sizeof zin, seed);
	fill(pin, sizeof pin, seed + 1);
	__asm__ volatile(".arch_extension sve\n"
			 "ldr p0, [%[first]]\n wrffr p0.b\n" EACH32(LOAD_Z)
				 EACH16(LOAD_P) "1: ldrb w11, [%[stop]]\n cbz w11, 1b\n" EACH32(STORE_Z)
					 EACH16(STORE_P) "rdffr p0.b\n str p0, [%[ffr]]\n"
							 ".arch_extension nosve\n"
			 :
			 : [zin] "r"(zin), [zout] "r"(zout), [pin] "r"(pin), [pout] "r"(pout), [first] "r"(first),
			   [ffr] "r"(ffr), [stop] "r"(&stop)
			 : "memory", "x11" EACH32(CLOBBER_V));
	same(zin, zout, 32 * vl, "SVE vectors");
	same(pin, pout, 16 * vl / 8, "SVE predicates");
	same(first, ffr, vl / 8, "SVE first-fault register");
	MUST_EQ(prctl(PR_SVE_GET_VL), set);
}

/* In streaming mode with ZA on: no system call may be made there, since one leaves the mode. */
static void __attribute__((noinline)) hold_sme(uint64_t seed)
{
	static __thread uint8_t zin[32 * VL_MAX], zout[32 * VL_MAX], za_in[VL_MAX * VL_MAX], za_out[VL_MAX * VL_MAX];
	int set = prctl(PR_SME_SET_VL, 64), sve = prctl(PR_SVE_GET_VL);
	MUST(set > 0);
	uint64_t vl = (uint64_t)set & VL_MASK, svcr;
	fill(zin, sizeof zin, seed);
	fill(za_in, sizeof za_in, seed + 1);
	__asm__ volatile(
		".arch_extension sme\n"
		"smstart\n"
		"mov w12, #0\n mov x10, %[za_in]\n"
		"2: ldr za[w12, #0], [x10]\n add x10, x10, %[vl]\n add w12, w12, #1\n cmp x12, %[vl]\n b.lo 2b\n" EACH32(
			LOAD_Z) "1: ldrb w11, [%[stop]]\n cbz w11, 1b\n" EACH32(STORE_Z) "mrs %[svcr], S3_3_C4_C2_2\n"
											 "mov w12, #0\n mov x10, %[za_out]\n"
											 "3: str za[w12, #0], [x10]\n add x10, "
											 "x10, %[vl]\n add w12, w12, #1\n cmp "
											 "x12, %[vl]\n b.lo 3b\n"
											 "smstop\n"
											 ".arch_extension nosme\n"
		: [svcr] "=&r"(svcr)
		: [zin] "r"(zin), [zout] "r"(zout), [za_in] "r"(za_in), [za_out] "r"(za_out), [vl] "r"(vl), [stop] "r"(&stop)
		: "memory", "cc", "x10", "x11", "x12" EACH32(CLOBBER_V));
	MUST_EQ(svcr, 3); /* SM, ZA */
	same(zin, zout, 32 * vl, "streaming vectors");
	same(za_in, za_out, vl * vl, "ZA");
	MUST_EQ(prctl(PR_SME_GET_VL), set);
	MUST_EQ(prctl(PR_SVE_GET_VL), sve);
}

/* What each of the keys makes of one pointer. */
struct signatures {
	uint64_t of[5];
};
static struct signatures sign(void)
{
	struct signatures s = { { 0x12345678, 0x12345678, 0x12345678, 0x12345678, 0 } };
	if (has(HWCAP_PACA))
		__asm__ volatile(".arch_extension pauth\n pacia %0, %4\n pacib %1, %4\n pacda %2, %4\n pacdb %3, %4\n"
				 : "+r"(s.of[0]), "+r"(s.of[1]), "+r"(s.of[2]), "+r"(s.of[3])
				 : "r"(0x77ul));
	if (has(HWCAP_PACG))
		__asm__ volatile(".arch_extension pauth\n pacga %0, %1, %2\n" : "=r"(s.of[4]) : "r"(0x1234ul), "r"(0x77ul));
	return s;
}

static uint64_t get_tpidr2(void)
{
	uint64_t value;
	__asm__ volatile("mrs %0, S3_3_C13_C0_5" : "=r"(value));
	return value;
}

static bool hold_registers(uint64_t which)
{
	const unsigned long all = PR_PAC_APIAKEY | PR_PAC_APIBKEY | PR_PAC_APDAKEY | PR_PAC_APDBKEY;
	if (has(HWCAP_PACA) && which == 1)
		prctl(PR_PAC_SET_ENABLED_KEYS, all, all & ~PR_PAC_APDBKEY, 0, 0); /* Linux 5.13 */
	if (has_sme())
		__asm__ volatile("msr S3_3_C13_C0_5, %0" ::"r"(which + 0x5555));
	int enabled = prctl(PR_PAC_GET_ENABLED_KEYS, 0, 0, 0, 0), tagged = prctl(PR_SET_TAGGED_ADDR_CTRL, which % 2, 0, 0, 0);
	struct signatures before = sign();
	if (which == 1 && has(HWCAP_SVE))
		hold_sve(which);
	else if (which == 2 && has_sme())
		hold_sme(which);
	else
		hold_fpsimd(which);
	struct signatures after = sign();
	MUST(memcmp(&before, &after, sizeof before) == 0);
	MUST_EQ(prctl(PR_PAC_GET_ENABLED_KEYS, 0, 0, 0, 0), enabled);
	if (tagged == 0)
		MUST_EQ(prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0, 0, 0), which % 2);
	if (has_sme())
		MUST_EQ(get_tpidr2(), which + 0x5555);
	return true;
}
