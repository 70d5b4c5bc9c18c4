/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blob's bytes as data of ckpt. */
	.section .rodata
	.globl parasite_blob_begin, parasite_blob_end
	.balign 16
parasite_blob_begin:
	.incbin "blob.bin"
parasite_blob_end:
	.section .note.GNU-stack,"",%progbits
