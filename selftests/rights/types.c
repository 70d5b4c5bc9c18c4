// SPDX-License-Identifier: LGPL-2.1-or-later
/* A machine that does not show its types (/sys/kernel/btf/vmlinux): ckpt goes on without eBPF, or with a copy of them (--btf). */
#include "base/file.h"
#include "harness/target.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#define TYPES "/sys/kernel/btf/vmlinux"
static const char copy[] = WORK "/types";

/* Hides the kernel's file, and programs that were loaded or fitted before. */
static void hide(void)
{
	static const char *const places[] = { "/sys/kernel/btf", "/sys/fs/bpf", "/var/cache", "/run" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], F_OK) == 0)
			CHECK_OK(mount("none", places[i], "tmpfs", 0, NULL));
	CHECK(access(TYPES, F_OK) < 0);
}

static void copy_and_hide(void)
{
	_cleanup_text_ struct text bytes = { 0 };
	if (file_read(AT_FDCWD, TYPES, &bytes) < 0)
		SKIP("the kernel has no types");
	int fd = (int)CHECK_OK(open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	CHECK_OK(file_write_full(fd, bytes.data, bytes.len));
	close(fd);
	hide();
}

/* What only eBPF tells of a program that sleeps is the time that is left. */
static bool dumped_with_bpf(struct target *t, const char *types)
{
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_lose_bpf();
	target_spawn(t, "/bin/sleep", "1000");
	WAIT_UNTIL(target_state(t->pid) == 'S');
	snprintf(pid, sizeof pid, "%d", t->pid);
	if (types)
		CHECK_EQ(ckpt(&output, "--btf", types, "dump", pid, t->image), 0);
	else
		CHECK_EQ(ckpt(&output, "dump", pid, t->image), 0);
	target_gone(t->pid);
	target_restore(t, 0);
	return !output.data || !strstr(output.data, "[RESTART_UNKNOWN]");
}

TEST(hidden_types, .root = true)
{
	struct target without, with;
	copy_and_hide();
	CHECK(!dumped_with_bpf(&without, NULL));
	CHECK(dumped_with_bpf(&with, copy));
}

TEST(a_program_with_external_types, .root = true)
{
	struct target t;
	copy_and_hide();
	CHECK_OK(setenv("CKPT_BTF", copy, 1));
	target_start(&t, "threads");
	target_dump(&t, false);
	target_restore(&t, 0);
	target_judge(&t);
}

/* What is no BTF is as good as none, and check says so. */
TEST(a_file_without_types, .root = true)
{
	struct target t;
	_cleanup_text_ struct text output = { 0 };
	hide();
	write_text(copy, "no types\n");
	ckpt(&output, "--btf", copy, "check", "--json");
	const char *row = output.data ? strstr(output.data, "\"id\":\"BTF\"") : NULL;
	CHECK(row != NULL);
	CHECK_CONTAINS(row, "\"answer\":\"no\"");
	CHECK(!dumped_with_bpf(&t, copy));
}
