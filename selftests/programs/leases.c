// SPDX-License-Identifier: LGPL-2.1-or-later
/* leases DIR: files with a read and a write lease (F_SETLEASE), one of them another user's. They are there afterwards, and who opens
 * such a file has this program told by the signal that it wanted. */
#include "judge.h"

static volatile sig_atomic_t told;
static void on_break(int signal) { told = signal; }

static int leased(const char *name, int flags, int type)
{
	close(open(judge_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	int fd = open(judge_path(name), flags | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(fcntl(fd, F_SETSIG, SIGRTMIN + 1), 0);
	MUST_EQ(fcntl(fd, F_SETLEASE, type), 0);
	return fd;
}

/* Opening for writing breaks every lease; it says EWOULDBLOCK at once. */
static void judge_broken(const char *name, int fd)
{
	told = 0;
	MUST(open(judge_path(name), O_WRONLY | O_NONBLOCK | O_CLOEXEC) == -1 && errno == EWOULDBLOCK);
	for (int i = 0; i < JUDGE_PATIENCE_MS && !told; i++)
		judge_nap(2);
	MUST_EQ(told, SIGRTMIN + 1);
	MUST_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	int opened = open(judge_path(name), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	MUST(opened >= 0);
	close(opened);
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	signal(SIGRTMIN + 1, on_break);
	int read_lease = leased("read", O_RDONLY, F_RDLCK), write_lease = leased("write", O_RDWR, F_WRLCK);
	int other = leased("other", O_RDWR, F_WRLCK);
	MUST_EQ(fchown(other, 77, 77), 0);
	judge_wait();
	MUST_EQ(fcntl(read_lease, F_GETLEASE), F_RDLCK);
	MUST_EQ(fcntl(write_lease, F_GETLEASE), F_WRLCK);
	MUST_EQ(fcntl(other, F_GETLEASE), F_WRLCK);
	MUST_EQ(told, 0);
	judge_broken("read", read_lease);
	judge_broken("write", write_lease);
	judge_broken("other", other);
	return judge_pass();
}
