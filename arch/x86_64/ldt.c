// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the form of local descriptors: what modify_ldt(2) reads, and what it is given to write one. */
#include "arch/arch.h"
#include <asm/ldt.h>
#include <string.h>
#include <sys/syscall.h>

/* A descriptor as the processor has it, from its lowest bit on. */
struct descriptor {
	u64 limit_low : 16, base_low : 24, accessed : 1, writable : 1, contents : 2, segment : 1, level : 2, present : 1;
	u64 limit_high : 4, available : 1, long_mode : 1, wide : 1, pages : 1, base_high : 8;
};
_Static_assert(sizeof(struct descriptor) == sizeof(u64), "a descriptor has eight bytes");
_Static_assert(sizeof(struct user_desc) == ARCH_LDT_ENTRY, "modify_ldt takes another struct");

#define USER_LEVEL 3

long arch_ldt_call(void) { return SYS_modify_ldt; }

/* The kernel makes no others (arch/x86/include/asm/desc.h, fill_ldt(); ldt.c, write_ldt()). */
static bool is_of_user(const struct descriptor *d)
{
	return d->accessed && d->segment && d->level == USER_LEVEL && !d->long_mode &&
	       !(d->contents == MODIFY_LDT_CONTENTS_CODE + 1u && d->present);
}

bool arch_ldt_entry(u8 ret[ARCH_LDT_ENTRY], u32 number, u64 descriptor)
{
	/* what an empty one is made by (LDT_empty()) */
	struct user_desc entry = { .entry_number = number, .read_exec_only = 1, .seg_not_present = 1 };
	struct descriptor d;
	memcpy(&d, &descriptor, sizeof d);
	if (descriptor && !is_of_user(&d))
		return false;
	if (descriptor)
		entry = (struct user_desc){
			.entry_number = number,
			.base_addr = (u32)d.base_low | (u32)d.base_high << 24,
			.limit = (u32)d.limit_low | (u32)d.limit_high << 16,
			.seg_32bit = d.wide,
			.contents = d.contents,
			.read_exec_only = !d.writable,
			.limit_in_pages = d.pages,
			.seg_not_present = !d.present,
			.useable = d.available,
		};
	memcpy(ret, &entry, sizeof entry);
	return true;
}
