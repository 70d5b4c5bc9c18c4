// SPDX-License-Identifier: LGPL-2.1-or-later
/* What ckpt says when it is itself short of rights: inside of a seccomp filter, or run by nobody. */
#include "deny.h"
#include "diag/diag.h"
#include "harness/left.h"
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void enter_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void become_nobody(void)
{
	CHECK_OK(setgroups(0, NULL));
	CHECK_OK(setgid(65534));
	CHECK_OK(setuid(65534));
}

/* Runs ckpt after confine(), in a process of its own, which must be refused so. */
static void refused(void (*confine)(void), int exit_class, const char *code, const char *const *argv)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		_cleanup_text_ struct text output = { 0 };
		confine();
		int r = ckptv(&output, argv);
		CHECK_CONTAINS(output.data ?: "", code);
		CHECK_CONTAINS(output.data, "  why:");
		CHECK_CONTAINS(output.data, "  do:");
		CHECK_EQ(r, exit_class);
		fflush(stdout);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}
#define REFUSED(confine, exit_class, code, ...)                                                                                \
	refused(confine, exit_class, code, (const char *const[]){ "ckpt", __VA_ARGS__, NULL })

/* Only who is in no filter reads the filters of others. */
TEST(dump_inside_a_filter, .root = true)
{
	struct target t;
	char pid[16];
	target_start(&t, "rights", "shared");
	snprintf(pid, sizeof pid, "%d", t.pid);
	REFUSED(enter_filter, EXIT_PRIVILEGE, "[SECCOMP_READ]", "dump", pid, t.image);
	CHECK(access(t.image, F_OK) < 0);
	left_running(t.pid, false, "refused");
	target_judge(&t);
}

TEST(restore_inside_a_filter, .root = true)
{
	struct target t;
	target_start(&t, "rights", "shared");
	target_dump(&t, false);
	_cleanup_free_ char *before = left_look_alone();
	REFUSED(enter_filter, EXIT_PRIVILEGE, "[SECCOMP_SUSPEND]", "restore", t.image, "-d");
	left_check(before, "refused");
	target_restore(&t, 0);
	target_judge(&t);
}

#if defined(__x86_64__)
static void lose_modify_ldt(void) { CHECK_OK(deny_call(SYS_modify_ldt, ENOSYS)); }

/* As in a container, or on a kernel without CONFIG_MODIFY_LDT_SYSCALL. */
TEST(restore_without_segments, .root = true)
{
	struct target t;
	target_start(&t, "ldt");
	target_dump(&t, false);
	REFUSED(lose_modify_ldt, EXIT_KERNEL, "[LDT_NONE]", "restore", t.image, "-d");
	target_restore(&t, 0);
	target_judge(&t);
}
#endif

TEST(image_that_others_may_not_read, .root = true)
{
	struct target t;
	need_reachable();
	target_start(&t, "sleeper");
	target_dump(&t, false);
	CHECK_OK(chmod(t.image, 0755));
	CHECK_OK(chmod(WORK, 0755));
	REFUSED(become_nobody, EXIT_SYSTEM, "[IMAGE_READ]", "verify", t.image);
	CHECK_OK(chmod(t.image, 0700));
	target_restore(&t, 0);
	target_judge(&t);
}

TEST(process_of_another_user, .root = true)
{
	struct target t;
	char pid[16];
	need_reachable();
	target_start(&t, "sleeper");
	CHECK_OK(chmod(WORK, 0777));
	snprintf(pid, sizeof pid, "%d", t.pid);
	REFUSED(become_nobody, EXIT_PRIVILEGE, "[PTRACE_DENIED]", "dump", pid, t.image);
	CHECK(access(t.image, F_OK) < 0);
	left_running(t.pid, true, "refused");
	target_judge(&t);
}

TEST(programs_kept_by_nobody, .root = true)
{
	need_reachable();
	REFUSED(become_nobody, EXIT_PRIVILEGE, "[BPF_PIN]", "bpf", "pin");
}
