/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a program without a C library begins on x86-64: start() gets the stack that exec made. */
#pragma once
#include "syscall.h"

__attribute__((noreturn, used)) void start(long *stack);
__asm__(".globl _start\n"
	"_start: xor %ebp, %ebp\n"
	"mov %rsp, %rdi\n"
	"and $-16, %rsp\n"
	"call start\n"
	"hlt\n");
