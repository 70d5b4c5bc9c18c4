// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the search for places in a target that nobody else uses. */
#include "infect/cave.h"
#include "base/elf.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define STUB_NAME_BYTES sizeof ARCH_STUB_NAME
#define HOLE_MIN (64ul << 20) /* far from anything that grows */

static int read_memory(pid_t pid, u64 address, void *to, size_t len)
{
	struct iovec here = { to, len }, there = { (void *)(uintptr_t)address, len };
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
	return got < 0 ? neg_errno() : (size_t)got == len ? 0 : -EFAULT;
}

/* One line of /proc/PID/maps; the next one, or NULL behind the last. */
static char *parse_mapping(char *line, u64 *start, u64 *end, const char **name)
{
	unsigned long long from, to;
	int at = 0;
	char *stop = strchrnul(line, '\n');
	bool more = *stop;
	*stop = 0;
	if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %n", &from, &to, &at) < 2)
		return NULL;
	*start = from;
	*end = to;
	*name = at ? line + at : "";
	return more && stop[1] ? stop + 1 : NULL;
}

/* The vDSO, and the middle of the largest hole. */
static int read_maps(struct cave *cave, struct tree_process *process, size_t arena_bytes)
{
	_cleanup_text_ struct text maps = { 0 };
	u64 start = 0, end = 0, last = PAGE_BYTES, best = HOLE_MIN + arena_bytes;
	const char *name = "";
	int err = file_read(process->proc, "maps", &maps);
	if (err < 0)
		return err;
	for (char *line = maps.data; line && *line;) {
		line = parse_mapping(line, &start, &end, &name);
		if (!strcmp(name, "[vdso]")) {
			cave->vdso = start;
			cave->end = end;
		}
		if (start > last && start - last > best && start < arch_task_size()) {
			best = start - last;
			cave->hole = ALIGN_DOWN(last + best / 2, PAGE_BYTES);
			cave->hole_bytes = arena_bytes;
		}
		last = MAX(last, end);
	}
	return 0;
}

/* Has the thread of this stub left it for good? Only then nothing returns into it: a signal handler may have run in it.
 * An arena that is gone was unmapped by a ckpt that knew. */
static bool was_left(pid_t pid, const struct arch_stub_words *words)
{
	struct cave_arena arena;
	if (!words->left)
		return false;
	if (read_memory(pid, words->arena, &arena, sizeof arena) < 0)
		return true;
	return arena.left == 1 && !memcmp(arena.name, ARCH_STUB_NAME, sizeof arena.name);
}

static void note_leftover(struct cave *cave, u64 at, u64 size, const struct arch_stub_words *words)
{
	if (cave->leftovers == CAVE_LEFTOVERS)
		return;
	size_t i = cave->leftovers++;
	cave->leftover[i].stub = at;
	cave->leftover[i].stub_size = size;
	cave->leftover[i].arena = words->arena;
	cave->leftover[i].arena_size = words->arena_size;
}

static bool all_zero(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Walks the dead bytes: stubs that are left over, then the first place that is free. */
static void search_tail(struct cave *cave, pid_t pid, const char *vdso)
{
	struct arch_stub stub = arch_stub();
	u64 size;
	for (u64 at = cave->tail; at + stub.size <= cave->end;) {
		const char *here = vdso + (at - cave->vdso);
		if (memcmp(here, ARCH_STUB_NAME, STUB_NAME_BYTES)) {
			if (all_zero(here, stub.size)) {
				cave->at = cave->at ?: at;
				return;
			}
			at += ARCH_STUB_ALIGN;
			continue;
		}
		struct arch_stub_words words;
		memcpy(&size, here + STUB_NAME_BYTES, sizeof size);
		memcpy(&words, here + stub.words, sizeof words);
		if (size == stub.size && was_left(pid, &words)) {
			note_leftover(cave, at, size, &words);
			cave->at = cave->at ?: at;
		}
		at += ALIGN_UP(MAX(MIN(size, 4096ul), ARCH_STUB_ALIGN), ARCH_STUB_ALIGN);
	}
}

int cave_find(struct cave *ret, struct tree_process *process, size_t arena_bytes)
{
	*ret = (struct cave){ 0 };
	int err = read_maps(ret, process, arena_bytes);
	if (err < 0)
		return err;
	ret->why = ret->vdso ? "the dead bytes behind its vDSO are too few, or in use" : "it has no vDSO";
	ret->tail = ret->end;
	size_t len = ret->end - ret->vdso;
	if (!ret->vdso || len > VDSO_BYTES_MAX)
		return 0;
	_cleanup_free_ char *vdso = malloc(len);
	if (!vdso)
		return -ENOMEM;
	err = read_memory(tree_first(process), ret->vdso, vdso, len);
	if (err < 0)
		return err;
	u64 used = elf_image_bytes(vdso, len);
	if (!used)
		return 0;
	ret->tail = ret->vdso + ALIGN_UP(used, ARCH_STUB_ALIGN);
	search_tail(ret, tree_first(process), vdso);
	return 0;
}

static int poke(pid_t tid, u64 at, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(long)) {
		long word;
		memcpy(&word, (const char *)bytes + i, sizeof word);
		if (ptrace(PTRACE_POKEDATA, tid, at + i, word) < 0)
			return neg_errno();
	}
	return 0;
}

/* /proc/PID/mem needs one call, but proc_mem.force_override= may forbid it where ptrace is allowed. */
int cave_write(pid_t tid, u64 at, const void *bytes, size_t len)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)tid);
	_cleanup_close_ int memory = open(path, O_WRONLY | O_CLOEXEC);
	if (memory >= 0 && len > sizeof(long) && file_pwrite_full(memory, bytes, len, (off_t)at) == 0)
		return 0;
	return poke(tid, at, bytes, len);
}
