// SPDX-License-Identifier: LGPL-2.1-or-later
/* Programs whose standard input and output lead outside of the tree, as a script starts them: other files take their place. */
#include "harness/target.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The other sides, which the test has. */
struct sides {
	int input, output, error;
	char links[3][32]; /* what the program has, by the names of /proc */
};

static void say(const struct sides *s, const char *text)
{
	CHECK_EQ(write(s->input, text, strlen(text)), (long long)strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[128] = "";
	for (size_t n = 0; n < strlen(text);) {
		struct pollfd p = { fd, POLLIN, 0 };
		if (poll(&p, 1, (int)WAIT_MS * test_patience()) != 1)
			FAIL("\"%s\" came and not \"%s\"", got, text);
		ssize_t more = CHECK_OK(read(fd, got + n, strlen(text) - n));
		CHECK(more > 0);
		n += (size_t)more;
	}
	CHECK_STR(got, text);
}

static void answers(const struct sides *s, int number)
{
	char text[32];
	snprintf(text, sizeof text, "%d\n", number);
	say(s, text);
	snprintf(text, sizeof text, "answer %d\n", number);
	expect(s->output, text);
	snprintf(text, sizeof text, "noticed %d\n", number);
	expect(s->error, text);
}

static int cloexec(int fd) { return (int)CHECK_OK(fcntl(fd, F_DUPFD_CLOEXEC, 100)); }

/* Pipes, or what a supervisor uses: socket pairs. own: the program's sides. */
static void make_sides(struct sides *s, bool sockets, int own[3])
{
	int ends[2], *mine[] = { &s->input, &s->output, &s->error };
	for (int i = 0; i < 3; i++) {
		CHECK_OK(sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends));
		*mine[i] = cloexec(ends[i == 0]);
		own[i] = cloexec(ends[i != 0]);
		close(ends[0]), close(ends[1]);
	}
}

static void start(struct target *t, struct sides *s, bool sockets)
{
	char program[512], ready[96];
	int own[3];
	make_sides(s, sockets, own);
	*t = (struct target){ .dir = WORK "/echoes", .image = WORK "/echoes.image" };
	CHECK_OK(mkdir(t->dir, 0700));
	snprintf(program, sizeof program, "%s/selftests/programs/echoes", test_build_dir());
	t->pid = fork();
	if (t->pid == 0) {
		setsid();
		for (int i = 0; i < 3; i++)
			dup2(own[i], i);
		close_range(3, ~0u, 0);
		execl(program, program, t->dir, NULL);
		_exit(127);
	}
	for (int i = 0; i < 3; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/fd/%d", own[i]);
		ssize_t n = CHECK_OK(readlink(path, s->links[i], sizeof s->links[i] - 1));
		s->links[i][n] = 0;
		close(own[i]);
	}
	snprintf(ready, sizeof ready, "%s/ready", t->dir);
	WAIT_UNTIL(access(ready, F_OK) == 0);
}

static int dump(struct target *t, struct text *output, bool external)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	int r = ckpt(output, "dump", pid, t->image, external ? "--external" : NULL);
	if (r == 0)
		target_gone(t->pid);
	return r;
}

/* Its input ends, and so does it. */
static void end(struct target *t, struct sides *s, const char *last)
{
	close(s->input);
	expect(s->output, last);
	target_judge(t);
}

/* ckpt restore in the foreground with these as standard input, output and error; its process. */
static pid_t restore_with(const struct target *t, const int own[3], const char *const *options)
{
	const char *argv[16] = { "ckpt", "restore", t->image };
	for (int i = 0; options[i]; i++)
		argv[3 + i] = options[i];
	pid_t pid = fork();
	if (pid)
		return pid;
	for (int i = 0; i < 3; i++)
		dup2(own[i], i);
	execv(ckpt_path(), (char **)argv);
	_exit(127);
}
#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int status_of(pid_t pid)
{
	int status = 0;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void goes_on(bool sockets, const char *pidns)
{
	struct target t;
	struct sides s;
	int own[3];
	_cleanup_text_ struct text output = { 0 };
	start(&t, &s, sockets);
	answers(&s, 1);
	CHECK_EQ(dump(&t, NULL, false), EXIT_UNSUPPORTED);
	answers(&s, 2);
	CHECK_EQ(dump(&t, &output, true), 0);
	CHECK_CONTAINS(output.data, "[FILE_GIVEN]");
	for (int i = 0; i < 3; i++)
		CHECK_CONTAINS(output.data, s.links[i]);
	_cleanup_text_ struct text missing = { 0 };
	CHECK_EQ(ckpt(&missing, "restore", t.image, "-d"), EXIT_USAGE);
	CHECK_CONTAINS(missing.data, "[FILE_NOT_GIVEN]");
	CHECK_CONTAINS(missing.data, "descriptor 2 of the root");
	make_sides(&s, false, own);
	pid_t ckpt_pid = restore_with(&t, own, OPTIONS("--stdio", pidns));
	for (int i = 0; i < 3; i++)
		close(own[i]);
	for (int i = 3; i < 30; i++)
		answers(&s, i);
	close(s.input);
	expect(s.output, "29 in all\n");
	CHECK_EQ(status_of(ckpt_pid), 0); /* a clone has another id here: its end is known by that of ckpt */
	target_judge(&t);
}

TEST(pipes, .root = true, .seconds = 60) { goes_on(false, NULL); }
TEST(sockets, .root = true, .seconds = 60) { goes_on(true, NULL); }
TEST(clone, .root = true, .seconds = 60) { goes_on(false, "--pidns"); }

static int check(struct text *output, const struct target *t, const char *option)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	return ckpt(output, "check", "--pid", pid, option);
}

/* What a dump would say with its options and without them. */
TEST(foretold, .root = true)
{
	struct target t;
	struct sides s;
	_cleanup_text_ struct text plain = { 0 }, others = { 0 };
	start(&t, &s, false);
	answers(&s, 1);
	CHECK_EQ(check(&plain, &t, NULL), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(plain.data, "[PIPE_EXTERNAL]");
	CHECK_EQ(check(&others, &t, "--external=unix"), EXIT_UNSUPPORTED);
	CHECK_CONTAINS(others.data, "[PIPE_EXTERNAL]");
	CHECK_EQ(check(NULL, &t, "--external=pipe"), 0);
	CHECK_EQ(check(NULL, &t, "--external"), 0);
	answers(&s, 2);
	CHECK_EQ(dump(&t, NULL, true), 0);
}

/* Another kind of file each: a fifo, a file that has something in it already, and what is that file too. */
TEST(other_kinds, .root = true, .seconds = 60)
{
	struct target t;
	struct sides s;
	char log[96], first[80], second[80], third[80];
	start(&t, &s, false);
	answers(&s, 1);
	CHECK_EQ(dump(&t, NULL, true), 0);
	snprintf(log, sizeof log, "%s/log", t.dir);
	write_text(log, "before\n");
	int own[3] = { -1, -1, -1 }, input[2];
	CHECK_OK(pipe2(input, O_CLOEXEC));
	CHECK_OK(dup2(input[0], 10));
	CHECK_EQ(dup2((int)CHECK_OK(open(log, O_WRONLY | O_APPEND | O_CLOEXEC)), 11), 11);
	snprintf(first, sizeof first, "%s=fd:10", s.links[0]);
	snprintf(second, sizeof second, "%s=fd:11", s.links[1]);
	snprintf(third, sizeof third, "%s=fd:11", s.links[2]);
	_cleanup_text_ struct text wrong = { 0 };
	own[0] = (int)CHECK_OK(open("/dev/null", O_RDWR | O_CLOEXEC));
	CHECK_EQ(ckpt(&wrong, "restore", t.image, "-d", "--inherit", third, "--inherit", second, "--inherit", "pipe:[1]=fd:10"),
		 EXIT_USAGE);
	CHECK_CONTAINS(wrong.data, "[FILE_HANDED]");
	pid_t pid = restore_with(&t, (const int[]){ own[0], own[0], own[0] },
				 OPTIONS("-d", "--inherit", first, "--inherit", second, "--inherit", third));
	CHECK_EQ(status_of(pid), 0);
	CHECK_EQ(write(input[1], "2\n3\n", 4), 4);
	close(input[1]);
	target_judge(&t);
	_cleanup_free_ char *text = read_text(log);
	CHECK_STR(text, "before\nanswer 2\nnoticed 2\nanswer 3\nnoticed 3\n3 in all\n");
}

/* What waits in the pipe belongs to who has sent it; and a writing side is nothing to read from. */
TEST(left_in_pipe, .root = true, .seconds = 60)
{
	struct target t;
	struct sides s;
	int own[3];
	char wrong_way[80];
	_cleanup_text_ struct text output = { 0 }, wrong = { 0 };
	start(&t, &s, false);
	answers(&s, 1);
	CHECK_OK(kill(t.pid, SIGSTOP));
	CHECK_EQ(waitpid(t.pid, NULL, WUNTRACED), t.pid);
	say(&s, "2\n");
	CHECK_EQ(dump(&t, &output, true), 0);
	CHECK_CONTAINS(output.data, "with 2 bytes that are not kept");
	make_sides(&s, false, own);
	CHECK_EQ(dup2(own[1], 10), 10);
	snprintf(wrong_way, sizeof wrong_way, "%s=fd:10", s.links[0]);
	CHECK_EQ(ckpt(&wrong, "restore", t.image, "-d", "--stdio", "--inherit", wrong_way), EXIT_USAGE);
	CHECK_CONTAINS(wrong.data, "is not open for reading");
	close(10);
	CHECK_EQ(status_of(restore_with(&t, own, OPTIONS("-d", "--stdio"))), 0);
	for (int i = 0; i < 3; i++)
		close(own[i]);
	CHECK_OK(kill(t.pid, SIGCONT));
	answers(&s, 2);
	end(&t, &s, "2 in all\n");
}
