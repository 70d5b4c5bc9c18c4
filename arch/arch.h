/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that names a register; arch/x86_64 and arch/aarch64 implement it with the same file names. */
#pragma once
#include "base/base.h"
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
typedef struct user_regs_struct arch_regs;
#define ARCH_O_LARGEFILE 0100000u /* of 64-bit C libraries O_LARGEFILE is 0; the kernel shows it */
#elif defined(__aarch64__)
typedef struct user_regs_struct arch_regs;
#define ARCH_O_LARGEFILE 0400000u
#else
#error "ckpt knows x86_64 and aarch64"
#endif

/* A system call that a stopped thread was interrupted in. */
struct arch_call {
	bool interrupted;
	long nr;
	int code; /* 512, 513, 514, 516 */
	u64 arg[6];
};

u64 arch_pc(const arch_regs *);
u64 arch_sp(const arch_regs *);
void arch_set_pc(arch_regs *, u64);
/* What the registers of a thread at a freeze point say. */
struct arch_call arch_interrupted(const arch_regs *);
/* Does the kernel decide how an interrupted call goes on before the event stop (arm64)? Then only a syscall-exit stop
 * shows the restart code and takes one; else the event stop does (x86-64). */
bool arch_decides_at_exit(void);
/* At the stop where the kernel decides: it shall take the call to have ended with -code, and restart it. */
void arch_restart_call(arch_regs *, long nr, int code);
/* arch_decides_at_exit() only. Is a thread at its event stop, with this instruction at its pc, before a call that can wait? */
bool arch_before_waiting_call(const arch_regs *, u32 instruction);
/* What a call that was entered with these registers ended with at its exit stop; home: as they go on behind the call, with
 * the first argument in place when it was interrupted. */
struct arch_call arch_call_at_exit(const arch_regs *entered, const arch_regs *at_exit, arch_regs *ret_home);
/* Where the call that the registers stand behind was made, and its first argument put back. */
u64 arch_call_site(const arch_regs *);
void arch_set_argument(arch_regs *, u64 first);
/* The arguments of the call that the registers stand behind. */
void arch_call_arguments(const arch_regs *, u64 ret[6]);
/* Names another call as the interrupted one: the call behind restart_syscall(2). */
void arch_set_call_number(arch_regs *, long nr);
/* A thread that looks as if the call had ended with result (-errno included). */
void arch_finish_call(arch_regs *, s64 result);
/* Moves a thread out of an rseq critical section to its abort handler. */
void arch_abort_rseq(arch_regs *, u64 abort_pc);
/* The call that a thread slept in before it was stopped, as /proc/PID/syscall shows it; nr -1: not known. */
struct arch_seen_call {
	long nr;
	u64 arg[6], sp, pc;
};
/* Turns a call that the kernel ended with EINTR at the freeze (epoll_wait, semop, sigtimedwait, ...) into one that goes on;
 * true when it changed the registers. Where arch_decides_at_exit(), it must have been seen, else seen may be NULL. */
bool arch_cure_eintr(arch_regs *, const struct arch_seen_call *seen);
/* Registers that make a thread at a freeze point run nr(args) at the `syscall` instruction at pc. */
void arch_aim_call(arch_regs *, u64 pc, long nr, const u64 args[6]);
s64 arch_call_result(const arch_regs *);
/* Offset of a system call instruction in code, or -1. */
s64 arch_find_syscall(const void *code, size_t len);
/* First address above what a task of this address space size may map. */
u64 arch_task_size(void);
/* The register sets besides the general one, as note types for PTRACE_GETREGSET, and the room that they take together, with
 * 8 bytes for each. One set alone is the extended state as it is; more are put one behind the other. */
#define ARCH_NOTES_MAX 12
struct arch_note {
	int type;
	bool optional; /* a kernel without the set has no such state; else all of it must be had */
};
size_t arch_extended_notes(struct arch_note ret[ARCH_NOTES_MAX]);
/* The size of every set divides this: a request for a part of what is in this unit has no meaning (kernel/ptrace.c, ptrace_regset()). */
#define ARCH_NOTE_UNIT 64
/* How much of what PTRACE_GETREGSET gave for a note is in use; 0: it is left out. */
size_t arch_note_used(int note, const void *data, size_t len);
/* Where the components of the extended registers lie, as far as that was asked for: a virtual processor takes many microseconds to
 * tell. Zeroed at first. */
struct arch_components {
	u64 asked; /* bit set */
	struct {
		u32 offset, size;
	} at[64];
};
/* Makes two states of a note that mean the same equal, byte for byte. */
void arch_note_settle(int note, void *data, size_t len, struct arch_components *);
size_t arch_extended_size(void);
/* Do the extended registers of a thread of an image fit this processor and its kernel? */
enum arch_fit {
	ARCH_FIT_SAME,
	ARCH_FIT_OTHER, /* of another processor, and the same once it was converted */
	ARCH_FIT_LACKS, /* they hold what there are no registers for here: ret names it, for people */
	ARCH_FIT_MOVED, /* they are kept in another way there */
};
enum arch_fit arch_extended_fit(const void *data, size_t len, char *ret, size_t room);
/* Is the set of a note as every new program has it? Then a kernel without the set has the same. */
bool arch_note_idle(int note, const void *data, size_t len);
/* Do two states mean the same, each as its own kernel tells it? */
bool arch_extended_same(const void *a, size_t a_len, const void *b, size_t b_len);
/* As the kernel takes them here and gives them back; ret: arch_extended_size() bytes. Returns how many they are. */
size_t arch_extended_convert(void *ret, const void *data, size_t len);
/* XXH3-128 of the data, low half first, where this processor does it faster than the library; else false. */
bool arch_hash(const void *data, size_t len, u64 ret[2]);
/* The protection keys by which the thread may do anything, a bit for each: a new process may not, so somebody has opened them. 0 where there
 * are no keys. */
u32 arch_open_keys(const void *data, size_t len);
const char *arch_name(void);

/* --- code over an entry of a vDSO that another kernel made (user/collect/vdso.c) --- */
#define ARCH_ENTRY_MAX 64
/* Code that goes on at an address as if that had been called; what the entry may be reached by (a landing pad) stays. room:
 * bytes that are at the entry. Returns its size. */
size_t arch_entry_jump(u8 ret[ARCH_ENTRY_MAX], const u8 *entry, size_t room, u64 to);
/* Code that makes the system call that the entry of this name stands for, -ENOSYS for names that are not known. 0: it may stay
 * as it is, since it reads nothing of the kernel's. */
size_t arch_entry_call(u8 ret[ARCH_ENTRY_MAX], const char *name);

/* --- the way home of a hijacked thread: code for the dead bytes behind a target's vDSO (user/infect/hijack.c) --- */
#define ARCH_STUB_NAME "\0ckpt-1" /* with its final 0 */
#define ARCH_STUB_ALIGN 16ul
struct arch_stub {
	const void *code; /* begins with its name (8 bytes) and its size (8 bytes); position-independent */
	size_t size;
	bool needs_extended; /* it brings extended registers back from a copy */
	u32 call;            /* offset of the instruction that makes calls one by one */
	u32 batch;           /* offset behind the instruction that makes the calls of a batch */
	u32 mark;            /* offset behind the signal at the end of a batch */
	u32 words;           /* offset of struct arch_stub_words */
};
struct arch_stub_words {
	u64 left;              /* address of a 32-bit word that becomes 1 when the thread leaves, 0: none */
	u64 arena, arena_size; /* what was mapped for the hijack, for whoever comes after a killed ckpt */
};
/* A call that the stub may make. */
struct arch_stub_call {
	u64 nr, pc, arg[6]; /* pc: behind it */
};
#define ARCH_STUB_CALLS 8
struct arch_stub arch_stub(void);
/* Where a thread goes on; regs and call as in struct remote_home, the extended registers only where they are needed. */
struct arch_stub_home {
	arch_regs regs;
	struct arch_call call;
	u64 sigmask;
	const void *extended;
	size_t extended_len;
};
/* Can the code bring a thread there, or would it lose registers? */
bool arch_stub_can(const struct arch_stub_home *);
/* Makes a copy of the code lead to home. */
void arch_stub_fill(void *copy, const struct arch_stub_home *, const struct arch_stub_words *);
/* Registers that make a thread run nr(args) at the stub, looking as if it were interrupted in that call just as it is in
 * its own; deciding: it is at a stop where the kernel still has to decide how its call goes on (where arch_decides_at_exit(), nr
 * is then of a call without arguments). */
void arch_stub_aim(arch_regs *, const struct arch_stub_home *, u64 stub, bool deciding, long nr, const u64 args[6]);
/* Registers of a thread that runs count calls {nr, six arguments, result} and sends itself the signal. */
void arch_stub_aim_batch(arch_regs *, const struct arch_stub_home *, u64 stub, u64 batch, u64 count, int signal);
/* The calls that a stub at this address makes itself; returns how many. */
size_t arch_stub_calls(u64 stub, int signal, struct arch_stub_call ret[ARCH_STUB_CALLS]);
/* --- local descriptor tables, which x86 alone has --- */
#define ARCH_LDT_BYTES 65536 /* of the longest: LDT_ENTRIES of LDT_ENTRY_SIZE */
#define ARCH_LDT_ENTRY 16    /* struct user_desc */
/* The number of modify_ldt(2); -1: there is no such call. */
long arch_ldt_call(void);
/* What modify_ldt(2) is given to make this descriptor (Intel SDM volume 3, 3.4.5) the one of that number; false: no process has
 * such a descriptor. */
bool arch_ldt_entry(u8 ret[ARCH_LDT_ENTRY], u32 number, u64 descriptor);

/* --- protections of memory besides those that every processor has (asm/mman.h) --- */
#if defined(__aarch64__)
#define ARCH_PROT_BTI 0x10u      /* branches land where they may */
#define ARCH_PROT_MTE 0x20u      /* each 16 bytes have a tag of four bits */
#define ARCH_VM_BTI (1ull << 24) /* of vm_flags */
#else
#define ARCH_PROT_BTI 0u
#define ARCH_PROT_MTE 0u
#define ARCH_VM_BTI 0ull
#endif
#define ARCH_TAG_BYTES 16ul /* of memory that have one tag */
/* The feature that a protection needs and this processor or its kernel does not have; NULL: it has all. */
const char *arch_protection_lacks(u32 prot);
/* The request of ptrace(2) that tells the tags of memory, a byte for each; -1: there is no such. */
long arch_tags_request(void);

/* Is it a 32-bit or other foreign task? */
bool arch_is_compat(const arch_regs *);
