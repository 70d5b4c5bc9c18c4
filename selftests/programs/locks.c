// SPDX-License-Identifier: LGPL-2.1-or-later
/* locks DIR [table | far]: POSIX locks of two processes on one file by one open file, locks of open files (flock, F_OFD_SETLK)
 * shared by dup and fork and on their way through a socket, and a process that waits for one. far: the same with a descriptor
 * table so large that eBPF is asked for it. */
#include "judge.h"
#include <sys/file.h>
#include <sys/socket.h>

static int posix, reader, ofd, alone, alone_dup, shared[2], dir, memory, ghost, sockets[2], to_child[2], from_child[2];
static pid_t child, waiter;

static int take(int fd, int command, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(fd, command, &l);
}

/* Who keeps a process that has none from a lock: a pid, -1 an open file, 0 nobody. */
static int holder(const char *name, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	int fd = open(judge_path(name), O_RDWR);
	MUST(fd >= 0);
	MUST_EQ(fcntl(fd, F_OFD_GETLK, &l), 0);
	MUST_EQ(close(fd), 0);
	return l.l_type == F_UNLCK ? 0 : l.l_pid;
}

enum { NOBODY, PARENT, CHILD, WAITER, OPEN_FILE };

/* Closing a descriptor of the file would drop the caller's own locks on it: somebody else asks. */
static int holder_elsewhere(const char *name, short type, off_t start, off_t len)
{
	int status;
	pid_t asker = fork();
	if (!asker) {
		int found = holder(name, type, start, len);
		if (!found)
			_exit(NOBODY);
		_exit(found == getppid() ? PARENT : found == child ? CHILD : found == waiter ? WAITER : OPEN_FILE);
	}
	MUST_EQ(waitpid(asker, &status, 0), asker);
	MUST(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Can somebody else have it? */
static bool flock_is_free(const char *name, int operation)
{
	int fd = open(judge_path(name), O_RDONLY);
	MUST(fd >= 0);
	int r = flock(fd, operation | LOCK_NB);
	MUST(r == 0 || errno == EWOULDBLOCK);
	close(fd);
	return r == 0;
}

/* Who has the lock of an open file, as fdinfo tells it. */
static int named_by(int fd)
{
	char path[64], line[256];
	int pid = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "r");
	while (fgets(line, sizeof line, file))
		sscanf(line, "lock: %*d: FLOCK ADVISORY %*s %d", &pid);
	fclose(file);
	return pid;
}

static int make_file(const char *name)
{
	int fd = open(judge_path(name), O_RDWR | O_CREAT | O_EXCL, 0600);
	MUST(fd >= 0);
	MUST_EQ(write(fd, "0123456789", 10), 10);
	return fd;
}

static void send_fd(int to, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(int));
	MUST_EQ(sendmsg(to, &m, 0), 1);
}

static int receive_fd(int from)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	int fd;
	MUST_EQ(recvmsg(from, &m, 0), 1);
	MUST(CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

static void be_child(void)
{
	char c;
	/* by the open file that the parent has locked other bytes with */
	MUST_EQ(take(posix, F_SETLK, F_WRLCK, 300, 20), 0);
	MUST_EQ(write(from_child[1], "r", 1), 1);
	MUST_EQ(read(to_child[0], &c, 1), 1);
	/* any descriptor of the file drops the child's, and the child's only */
	close(open(judge_path("posix"), O_RDONLY));
	MUST_EQ(write(from_child[1], "d", 1), 1);
	MUST_EQ(read(to_child[0], &c, 1), 1);
	_exit(3);
}

static void be_waiter(void)
{
	char c;
	MUST_EQ(take(posix, F_SETLKW, F_WRLCK, 100, 1), 0);
	MUST_EQ(write(from_child[1], "w", 1), 1);
	MUST_EQ(read(to_child[0], &c, 1), 1);
	_exit(4);
}

static void make(void)
{
	char c;
	MUST(pipe(to_child) == 0 && pipe(from_child) == 0);
	posix = make_file("posix");
	reader = open(judge_path("posix"), O_RDONLY);
	ofd = make_file("ofd");
	alone = make_file("alone");
	close(make_file("shared"));
	close(make_file("flight"));
	MUST_EQ(take(posix, F_SETLK, F_WRLCK, 100, 50), 0);
	MUST_EQ(take(posix, F_SETLK, F_UNLCK, 120, 10), 0); /* two pieces */
	MUST_EQ(take(reader, F_SETLK, F_RDLCK, 1000, 0), 0);
	MUST_EQ(take(ofd, F_OFD_SETLK, F_WRLCK, 5, 5), 0);
	MUST_EQ(take(ofd, F_OFD_SETLK, F_RDLCK, 100, 0), 0);
	MUST_EQ(flock(alone, LOCK_EX), 0);
	alone_dup = dup(alone);
	for (int i = 0; i < 2; i++) {
		shared[i] = open(judge_path("shared"), O_RDONLY);
		MUST_EQ(flock(shared[i], LOCK_SH), 0);
	}
	dir = open(judge_dir, O_RDONLY | O_DIRECTORY);
	MUST_EQ(flock(dir, LOCK_EX), 0);
	memory = memfd_create("locked", MFD_CLOEXEC);
	MUST_EQ(flock(memory, LOCK_SH), 0);
	ghost = make_file("ghost");
	MUST_EQ(unlink(judge_path("ghost")), 0);
	MUST_EQ(flock(ghost, LOCK_EX), 0);
	MUST_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
	int flying = open(judge_path("flight"), O_RDWR);
	MUST_EQ(flock(flying, LOCK_EX), 0);
	send_fd(sockets[0], flying);
	close(flying);
	child = fork();
	if (!child)
		be_child();
	MUST_EQ(read(from_child[0], &c, 1), 1);
	waiter = fork();
	if (!waiter)
		be_waiter();
	judge_settled(child);
	judge_settled(waiter);
}

static void judge_posix(void)
{
	char c;
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 0, 100), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 100, 1), PARENT);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 119, 1), PARENT);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 120, 10), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 130, 1), PARENT);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 149, 1), PARENT);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 150, 150), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 319, 1), CHILD);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 320, 0), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_WRLCK, 999, 1), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_WRLCK, 1l << 40, 1), PARENT);
	MUST_EQ(take(posix, F_SETLK, F_RDLCK, 300, 1), -1); /* the child's is not the parent's */
	MUST(errno == EAGAIN || errno == EACCES);
	/* whoever waited gets it */
	MUST_EQ(take(posix, F_SETLK, F_UNLCK, 100, 1), 0);
	MUST_EQ(read(from_child[0], &c, 1), 1);
	MUST_EQ(c, 'w');
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 100, 1), WAITER);
	MUST_EQ(write(to_child[1], "1", 1), 1); /* either may read it: the child drops its locks, the waiter ends */
	MUST_EQ(write(to_child[1], "2", 1), 1);
	MUST_EQ(write(to_child[1], "3", 1), 1);
	MUST_EQ(read(from_child[0], &c, 1), 1);
	MUST_EQ(c, 'd');
	MUST_EQ(waitpid(waiter, NULL, 0), waiter);
	MUST_EQ(waitpid(child, NULL, 0), child);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 300, 1), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 119, 1), PARENT);
	close(reader);
	MUST_EQ(holder_elsewhere("posix", F_WRLCK, 0, 0), NOBODY);
}

static void judge_open_files(void)
{
	MUST_EQ(holder("ofd", F_RDLCK, 0, 5), 0);
	MUST_EQ(holder("ofd", F_RDLCK, 9, 1), -1);
	MUST_EQ(holder("ofd", F_RDLCK, 10, 0), 0);
	MUST_EQ(holder("ofd", F_WRLCK, 5000, 1), -1);
	MUST_EQ(holder("ofd", F_WRLCK, 10, 90), 0);
	close(ofd);
	MUST_EQ(holder_elsewhere("ofd", F_WRLCK, 0, 0), NOBODY);
	MUST_EQ(named_by(alone), getpid());
	MUST(!flock_is_free("alone", LOCK_SH));
	close(alone);
	MUST(!flock_is_free("alone", LOCK_SH));
	MUST_EQ(flock(alone_dup, LOCK_SH), 0); /* its own lock: it may change it */
	MUST(flock_is_free("alone", LOCK_SH) && !flock_is_free("alone", LOCK_EX));
	close(alone_dup);
	MUST(flock_is_free("alone", LOCK_EX));
	for (int i = 0; i < 2; i++) {
		MUST(flock_is_free("shared", LOCK_SH) && !flock_is_free("shared", LOCK_EX));
		close(shared[i]);
	}
	MUST(flock_is_free("shared", LOCK_EX));
	MUST(!flock_is_free(".", LOCK_SH));
	close(dir);
	MUST(flock_is_free(".", LOCK_EX));
	for (int i = 0; i < 2; i++) {
		char path[32];
		snprintf(path, sizeof path, "/proc/self/fd/%d", i ? ghost : memory);
		int again = open(path, O_RDWR);
		MUST(flock(again, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
		MUST(flock(again, LOCK_SH | LOCK_NB) == (i ? -1 : 0));
	}
	MUST(!flock_is_free("flight", LOCK_SH));
	close(receive_fd(sockets[1]));
	MUST(flock_is_free("flight", LOCK_EX));
}

/* Two processes with one descriptor table have the same locks, whoever took them. */
static int hold_table(void)
{
	char c;
	MUST(pipe(to_child) == 0 && pipe(from_child) == 0);
	posix = make_file("posix");
	MUST_EQ(take(posix, F_SETLK, F_WRLCK, 0, 10), 0);
	pid_t sharer = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!sharer) {
		MUST_EQ(take(posix, F_SETLK, F_WRLCK, 100, 10), 0);
		MUST_EQ(write(from_child[1], "r", 1), 1);
		MUST_EQ(read(to_child[0], &c, 1), 1);
		MUST_EQ(take(posix, F_SETLK, F_UNLCK, 105, 5), 0);
		_exit(0);
	}
	MUST_EQ(read(from_child[0], &c, 1), 1);
	judge_settled(sharer);
	judge_wait();
	MUST(holder_elsewhere("posix", F_RDLCK, 0, 1) && holder_elsewhere("posix", F_RDLCK, 109, 1));
	MUST_EQ(take(posix, F_SETLK, F_RDLCK, 100, 5), 0);
	MUST_EQ(write(to_child[1], "g", 1), 1);
	MUST_EQ(waitpid(sharer, NULL, 0), sharer);
	MUST_EQ(holder_elsewhere("posix", F_WRLCK, 105, 5), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_RDLCK, 100, 5), NOBODY);
	MUST_EQ(holder_elsewhere("posix", F_WRLCK, 100, 5), PARENT);
	return judge_pass();
}

int main(int argc, char **argv)
{
	judge_start(argc, argv);
	if (argc > 2 && !strcmp(argv[2], "table"))
		return hold_table();
	if (argc > 2)
		MUST_EQ(dup2(0, 1000), 1000);
	make();
	judge_wait();
	judge_posix();
	judge_open_files();
	return judge_pass();
}
