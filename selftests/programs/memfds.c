// SPDX-License-Identifier: LGPL-2.1-or-later
/* memfds DIR: memory files of every sort, sealed, mapped, shared with a child; and memory of /dev/zero. */
#include "judge.h"
#include <sys/sendfile.h>
#include <sys/sysmacros.h>

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#define SIZE 20000
#define ALL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int plain, reader, path, sealed, unsealable, exec_fd = -1, noexec = -1, future, nameless, odd, zero, program;
static pid_t runs;
static char *shared, *sealed_map, *future_map, *zero_shared, *zero_private, *anonymous, *private_map;

static char *map(int fd, int prot, int flags)
{
	char *at = mmap(NULL, SIZE, prot, flags, fd, 0);
	MUST(at != MAP_FAILED);
	return at;
}

static int make(const char *name, unsigned flags)
{
	int fd = memfd_create(name, flags);
	MUST(fd >= 0 && ftruncate(fd, SIZE) == 0 && pwrite(fd, name, strlen(name), 10000) == (ssize_t)strlen(name));
	return fd;
}

/* A program in memory, whose descriptor writes to it: that is so after fexecve(3), as container runtimes have it. */
static pid_t execute(int fd, const char *what)
{
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = { "program", (char *)judge_path("runs"), (char *)what, NULL };
		fexecve(fd, argv, environ);
		_exit(errno == ETXTBSY ? 126 : 127);
	}
	return pid;
}

static void make_program(void)
{
	struct stat st;
	int self = open("/proc/self/exe", O_RDONLY);
	program = memfd_create("program", 0);
	MUST(self >= 0 && program >= 0 && fstat(self, &st) == 0);
	MUST_EQ(sendfile(program, self, NULL, (size_t)st.st_size), st.st_size);
	MUST_EQ(close(self), 0);
	runs = execute(program, "wait");
	while (access(judge_path("runs"), F_OK))
		judge_nap(2);
}

static void judge_program(void)
{
	char name[64], text[300] = "";
	int status;
	snprintf(name, sizeof name, "/proc/%d/exe", runs);
	MUST(readlink(name, text, sizeof text - 1) > 0 && !strcmp(text, "/memfd:program (deleted)"));
	pid_t again = execute(program, "end");
	MUST(waitpid(again, &status, 0) == again && WIFEXITED(status));
	MUST_EQ(WEXITSTATUS(status), 7);
	MUST(kill(runs, SIGKILL) == 0 && waitpid(runs, &status, 0) == runs);
}

static void make_all(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	char name[64];
	plain = make("plain", MFD_CLOEXEC);
	MUST_EQ(lseek(plain, 77, SEEK_SET), 77);
	MUST_EQ(fcntl(plain, F_SETFL, O_APPEND), 0);
	snprintf(name, sizeof name, "/proc/self/fd/%d", plain);
	reader = open(name, O_RDONLY);
	path = open(name, O_PATH);
	MUST(reader >= 0 && path >= 0 && fchmod(plain, 0640) == 0 && fchown(plain, 7, 8) == 0);
	shared = map(plain, rw, MAP_SHARED);
	private_map = map(plain, rw, MAP_PRIVATE);
	private_map[0] = 'p';
	sealed = make("sealed", MFD_ALLOW_SEALING);
	MUST_EQ(fcntl(sealed, F_ADD_SEALS, ALL), 0);
	sealed_map = map(sealed, PROT_READ, MAP_PRIVATE);
	unsealable = make("unsealable", 0);
	exec_fd = memfd_create("exec", 0x10 /* MFD_EXEC, Linux 6.3 */ | MFD_ALLOW_SEALING);
	noexec = memfd_create("noexec", 0x8 /* MFD_NOEXEC_SEAL */);
	future = make("future", MFD_ALLOW_SEALING);
	future_map = map(future, rw, MAP_SHARED); /* before the seal: it may still be written */
	MUST_EQ(fcntl(future, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	nameless = make("", 0);
	odd = make("odd (deleted)", MFD_CLOEXEC);
	zero = open("/dev/zero", O_RDWR);
	zero_shared = map(zero, rw, MAP_SHARED);
	zero_private = map(zero, rw, MAP_PRIVATE);
	anonymous = map(-1, rw, MAP_SHARED | MAP_ANONYMOUS);
	strcpy(zero_shared, "zero");
	strcpy(zero_private, "private zero");
	strcpy(anonymous + SIZE / 2, "anonymous");
}

static void check_name(int fd, const char *want)
{
	char name[64], text[300] = "";
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	MUST(readlink(name, text, sizeof text - 1) > 0);
	if (strcmp(text, want))
		judge_fail("it is called %s, not %s", text, want);
}

static void judge_plain(void)
{
	struct stat st;
	char text[32];
	check_name(plain, "/memfd:plain (deleted)");
	MUST_EQ(fcntl(plain, F_GETFD), FD_CLOEXEC);
	MUST_EQ(judge_flags(plain), O_RDWR | O_APPEND);
	MUST_EQ(judge_flags(reader), O_RDONLY);
	MUST(fcntl(path, F_GETFL) & O_PATH);
	MUST_EQ(lseek(plain, 0, SEEK_CUR), 77);
	MUST_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	MUST(fstat(path, &st) == 0 && st.st_size == SIZE && st.st_mode == (S_IFREG | 0640) && st.st_uid == 7 && st.st_gid == 8);
	MUST(pread(reader, text, 5, 10000) == 5 && !memcmp(text, "plain", 5) && !memcmp(shared + 10000, "plain", 5));
	MUST(private_map[0] == 'p' && shared[0] == 0 && !memcmp(private_map + 10000, "plain", 5));
	MUST(write(plain, "end", 3) == 3 && fstat(reader, &st) == 0 && st.st_size == SIZE + 3);
}

static void judge_seals(void)
{
	char text[32];
	MUST_EQ(fcntl(sealed, F_GET_SEALS), ALL);
	MUST(pread(sealed, text, 6, 10000) == 6 && !memcmp(text, "sealed", 6) && !memcmp(sealed_map + 10000, "sealed", 6));
	MUST(pwrite(sealed, "x", 1, 0) == -1 && errno == EPERM);
	MUST(ftruncate(sealed, 1) == -1 && errno == EPERM);
	MUST_EQ(fcntl(unsealable, F_GET_SEALS), F_SEAL_SEAL);
	if (exec_fd >= 0) {
		struct stat st;
		MUST_EQ(fcntl(exec_fd, F_GET_SEALS), 0);
		MUST(fstat(exec_fd, &st) == 0 && (st.st_mode & 0777) == 0777);
		MUST_EQ(fcntl(noexec, F_GET_SEALS), F_SEAL_EXEC);
		MUST(fstat(noexec, &st) == 0 && (st.st_mode & 0777) == 0666);
		MUST(fchmod(noexec, 0777) == -1 && errno == EPERM);
	}
	MUST_EQ(fcntl(future, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
	future_map[1] = 'w';
	MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, future, 0) == MAP_FAILED && errno == EPERM);
	check_name(nameless, "/memfd: (deleted)");
	check_name(odd, "/memfd:odd (deleted) (deleted)");
	MUST(pread(odd, text, 3, 10000) == 3 && !memcmp(text, "odd", 3));
}

static void judge_zero(void)
{
	struct stat st;
	char text[8] = "xxxxxxx";
	MUST(!strcmp(zero_shared, "zero") && !strcmp(zero_private, "private zero") &&
	     !strcmp(anonymous + SIZE / 2, "anonymous"));
	MUST(fstat(zero, &st) == 0 && st.st_rdev == makedev(1, 5) && read(zero, text, 8) == 8 && !text[0] && !text[7]);
}

/* Both see what the other writes, in everything that is shared. */
static void child(int from, int to)
{
	char c;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	MUST_EQ(read(from, &c, 1), 1);
	MUST(shared[1] == 's' && anonymous[1] == 'a' && zero_shared[5] == 'z' && future_map[2] == 'f');
	MUST(zero_private[0] == 'p' && private_map[0] == 'p');
	shared[2] = anonymous[2] = zero_shared[6] = future_map[3] = 'c';
	MUST_EQ(write(to, &c, 1), 1);
	_exit(4);
}

/* What is executed from memory. */
static int be_program(const char *ready, const char *what)
{
	if (strcmp(what, "wait") != 0)
		return 7;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(open(ready, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int up[2], down[2], status;
	char c = 'c';
	if (argc > 2)
		return be_program(argv[1], argv[2]);
	judge_start(argc, argv);
	make_all();
	make_program();
	MUST(pipe(up) == 0 && pipe(down) == 0);
	pid_t pid = fork();
	if (pid == 0)
		child(down[0], up[1]);
	judge_settled(pid);
	judge_wait();
	shared[1] = 's', anonymous[1] = 'a', zero_shared[5] = 'z', future_map[2] = 'f';
	MUST(write(down[1], &c, 1) == 1 && read(up[0], &c, 1) == 1);
	MUST(shared[2] == 'c' && anonymous[2] == 'c' && zero_shared[6] == 'c' && future_map[3] == 'c');
	MUST(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4);
	judge_plain();
	judge_seals();
	judge_zero();
	judge_program();
	return judge_pass();
}
