// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the plan of seccomp filters: they are installed by a thread that is seized with its filters suspended. */
#include "harness/plan.h"
#include "harness/test.h"
#include "model/kinds.h"
#include "resource/registry.h"
#include "seccomp.pb-c.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ARENA_ROOM (1u << 20)
#define DENIED 77

/* Refuses one system call with errno DENIED. */
static void add_filter(Ckpt__Seccomp *m, unsigned nr)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | DENIED),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	Ckpt__SeccompFilter *f = MESSAGE_NEW(Ckpt__SeccompFilter, ckpt__seccomp_filter);
	CHECK(f && MESSAGE_APPEND(&m->n_filter, &m->filter, f));
	f->has_program = message_set_bytes(&f->program, program, sizeof program);
	SET(m, filters, (u32)m->n_filter);
}

static void run_child(const struct plan *plan, void *arena, int go, int say)
{
	char byte;
	CHECK_EQ(read(go, &byte, 1), 1);
	CHECK_EQ(run_array(plan, arena, (u32)getpid()), 0);
	byte = getppid() > 0 && syscall(SYS_futex, NULL, 1, 0) < 0 && errno != DENIED; /* suspended: nothing is refused yet */
	CHECK_EQ(write(say, &byte, 1), 1);
	CHECK_EQ(read(go, &byte, 1), 1);
	byte = syscall(SYS_getppid) == -1 && errno == DENIED && syscall(SYS_futex, NULL, 1, 0) < 0 && errno == DENIED;
	CHECK_EQ(write(say, &byte, 1), 1);
	_exit(0);
}

static void wait_for_word(const u32 *word, u32 value)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) < value)
		poll(NULL, 0, 1);
}

TEST(filters_are_installed_behind_the_gate, .root = true)
{
	_cleanup_graph_ struct graph g = { 0 };
	int go[2], say[2], status;
	char *arena = mmap(NULL, ARENA_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), byte = 0;
	CHECK(arena != MAP_FAILED);
	CHECK_OK(pipe(go));
	CHECK_OK(pipe(say));
	/* The plan is made for the pid that the second fork of a fresh pid namespace gives: told by the first. */
	pid_t probe = fork();
	if (!probe)
		_exit(0);
	CHECK_OK(waitpid(probe, &status, 0));
	u32 pid = (u32)probe + 1;
	Ckpt__Seccomp *m = OBJECT(&g, &resource_seccomp, pid);
	CHECK(message_set_string(&m->mode, "filter"));
	add_filter(m, SYS_getppid);
	add_filter(m, SYS_futex);
	CHECK_EQ(resource_seccomp.judge(&g, graph_find(&g, resource_seccomp.kind, pid), DIRECTION_RESTORE), 0);
	struct plan *plan = make_plan(&resource_seccomp, &g, pid);
	CHECK(plan_size(plan) <= ARENA_ROOM);
	CHECK_EQ(plan_gated(plan, 0), pid);
	CHECK_EQ(plan_gated(plan, 1), 0);
	plan_emit(plan, arena, (u64)arena);
	pid_t child = fork();
	if (!child)
		run_child(plan, arena, go[0], say[1]);
	CHECK_EQ(child, (pid_t)pid);
	CHECK_EQ(write(go[1], "", 1), 1);
	wait_for_word((u32 *)(arena + plan_gate_come(plan)), 1);
	CHECK_OK(ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP));
	u32 *open = (u32 *)(arena + plan_gate_open(plan));
	__atomic_store_n(open, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, open, 1, 1);
	CHECK_EQ(read(say[0], &byte, 1), 1);
	CHECK_EQ(byte, 1);
	CHECK_OK(ptrace(PTRACE_INTERRUPT, child, NULL, NULL));
	CHECK_OK(waitpid(child, &status, 0));
	CHECK_OK(ptrace(PTRACE_DETACH, child, NULL, NULL));
	CHECK_EQ(write(go[1], "", 1), 1);
	CHECK_EQ(read(say[0], &byte, 1), 1);
	CHECK_EQ(byte, 1);
	CHECK_OK(waitpid(child, &status, 0));
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	plan_free(plan);
}

TEST(a_filter_that_asks_a_supervisor_is_refused)
{
	_cleanup_graph_ struct graph g = { 0 };
	Ckpt__Seccomp *m = OBJECT(&g, &resource_seccomp, 1);
	CHECK(message_set_string(&m->mode, "filter"));
	add_filter(m, SYS_getppid);
	CHECK_EQ(resource_seccomp.judge(&g, graph_find(&g, resource_seccomp.kind, 1), DIRECTION_DUMP), 0);
	((struct sock_filter *)m->filter[0]->program.data)[2].k = SECCOMP_RET_USER_NOTIF;
	CHECK(resource_seccomp.judge(&g, graph_find(&g, resource_seccomp.kind, 1), DIRECTION_DUMP) < 0);
}
