// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the code that takes the place of a vDSO's entries. Only x0, x8, x16 are touched, and flags (AAPCS64). */
#include "arch/arch.h"
#include <sys/syscall.h>

#define BTI_C 0xd503245fu
#define RET 0xd65f03c0u
#define SVC 0xd4000001u
#define MOVZ_X8(n) (0xd2800008u | (u32)(n) << 5)
#define MOVN_X0(n) (0x92800000u | (u32)(n) << 5) /* ~n */

/* bti c; ldr x16, 1f; br x16; 1: .quad to. After br x16 both landing pads for calls are good. */
size_t arch_entry_jump(u8 ret[ARCH_ENTRY_MAX], const u8 *entry _unused_, size_t room _unused_, u64 to)
{
	const u32 code[] = { BTI_C, 0x58000050 /* ldr x16, .+8 */, 0xd61f0200 /* br x16 */, (u32)to, (u32)(to >> 32) };
	memcpy(ret, code, sizeof code);
	return sizeof code;
}

static size_t put_call(u8 *at, u32 nr)
{
	const u32 code[] = { BTI_C, MOVZ_X8(nr), SVC, RET };
	memcpy(at, code, sizeof code);
	return sizeof code;
}

static size_t put_refusal(u8 *at)
{
	const u32 code[] = { BTI_C, MOVN_X0(ENOSYS - 1), RET };
	memcpy(at, code, sizeof code);
	return sizeof code;
}

/* The entry takes a state that the call has not; who asks for its size (length -1 in x4) is told that there is none. */
static size_t put_getrandom(u8 *at)
{
	const u32 code[] = { BTI_C,
			     0xb100049f /* cmn x4, #1 */,
			     0x54000080 /* b.eq .+16 */,
			     MOVZ_X8(SYS_getrandom),
			     SVC,
			     RET,
			     MOVN_X0(ENOSYS - 1),
			     RET };
	memcpy(at, code, sizeof code);
	return sizeof code;
}

size_t arch_entry_call(u8 ret[ARCH_ENTRY_MAX], const char *name)
{
	static const struct {
		const char *name;
		u32 nr;
	} calls[] = { { "clock_gettime", SYS_clock_gettime },
		      { "gettimeofday", SYS_gettimeofday },
		      { "clock_getres", SYS_clock_getres } };
	static const char prefix[] = "__kernel_";
	if (!strncmp(name, prefix, sizeof prefix - 1))
		name += sizeof prefix - 1;
	if (!strncmp(name, "futex_robust_list", 17) || !strcmp(name, "rt_sigreturn"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (!strcmp(name, calls[i].name))
			return put_call(ret, calls[i].nr);
	return strcmp(name, "getrandom") ? put_refusal(ret) : put_getrandom(ret);
}
