// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the code that takes the place of a vDSO's entries. Only the caller-saved rax, rcx, r11 are touched (System V ABI). */
#include "arch/arch.h"
#include <sys/syscall.h>

static const u8 endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

/* movabs $to, %r11; jmp *%r11 */
size_t arch_entry_jump(u8 ret[ARCH_ENTRY_MAX], const u8 *entry, size_t room, u64 to)
{
	size_t n = 0;
	if (room >= sizeof endbr64 && !memcmp(entry, endbr64, sizeof endbr64)) {
		memcpy(ret, endbr64, sizeof endbr64);
		n = sizeof endbr64;
	}
	memcpy(ret + n, (u8[]){ 0x49, 0xbb }, 2);
	memcpy(ret + n + 2, &to, sizeof to);
	memcpy(ret + n + 10, (u8[]){ 0x41, 0xff, 0xe3 }, 3);
	return n + 13;
}

/* mov $nr, %eax; syscall; ret */
static size_t put_call(u8 *at, u32 nr)
{
	const u8 code[] = { 0xb8, (u8)nr, (u8)(nr >> 8), 0, 0, 0x0f, 0x05, 0xc3 };
	memcpy(at, code, sizeof code);
	return sizeof code;
}

/* mov $-ENOSYS, %rax; ret */
static size_t put_refusal(u8 *at)
{
	const u8 code[] = { 0x48, 0xc7, 0xc0, (u8)-ENOSYS, 0xff, 0xff, 0xff, 0xc3 };
	memcpy(at, code, sizeof code);
	return sizeof code;
}

/* The entry takes a state that the call has not; who asks for its size (length -1 in r8) is told that there is none:
 * cmp $-1, %r8; je behind the call. */
static size_t put_getrandom(u8 *at)
{
	const u8 code[] = { 0x49, 0x83, 0xf8, 0xff, 0x74, 0x08 };
	memcpy(at, code, sizeof code);
	size_t n = sizeof code + put_call(at + sizeof code, SYS_getrandom);
	return n + put_refusal(at + n);
}

size_t arch_entry_call(u8 ret[ARCH_ENTRY_MAX], const char *name)
{
	static const struct {
		const char *name;
		u32 nr;
	} calls[] = { { "clock_gettime", SYS_clock_gettime },
		      { "gettimeofday", SYS_gettimeofday },
		      { "time", SYS_time },
		      { "getcpu", SYS_getcpu },
		      { "clock_getres", SYS_clock_getres } };
	static const char prefix[] = "__vdso_";
	if (!strncmp(name, prefix, sizeof prefix - 1))
		name += sizeof prefix - 1;
	if (!strncmp(name, "futex_robust_list", 17) || !strcmp(name, "sgx_enter_enclave"))
		return 0;
	memcpy(ret, endbr64, sizeof endbr64);
	u8 *at = ret + sizeof endbr64;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (!strcmp(name, calls[i].name))
			return sizeof endbr64 + put_call(at, calls[i].nr);
	return sizeof endbr64 + (strcmp(name, "getrandom") ? put_refusal(at) : put_getrandom(at));
}
