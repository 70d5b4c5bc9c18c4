/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way home of a hijacked thread (user/infect/hijack.c), put into the dead bytes behind a vDSO. It is one call away
 * from what the thread was doing: whatever the call gives, the true registers are loaded from constants. No stack is used,
 * no flag is changed (only mov, lea, jrcxz, jmp), no word here is written. struct stub_slots (arch.c) describes the slots. */
	.section .rodata
	.globl arch_stub_begin, arch_stub_call, arch_stub_loop, arch_stub_mark, arch_stub_slots, arch_stub_end
	.globl arch_stub_ppoll, arch_stub_mask_r, arch_stub_mask_e, arch_stub_batch, arch_stub_gettid, arch_stub_getpid

	/* rt_sigprocmask(SIG_SETMASK, &mask), the arena's word becomes "left", all registers, away */
	.macro GO_HOME mask rip rax
	mov $14, %eax
	mov $2, %edi
	lea s_mask(%rip), %rsi
	mov $0, %edx
	mov $8, %r10d
\mask:	syscall
	mov s_left(%rip), %rcx
	jrcxz 1f
	movl $1, (%rcx)
1:	mov s_r15(%rip), %r15
	mov s_r14(%rip), %r14
	mov s_r13(%rip), %r13
	mov s_r12(%rip), %r12
	mov s_rbp(%rip), %rbp
	mov s_rbx(%rip), %rbx
	mov s_r11(%rip), %r11
	mov s_r10(%rip), %r10
	mov s_r9(%rip), %r9
	mov s_r8(%rip), %r8
	mov s_rcx(%rip), %rcx
	mov s_rdx(%rip), %rdx
	mov s_rsi(%rip), %rsi
	mov s_rdi(%rip), %rdi
	mov \rax(%rip), %rax
	jmp *\rip(%rip)
	.endm

	.balign 16
arch_stub_begin:
	.ascii "\0ckpt-1\0"
	.quad arch_stub_end - arch_stub_begin
arch_stub_call:
	syscall
after:	/* -EINTR: a handler ran, and the thread's own call ends with EINTR too */
	lea 4(%rax), %rcx
	jrcxz 1f
	jmp 2f
1:	jmp eintr
2:	/* ppoll(0, 0, &zero, &mask2, 8): signals that came meanwhile, before the thread's own call begins again */
	mov $271, %eax
	mov $0, %edi
	mov $0, %esi
	lea s_zero(%rip), %rdx
	lea s_mask2(%rip), %r10
	mov $8, %r8d
arch_stub_ppoll:
	syscall
	lea 4(%rax), %rcx
	jrcxz 1b
	GO_HOME arch_stub_mask_r, s_restart_rip, s_restart_rax
eintr:	GO_HOME arch_stub_mask_e, s_eintr_rip, s_eintr_rax

	/* rbp: calls {nr, six arguments, result}, r12: how many, r13: the signal at their end. A traced thread stops before
	 * that signal is delivered; an untraced one ignores it and goes home. */
arch_stub_loop:
	mov %r12, %rcx
	jrcxz 1f
	mov (%rbp), %rax
	mov 8(%rbp), %rdi
	mov 16(%rbp), %rsi
	mov 24(%rbp), %rdx
	mov 32(%rbp), %r10
	mov 40(%rbp), %r8
	mov 48(%rbp), %r9
arch_stub_batch:
	syscall
	mov %rax, 56(%rbp)
	lea 64(%rbp), %rbp
	lea -1(%r12), %r12
	jmp arch_stub_loop
1:	mov $186, %eax
arch_stub_gettid:
	syscall
	mov %eax, %ebx
	mov $39, %eax
arch_stub_getpid:
	syscall
	mov %eax, %edi
	mov %ebx, %esi
	mov %r13d, %edx
	mov $234, %eax
	syscall
arch_stub_mark:
	mov $0, %eax
	jmp after

	.balign 8
arch_stub_slots:
s_left:	.quad 0
	.quad 0
	.quad 0
s_mask:	.quad 0
s_mask2: .quad 0
s_zero:	.quad 0, 0
s_restart_rip: .quad 0
s_restart_rax: .quad 0
s_eintr_rip: .quad 0
s_eintr_rax: .quad 0
s_r15:	.quad 0
s_r14:	.quad 0
s_r13:	.quad 0
s_r12:	.quad 0
s_rbp:	.quad 0
s_rbx:	.quad 0
s_r11:	.quad 0
s_r10:	.quad 0
s_r9:	.quad 0
s_r8:	.quad 0
s_rcx:	.quad 0
s_rdx:	.quad 0
s_rsi:	.quad 0
s_rdi:	.quad 0
arch_stub_end:
	.section .note.GNU-stack,"",%progbits
