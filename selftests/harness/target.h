/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs to be checkpointed and ckpt as a user runs it. For tests with .root, whose own /mnt is where targets and
 * images live. Every function ends the test when something is wrong. */
#pragma once
#include "base/text.h"
#include "harness/test.h"
#include <sys/types.h>

#define WORK "/mnt"

struct target {
	pid_t pid;
	char dir[64];   /* where it keeps ready, stop, verdict, gap and output */
	char image[64]; /* where target_dump puts the image */
	long long away; /* clock_ms() when a dump was over, 0: there was none */
};

/* Starts selftests/programs/ARGV[0] (or an absolute path) as PROGRAM DIR ARGV[1].. in a session of its own, a child of the
 * namespace's init, and waits until it is ready. Of the test's environment it has GLIBC_TUNABLES. */
#define target_start(t, ...) target_startv(t, (const char *const[]){ __VA_ARGS__, NULL })
void target_startv(struct target *, const char *const *argv);
/* Starts any command; it is given no DIR and nothing is waited for but its exec. */
#define target_spawn(t, ...) target_spawnv(t, (const char *const[]){ __VA_ARGS__, NULL })
void target_spawnv(struct target *, const char *const *argv);
/* For tests that dump without eBPF: nothing else tells of rseq areas before Linux 5.13 (PTRACE_GET_RSEQ_CONFIGURATION), so there
 * programs that the test starts from now on have none, as the diagnosis (RSEQ_CONFIG) advises. Skips the test where no code can be
 * run in a target either (VDSO_ROOM). */
void target_lose_bpf(void);
/* Asks the program for its verdict, which must be "ok". */
void target_judge(struct target *);
/* One that must be this. */
void target_verdict(struct target *, const char *wanted);
/* Waits until the process is gone and reaped. */
void target_gone(pid_t);
bool target_alive(pid_t);
/* The third field of /proc/PID/stat. */
char target_state(pid_t);
/* Does a process run the program of this name (its first 15 characters), and sleep (state S)? */
bool target_asleep(pid_t, const char *name);
/* How many processes have this name, and how many of these sleep. */
int count_named(const char *name);
int count_asleep(const char *name);
/* The system call that the thread sleeps in, -1: it runs, or sleeps elsewhere (proc_pid_syscall(5)). */
long target_call(pid_t);
/* Signals that wait for the process or its first thread, a bit each (signal 1: bit 0). */
u64 target_pending(pid_t);
/* Was it killed (SIGKILL), and only takes its time? */
bool target_dying(pid_t);

/* Runs ckpt, adds what it prints to the test's log and to output (may be NULL); its exit status, 128 + signal. */
#define ckpt(output, ...) ckptv(output, (const char *const[]){ "ckpt", __VA_ARGS__, NULL })
int ckptv(struct text *output, const char *const *argv);
/* Likewise as `criu`, as a link of that name would call it. */
#define criu(output, ...) criuv(output, (const char *const[]){ "criu", __VA_ARGS__, NULL })
int criuv(struct text *output, const char *const *argv);
const char *ckpt_path(void);
/* Runs any program likewise; without it the test is skipped. */
int run_program(struct text *output, const char *path, const char *const *argv);
/* Skips the test when this program, or the loader that it asks for, is not there: systems for tests may have little. */
void need_program(const char *path);
/* Skips the test, which runs ckpt or a program as another user, where what was built lies in a directory of one user alone (/root). */
void need_reachable(void);

/* A dump and a restore by the command line of criu(8), as target_dump() and target_restore(). The images directory is t->image; it
 * holds the logs and the pidfile too. */
void target_dump_by_criu(struct target *);
void target_restore_by_criu(struct target *, int gap);

/* A dump that must succeed; without leave_running it ends with the tree gone. */
void target_dump(struct target *, bool leave_running);
/* Likewise, and what it says holds these words. */
void target_dump_warns(struct target *, const char *words, bool leave_running);
/* Restores detached after gap milliseconds more without the program, which is told for how long it was away; the same pid must be alive
 * again. */
void target_restore(struct target *, int gap);
/* The facts of the process now, dumped again, must equal those of the image. */
void target_compare(struct target *);

/* A file with this text; what a file holds (NULL when it cannot be read), to be freed. */
void write_text(const char *path, const char *text);
char *read_text(const char *path);
/* Likewise, when the file is there and holds something. */
char *wait_text(const char *path);
/* Milliseconds of CLOCK_MONOTONIC; sleeping so many. */
long long clock_ms(void);
void nap_ms(int);
/* Until the condition holds, which is no matter of the machine's speed: the limit is there for what would never end. */
#define WAIT_MS 100000ll
#define WAIT_UNTIL(condition)                                                                                                  \
	for (long long begin_ = clock_ms(); !(condition); nap_ms(2))                                                           \
		if (clock_ms() - begin_ > WAIT_MS * test_patience())                                                           \
	FAIL("not even after %lld s: %s", WAIT_MS *test_patience() / 1000, #condition)
