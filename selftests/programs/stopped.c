/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stopped DIR: children that are stopped by every signal that can do it, of some of which the parent has been told by wait, of
 * some by SIGCHLD only, and one with threads. Each is told once, with the same signal, and goes on when it is continued;
 * some were to be stopped again. */
#include "judge.h"

static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };
enum { EACH = 4, CHILDREN = 3 * EACH }; /* told by wait; told by SIGCHLD only; with threads and not told */
static pid_t child[CHILDREN];
static volatile int count;

static void on_child(int signal)
{
	(void)signal;
	count++;
}

static void *idle(void *arg)
{
	while (arg)
		pause();
	return NULL;
}

static void live(int me)
{
	pthread_t thread;
	signal(SIGCHLD, SIG_DFL);
	for (int i = 0; me >= 2 * EACH && i < 3; i++)
		if (pthread_create(&thread, NULL, idle, child))
			_exit(99);
	setpgid(0, 0);
	raise(signals[me % EACH]);
	_exit(me + 20);
}

static const char *text_of(pid_t pid, const char *file)
{
	static char path[64], text[4096];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static char state_of(pid_t pid)
{
	const char *name = strrchr(text_of(pid, "stat"), ')');
	return name ? name[2] : '?';
}

/* A second stop, which waits while it is stopped. */
static bool is_to_stop(pid_t pid)
{
	const char *pending = strstr(text_of(pid, "status"), "ShdPnd:\t");
	return pending && strtoull(pending + strlen("ShdPnd:\t"), NULL, 16) >> (SIGSTOP - 1) & 1;
}

int main(int argc, char **argv)
{
	int status;
	judge_start(argc, argv);
	struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	sigaction(SIGCHLD, &action, NULL);
	for (int i = 0; i < CHILDREN; i++) {
		child[i] = fork();
		if (child[i] == 0)
			live(i);
		setpgid(child[i], child[i]);
		while (state_of(child[i]) != 'T' || count <= i) /* the last of its threads tells */
			judge_nap(1);
	}
	for (int i = 0; i < EACH; i++) {
		MUST_EQ(waitpid(child[i], &status, WUNTRACED), child[i]);
		MUST_EQ(WSTOPSIG(status), signals[i]);
		MUST_EQ(kill(child[i], SIGSTOP), 0);
		MUST(is_to_stop(child[i]));
	}
	/* one more, of which not even the signal has been seen */
	sigset_t some;
	siginfo_t info;
	struct timespec zero = { 0 };
	sigemptyset(&some);
	sigaddset(&some, SIGCHLD);
	sigprocmask(SIG_BLOCK, &some, NULL);
	pid_t last = fork();
	if (last == 0)
		live(1);
	sigset_t told = { 0 };
	while (state_of(last) != 'T' || sigpending(&told) || !sigismember(&told, SIGCHLD)) /* told a moment later */
		judge_nap(1);
	int before = count;
	judge_wait();
	MUST_EQ(count, before);
	MUST_EQ(sigtimedwait(&some, &info, &zero), SIGCHLD);
	MUST_EQ(info.si_code, CLD_STOPPED);
	MUST_EQ(info.si_pid, last);
	MUST_EQ(info.si_status, SIGTSTP);
	MUST_EQ(sigtimedwait(&some, &info, &zero), -1);
	kill(last, SIGKILL);
	MUST_EQ(waitpid(last, &status, 0), last);
	for (int i = 0; i < CHILDREN; i++)
		MUST_EQ(state_of(child[i]), 'T');
	for (int i = 0; i < EACH; i++) {
		MUST_EQ(waitpid(child[i], &status, WUNTRACED | WNOHANG), 0);
		MUST(is_to_stop(child[i]));
	}
	for (int i = EACH; i < CHILDREN; i++) {
		MUST_EQ(waitpid(child[i], &status, WUNTRACED | WNOHANG), child[i]);
		MUST(WIFSTOPPED(status));
		MUST_EQ(WSTOPSIG(status), signals[i % EACH]);
		MUST_EQ(waitpid(child[i], &status, WUNTRACED | WNOHANG), 0);
	}
	for (int i = 0; i < CHILDREN; i++) {
		MUST_EQ(kill(child[i], SIGCONT), 0);
		MUST_EQ(waitpid(child[i], &status, 0), child[i]);
		MUST_EQ(status, (i + 20) << 8);
	}
	return judge_pass();
}
