// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of what a restored process must change about itself: the fields of its mm, the place of its vDSO. */
#include "host/probe.h"
#include "arch/arch.h"
#include "base/child.h"
#include "base/elf.h"
#include "base/file.h"
#include "host/auxv.h"
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Fields 26-28 and 45-51 of /proc/PID/stat, proc(5). */
static int own_mm_map(struct prctl_mm_map *map)
{
	_cleanup_text_ struct text stat = { 0 };
	unsigned long long value[52] = { 0 };
	int r = file_read(AT_FDCWD, "/proc/self/stat", &stat);
	if (r < 0)
		return r;
	char *at = strrchr(stat.data, ')');
	if (!at || strlen(at) < 5)
		return -EINVAL;
	at += 4; /* behind ") S" */
	for (int field = 4; field < 52; field++)
		value[field] = strtoull(at, &at, 10);
	u64 brk = (u64)(uintptr_t)sbrk(0);
	*map = (struct prctl_mm_map){
		.start_code = value[26],
		.end_code = value[27],
		.start_stack = value[28],
		.start_data = value[45],
		.end_data = value[46],
		.start_brk = value[47],
		.brk = brk,
		.arg_start = value[48],
		.arg_end = value[49],
		.env_start = value[50],
		.env_end = value[51],
		.exe_fd = ~0u,
	};
	return value[51] ? 0 : -EPERM;
}

/* Sets what is there already; the exe cannot be replaced while it is mapped: EBUSY, but only for who may. */
static int set_own_map(void *with_exe)
{
	struct prctl_mm_map map;
	int r = own_mm_map(&map);
	if (r < 0)
		return r;
	if (with_exe)
		map.exe_fd = (u32)open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0 ? neg_errno() : 0;
}

int probe_mm_map(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	int r = child_try(set_own_map, (void *)p->arg[0]);
	return r == 0 || (p->arg[0] && r == -EBUSY) ? PROBE_YES : r;
}

/* kernel/sys.c, prctl_set_mm_map(): a vector that is longer than its own is EINVAL. */
static int set_auxv(void *bytes)
{
	static const Elf64_auxv_t none[AUXV_BYTES_MAX / sizeof(Elf64_auxv_t)];
	struct prctl_mm_map map;
	int r = own_mm_map(&map);
	map.auxv = (void *)none;
	map.auxv_size = *(u32 *)bytes;
	return r < 0 ? r : prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0 ? neg_errno() : 0;
}

size_t auxv_room(size_t wanted)
{
	size_t fits = 0, too_many = MIN(wanted, (size_t)AUXV_BYTES_MAX) / sizeof(Elf64_auxv_t) + 1;
	for (size_t entries = too_many - 1; fits + 1 < too_many; entries = fits + (too_many - fits) / 2) {
		u32 bytes = (u32)(entries * sizeof(Elf64_auxv_t));
		*(child_try(set_auxv, &bytes) == 0 ? &fits : &too_many) = entries;
	}
	return fits * sizeof(Elf64_auxv_t);
}

#ifdef __x86_64__
static int map_another_vdso(void *arg _unused_)
{
	return syscall(SYS_arch_prctl, 0x2003 /* ARCH_MAP_VDSO_64 */, 0) < 0 ? neg_errno() : 0;
}
#endif

int probe_vdso_map(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
#ifdef __x86_64__
	snprintf(note, NOTE_BYTES, "%s", "");
	int r = child_try(map_another_vdso, NULL);
	return r == 0 || r == -EEXIST ? PROBE_YES : r;
#else
	snprintf(note, NOTE_BYTES, "this architecture moves its vDSO by mremap instead");
	return PROBE_YES;
#endif
}

int probe_vdso_movable(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	_cleanup_text_ struct text smaps = { 0 };
	int r = file_read(AT_FDCWD, "/proc/self/smaps", &smaps);
	if (r < 0)
		return PROBE_UNKNOWN;
	char *vdso = strstr(smaps.data, "[vdso]");
	if (!vdso) {
		snprintf(note, NOTE_BYTES, "this kernel gives programs no vDSO (vdso=0)");
		return PROBE_YES;
	}
	char *flags = strstr(vdso, "VmFlags:");
	if (!flags)
		return PROBE_UNKNOWN;
	flags[strcspn(flags, "\n")] = 0;
	if (!strstr(flags, " sl"))
		return PROBE_YES;
	snprintf(note, NOTE_BYTES, "the vDSO is sealed (CONFIG_MSEAL_SYSTEM_MAPPINGS)");
	return -EPERM;
}

/* A target's vDSO is as ckpt's own: both are the kernel's. */
int probe_vdso_room(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	const void *vdso = (const void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	u64 used = vdso ? elf_image_bytes(vdso, VDSO_BYTES_MAX) : 0;
	u64 room = ALIGN_UP(used, PAGE_BYTES) - ALIGN_UP(used, ARCH_STUB_ALIGN);
	if (used && room >= arch_stub().size)
		return PROBE_YES;
	if (used)
		snprintf(note, NOTE_BYTES, "behind the vDSO %u bytes are free, and %zu are needed", (unsigned)room,
			 arch_stub().size);
	else
		snprintf(note, NOTE_BYTES, "this kernel gives programs no vDSO (vdso=0)");
	return -ENOSPC;
}
