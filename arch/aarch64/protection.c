// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the protections of memory that not every processor has, and how the tags of memory are asked for. */
#include "arch/arch.h"
#include <asm/hwcap.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* asm/hwcap.h, asm/ptrace.h; what the C library does not name yet */
#ifndef HWCAP2_BTI
#define HWCAP2_BTI (1ul << 17)
#endif
#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1ul << 18)
#endif
#define PEEKMTETAGS 33

const char *arch_protection_lacks(u32 prot)
{
	const unsigned long has = getauxval(AT_HWCAP2);
	if (prot & ARCH_PROT_MTE && !(has & HWCAP2_MTE))
		return "memory tags (mte)";
	if (prot & ARCH_PROT_BTI && !(has & HWCAP2_BTI))
		return "branch target identification (bti)";
	return prot & ~(u32)(PROT_READ | PROT_WRITE | PROT_EXEC | ARCH_PROT_MTE | ARCH_PROT_BTI) ? "an unknown protection"
												 : NULL;
}

long arch_tags_request(void) { return PEEKMTETAGS; }
