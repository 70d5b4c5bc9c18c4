// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rows of the catalog that come of a call that fails: it fails at its first turn, at its second, and so on, until the row is there. What
 * else these failures do is the matter of fault/inject. */
#include "diag/diag.h"
#include "harness/killer.h"
#include "harness/left.h"
#include "infect/dispatch.h"
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct row {
	const char *code; /* with its brackets */
	int call, error;
	const char *without; /* CKPT_DISABLE: capabilities that would make the call needless */
};

#define ROUNDS 50

struct turns {
	int next, round; /* from 0 */
	int status;      /* of the last run */
};

/* The call fails at its next turn. Was that the row? How many turns there are differs with what the program does at the moment, so that
 * one may be passed over: behind the last comes the first again. */
static bool is_row(const struct row *row, const char *const *argv, struct turns *turns)
{
	_cleanup_text_ struct text output = { 0 };
	struct strike strike = { .at = ++turns->next, .error = row->error, .nr = row->call };
	strike.children = !strcmp(argv[1], "dump"); /* a restore traces its own */
	struct struck struck = strike_run(ckpt_path(), argv, &strike, &output);
	turns->status = struck.status;
	if (struck.nr < 0) {
		if (turns->next == 1 || ++turns->round == ROUNDS)
			FAIL("%d turns of the call, and none gives %s", turns->next - 1, row->code);
		turns->next = 0;
	} else if (!struck.injected) {
		SKIP("this call cannot fail here");
	}
	return output.data && strstr(output.data, row->code);
}

static void dump_names(const struct row *row, const char *const *program)
{
	struct target t;
	char pid[16], *before;
	struct turns turns = { 0 };
	target_startv(&t, program);
	snprintf(pid, sizeof pid, "%d", t.pid);
	const char *argv[] = { "ckpt", "dump", pid, t.image, "--leave-running", NULL };
	before = left_look();
	if (row->without)
		CHECK_OK(setenv("CKPT_DISABLE", row->without, 1));
	while (!is_row(row, argv, &turns)) {
		char command[80];
		left_running(t.pid, false, row->code);
		snprintf(command, sizeof command, "rm -rf %s", t.image);
		CHECK_EQ(system(command), 0);
	}
	CHECK_OK(unsetenv("CKPT_DISABLE"));
	CHECK(WIFEXITED(turns.status) && WEXITSTATUS(turns.status) != 0);
	left_running(t.pid, false, row->code);
	left_check(before, row->code);
	target_judge(&t);
	free(before);
}

static void restore_names(const struct row *row, const char *const *program)
{
	struct target t;
	char *before;
	struct turns turns = { 0 };
	target_startv(&t, program);
	target_dump(&t, false);
	const char *argv[] = { "ckpt", "restore", t.image, "-d", NULL };
	before = left_look_alone();
	while (!is_row(row, argv, &turns))
		if (WIFEXITED(turns.status) && WEXITSTATUS(turns.status) == 0) {
			CHECK_OK(kill(-t.pid, SIGKILL)); /* the group of its session */
			target_gone(t.pid);
		}
	CHECK(WIFEXITED(turns.status) && WEXITSTATUS(turns.status) != 0);
	left_check(before, row->code);
	target_restore(&t, 0);
	target_judge(&t);
	free(before);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define DUMP(name, own_net, code, call, error, without, ...)                                                                   \
	TEST(dump_##name, .root = true, .net = own_net)                                                                        \
	{                                                                                                                      \
		dump_names(&(struct row){ "[" #code "]", SYS_##call, error, without }, ARGV(__VA_ARGS__));                     \
	}
#define RESTORE(name, code, call, error, ...)                                                                                  \
	TEST(restore_##name, .root = true)                                                                                     \
	{                                                                                                                      \
		restore_names(&(struct row){ "[" #code "]", SYS_##call, error, NULL }, ARGV(__VA_ARGS__));                     \
	}

DUMP(duplicate, false, FD_DUPLICATE, pidfd_getfd, EMFILE, NULL, "epoll")
DUMP(log, false, OUT_OF_MEMORY, mmap, ENOMEM, NULL, "sleeper")
DUMP(proc, false, PROC_READ, openat, EIO, NULL, "sleeper")
DUMP(namespaces, false, NAMESPACES, newfstatat, EACCES, "BPF", "sleeper")
DUMP(memory, false, MEMORY_DENIED, process_vm_readv, EPERM, NULL, "sleeper")
DUMP(pagemap, false, MEMORY_PAGEMAP, pread64, EIO, "PAGEMAP_SCAN", "sleeper")
DUMP(vdso, false, VDSO_UNREADABLE, process_vm_readv, EPERM, NULL, "sleeper")
DUMP(hijack, false, HIJACK_FAILED, ptrace, EIO, "BPF", "sleeper")
DUMP(kcmp, false, SHARING_UNKNOWN, kcmp, EPERM, "BPF", "tree")
DUMP(epoll_kcmp, false, EPOLL_KCMP, kcmp, EPERM, "BPF", "epoll")
DUMP(pipe, false, PIPE_PEEK, tee, EINVAL, NULL, "fifos")
DUMP(unix, false, UNIX_PEEK, recvmsg, EIO, NULL, "sockets")
DUMP(inet, true, INET_PEEK, recvfrom, EIO, NULL, "inet")

RESTORE(arena, ARENA, memfd_create, EMFILE, "sleeper")
RESTORE(registers, REGISTERS, ptrace, EIO, "sleeper")
RESTORE(guard, SYSCALL, pipe2, EMFILE, "tree")
RESTORE(ring, URING_LAYOUT, io_uring_setup, EPERM, "urings")

TEST(restore_dispatch, .root = true)
{
	if (!dispatch_knows_inside())
		SKIP("the kernel hands the calls of a range over since Linux 6.16");
	restore_names(&(struct row){ "[SYSCALL_DISPATCH_RANGE]", SYS_prctl, EINVAL, NULL }, ARGV("dispatch"));
}
