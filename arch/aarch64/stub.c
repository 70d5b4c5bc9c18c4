// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way home on arm64: none yet. No instruction loads pc from memory, so it needs a form of its own. */
#include "arch/arch.h"

#define PSTATE_MODE32 (1ull << 4)

struct arch_stub arch_stub(void) { return (struct arch_stub){ 0 }; }
void arch_stub_fill(void *copy _unused_, const arch_regs *home _unused_, u64 sigmask _unused_,
		    const struct arch_stub_words *w _unused_)
{
}
void arch_stub_aim(arch_regs *r, const arch_regs *home, u64 stub _unused_, bool deciding _unused_, long nr _unused_,
		   const u64 args[6] _unused_)
{
	*r = *home;
}
void arch_stub_aim_batch(arch_regs *r, const arch_regs *home, u64 stub _unused_, u64 batch _unused_, u64 count _unused_,
			 int signal _unused_)
{
	*r = *home;
}
size_t arch_stub_calls(u64 stub _unused_, int signal _unused_, struct arch_stub_call ret[ARCH_STUB_CALLS] _unused_)
{
	return 0;
}
bool arch_is_compat(const arch_regs *r) { return r->pstate & PSTATE_MODE32; }
