// SPDX-License-Identifier: LGPL-2.1-or-later
/* CKPT_DISABLE takes one capability after the other away: a dump and a restore go on by what serves instead, and the program does
 * not notice, or they are refused by the name of that capability, and nothing has changed. */
#include "base/file.h"
#include "diag/diag.h"
#include "harness/refused.h"
#include "rights/tier.h"
#include <linux/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static void disable(const char *id) { CHECK_OK(id ? setenv("CKPT_DISABLE", id, 1) : unsetenv("CKPT_DISABLE")); }

/* A refusal of what the kernel or a right lacks, that says which. */
static void check_named(int status, const char *output, const char *id)
{
	char name[48];
	snprintf(name, sizeof name, "(%s)", id);
	CHECK_CONTAINS(output, name);
	CHECK_CONTAINS(output, "  do:");
	CHECK(status == EXIT_KERNEL || status == EXIT_PRIVILEGE);
}

static void dump_and_restore(struct target *t, const char *id)
{
	char pid[16];
	_cleanup_text_ struct text dumped = { 0 }, restored = { 0 };
	snprintf(pid, sizeof pid, "%d", t->pid);
	disable(id);
	int r = ckpt(&dumped, "dump", pid, t->image);
	disable(NULL);
	if (r) {
		check_named(r, dumped.data, id);
		CHECK_CONTAINS(dumped.data, "unchanged");
		CHECK(access(t->image, F_OK) < 0);
		return;
	}
	target_gone(t->pid);
	disable(id);
	r = ckpt(&restored, "restore", "-d", t->image);
	disable(NULL);
	if (r) {
		check_named(r, restored.data, id);
		CHECK_CONTAINS(restored.data, "nothing was made");
		target_restore(t, 0);
	}
}

static void walk(const char *group)
{
	size_t walked = 0;
	target_lose_bpf();
	for (int i = 0; i < CAN_COUNT; i++) {
		const struct cap_row *row = caps_row((enum cap_id)i);
		struct target t;
		if (strcmp(row->group, group))
			continue;
		printf("without %s:\n", row->id);
		target_start(&t, "tree");
		dump_and_restore(&t, row->id);
		target_judge(&t);
		target_gone(t.pid);
		walked++;
	}
	CHECK(walked > 0);
}

#define WALK(name, group)                                                                                                      \
	TEST(name, .root = true, .seconds = 300) { walk(group); }

WALK(tasks, "tasks")
WALK(ptrace, "ptrace")
WALK(memory, "memory")
WALK(files, "files")
WALK(signals_and_time, "signals and time")
WALK(namespaces, "namespaces")
WALK(mounts, "mounts")
WALK(network, "network")
WALK(cgroups, "cgroups")
WALK(bpf, "bpf")
WALK(security, "security")
WALK(privilege, "privilege")

/* Linux before 6.7 reads all of pagemap, but for what is sure to be empty: the images are equal. */
TEST(reserved_memory_without_scan, .root = true)
{
	struct target t;
	char pid[16], other[80], pages[96], others[96];
	_cleanup_text_ struct text first = { 0 }, second = { 0 }, compared = { 0 }, left = { 0 }, right = { 0 };
	target_start(&t, "reserved");
	snprintf(pid, sizeof pid, "%d", t.pid);
	snprintf(other, sizeof other, "%s.other", t.image);
	snprintf(pages, sizeof pages, "%s/pages", t.image);
	snprintf(others, sizeof others, "%s/pages", other);
	CHECK_OK(kill(t.pid, SIGSTOP)); /* it would write to its stack in between */
	WAIT_UNTIL(target_state(t.pid) == 'T');
	WAIT_UNTIL(count_asleep("reserved") == 1); /* nor does its child any more */
	CHECK_EQ(ckpt(&first, "dump", pid, other, "--leave-running"), 0);
	disable("PAGEMAP_SCAN,MADV_GUARD");
	CHECK_EQ(ckpt(&second, "dump", pid, t.image), 0);
	disable(NULL);
	CHECK_EQ(ckpt(&compared, "diff", other, t.image), 0);
	CHECK_OK(file_read(AT_FDCWD, pages, &left));
	CHECK_OK(file_read(AT_FDCWD, others, &right));
	CHECK_EQ(left.len, right.len);
	size_t differ = 0;
	for (size_t i = 0; i < left.len; i++)
		differ += left.data[i] != right.data[i];
	CHECK(differ <= 4 * 2 * sizeof(u32)); /* the processor that each was on last (rseq(2)) */
	target_gone(t.pid);
	target_restore(&t, 0);
	CHECK_OK(kill(t.pid, SIGCONT));
	target_judge(&t);
}

/* Linux 5.10 without eBPF: nothing tells of rseq areas. */
#define NO_RSEQ "RSEQ_CONFIG,BPF"

TEST(rseq_that_nobody_tells, .root = true)
{
	static const char *const words[] = { "cannot dump thread ",
					     "[RSEQ_CONFIG]",
					     "PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13) is missing here",
					     "eBPF is not permitted",
					     "101 of 101 threads",
					     "started with rseq on",
					     "(RSEQ_CONFIG)",
					     "GLIBC_TUNABLES=glibc.pthread.rseq=0",
					     "resumed unchanged" };
	struct target t;
	char pid[16];
	_cleanup_text_ struct text checked = { 0 }, dumped = { 0 }, untold = { 0 };
	target_start(&t, "threads");
	snprintf(pid, sizeof pid, "%d", t.pid);
	disable(NO_RSEQ);
	CHECK_EQ(ckpt(&checked, "check", "--pid", pid), EXIT_KERNEL);
	CHECK_CONTAINS(checked.data, "[RSEQ_CONFIG]");
	CHECK_EQ(ckpt(&dumped, "dump", pid, t.image), EXIT_KERNEL);
	CHECK_OK(kill(t.pid, SIGSTOP)); /* who is stopped by a signal cannot be asked */
	WAIT_UNTIL(target_state(t.pid) == 'T');
	CHECK_EQ(ckpt(&untold, "dump", pid, t.image), EXIT_KERNEL);
	CHECK_OK(kill(t.pid, SIGCONT));
	disable(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		CHECK_CONTAINS(dumped.data, words[i]);
		CHECK_CONTAINS(untold.data, words[i]);
	}
	CHECK(!strstr(untold.data, "[SECUREBITS]")); /* the reason stands alone */
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

/* As the advice says. */
TEST(rseq_turned_off, .root = true)
{
	struct target t;
	char pid[16], program[4096];
	_cleanup_text_ struct text output = { 0 };
	target_lose_bpf();
	snprintf(program, sizeof program, "%s/selftests/programs/threads", test_build_dir());
	const char *dir = WORK "/target1";
	target_spawn(&t, "/usr/bin/env", "GLIBC_TUNABLES=glibc.malloc.arena_max=2:glibc.pthread.rseq=0", program, dir);
	CHECK_STR(t.dir, dir);
	WAIT_UNTIL(access(WORK "/target1/ready", F_OK) == 0);
	snprintf(pid, sizeof pid, "%d", t.pid);
	disable(NO_RSEQ);
	CHECK_EQ(ckpt(NULL, "check", "--pid", pid), 0);
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), 0);
	disable(NULL);
	CHECK_CONTAINS(output.data, "[RSEQ_ASSUMED]");
	CHECK_CONTAINS(output.data, "101 threads");
	target_restore(&t, 0); /* the proof asks the kernel */
	target_judge(&t);
}

/* Without it a dump is refused by this code, and the target goes on. */
static void refused_without(struct target *t, const char *id, const char *code)
{
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	snprintf(pid, sizeof pid, "%d", t->pid);
	disable(id);
	CHECK_EQ(ckpt(&output, "dump", pid, t->image), EXIT_KERNEL);
	disable(NULL);
	CHECK_CONTAINS(output.data, code);
}

/* Without it a dump says so, and leaves the target running or not. */
static void warned_without(struct target *t, const char *id, const char *code, bool leave_running)
{
	disable(id);
	target_dump_warns(t, code, leave_running);
	disable(NULL);
}

/* A program that is carried whole without it. */
#define CARRIED_WITHOUT_BPF(name, ...)                                                                                         \
	TEST(name, .root = true) { carried_without("BPF", (const char *const[]){ __VA_ARGS__, NULL }); }
static void carried_without(const char *id, const char *const *argv)
{
	struct target t;
	target_lose_bpf();
	target_startv(&t, argv);
	disable(id);
	target_dump(&t, false);
	target_restore(&t, 0);
	target_compare(&t);
	disable(NULL);
	target_judge(&t);
}
/* Of memory that is to come nobody else tells. */
CARRIED_WITHOUT_BPF(locks_that_the_program_tells, "advice", "onfault")
CARRIED_WITHOUT_BPF(threads_of_their_own_that_nobody_tells, "apart")

/* Only a tracer could set it again. */
TEST(calls_that_a_program_handles, .root = true)
{
	struct target t;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) < 0)
		SKIP("this kernel hands no system calls to programs");
	target_start(&t, "dispatch");
	refused_without(&t, "SUD_CONFIG", "[SYSCALL_DISPATCH]");
	target_dump(&t, false);
	disable("SUD_CONFIG");
	restore_refused(t.image, EXIT_KERNEL, "[SYSCALL_DISPATCH]");
	disable(NULL);
	target_restore(&t, 0);
	target_judge(&t);
}

/* All that a kernel without CONFIG_CHECKPOINT_RESTORE lacks, and the vDSO sealed, which only such a one does to every program
 * (CONFIG_MSEAL_SYSTEM_MAPPINGS, Linux 6.16). What is dumped there is restored elsewhere. */
TEST(no_checkpoint_restore_and_all_vdsos_sealed, .root = true)
{
	struct target t;
	_cleanup_text_ struct text lacking = { 0 }, output = { 0 };
	for (int i = 0; i < CAN_COUNT; i++)
		if (strstr(caps_row((enum cap_id)i)->config, "CONFIG_CHECKPOINT_RESTORE"))
			text_addf(&lacking, "%s,", caps_row((enum cap_id)i)->id);
	text_addf(&lacking, "VDSO_MOVABLE");
	target_start(&t, "tree");
	disable(lacking.data);
	target_dump(&t, false);
	CHECK_EQ(ckpt(&output, "restore", "-d", t.image), EXIT_KERNEL);
	disable(NULL);
	CHECK_CONTAINS(output.data, "(PR_SET_MM_MAP)");
	CHECK_CONTAINS(output.data, "(VDSO_MOVABLE)");
	CHECK_CONTAINS(output.data, "nothing was made");
	target_restore(&t, 0);
	target_judge(&t);
}

static void nobody_tells(const char *program, const char *code)
{
	struct target t;
	target_start(&t, program);
	refused_without(&t, "BPF_PERCPU", code);
	target_judge(&t);
}

TEST(faults_that_nobody_tells, .root = true)
{
	static const struct {
		const char *id, *code;
	} without[] = { { "BPF", "[USERFAULT_FACTS]" },
			{ "PAGEMAP_PFN", "[USERFAULT_FACTS]" },
			{ "PAGEMAP_SCAN", "[USERFAULT_PROTECTED]" } };
	struct target t;
	char pid[16];
	target_lose_bpf();
	target_start(&t, "userfaults");
	snprintf(pid, sizeof pid, "%d", t.pid);
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		_cleanup_text_ struct text output = { 0 };
		disable(without[i].id);
		int r = ckpt(&output, "dump", pid, t.image);
		CHECK(r == EXIT_KERNEL || r == EXIT_PRIVILEGE);
		CHECK_CONTAINS(output.data, without[i].code);
	}
	disable(NULL);
	target_judge(&t);
}

TEST(typing_that_nobody_tells, .root = true)
{
	struct target t;
	target_lose_bpf();
	target_start(&t, "holds", "typed");
	disable("BPF");
	refused_at(&t, t.image, EXIT_KERNEL, "[TTY_DATA]");
	disable(NULL);
	target_judge(&t);
}

/* Neither the kernel nor the program. */
TEST(facts_that_find_no_room, .root = true)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text output = { 0 };
	target_start(&t, "threads");
	snprintf(pid, sizeof pid, "%d", t.pid);
	disable("BPF,VDSO_ROOM");
	int r = ckpt(&output, "dump", pid, t.image);
	disable(NULL);
	CHECK(r == EXIT_PRIVILEGE || r == EXIT_KERNEL); /* the kernel, where it does not tell rseq areas */
	CHECK_CONTAINS(output.data, "[HIJACK_REFUSED]");
	CHECK_CONTAINS(output.data, "room for code behind the vDSO");
	CHECK_CONTAINS(output.data, "resumed unchanged");
	CHECK(access(t.image, F_OK) < 0);
	target_judge(&t);
}

TEST(requests_that_nobody_tells, .root = true) { nobody_tells("aio", "[AIO_RING]"); }
TEST(requests_of_rings_that_nobody_tells, .root = true)
{
	if (caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_IO_URING)->interface);
	nobody_tells("urings", "[URING_RING]");
}

TEST(what_nobody_tells_of_the_tables_of_rings, .root = true)
{
	struct target t;
	if (caps_ask(NULL, CAN_IO_URING).answer != CAP_YES)
		SKIP("this kernel lacks %s", caps_row(CAN_IO_URING)->interface);
	target_start(&t, "urings", "registered");
	refused_without(&t, "IO_URING_TABLES", "[URING_TABLES]");
	target_judge(&t);
}

TEST(domains_that_nobody_tells, .root = true)
{
	struct target t;
	target_lose_bpf();
	start_holding(&t, "domain");
	warned_without(&t, "BPF", "[LANDLOCK_UNKNOWN]", true);
	target_judge(&t);
}

/* Refused by name without descriptors of threads; with them it does without eBPF. */
static void needs_descriptors_of_threads(const char *program, const char *what, const char *code, bool foretold)
{
	struct target t;
	char pid[16];
	_cleanup_text_ struct text checked = { 0 }, output = { 0 };
	if (caps_ask(NULL, CAN_PIDFD_THREAD).answer != CAP_YES)
		SKIP("this kernel has no descriptors for threads");
	target_start(&t, program, what);
	snprintf(pid, sizeof pid, "%d", t.pid);
	disable("PIDFD_THREAD");
	if (foretold) {
		CHECK_EQ(ckpt(&checked, "check", "--pid", pid), EXIT_KERNEL);
		CHECK_CONTAINS(checked.data, code);
	}
	CHECK_EQ(ckpt(&output, "dump", pid, t.image), EXIT_KERNEL);
	CHECK_CONTAINS(output.data, code);
	disable("BPF");
	target_dump(&t, false);
	target_restore(&t, 0);
	target_compare(&t);
	disable(NULL);
	target_judge(&t);
}

TEST(tables_of_threads_that_nobody_tells, .root = true)
{
	needs_descriptors_of_threads("tables", NULL, "[THREAD_FILES]", false);
}

TEST(leaders_that_nobody_tells, .root = true)
{
	target_lose_bpf();
	needs_descriptors_of_threads("leaders", "one", "[LEADER_FILES]", true);
}

TEST(semaphores_that_nobody_tells, .root = true)
{
	struct target t;
	target_lose_bpf();
	target_start(&t, "sysvsem");
	warned_without(&t, "BPF", "[SYSVSEM_UNKNOWN]", false);
	target_restore(&t, 0);
	target_judge(&t);
}

/* Who may not be asked has the keys that can be seen from outside. */
TEST(keys_that_nobody_tells, .root = true)
{
	struct target t;
	target_start(&t, "pkeys", "filter");
	target_dump_warns(&t, "[PKEYS_UNASKED]", false);
	target_restore(&t, 0);
	target_judge(&t);
}

#if defined(__x86_64__)
/* Who may not be asked has no segments, as far as anybody can tell. */
TEST(segments_that_nobody_tells, .root = true)
{
	struct target t;
	target_lose_bpf();
	target_start(&t, "ldt", "filter");
	warned_without(&t, "BPF", "[LDT_UNKNOWN]", true);
	target_judge(&t);
}
CARRIED_WITHOUT_BPF(segments_that_the_program_tells, "ldt")
#endif

/* What a capability is for. */
static void concerns(const char *id, const char *const *argv)
{
	struct target t;
	CHECK(caps_find(id, strlen(id)) != CAN_NOTHING);
	if (!strcmp(id, "BPF"))
		target_lose_bpf();
	target_startv(&t, argv);
	dump_and_restore(&t, id);
	target_judge(&t);
}

#define CONCERNS(id, ...)                                                                                                      \
	TEST(id##_is_for, .root = true, .seconds = 60, .net = true)                                                            \
	{                                                                                                                      \
		concerns(#id, (const char *const[]){ __VA_ARGS__, NULL });                                                     \
	}

CONCERNS(BPF, "threads")
CONCERNS(BPF_TASK_FILE, "files")
CONCERNS(BPF_TASK_VMA, "memory")
CONCERNS(RSEQ_CONFIG, "rseq_own")
CONCERNS(KCMP, "files")
CONCERNS(KCMP_EPOLL, "epoll")
CONCERNS(PROC_CHILDREN, "kin")
CONCERNS(MEMBARRIER, "attributes")
CONCERNS(SECCOMP_GET_FILTER, "rights", "shared")
CONCERNS(SUSPEND_SECCOMP, "rights", "shared")
CONCERNS(SECCOMP, "rights", "shared")
CONCERNS(PAGEMAP_SCAN, "memory")
CONCERNS(PAGEMAP_PFN, "shared")
CONCERNS(PROCESS_VM_READV, "memory")
CONCERNS(MAP_FILES, "shared")
CONCERNS(MADV_GUARD, "memory")
CONCERNS(MEMORY_MERGE, "advice")
CONCERNS(MAP_DROPPABLE, "newer")
CONCERNS(ANON_VMA_NAME, "newer")
CONCERNS(MSEAL, "memory")
CONCERNS(VDSO_ROOM, "threads")
CONCERNS(MEMFD, "memfds")
CONCERNS(MEMFD_EXEC, "memfds")
CONCERNS(PIDFD_GETFD, "sockets")
CONCERNS(INOTIFY_NEXT_WD, "watches")
CONCERNS(PTY_PEER, "pty")
CONCERNS(POSIX_TIMERS, "timers")
CONCERNS(TIMER_RESTORE_IDS, "timers")
CONCERNS(USER_NS, "userns")
CONCERNS(UNIX_DIAG, "sockets")
CONCERNS(UNIX_FILE, "sockets")
CONCERNS(UNIX_PEEK_OFF, "sockets")
CONCERNS(INET_DIAG, "inet")
CONCERNS(TCP_REPAIR, "tcp")
CONCERNS(MPTCP, "multipath")
CONCERNS(NET_RAW, "inet")
CONCERNS(SYS_ADMIN, "dead")
CONCERNS(SYS_NICE, "rights", "scheduled")
CONCERNS(SETUID, "rights", "user")
