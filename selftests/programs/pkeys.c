// SPDX-License-Identifier: LGPL-2.1-or-later
/* Protection keys (pkeys(7)): some in use, one between them given back, one that protects nothing yet, memory that may be executed alone,
 * and a child with keys of its own. "filter": a seccomp filter lets nobody ask which keys there are. */
#include "judge.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define PAGE 4096ul

static sigjmp_buf back;
static volatile int code;
static char *open_page, *read_page, *code_page;
static int open_key, read_key, spare_key;

static void fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	code = info->si_code;
	siglongjmp(back, 1);
}

/* What a fault tells, 0: there is none. A handler begins with the keys of a new process, and who jumps out of it keeps them. */
static int touch(volatile char *at, bool write)
{
	int rights[8];
	code = 0;
	for (int key = 1; key < 8; key++)
		rights[key] = pkey_get(key);
	if (sigsetjmp(back, 1)) {
		for (int key = 1; key < 8; key++)
			MUST_EQ(pkey_set(key, (unsigned)rights[key]), 0);
	} else if (write) {
		*at = 'w';
	} else {
		(void)*at;
	}
	return code;
}

static int write_to(volatile char *at) { return touch(at, true); }
static int read_from(volatile char *at) { return touch(at, false); }

static char *map(int key, int prot)
{
	char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(at != MAP_FAILED);
	memset(at, 'k', PAGE);
	MUST_EQ(pkey_mprotect(at, PAGE, prot, key), 0);
	return at;
}

static int executes_alone;

static void must_stay(void)
{
	MUST_EQ(pkey_get(open_key), 0);
	MUST_EQ(pkey_get(read_key), PKEY_DISABLE_WRITE);
	MUST_EQ(write_to(open_page), 0);
	MUST_EQ(write_to(read_page), SEGV_PKUERR);
	MUST_EQ(read_from(read_page), 0);
	MUST_EQ(*read_page, 'k');
	MUST_EQ(read_from(code_page), executes_alone);
}

/* The keys that it has no more are the next that it gets. */
static void must_have(int spare, int next)
{
	MUST_EQ(pkey_mprotect(open_page, PAGE, PROT_READ | PROT_WRITE, spare), 0);
	MUST_EQ(pkey_mprotect(open_page, PAGE, PROT_READ | PROT_WRITE, open_key), 0);
	MUST_EQ(pkey_alloc(0, 0), next);
	MUST_EQ(pkey_free(next), 0);
}

/* It has given back what protects nothing, and taken another. */
static void be_child(int other)
{
	MUST_EQ(pkey_free(spare_key), 0);
	MUST_EQ(pkey_alloc(0, 0), other);
	char *own = map(other, PROT_READ | PROT_WRITE);
	judge_write("child", "");
	while (!judge_asked())
		judge_nap(10);
	must_stay();
	MUST_EQ(write_to(own), 0);
	MUST_EQ(pkey_alloc(0, 0), spare_key);
	_exit(0);
}

static void forbid(int nr)
{
	struct sock_filter code_[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
				       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
				       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
				       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { sizeof code_ / sizeof *code_, code_ };
	MUST_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	MUST_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	bool filter = argc > 2 && !strcmp(argv[2], "filter");
	open_key = pkey_alloc(0, 0);
	if (open_key < 0)
		judge_fail("skip: this processor has no protection keys");
	int other = pkey_alloc(0, 0);
	read_key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	spare_key = pkey_alloc(0, 0);
	MUST(other > 0 && read_key > 0 && spare_key > 0);
	MUST_EQ(sigaction(SIGSEGV, &(struct sigaction){ .sa_sigaction = fault, .sa_flags = SA_SIGINFO }, NULL), 0);
	open_page = map(open_key, PROT_READ | PROT_WRITE);
	read_page = map(read_key, PROT_READ | PROT_WRITE);
	code_page = mmap(NULL, PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	executes_alone = read_from(code_page);
	MUST_EQ(pkey_free(other), 0);
	must_stay();
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		be_child(other);
	while (access(judge_path("child"), F_OK) < 0)
		judge_nap(1);
	if (filter)
		forbid(SYS_pkey_mprotect);
	judge_wait();
	must_stay();
	if (!filter)
		must_have(spare_key, other);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(status, 0);
	return judge_pass();
}
