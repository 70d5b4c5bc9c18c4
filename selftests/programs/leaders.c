// SPDX-License-Identifier: LGPL-2.1-or-later
/* leaders DIR [child|user|filtered|one]: the main thread ends with a status of its own while others live on: they have all of their
 * process as before, and see their main thread dead. child: such a process is the child of one that waits for it; user: it has given up
 * its rights; filtered: all threads have one seccomp filter; one: a single thread is left. */
#include "../deny.h"
#include "judge.h"

#define WORKERS 3
#define STATUS 7
#define NAME "was the main one"
static pthread_barrier_t named, asked;
static pthread_mutex_t baton = PTHREAD_MUTEX_INITIALIZER;
static const char *mode = "";
static unsigned turns, workers = WORKERS;
static int ends[2], file, started[2];
static pid_t parent, kid;
static timer_t timer;
static char line[200];

static bool is_mode(const char *name) { return !strcmp(mode, name); }

/* The line of the main thread's status that begins with these words; "" when there is none. */
static const char *status_line(const char *words)
{
	char path[64], text[4096];
	snprintf(path, sizeof path, "/proc/%d/task/%d/status", getpid(), getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	char *at = strstr(text, words);
	snprintf(line, sizeof line, "%.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
	return line;
}

static void *until_told(void *arg)
{
	(void)arg;
	while (!judge_asked())
		judge_nap(10);
	return NULL;
}

/* A child, which is the whole process's: any thread may wait for it. */
static pid_t start_kid(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, 0);
		until_told(NULL);
		_exit(9);
	}
	return pid;
}

static void hold(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGWINCH);
	MUST_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	MUST_EQ(chdir(judge_dir), 0);
	umask(027);
	MUST_EQ(pipe2(ends, O_CLOEXEC), 0);
	MUST_EQ(write(ends[1], "in flight", 9), 9);
	file = open(judge_path("held"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(file >= 0 && write(file, "0123456789", 10) == 10 && lseek(file, 4, SEEK_SET) == 4);
	signal(SIGHUP, SIG_IGN);
	MUST_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec far = { .it_value.tv_sec = 5000 };
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &far, NULL) == 0);
	kid = start_kid();
	judge_settled(kid);
	MUST_EQ(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 4711 }), 0);
	MUST_EQ(kill(getpid(), SIGWINCH), 0); /* only who it is for may queue what kill(2) sends */
}

static void judge_rights(void)
{
	uid_t ids[3];
	MUST_EQ(getresuid(&ids[0], &ids[1], &ids[2]), 0);
	if (is_mode("user"))
		MUST(ids[0] == 1234 && ids[1] == 1234 && ids[2] == 1234);
	if (strcmp(status_line("Uid:"), is_mode("user") ? "Uid:\t1234\t1234\t1234\t1234" : "Uid:\t0\t0\t0\t0") != 0)
		judge_fail("its main thread has %s", line);
	if (is_mode("user") && strcmp(status_line("CapEff:"), "CapEff:\t0000000000000000") != 0)
		judge_fail("its main thread has %s", line);
	if (is_mode("filtered"))
		MUST(syscall(SYS_times, NULL) < 0 && errno == ENOTNAM);
}

static void judge_leader(void)
{
	char exit_code[16], path[64], text[1024];
	if (strncmp(status_line("State:"), "State:\tZ", 8) != 0 ||
	    strncmp(status_line("Name:"), "Name:\twas the main ", 19) != 0)
		judge_fail("of its main thread: %s", line);
	MUST_EQ(kill(getpid(), 0), 0);
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", getpid(), getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	snprintf(exit_code, sizeof exit_code, " %d\n", STATUS << 8);
	char *last = strrchr(text, ' ');
	if (!is_mode("user") && (!last || strcmp(last, exit_code) != 0)) /* who may not trace it is told nothing */
		judge_fail("its main thread has ended with%s", last ?: " nothing");
}

static void judge_held(void)
{
	char text[16] = "", cwd[PATH_MAX];
	sigset_t set;
	siginfo_t info;
	struct itimerspec left;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigtimedwait(&set, &info, &(struct timespec){ 0 }) == SIGUSR1 && info.si_value.sival_int == 4711);
	MUST(sigtimedwait(&set, &info, &(struct timespec){ 0 }) < 0 && errno == EAGAIN);
	sigaddset(&set, SIGWINCH);
	MUST(sigtimedwait(&set, &info, &(struct timespec){ 0 }) == SIGWINCH && info.si_code == SI_USER &&
	     info.si_pid == getpid());
	MUST(getcwd(cwd, sizeof cwd) && !strcmp(cwd, judge_dir) && umask(0) == 027);
	MUST(read(ends[0], text, sizeof text) == 9 && !strcmp(text, "in flight"));
	MUST_EQ(lseek(file, 0, SEEK_CUR), 4);
	struct sigaction action;
	MUST(sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
	int subreaper = 0;
	MUST(prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper);
	MUST(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec > 3000 && left.it_value.tv_sec <= 5000);
	int status;
	MUST(waitpid(kid, &status, 0) == kid && WIFEXITED(status) && WEXITSTATUS(status) == 9);
	MUST_EQ(getppid(), parent);
}

static void wait_for_leader(void)
{
	while (strncmp(status_line("State:"), "State:\tZ", 8) != 0)
		judge_nap(1);
}

/* Who is not a child is judged by its last thread, and its child by who waits for it. */
static void judge_all(void)
{
	judge_leader();
	judge_rights();
	judge_held();
	if (!is_mode("child"))
		exit(judge_pass());
}

static void be_ready(void)
{
	wait_for_leader();
	if (is_mode("child"))
		MUST_EQ(write(started[1], "", 1), 1);
	else
		judge_ready();
}

static void *live(void *arg)
{
	long i = (long)arg;
	char name[16];
	snprintf(name, sizeof name, "worker %ld", i);
	prctl(PR_SET_NAME, name);
	pthread_barrier_wait(&named);
	if (i == 0)
		be_ready();
	while (!judge_asked()) {
		pthread_mutex_lock(&baton);
		turns++;
		pthread_mutex_unlock(&baton);
		judge_nap(5);
	}
	pthread_barrier_wait(&asked);
	if (i == 0)
		judge_all();
	syscall(SYS_exit, STATUS); /* it alone; whether the first or the last status counts depends on the kernel */
	return NULL;
}

static void give_up_rights(void)
{
	if (is_mode("user"))
		MUST(chown(judge_dir, 1234, 1234) == 0 && setresuid(1234, 1234, 1234) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
	if (is_mode("filtered"))
		MUST_EQ(deny_call(SYS_times, ENOTNAM), 0);
}

_Noreturn static void be_process(void)
{
	pthread_t threads[WORKERS];
	parent = getppid();
	if (is_mode("one"))
		workers = 1;
	pthread_barrier_init(&named, NULL, workers);
	pthread_barrier_init(&asked, NULL, workers);
	give_up_rights();
	hold();
	for (unsigned i = 0; i < workers; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, live, (void *)(long)i), 0);
	prctl(PR_SET_NAME, NAME);
	syscall(SYS_exit, STATUS);
	abort();
}

static int be_parent(void)
{
	int status;
	char byte;
	MUST_EQ(pipe2(started, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0)
		be_process();
	MUST(read(started[0], &byte, 1) == 1);
	judge_wait();
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), STATUS);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	mode = argc > 2 ? argv[2] : "";
	if (is_mode("child"))
		return be_parent();
	be_process();
}
