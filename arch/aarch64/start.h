/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a program without a C library begins on arm64: start() gets the stack that exec made. */
#pragma once
#include "syscall.h"

__attribute__((noreturn, used)) void start(long *stack);
__asm__(".globl _start\n"
	"_start: mov x29, xzr\n"
	"mov x30, xzr\n"
	"mov x0, sp\n"
	"b start\n");
