// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns XXH3 by the widest registers that are worth it: the C library's package has it for SSE2 only. */
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define XXH_INLINE_ALL
#define XXH_VECTOR 2 /* XXH_AVX2 */
#include <xxhash.h>
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#include "arch/arch.h"
#include <sys/platform/x86.h>

__attribute__((target("avx2"))) static void hash_avx2(const void *data, size_t len, u64 ret[2])
{
	XXH128_hash_t hash = XXH3_128bits(data, len);
	ret[0] = hash.low64, ret[1] = hash.high64;
}

/* The C library knows the processor already: to ask it again traps where processors are virtual. */
bool arch_hash(const void *data, size_t len, u64 ret[2])
{
	if (!CPU_FEATURE_ACTIVE(AVX2))
		return false;
	hash_avx2(data, len, ret);
	return true;
}
