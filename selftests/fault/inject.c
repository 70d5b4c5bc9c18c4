// SPDX-License-Identifier: LGPL-2.1-or-later
/* An error at every system call of a dump and of a restore, and at every step of a plan: the tree runs on untouched and no image
 * is left, or nothing is left of the tree, and a diagnostic says why; or it went well all the same, and image or program are
 * right. The tests take every so many; the soak_ tests (make soak) take all of them, with another error in each round. */
#include "diag/diag.h"
#include "harness/killer.h"
#include "harness/left.h"
#include "harness/spoil.h"
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const int errors[] = { ENOSPC, EIO, ENOMEM, EINTR, EPERM, EAGAIN };

static void shell(const char *format, const char *a, const char *b)
{
	char command[256];
	snprintf(command, sizeof command, format, a, b);
	CHECK_EQ(system(command), 0);
}

/* A failure names its row of the catalog, why and what to do; a success says nothing of the kind. */
static bool failed(const struct struck *s, const struct text *output, const char *what)
{
	char code[64] = "";
	if (!WIFEXITED(s->status) || WEXITSTATUS(s->status) > EXIT_RACED)
		FAIL("%s: wait status %#x: %s", what, s->status, output->data ?: "");
	if (WEXITSTATUS(s->status) == 0)
		return false;
	const char *open = output->data ? strstr(output->data, "error: cannot ") : NULL;
	if (!open)
		FAIL("%s: no diagnostic, but status %d: %s", what, WEXITSTATUS(s->status), output->data ?: "");
	const char *at = strchr(open, '[');
	const char *line = strchr(open, '\n');
	for (; at && at < line; at = strchr(at + 1, '['))
		if (sscanf(at, "[%63[A-Z_0-9]]", code) != 1)
			*code = 0;
	if (!diag_find(code) || !strstr(open, "\n  why:   ") || !strstr(open, "\n  do:    ") ||
	    (!strstr(open, "mmap of the log") && !strstr(open, "\n  result: ")))
		FAIL("%s: no diagnostic, but status %d: %s", what, WEXITSTATUS(s->status), output->data ?: "");
	return true;
}

/* --- a dump --- */

/* A program that works all the time has no two equal images: no reference. */
static void check_image(const struct target *t, const char *reference, const char *what)
{
	if (ckpt(NULL, "verify", t->image))
		FAIL("%s: the dump said nothing, but its image is damaged", what);
	if (*reference && ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", reference, t->image))
		FAIL("%s: the dump said nothing, but its image is another", what);
	shell("rm -rf %s", t->image, "");
}

struct sweep {
	struct target t;
	const char *argv[8];
	char *before; /* what there is when nothing was left */
	int calls, step;
	int call; /* of this number alone, 0: of all */
	int failed, passed;
	bool stops; /* makers stop themselves, and are to stand still */
	bool judged; /* what was restored judges itself, and its directory is put back; else it is killed, since its judgement ends
		      * what lives outside of it */
};

static struct struck strike_at(struct sweep *s, int n, int error, bool children, char what[200], struct text *output)
{
	printf("%s at call %d of %d: ", strerrorname_np(error) ?: "nothing", n, s->calls);
	fflush(stdout);
	const struct strike strike = { .at = n, .error = error, .children = children, .nr = s->call, .stops = s->stops };
	struct struck struck = strike_run(ckpt_path(), s->argv, &strike, output);
	snprintf(what, 200, "%s at call %d of %d (number %d, %s)", strerrorname_np(error) ?: "nothing", n, s->calls, struck.nr,
		 struck.on);
	printf("number %d, %s\n", struck.nr, struck.on);
	return struck;
}

/* false: there is no such call. */
static bool dump_at(struct sweep *s, const char *reference, int n, int error)
{
	char what[200];
	_cleanup_text_ struct text output = { 0 };
	struct struck struck = strike_at(s, n, error, true, what, &output);
	bool no = failed(&struck, &output, what);
	left_running(s->t.pid, false, what);
	if (!no)
		check_image(&s->t, reference, what);
	left_check(s->before, what);
	*(no ? &s->failed : &s->passed) += struck.injected;
	return struck.nr >= 0;
}

/* So many calls of a run; all of them. */
enum { SOME = 60, FEW = 12, ALL = 0 };

/* An error at so many calls; at those between them too until enough of both ends were seen: which calls a slice meets is chance,
 * and with sanitizers what is asked of memory does not fail. */
static void sweep_errors(struct sweep *s, int points, void (*at)(struct sweep *, int n, int error))
{
	bool enough = false;
	s->step = points ? s->calls / points + 1 : 1;
	for (int slice = 0; slice < s->step && !enough; slice++) {
		for (int n = strike_first(1) + slice; n <= s->calls; n += s->step)
			at(s, n, errors[(n / s->step + slice + strike_turn()) % (int)ARRAY_SIZE(errors)]);
		enough = s->failed > points / 12 && s->passed > points / 30;
	}
	printf("%d failed, %d went well\n", s->failed, s->passed);
	fflush(stdout);
	CHECK(enough);
}

static char reference[80];

static void dump_one(struct sweep *s, int n, int error) { dump_at(s, reference, n, error); }

static void begin_dump(struct sweep *s, const char *const *argv, bool rests)
{
	static char pid[16];
	*s = (struct sweep){ 0 };
	target_startv(&s->t, argv);
	if (rests)
		snprintf(reference, sizeof reference, "%s.reference", s->t.image);
	snprintf(pid, sizeof pid, "%d", s->t.pid);
	if (rests)
		CHECK_EQ(ckpt(NULL, "dump", pid, reference, "--leave-running"), 0);
	s->before = left_look();
	memcpy(s->argv, (const char *[]){ "ckpt", "dump", pid, s->t.image, "--leave-running", NULL }, 6 * sizeof *s->argv);
	for (int i = 0; i < STRIKE_WHOLE; i++) {
		char what[200];
		_cleanup_text_ struct text output = { 0 };
		struct struck whole = strike_at(s, 0, 0, true, what, &output);
		if (failed(&whole, &output, what))
			FAIL("the dump itself does not work under a tracer: %s", output.data);
		check_image(&s->t, reference, what);
		s->calls = strike_least(s->calls, &whole);
	}
}

static void end_dump(struct sweep *s)
{
	target_dump(&s->t, false);
	target_restore(&s->t, 0);
	target_judge(&s->t);
	free(s->before);
}

static void sweep_dump(const char *const *argv, int points, bool rests)
{
	struct sweep s;
	begin_dump(&s, argv, rests);
	sweep_errors(&s, points, dump_one);
	end_dump(&s);
}

/* One call, at each of its turns: what it does not tell is no state of the program, and what it was to put back is put back. */
static void sweep_call(const char *const *argv, int call, int error)
{
	struct sweep s;
	begin_dump(&s, argv, true);
	s.call = call;
	for (int n = 1; dump_at(&s, reference, n, error); n++)
		;
	CHECK(s.failed > 0);
	end_dump(&s);
}

/* --- a restore --- */

static void judge_survivor(struct sweep *s)
{
	struct target *t = &s->t;
	if (s->judged)
		target_judge(t);
	else
		CHECK_OK(kill(-t->pid, SIGKILL)); /* the group of its session */
	target_gone(t->pid);
	if (s->judged)
		shell("rm -rf %s && cp -a %s.kept %1$s", t->dir, t->dir);
}

static void judge_restore(struct sweep *s, const struct struck *struck, const struct text *output, const char *what)
{
	bool no = failed(struck, output, what);
	if (!no)
		judge_survivor(s);
	left_check(s->before, what);
	*(no ? &s->failed : &s->passed) += struck->injected;
}

static struct struck restore_struck(struct sweep *s, int n, int error)
{
	char what[200];
	_cleanup_text_ struct text output = { 0 };
	struct struck struck = strike_at(s, n, error, false, what, &output);
	judge_restore(s, &struck, &output, what);
	return struck;
}

static void restore_at(struct sweep *s, int n, int error) { (void)restore_struck(s, n, error); }

static void begin_restore(struct sweep *s, const char *const *argv, bool judged)
{
	char what[200];
	*s = (struct sweep){ .judged = judged, .stops = !strcmp(argv[0], "crowd") };
	target_startv(&s->t, argv);
	target_dump(&s->t, false);
	if (!strcmp(argv[0], "named")) /* none of what its sockets had left */
		shell("find %s -type s -delete", s->t.dir, "");
	if (judged)
		shell("cp -a %s %s.kept", s->t.dir, s->t.dir);
	s->before = left_look_alone();
	memcpy(s->argv, (const char *[]){ "ckpt", "restore", s->t.image, "-d", NULL }, 5 * sizeof *s->argv);
	for (int i = 0; i < STRIKE_WHOLE; i++) {
		_cleanup_text_ struct text output = { 0 };
		struct struck whole = strike_at(s, 0, 0, false, what, &output);
		if (failed(&whole, &output, what))
			FAIL("the restore itself does not work under a tracer: %s", output.data);
		judge_restore(s, &whole, &output, what);
		s->calls = strike_least(s->calls, &whole);
	}
}

static void end_restore(struct sweep *s)
{
	target_restore(&s->t, 0);
	target_judge(&s->t);
	free(s->before);
}

static void sweep_restore(const char *const *argv, int points, bool judged)
{
	struct sweep s;
	begin_restore(&s, argv, judged);
	sweep_errors(&s, points, restore_at);
	end_restore(&s);
}

/* --- a step of the plan, made impossible in the arena before the root is born --- */

/* The i-th step that is tried: of all (slice: 0), or of so many that are spread over the plan, which repeats itself, without a
 * period (multiples of the golden ratio). */
static u32 choose_step(u32 i, u32 slice, u32 steps) { return slice ? (u32)((u64)(i * 0x9e3779b9u) * steps >> 32) : i; }

static void sweep_steps(const char *const *argv, u32 slice)
{
	struct sweep s;
	struct spoil spoil = { .step = UINT32_MAX, .how = SPOIL_FAILS }; /* the first round counts them */
	struct strike strike = { .at_birth = spoil_step, .arg = &spoil };
	begin_restore(&s, argv, true);
	strike.stops = s.stops;
	s.failed = s.passed = 0;
	int named = 0;
	for (u32 i = 0; i == 0 || i <= (slice && named > 5 ? slice : spoil.steps); i++) {
		char what[200];
		_cleanup_text_ struct text output = { 0 };
		if (i)
			spoil.step = choose_step(i - 1, slice, spoil.steps);
		struct struck struck = strike_run(ckpt_path(), s.argv, &strike, &output);
		struck.injected = true;
		snprintf(what, sizeof what, "step %d of %u", (int)spoil.step, spoil.steps);
		printf("%s\n", what);
		judge_restore(&s, &struck, &output, what);
		named += output.data && strstr(output.data, "[PLAN_STEP]");
	}
	printf("%d failed, %d of them by name, %d went well\n", s.failed, named, s.passed);
	fflush(stdout);
	CHECK(named > 5); /* what a thread tells of itself may fail: then it is asked from outside */
	end_restore(&s);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define PYTHON ARGV("/usr/bin/python3", "python.py")

TEST(dump_sleeper, .root = true, .seconds = 120) { sweep_dump(ARGV("sleeper"), SOME, true); }
TEST(dump_python, .root = true, .seconds = 120) { sweep_dump(PYTHON, SOME, false); }
TEST(dump_tree, .root = true, .seconds = 120) { sweep_dump(ARGV("tree"), SOME, true); }
TEST(dump_shell, .root = true, .seconds = 120) { sweep_dump(ARGV("pty"), SOME, false); }
TEST(restore_shell, .root = true, .seconds = 120) { sweep_restore(ARGV("pty"), SOME, true); }
TEST(restore_sleeper, .root = true, .seconds = 120) { sweep_restore(ARGV("sleeper"), SOME, true); }
TEST(restore_python, .root = true, .seconds = 120) { sweep_restore(PYTHON, SOME, true); }
TEST(restore_tree, .root = true, .seconds = 120) { sweep_restore(ARGV("tree"), SOME, true); }
TEST(restore_names, .root = true, .net = true, .seconds = 120) { sweep_restore(ARGV("named"), SOME, true); }
TEST(restore_leaders, .root = true, .seconds = 120) { sweep_restore(ARGV("leaders", "child"), SOME, true); }
TEST(steps_sleeper, .root = true, .seconds = 120) { sweep_steps(ARGV("sleeper"), 30); }
TEST(steps_tree, .root = true, .seconds = 120) { sweep_steps(ARGV("tree"), 40); }
TEST(steps_userns, .root = true, .seconds = 120) { sweep_steps(ARGV("userns"), 30); }

TEST(soak_inject_dump_sleeper, .root = true, .manual = true, .seconds = 7200) { sweep_dump(ARGV("sleeper"), ALL, true); }
TEST(soak_inject_dump_python, .root = true, .manual = true, .seconds = 7200) { sweep_dump(PYTHON, ALL, false); }
TEST(soak_inject_dump_tree, .root = true, .manual = true, .seconds = 7200) { sweep_dump(ARGV("tree"), ALL, true); }
TEST(soak_inject_restore_sleeper, .root = true, .manual = true, .seconds = 7200) { sweep_restore(ARGV("sleeper"), ALL, true); }
TEST(soak_inject_restore_python, .root = true, .manual = true, .seconds = 7200) { sweep_restore(PYTHON, ALL, true); }
TEST(soak_inject_restore_tree, .root = true, .manual = true, .seconds = 7200) { sweep_restore(ARGV("tree"), ALL, true); }
TEST(soak_inject_dump_shell, .root = true, .manual = true, .seconds = 7200) { sweep_dump(ARGV("pty"), ALL, false); }
TEST(soak_inject_restore_shell, .root = true, .manual = true, .seconds = 7200) { sweep_restore(ARGV("pty"), ALL, true); }
TEST(soak_inject_restore_names, .root = true, .net = true, .manual = true, .seconds = 7200)
{
	sweep_restore(ARGV("named"), ALL, true);
}
TEST(soak_steps_sleeper, .root = true, .manual = true, .seconds = 7200) { sweep_steps(ARGV("sleeper"), 0); }
TEST(soak_steps_tree, .root = true, .manual = true, .seconds = 7200) { sweep_steps(ARGV("tree"), 0); }
TEST(soak_steps_userns, .root = true, .manual = true, .seconds = 7200) { sweep_steps(ARGV("userns"), 0); }

/* So few descriptors that makers make most of the pipes. */
#define FEW_DESCRIPTORS() CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1024, 1024 }))
TEST(soak_inject_restore_makers, .root = true, .manual = true, .seconds = 7200)
{
	FEW_DESCRIPTORS();
	sweep_restore(ARGV("crowd", "pipes", "5", "8", "1024", "800"), ALL, true);
}
TEST(soak_steps_makers, .root = true, .manual = true, .seconds = 7200)
{
	FEW_DESCRIPTORS();
	sweep_steps(ARGV("crowd", "pipes", "5", "8", "1024", "800"), 0);
}

/* --- one program for each kind: a few calls of its dump and its restore, and in the soak all of them --- */

/* QUIET: it changes nothing while it waits, so that all its images are equal. */
enum { PLAIN = 0, QUIET = 1, NET = 2 };

#define SOAK_DUMP(name, flags, ...)                                                                                            \
	TEST(soak_inject_dump_##name, .root = true, .net = ((flags)&NET) != 0, .manual = true, .seconds = 7200)                \
	{                                                                                                                      \
		sweep_dump(ARGV(__VA_ARGS__), ALL, (flags)&QUIET);                                                             \
	}
#define SOAK_RESTORE(name, flags, ...)                                                                                         \
	TEST(soak_inject_restore_##name, .root = true, .net = ((flags)&NET) != 0, .manual = true, .seconds = 7200)             \
	{                                                                                                                      \
		sweep_restore(ARGV(__VA_ARGS__), ALL, false);                                                                  \
	}
#define SOAK(name, flags, ...)                                                                                                 \
	SOAK_DUMP(name, flags, __VA_ARGS__)                                                                                    \
	SOAK_RESTORE(name, flags, __VA_ARGS__)
#define KIND_RESTORE(name, flags, ...)                                                                                         \
	TEST(restore_##name, .root = true, .net = ((flags)&NET) != 0) { sweep_restore(ARGV(__VA_ARGS__), FEW, false); }        \
	SOAK_RESTORE(name, flags, __VA_ARGS__)
#define KIND(name, flags, ...)                                                                                                 \
	TEST(dump_##name, .root = true, .net = ((flags)&NET) != 0) { sweep_dump(ARGV(__VA_ARGS__), FEW, false); }              \
	SOAK_DUMP(name, flags, __VA_ARGS__)                                                                                    \
	KIND_RESTORE(name, flags, __VA_ARGS__)

KIND(aio, QUIET, "aio")
KIND(bpf_maps, QUIET, "bpfmaps")
KIND(descriptor_tables, QUIET, "tables")
KIND(epoll, PLAIN, "epoll")
KIND(fanotify, QUIET, "fanotify")
KIND(huge_pages, QUIET, "hugepages")
KIND_RESTORE(inotify, PLAIN, "watches") /* who looks for what is left makes events */
KIND(message_queues, QUIET, "mqueues")
KIND(packets, QUIET | NET, "packets")
KIND(tcp, NET, "/usr/bin/python3", "loop.py", "tcp")
KIND(timerfds, QUIET, "timerfds")
KIND(tun, QUIET | NET, "tuns")
KIND(sysv_messages, QUIET, "sysvipc")
KIND(sysv_segments, QUIET, "sysvshm")
KIND(sysv_semaphores, QUIET, "sysvsem")
KIND(sysv_undo, QUIET, "sysvsem", "undo")

SOAK(advice, QUIET, "advice")
SOAK(asynchronous_files, QUIET, "asyncs")
SOAK_DUMP(connections, QUIET | NET, "tcp") /* addresses of killed connections are in use for a minute */
SOAK(connections_begun, QUIET | NET, "connecting")
SOAK(connections_ended, QUIET | NET, "ended")
SOAK(connections_multipath, QUIET | NET, "multipath")
SOAK(controls, PLAIN, "controls")
SOAK(descriptors_of_processes, QUIET, "pidfds")
SOAK(descriptors_of_signals, QUIET, "signalfds")
SOAK(dispatch, QUIET, "dispatch")
SOAK(files_of_processes, QUIET, "procfiles")
SOAK(filters, PLAIN, "attributes", "seccomp")
SOAK(inet, QUIET | NET, "inet")
SOAK(io_uring, QUIET, "urings", "registered")
SOAK(kin, PLAIN, "kin")
SOAK(ldt, PLAIN, "ldt") /* a hijack that failed leaves its code behind the vDSO to the next one */
SOAK(leases, QUIET, "leases")
SOAK(listeners, NET, "listens", "127.0.0.1", "shares")
SOAK(locks, QUIET, "locks")
SOAK(memory_files, PLAIN, "memfds")
SOAK(memory_policies, PLAIN, "numa")
SOAK(message_queues_told, QUIET, "mqueues", "told")
SOAK(nameless_files, PLAIN, "ghosts")
SOAK(namespaces, QUIET, "namespaces")
SOAK(netlink, QUIET | NET, "netlink")
SOAK_DUMP(options, QUIET | NET, "options")
SOAK(packet_rings, QUIET | NET, "rings")
SOAK(protection_keys, QUIET, "pkeys")
SOAK(rights, PLAIN, "rights", "own")
SOAK(seals, PLAIN, "seals")
SOAK(signals, QUIET, "signals")
SOAK(sockets_in_flight, QUIET, "sockets")
SOAK(sysv_parts, QUIET, "sysvparts")
SOAK(tags, QUIET, "tags")
SOAK(terminals_hung_up, QUIET, "hangups")
SOAK(terminals_with_data, QUIET, "typeahead")
SOAK(threads, PLAIN, "threads")
SOAK(timers, PLAIN, "timers")
SOAK(unix_datagrams, QUIET | NET, "unix", "datagrams")
SOAK(unix_listeners, QUIET | NET, "unix", "listeners")
SOAK(unix_queues, QUIET, "queues", "large")
SOAK(userfaultfd, QUIET, "userfaults")

TEST(asks_sockets, .root = true, .seconds = 120) { sweep_call(ARGV("sockets"), SYS_getsockopt, ENOMEM); }
TEST(asks_queues, .root = true, .seconds = 120) { sweep_call(ARGV("sockets"), SYS_ioctl, EIO); }
TEST(peeks_at_sockets, .root = true, .seconds = 120) { sweep_call(ARGV("sockets"), SYS_setsockopt, EAGAIN); }
TEST(repairs_connections, .root = true, .net = true, .seconds = 120) { sweep_call(ARGV("tcp"), SYS_setsockopt, EINTR); }
TEST(asks_netlink, .root = true, .net = true, .seconds = 120) { sweep_call(ARGV("inet"), SYS_sendto, EIO); }
TEST(asks_message_queues, .root = true, .seconds = 120) { sweep_call(ARGV("mqueues", "told"), SYS_pread64, EIO); }

/* The proof asks sockets too. */
TEST(proves_sockets, .root = true, .seconds = 120)
{
	struct sweep s;
	begin_restore(&s, ARGV("sockets"), false);
	s.call = SYS_setsockopt;
	for (int n = 1; restore_struck(&s, n, EAGAIN).nr >= 0; n++)
		;
	CHECK(s.failed > 0);
	end_restore(&s);
}

/* What ckpt itself has attached still, because its world did not get to its end, goes away too. */
TEST(segments_stay_attached, .root = true)
{
	struct sweep s;
	int failed_before = -1;
	begin_restore(&s, ARGV("sysvshm"), false);
	for (int n = 1; s.failed > failed_before; n++) {
		_cleanup_text_ struct text output = { 0 };
		const struct strike strike = { .at = n, .error = EINVAL, .nr = SYS_shmdt };
		failed_before = s.failed;
		struct struck struck = strike_run(ckpt_path(), s.argv, &strike, &output);
		judge_restore(&s, &struck, &output, "a segment stays attached");
	}
	CHECK(s.failed > 0);
	end_restore(&s);
}
