// SPDX-License-Identifier: LGPL-2.1-or-later
/* No memory has tags, and the protections are those of every architecture. */
#include "arch/arch.h"
#include <sys/mman.h>

const char *arch_protection_lacks(u32 prot)
{
	return prot & ~(u32)(PROT_READ | PROT_WRITE | PROT_EXEC) ? "an unknown protection" : NULL;
}

long arch_tags_request(void) { return -1; }
