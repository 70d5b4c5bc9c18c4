/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a test is: it gives up root for the rights of a tier, and all that it then starts has no more. */
#pragma once
#include "base/file.h"
#include "harness/target.h"
#include "host/caps.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TIER_USER 65534
#define TIER_BIT(cap) (1ull << (cap))
#define TIER_CHECKPOINT (TIER_BIT(CAP_CHECKPOINT_RESTORE) | TIER_BIT(CAP_SYS_PTRACE))
#define TIER_BPF (TIER_BIT(CAP_BPF) | TIER_BIT(CAP_PERFMON))

/* Everything is found below /mnt, where the user may write: the build may lie where only root comes. */
static inline void tier_move_in(void)
{
	CHECK_OK(chmod(WORK, 01777));
	CHECK_OK(mkdir(WORK "/build", 0755));
	CHECK_OK(mount(test_build_dir(), WORK "/build", NULL, MS_BIND, NULL));
	test_move_build_dir(WORK "/build");
	CHECK_OK(setenv("CKPT", WORK "/build/ckpt", 1));
	CHECK_OK(unsetenv("XDG_RUNTIME_DIR"));
}

static inline void tier_set_caps(u64 caps)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] =
			(struct __user_cap_data_struct){ (u32)(caps >> 32 * i), (u32)(caps >> 32 * i), (u32)(caps >> 32 * i) };
	CHECK_OK(syscall(SYS_capset, &header, data));
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (caps & TIER_BIT(cap))
			CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0));
}

/* Skips the test of a program that holds what this kernel tells nobody without eBPF. */
static inline void tier_need_told(const char *program)
{
	_cleanup_text_ struct text info = { 0 };
	if (strcmp(program, "epoll") != 0 && strcmp(program, "files") != 0)
		return;
	int fd = (int)CHECK_OK(eventfd(0, EFD_CLOEXEC));
	CHECK_OK(file_readf(&info, AT_FDCWD, "/proc/self/fdinfo/%d", fd));
	close(fd);
	if (!strstr(info.data, "eventfd-semaphore"))
		SKIP("without eBPF nothing tells whether an eventfd is a semaphore (fdinfo: Linux 6.5)");
}

/* An ordinary user with these capabilities, which every program that it starts has too, and these groups. */
static inline void tier_become(u64 caps, size_t count, const gid_t *groups)
{
	if (!(caps & TIER_BIT(CAP_BPF)))
		target_lose_bpf();
	else /* that programs are counted against before Linux 5.11; who may not raise it here has a newer kernel */
		setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
	tier_move_in();
	CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
	CHECK_OK(setgroups(count, groups));
	CHECK_OK(setresgid(TIER_USER, TIER_USER, TIER_USER));
	CHECK_OK(setresuid(TIER_USER, TIER_USER, TIER_USER));
	CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
	tier_set_caps(caps);
}

/* A copy of ckpt at WORK/ckpt with file capabilities (capabilities(7)), for a user who has none; tier_become() comes after it. */
static inline void tier_grant_file(u64 caps)
{
	struct vfs_cap_data data = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE };
	for (int i = 0; i < 2; i++)
		data.data[i].permitted = (u32)(caps >> 32 * i);
	_cleanup_text_ struct text bytes = { 0 };
	CHECK_OK(file_read(AT_FDCWD, ckpt_path(), &bytes));
	int fd = (int)CHECK_OK(open(WORK "/ckpt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
	CHECK_OK(file_write_full(fd, bytes.data, bytes.len));
	CHECK_OK(fsetxattr(fd, "security.capability", &data, sizeof data, 0));
	close(fd);
}

/* A field of /proc/PID/status as text behind the name, "" when there is none. */
static inline void tier_status(pid_t pid, const char *name, char *value, size_t room)
{
	char path[64], line[64];
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	snprintf(line, sizeof line, "\n%s:\t", name);
	_cleanup_free_ char *status = read_text(path);
	const char *at = status ? strstr(status, line) : NULL;
	at = at ? at + strlen(line) : "";
	snprintf(value, room, "%.*s", (int)strcspn(at, "\n"), at);
}
