// SPDX-License-Identifier: LGPL-2.1-or-later
/* asyncs DIR: files with O_ASYNC: such as tell nobody of anything, named and not; sockets whose signals tell by which number they were
 * asked for (si_fd), of this process and of a child. */
#include "judge.h"
#include <sys/socket.h>

#define OWN 77
#define CHILDS 88

static const int told = O_ASYNC | O_RDWR;
static int quiet[8], flags[8], count, own[2], childs[2];

static void keep(int fd)
{
	MUST(fd >= 0 && fcntl(fd, F_GETFL) & O_ASYNC);
	flags[count] = fcntl(fd, F_GETFL);
	quiet[count++] = fd;
}

/* To this fd, by this number, which is not the first one that it had. */
static void ask_signals(int *fd, int number)
{
	MUST_EQ(dup2(*fd, number), number);
	close(*fd);
	*fd = number;
	MUST_EQ(fcntl(number, F_SETSIG, SIGRTMIN + 1), 0);
	MUST_EQ(fcntl(number, F_SETOWN, number == OWN ? getpid() : getppid()), 0);
	MUST_EQ(fcntl(number, F_SETFL, O_ASYNC | O_NONBLOCK), 0);
}

static void must_tell(int other_end, int number)
{
	const struct timespec limit = { 60, 0 };
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	MUST_EQ(write(other_end, "x", 1), 1);
	MUST_EQ(sigtimedwait(&set, &info, &limit), SIGRTMIN + 1);
	MUST_EQ(info.si_fd, number);
	MUST_EQ(info.si_code, POLL_IN);
}

static void open_quiet(void)
{
	char path[64];
	keep(open(judge_path("named"), told | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	keep(open(judge_path("gone"), told | O_CREAT | O_CLOEXEC, 0600));
	MUST_EQ(unlink(judge_path("gone")), 0);
	keep(open(judge_dir, O_ASYNC | O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int nameless = open(judge_dir, told | O_TMPFILE | O_CLOEXEC, 0600);
	if (nameless >= 0)
		keep(nameless);
	keep(open("/dev/null", told | O_CLOEXEC));
	int memory = memfd_create("memory", MFD_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
	keep(open(path, told | O_CLOEXEC));
}

int main(int argc, char **argv)
{
	int ready[2];
	char byte;
	sigset_t set;
	judge_start(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	MUST_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	open_quiet();
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, own), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, childs), 0);
	MUST_EQ(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ask_signals(&childs[0], CHILDS);
		MUST_EQ(write(ready[1], "r", 1), 1);
		for (;;)
			pause();
	}
	close(childs[0]);
	ask_signals(&own[0], OWN);
	MUST_EQ(read(ready[0], &byte, 1), 1);
	judge_settled(child);
	judge_wait();
	for (int i = 0; i < count; i++)
		MUST_EQ(fcntl(quiet[i], F_GETFL), flags[i]);
	must_tell(own[1], OWN);
	must_tell(childs[1], CHILDS);
	MUST_EQ(write(quiet[0], "written", 7), 7);
	kill(child, SIGKILL);
	return judge_pass();
}
