// SPDX-License-Identifier: LGPL-2.1-or-later
/* There are no local descriptor tables. */
#include "arch/arch.h"

long arch_ldt_call(void) { return -1; }

bool arch_ldt_entry(u8 ret[ARCH_LDT_ENTRY] _unused_, u32 number _unused_, u64 descriptor _unused_) { return false; }
