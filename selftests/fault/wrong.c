// SPDX-License-Identifier: LGPL-2.1-or-later
/* Restores that go wrong without any call that fails: a step that is not done is found by looking at the tree again, a process
 * that dies while it is made is named, and so is a pid namespace that ends. Nothing is left of any of them. */
#include "diag/diag.h"
#include "harness/killer.h"
#include "harness/left.h"
#include "harness/spoil.h"
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct wrong {
	struct target t;
	char *before;
	const char *argv[8];
};

static void begin(struct wrong *w, const char *const *argv, const char *option)
{
	target_startv(&w->t, argv);
	target_dump(&w->t, false);
	w->before = left_look_alone();
	memcpy(w->argv, (const char *[]){ "ckpt", "restore", w->t.image, "-d", option, NULL }, 6 * sizeof *w->argv);
}

static void end(struct wrong *w)
{
	left_check(w->before, "all");
	target_restore(&w->t, 0);
	target_judge(&w->t);
	free(w->before);
}

/* Calls that set something for which nothing else waits. */
static bool sets_something(const struct step *step)
{
	static const int calls[] = { SYS_rt_sigaction,  SYS_sigaltstack,      SYS_setitimer,       SYS_timer_create,
				     SYS_timer_settime, SYS_prlimit64,        SYS_setpriority,     SYS_sched_setattr,
				     SYS_umask,         SYS_fchdir,           SYS_chdir,           SYS_prctl,
				     SYS_personality,   SYS_ioprio_set,       SYS_set_robust_list, SYS_madvise,
				     SYS_mlock2,        SYS_sched_setaffinity };
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (step->op == OP_CALL && step->nr == calls[i])
			return true;
	return false;
}

static void expect_code(const struct text *output, const char *code)
{
	CHECK_CONTAINS(output->data ?: "", code);
	CHECK_CONTAINS(output->data, "  why:");
	CHECK_CONTAINS(output->data, "  result: not restored");
}

/* The program that lacks something is ended: it would find out, or not. */
static void end_survivor(struct wrong *w)
{
	kill(w->t.pid, SIGKILL);
	target_gone(w->t.pid);
}

static void skip_steps(const char *const *argv, int least)
{
	struct wrong w;
	int found = 0, unseen = 0;
	begin(&w, argv, NULL);
	struct spoil spoil = { .how = SPOIL_SKIPPED, .wanted = sets_something };
	do {
		_cleanup_text_ struct text output = { 0 };
		struct struck s =
			strike_run(ckpt_path(), w.argv, &(struct strike){ .at_birth = spoil_step, .arg = &spoil }, &output);
		bool restored = WIFEXITED(s.status) && WEXITSTATUS(s.status) == 0;
		if (restored)
			end_survivor(&w);
		else
			CHECK_CONTAINS(output.data ?: "", "  result: not restored");
		if (spoil.done) {
			bool differs = output.data && strstr(output.data, "[VERIFY_DIFFERS]");
			found += differs;
			unseen += restored;
			printf("step %u, call %u(%#llx, %#llx): %s\n", spoil.step, spoil.nr, (unsigned long long)spoil.arg[0],
			       (unsigned long long)spoil.arg[1],
			       restored  ? "unseen"
			       : differs ? "differs"
					 : "fails");
		}
		left_check(w.before, "a step was skipped");
	} while (++spoil.step < spoil.steps);
	printf("%d were found, %d were not\n", found, unseen);
	fflush(stdout);
	CHECK(found >= least);
	end(&w);
}

static void die_at_steps(const char *const *argv, int slice)
{
	struct wrong w;
	int named = 0;
	begin(&w, argv, NULL);
	struct spoil spoil = { .how = SPOIL_DIES, .step = 5 };
	do {
		_cleanup_text_ struct text output = { 0 };
		struct strike strike = { .at_birth = spoil_step, .arg = &spoil };
		struct struck s = strike_run(ckpt_path(), w.argv, &strike, &output);
		if (!WIFEXITED(s.status) || !WEXITSTATUS(s.status))
			FAIL("status %#x although the process ends at step %u of %u, call %u(%#llx, %#llx)", (unsigned)s.status,
			     spoil.step, spoil.steps, spoil.nr, (unsigned long long)spoil.arg[0],
			     (unsigned long long)spoil.arg[1]);
		named += output.data && strstr(output.data, "[TASK_DIED]");
		printf("%s", output.data ?: "");
		CHECK_CONTAINS(output.data ?: "", "  result: not restored");
		left_check(w.before, "a process died");
		spoil.step += spoil.steps / (u32)slice + 1;
	} while (spoil.step + 1 <
		 spoil.steps);    /* the last is the call that it was in, which is made for who comes too late to it */
	CHECK(named > slice / 4); /* the death of a parent may be met as that of a child first */
	end(&w);
}

/* Process 1 of the namespace is the child of ckpt that waits for news. */
static void kill_process_1(pid_t tid, const struct ptrace_syscall_info *info, void *arg)
{
	char path[64];
	int *killed = arg, child;
	if (info->op != PTRACE_SYSCALL_INFO_ENTRY || info->entry.nr != SYS_recvmsg || *killed)
		return;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", tid, tid);
	_cleanup_free_ char *children = read_text(path);
	if (!children || sscanf(children, "%d", &child) != 1 || child <= 1)
		return;
	CHECK_OK(kill(child, SIGKILL));
	*killed = child;
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(skipped_signals, .root = true, .seconds = 120) { skip_steps(ARGV("signals"), 3); }
TEST(skipped_settings, .root = true, .seconds = 120) { skip_steps(ARGV("rights", "settings"), 3); }
TEST(death_of_one, .root = true, .seconds = 60) { die_at_steps(ARGV("sleeper"), 12); }
TEST(death_in_a_tree, .root = true, .seconds = 60) { die_at_steps(ARGV("tree"), 12); }

TEST(end_of_the_namespace, .root = true)
{
	struct wrong w;
	int killed = 0;
	_cleanup_text_ struct text output = { 0 };
	begin(&w, ARGV("sleeper"), "--pidns");
	struct struck s = strike_run(ckpt_path(), w.argv, &(struct strike){ .seen = kill_process_1, .arg = &killed }, &output);
	CHECK(killed);
	CHECK(WIFEXITED(s.status) && WEXITSTATUS(s.status) == EXIT_SYSTEM);
	expect_code(&output, "[PIDNS_ENDED]");
	end(&w);
}
