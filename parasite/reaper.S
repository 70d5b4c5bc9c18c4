/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reaper's program file as data of ckpt. */
	.section .rodata
	.globl parasite_reaper_begin, parasite_reaper_end
	.balign 16
parasite_reaper_begin:
	.incbin "reaper"
parasite_reaper_end:
	.section .note.GNU-stack,"",%progbits
