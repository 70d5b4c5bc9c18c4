// SPDX-License-Identifier: LGPL-2.1-or-later
/* files DIR: descriptors of every simple kind, shared by dup and by fork: offsets, flags, contents, close-on-exec stay. */
#include "judge.h"
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static int reg, dup_of_reg, append, rdonly, path, dir, event, semaphore, pipes[2], full[2], high, unlinked_pipe[2], null, fifo;
static long dir_at;
static char next_entry[256];

static void make(void)
{
	reg = open(judge_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0640);
	MUST_EQ(write(reg, "0123456789", 10), 10);
	MUST_EQ(lseek(reg, 4, SEEK_SET), 4);
	dup_of_reg = dup(reg);
	high = fcntl(reg, F_DUPFD_CLOEXEC, 700);
	append = open(judge_path("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	MUST_EQ(write(append, "one\n", 4), 4);
	rdonly = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOATIME);
	MUST_EQ(lseek(rdonly, 5, SEEK_SET), 5);
	path = open(judge_dir, O_PATH | O_DIRECTORY);
	dir = open("/etc", O_RDONLY | O_DIRECTORY);
	null = open("/dev/null", O_RDWR);
	event = eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC);
	semaphore = eventfd(3, EFD_SEMAPHORE);
	MUST_EQ(pipe2(pipes, O_NONBLOCK), 0);
	MUST_EQ(write(pipes[1], "in the pipe", 11), 11);
	MUST_EQ(pipe(full), 0);
	MUST(fcntl(full[1], F_SETPIPE_SZ, 1 << 18) >= 1 << 18);
	char *much = malloc(200000);
	for (int i = 0; i < 200000; i++)
		much[i] = (char)(i * 7);
	MUST_EQ(write(full[1], much, 200000), 200000);
	free(much);
	MUST_EQ(pipe(unlinked_pipe), 0);
	MUST_EQ(write(unlinked_pipe[1], "last words", 10), 10);
	close(unlinked_pipe[1]); /* a pipe without a writer: end of file after its data */
	MUST_EQ(mkfifo(judge_path("fifo"), 0600), 0);
	fifo = open(judge_path("fifo"), O_RDWR);
	MUST_EQ(write(fifo, "fifo", 4), 4);
	MUST(reg >= 0 && append >= 0 && rdonly >= 0 && path >= 0 && dir >= 0 && event >= 0 && semaphore >= 0 && null >= 0);
	DIR *d = fdopendir(dup(dir));
	for (int i = 0; i < 5 && readdir(d); i++)
		;
	dir_at = telldir(d);
	MUST_EQ(lseek(dir, dir_at, SEEK_SET), dir_at);
	strcpy(next_entry, readdir(d)->d_name);
	MUST_EQ(lseek(dir, dir_at, SEEK_SET), dir_at);
	closedir(d);
	MUST_EQ(lseek(dir, dir_at, SEEK_SET), dir_at);
	MUST_EQ(fcntl(pipes[0], F_SETOWN, getpid()), 0);
	MUST_EQ(fcntl(pipes[0], F_SETSIG, SIGRTMIN), 0);
}

static void judge_shared(pid_t child, int from_child, int to_child)
{
	char c, text[64];
	/* The child reads one byte of the shared file: everyone's offset moves. */
	MUST_EQ(write(to_child, "r", 1), 1);
	MUST_EQ(read(from_child, &c, 1), 1);
	MUST_EQ(c, '4');
	MUST_EQ(lseek(reg, 0, SEEK_CUR), 5);
	MUST_EQ(lseek(dup_of_reg, 0, SEEK_CUR), 5);
	MUST_EQ(lseek(high, 0, SEEK_CUR), 5);
	MUST_EQ(read(high, &c, 1), 1);
	MUST_EQ(c, '5');
	MUST_EQ(lseek(reg, 0, SEEK_CUR), 6);
	MUST_EQ(syscall(SYS_kcmp, getpid(), child, 0, reg, reg), 0);
	MUST_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, reg, dup_of_reg), 0);
	MUST(syscall(SYS_kcmp, getpid(), getpid(), 0, reg, append) != 0);
	/* Another process's O_APPEND descriptor writes at the end as well. */
	MUST_EQ(write(to_child, "a", 1), 1);
	MUST_EQ(read(from_child, &c, 1), 1);
	MUST_EQ(write(append, "three\n", 6), 6);
	int fd = open(judge_path("log"), O_RDONLY);
	MUST_EQ(read(fd, text, sizeof text), 14);
	MUST(!memcmp(text, "one\ntwo\nthree\n", 14));
	close(fd);
}

static void judge_files(void)
{
	char text[64];
	struct stat a, b;
	static char much[200000];
	MUST_EQ(judge_flags(reg), O_RDWR);
	MUST_EQ(judge_flags(append), O_WRONLY | O_APPEND);
	MUST_EQ(judge_flags(rdonly), O_RDONLY | O_NOATIME);
	MUST_EQ(fcntl(rdonly, F_GETFD), FD_CLOEXEC);
	MUST_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
	MUST_EQ(fcntl(reg, F_GETFD), 0);
	MUST_EQ(high, 700);
	MUST_EQ(lseek(rdonly, 0, SEEK_CUR), 5);
	MUST(fcntl(path, F_GETFL) & O_PATH);
	MUST_EQ(fstat(path, &a), 0);
	MUST_EQ(stat(judge_dir, &b), 0);
	MUST(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	MUST_EQ(lseek(dir, 0, SEEK_CUR), dir_at);
	DIR *d = fdopendir(dir);
	struct dirent *entry = readdir(d);
	MUST(entry && !strcmp(entry->d_name, next_entry));
	uint64_t value;
	MUST_EQ(read(event, &value, 8), 8);
	MUST_EQ(value, 5);
	MUST(read(event, &value, 8) == -1 && errno == EAGAIN);
	for (int i = 0; i < 3; i++) {
		MUST_EQ(read(semaphore, &value, 8), 8);
		MUST_EQ(value, 1);
	}
	MUST(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
	MUST_EQ(fcntl(pipes[0], F_GETOWN), getpid());
	MUST_EQ(fcntl(pipes[0], F_GETSIG), SIGRTMIN);
	MUST_EQ(read(pipes[0], text, sizeof text), 11);
	MUST(!memcmp(text, "in the pipe", 11));
	MUST(read(pipes[0], text, 1) == -1 && errno == EAGAIN);
	MUST(fcntl(full[0], F_GETPIPE_SZ) >= 1 << 18);
	for (int got = 0; got < 200000;) {
		ssize_t n = read(full[0], much + got, sizeof much - (size_t)got);
		MUST(n > 0);
		got += (int)n;
	}
	for (int i = 0; i < 200000; i++)
		MUST_EQ(much[i], (char)(i * 7));
	MUST_EQ(read(unlinked_pipe[0], text, sizeof text), 10);
	MUST_EQ(read(unlinked_pipe[0], text, sizeof text), 0);
	MUST_EQ(write(null, "x", 1), 1);
	MUST_EQ(read(null, text, 1), 0);
	MUST_EQ(read(fifo, text, sizeof text), 4);
}

int main(int argc, char **argv)
{
	int to_child[2], from_child[2], status;
	char ready;
	judge_start(argc, argv);
	make();
	MUST_EQ(pipe(to_child), 0);
	MUST_EQ(pipe(from_child), 0);
	pid_t child = fork();
	if (child == 0) {
		char c;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to_child[1]);
		MUST_EQ(write(from_child[1], "r", 1), 1);
		while (read(to_child[0], &c, 1) == 1) {
			if (c == 'a')
				MUST_EQ(write(append, "two\n", 4), 4);
			else
				MUST_EQ(read(dup_of_reg, &c, 1), 1);
			MUST_EQ(write(from_child[1], &c, 1), 1);
		}
		_exit(5);
	}
	close(to_child[0]);
	MUST_EQ(read(from_child[0], &ready, 1), 1);
	judge_settled(child);
	judge_wait();
	judge_shared(child, from_child[0], to_child[1]);
	judge_files();
	close(to_child[1]);
	MUST_EQ(waitpid(child, &status, 0), child);
	MUST_EQ(WEXITSTATUS(status), 5);
	return judge_pass();
}
