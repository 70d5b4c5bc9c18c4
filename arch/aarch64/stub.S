/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way home of a hijacked thread (user/infect/hijack.c), put into the dead bytes behind a vDSO. It is one call away
 * from what the thread was doing: whatever the call gives, the true registers come from constants. No word here is written, and no
 * signal is let in while sp is not the thread's. struct stub_slots (stub.c) describes the slots.
 *
 * No jump goes without a register here, so the last one is the kernel's: rt_sigreturn(2), which forgets how a sleep with a timeout
 * goes on. Such a call begins again as restart_syscall(2), which takes no arguments, so that the jump may use x0; and ret, unlike br,
 * needs no landing pad. */
	.section .rodata
	.globl arch_stub_begin, arch_stub_call, arch_stub_loop, arch_stub_mark, arch_stub_slots, arch_stub_end
	.globl arch_stub_hold, arch_stub_ppoll, arch_stub_sigreturn, arch_stub_mask, arch_stub_batch, arch_stub_gettid, arch_stub_getpid

	/* the arena's word becomes "left" */
	.macro LEAVE
	ldr x10, s_left
	cbz x10, 1f
	mov w11, #1
	str w11, [x10]
1:
	.endm
	.macro LOAD first, rest:vararg
	ldr x\first, s_registers + 8 * \first
	.ifnb \rest
	LOAD \rest
	.endif
	.endm

	.balign 16
arch_stub_begin:
	.ascii "\0ckpt-1\0"
	.quad arch_stub_end - arch_stub_begin
arch_stub_call:
	svc #0
after:	/* rt_sigprocmask(SIG_SETMASK, all) */
	mov x19, x0
	mov x8, #135
	mov x0, #2
	adr x1, s_all
	mov x2, #0
	mov x3, #8
arch_stub_hold:
	svc #0
	/* -EINTR: a handler ran, and the thread's own call ends with EINTR too */
	add x0, x19, #4
	cbz x0, eintr
	/* ppoll(0, 0, &zero, &mask2, 8): signals that came meanwhile, before the thread's own call begins again */
	mov x8, #73
	mov x0, #0
	mov x1, #0
	adr x2, s_zero
	adr x3, s_mask2
	mov x4, #8
arch_stub_ppoll:
	svc #0
	add x0, x0, #4
	cbz x0, eintr
	ldr x9, s_restart_block
	cbnz x9, block
	adr x9, s_restart - 128
	b 2f
eintr:	adr x9, s_eintr - 128
2:	LEAVE
	mov sp, x9
	mov x8, #139
arch_stub_sigreturn:
	svc #0

	/* rt_sigprocmask(SIG_SETMASK, &mask), all registers, away */
block:	mov x8, #135
	mov x0, #2
	adr x1, s_mask
	mov x2, #0
	mov x3, #8
arch_stub_mask:
	svc #0
	LEAVE
	LOAD 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	mov x8, #128
	ldr x0, s_restart_block
	ret x0

	/* x20: calls {nr, six arguments, result}, x21: how many, x22: the signal at their end. A traced thread stops before
	 * that signal is delivered; an untraced one ignores it and goes home. */
arch_stub_loop:
	cbz x21, 3f
	ldp x8, x0, [x20]
	ldp x1, x2, [x20, #16]
	ldp x3, x4, [x20, #32]
	ldr x5, [x20, #48]
arch_stub_batch:
	svc #0
	str x0, [x20, #56]
	add x20, x20, #64
	sub x21, x21, #1
	b arch_stub_loop
3:	mov x8, #178
arch_stub_gettid:
	svc #0
	mov x23, x0
	mov x8, #172
arch_stub_getpid:
	svc #0
	mov x1, x23
	mov x2, x22
	mov x8, #131
	svc #0
arch_stub_mark:
	mov x0, #0
	b after

	.balign 16
arch_stub_slots:
s_left:	.quad 0
	.quad 0
	.quad 0
s_mask:	.quad 0
s_mask2: .quad 0
s_all:	.quad -1
s_zero:	.quad 0, 0
s_restart_block: .quad 0
s_registers: .fill 31, 8, 0
s_restart: .fill 126, 8, 0
s_eintr: .fill 126, 8, 0
arch_stub_end:
	.section .note.GNU-stack,"",%progbits
