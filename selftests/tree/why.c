// SPDX-License-Identifier: LGPL-2.1-or-later
/* --why: ckpt lacks rights, and the kernel itself is asked which function refused and which capability was missing. Where it
 * lets nobody watch its functions, that is said. */
#include "creds.pb-c.h"
#include "diag/diag.h"
#include "harness/edit.h"
#include "harness/target.h"
#include "host/kbtf.h"
#include "resource/registry.h"
#include <linux/btf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does this kernel let its functions be watched, and its decisions on capabilities? */
static void what_is_seen(bool *functions, bool *capabilities)
{
	struct kbtf *btf = NULL;
	*functions = *capabilities = false;
	const char *disable = getenv("CKPT_DISABLE");
	if (disable && strstr(disable, "BPF_FENTRY"))
		return;
	*functions = caps_ask(NULL, CAN_BPF_FENTRY).answer == CAP_YES;
	bool has = kbtf_open(&btf, "/sys/kernel/btf/vmlinux") == 0 && kbtf_find(btf, BTF_KIND_TYPEDEF, "btf_trace_cap_capable");
	*capabilities = *functions || has;
	kbtf_free(btf);
}

static unsigned own_namespace(void)
{
	struct stat st;
	CHECK_OK(stat("/proc/self/ns/user", &st));
	return (unsigned)st.st_ino;
}

/* Runs ckpt without these capabilities; what it says of call must name the function and the capability. */
static void check_told(const char *const *argv, int status, const int *dropped, const char *call, const char *function,
		       const char *capability)
{
	int got;
	bool functions, capabilities;
	char name[64];
	_cleanup_text_ struct text output = { 0 };
	if (caps_ask(NULL, CAN_BPF).answer != CAP_YES)
		SKIP("no eBPF in this kernel");
	what_is_seen(&functions, &capabilities);
	for (; *dropped >= 0; dropped++)
		CHECK_OK(prctl(PR_CAPBSET_DROP, *dropped));
	got = ckptv(&output, argv);
	CHECK_EQ(got, status);
	const char *at = strstr(output.data, call), *end = at ? strchr(at, '\n') : NULL;
	if (!at || !end)
		FAIL("no \"%s\" is told", call);
	_cleanup_free_ char *line = strndup(at, (size_t)(end - at));
	if (functions) {
		CHECK_CONTAINS(line, function);
		CHECK_CONTAINS(line, "() returned it");
	} else {
		CHECK_CONTAINS(line, "in which function is not known");
		CHECK_CONTAINS(output.data, "[WHY_UNKNOWN]");
	}
	snprintf(name, sizeof name, "in user namespace %u", own_namespace());
	if (capabilities) {
		CHECK_CONTAINS(line, capability);
		CHECK_CONTAINS(line, name);
	} else {
		CHECK(!strstr(line, "in user namespace"));
	}
}
#define CKPT(...) ((const char *const[]){ "ckpt", __VA_ARGS__, NULL })
#define WITHOUT(...) ((const int[]){ __VA_ARGS__, -1 })
#define CHECKPOINT_RESTORE 40 /* CAP_CHECKPOINT_RESTORE, Linux 5.9 */

#define HUMBLE "/mnt/humble"
static void dumped(struct target *t)
{
	target_start(t, "sleeper");
	target_dump(t, false);
	edit_image(t->image, HUMBLE, edit_out_rights, NULL);
}

TEST(chosen_id, .root = true, .seconds = 120)
{
	struct target t;
	dumped(&t);
	check_told(CKPT("restore", "-d", "--why", HUMBLE), EXIT_PRIVILEGE, WITHOUT(CAP_SYS_ADMIN, CHECKPOINT_RESTORE),
		   "SET_TID: clone3(2) ended with EPERM", "alloc_pid", "cap_checkpoint_restore");
}

TEST(program_file, .root = true, .seconds = 120)
{
	struct target t;
	dumped(&t);
	check_told(CKPT("check", "--why", "--image", HUMBLE), EXIT_PRIVILEGE, WITHOUT(CAP_SYS_ADMIN, CHECKPOINT_RESTORE),
		   "PLAN_RIGHT: prctl(2) ended with EPERM", "prctl_set_mm", "cap_checkpoint_restore");
}

static void become_nobody(void)
{
	CHECK_OK(setgid(65534));
	CHECK_OK(setuid(65534));
}

static void refused_process(void)
{
	int ready[2];
	char pid[16], byte = 0;
	CHECK_OK(pipe(ready));
	pid_t other = fork();
	if (other == 0) {
		become_nobody();
		CHECK_EQ(write(ready[1], &byte, 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	snprintf(pid, sizeof pid, "%d", other);
	check_told(CKPT("dump", "--why", pid, "/mnt/image"), EXIT_PRIVILEGE, WITHOUT(CAP_SYS_PTRACE),
		   "PTRACE_DENIED: ptrace(2) ended with EPERM", "ptrace", "cap_sys_ptrace");
}

TEST(process_of_another, .root = true, .seconds = 120) { refused_process(); }

/* The last way: neither functions nor decisions can be watched. */
TEST(system_calls_alone, .root = true, .seconds = 120)
{
	CHECK_OK(setenv("CKPT_DISABLE", "BPF_KPROBE_MULTI,BPF_FENTRY,BPF_TP_BTF", 1));
	refused_process();
}

/* Some functions can be watched one by one. */
TEST(functions_by_fexit, .root = true, .seconds = 120)
{
	CHECK_OK(setenv("CKPT_DISABLE", "BPF_KPROBE_MULTI", 1));
	refused_process();
}

TEST(host, .root = true, .seconds = 120)
{
	check_told(CKPT("check", "--why", "--json"), EXIT_KERNEL, WITHOUT(CAP_SYS_ADMIN, CHECKPOINT_RESTORE),
		   "\"kernel\":\"clone3(2) ended with EPERM", "alloc_pid", "cap_checkpoint_restore");
}

/* Nothing is said where nothing failed, and the program is as it was. */
TEST(nothing_failed, .root = true, .seconds = 240)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "threads");
	snprintf(pid, sizeof pid, "%d", t.pid);
	CHECK_EQ(ckpt(&output, "dump", "--why", pid, t.image), 0);
	target_gone(t.pid);
	CHECK_EQ(ckpt(&output, "restore", "-d", "--why", t.image), 0);
	CHECK(!output.data || !strstr(output.data, "REFUSED_BY"));
	target_compare(&t);
	target_judge(&t);
}

/* Who may not load eBPF learns that, and the failure all the same. */
TEST(nobody, .root = true, .seconds = 60)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	need_reachable();
	target_start(&t, "sleeper");
	snprintf(pid, sizeof pid, "%d", t.pid);
	become_nobody();
	CHECK_EQ(ckpt(&output, "dump", "--why", pid, "/mnt/image"), EXIT_PRIVILEGE);
	CHECK_CONTAINS(output.data, "[PTRACE_DENIED]");
	CHECK_CONTAINS(output.data, "[WHY_UNKNOWN]");
}
