// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns clients that run in the background of a test. */
#include "harness/load.h"
#include "diag/diag.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void name_output(struct load *l)
{
	*l = (struct load){ 0 };
	for (int number = 1; !number || access(l->output, F_OK) == 0 || !*l->output; number++)
		snprintf(l->output, sizeof l->output, WORK "/load%d", number);
}

void load_fork(struct load *l, void (*client)(void *arg), void *arg)
{
	name_output(l);
	fflush(stdout);
	l->pid = (pid_t)CHECK_OK(fork());
	if (l->pid)
		return;
	for (;;)
		client(arg);
}

static void be_program(void *arg)
{
	const char *const *argv = ((const void *const *)arg)[0];
	int out = open(((const void *const *)arg)[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	execv(argv[0], (char **)argv);
	_exit(127);
}

void load_startv(struct load *l, const char *const *argv)
{
	const void *arg[] = { argv, l->output };
	need_program(argv[0]);
	load_fork(l, be_program, arg);
}

long long load_file_size(const void *path)
{
	struct stat st;
	return stat(path, &st) < 0 ? 0 : st.st_size;
}

long long load_number(const void *number) { return *(const volatile long long *)number; }

static void must_run(const struct load *l)
{
	int status;
	if (waitpid(l->pid, &status, WNOHANG) == 0)
		return;
	_cleanup_free_ char *said = read_text(l->output);
	FAIL("the clients have given up (status %#x): %s", (unsigned)status, said ?: "");
}

void load_goes_on(const struct load *l, long long much)
{
	long long begin = clock_ms(), before = l->progress(l->of), now = before;
	for (; now < before + much; now = l->progress(l->of)) {
		must_run(l);
		if (clock_ms() - begin > WAIT_MS * test_patience())
			FAIL("the clients are not served: %lld after %lld", now, before);
		nap_ms(2);
	}
	must_run(l);
}

void check_no_blocker(pid_t pid)
{
	char text[16];
	snprintf(text, sizeof text, "%d", pid);
	int status = ckpt(NULL, "check", "--pid", text);
	CHECK(status == 0 || status == EXIT_RACED);
}

void load_across(const struct load *l, struct target *t, long long much, void (*away)(struct target *))
{
	char first[sizeof t->image];
	snprintf(first, sizeof first, "%s", t->image);
	for (int i = 1; i <= 2; i++) {
		snprintf(t->image, sizeof t->image, "%.50s.%d", first, i);
		load_goes_on(l, much);
		check_no_blocker(t->pid);
		if (away) {
			away(t);
		} else {
			target_dump(t, false);
			target_restore(t, 0);
		}
		must_run(l);
	}
	load_goes_on(l, much);
}

char *load_stop(const struct load *l, int signal)
{
	must_run(l);
	CHECK_OK(kill(l->pid, signal));
	CHECK_EQ(waitpid(l->pid, NULL, 0), l->pid);
	return read_text(l->output);
}
