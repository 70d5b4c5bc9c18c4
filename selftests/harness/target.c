// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns targets and runs of ckpt. */
#include "harness/target.h"
#include "base/file.h"
#include "host/caps.h"
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

long long clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

void nap_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

void write_text(const char *path, const char *text)
{
	int fd = (int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	CHECK_OK(file_write_full(fd, text, strlen(text)));
	close(fd);
}

char *read_text(const char *path)
{
	struct text text = { 0 };
	if (file_read(AT_FDCWD, path, &text) < 0) {
		text_free(&text);
		return NULL;
	}
	return text_take(&text);
}

char *wait_text(const char *path)
{
	char *text = NULL;
	WAIT_UNTIL((free(text), (text = read_text(path))) && *text);
	return text;
}

/* One whose main thread has ended lives as long as others do; the count holds the dead one. */
bool target_alive(pid_t pid)
{
	char path[64], state = 'Z';
	long threads = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_free_ char *stat = read_text(path);
	char *end = stat ? strrchr(stat, ')') : NULL;
	if (end)
		sscanf(end, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state, &threads);
	return kill(pid, 0) == 0 && (state != 'Z' || threads > 1);
}

char target_state(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_free_ char *stat = read_text(path);
	char *end = stat ? strrchr(stat, ')') : NULL;
	return end && end[1] ? end[2] : '?';
}

bool target_asleep(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_free_ char *stat = read_text(path);
	char *open = stat ? strchr(stat, '(') : NULL, *close = stat ? strrchr(stat, ')') : NULL;
	if (!open || !close || close[1] != ' ' || close[2] != 'S')
		return false;
	*close = 0;
	return !strcmp(open + 1, name);
}

static int count(const char *name, bool asleep)
{
	int n = 0;
	char path[300];
	DIR *proc = opendir("/proc");
	CHECK(proc);
	for (struct dirent *e; (e = readdir(proc));) {
		pid_t pid = atoi(e->d_name);
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		_cleanup_free_ char *comm = pid > 0 ? read_text(path) : NULL;
		if (comm)
			comm[strcspn(comm, "\n")] = 0;
		n += asleep ? pid > 0 && target_asleep(pid, name) : comm && !strcmp(comm, name);
	}
	closedir(proc);
	return n;
}

int count_named(const char *name) { return count(name, false); }

int count_asleep(const char *name) { return count(name, true); }

long target_call(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/syscall", pid);
	_cleanup_free_ char *text = read_text(path);
	return text && *text >= '0' && *text <= '9' ? atol(text) : -1; /* else "running", or -1 */
}

static u64 pending_signals(const char *status, const char *name)
{
	const char *line = status ? strstr(status, name) : NULL;
	return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

u64 target_pending(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	_cleanup_free_ char *status = read_text(path);
	return pending_signals(status, "\nSigPnd:") | pending_signals(status, "\nShdPnd:");
}

#define PF_EXITING 4u
/* Fields of proc_pid_stat(5), behind the second. Since Linux 5.18 the exit code shows from the kill on. */
enum { STAT_FLAGS = 9, STAT_EXIT_CODE = 52 };

bool target_dying(pid_t pid)
{
	char path[64];
	unsigned long long field[STAT_EXIT_CODE + 1] = { 0 };
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_free_ char *stat = read_text(path);
	char *at = stat ? strrchr(stat, ')') : NULL;
	if (!at || strlen(at) < 5)
		return true;
	at += 4; /* behind the state, which is a letter */
	for (int i = 4; i <= STAT_EXIT_CODE; i++)
		field[i] = strtoull(at, &at, 10);
	u64 pending = target_pending(pid);
	return field[STAT_FLAGS] & PF_EXITING || (field[STAT_EXIT_CODE] & 127) == SIGKILL || pending & 1ull << (SIGKILL - 1);
}

void target_gone(pid_t pid)
{
	for (long long start = clock_ms(); kill(pid, 0) == 0; nap_ms(2)) {
		waitpid(pid, NULL, WNOHANG);
		if (clock_ms() - start > WAIT_MS * test_patience())
			FAIL("process %d is still there (state %c)", pid, target_state(pid));
	}
}

/* The loader that a program asks for (elf(5), PT_INTERP) into path, which is PATH_MAX long; false: it asks for none. */
static bool find_loader(const char *program, char *path)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	_cleanup_close_ int fd = open(program, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &header, sizeof header, 0) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG))
		return false;
	for (int i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + (u64)i * sizeof segment);
		if (pread(fd, &segment, sizeof segment, at) != sizeof segment)
			return false;
		if (segment.p_type != PT_INTERP || !segment.p_filesz || segment.p_filesz > PATH_MAX)
			continue;
		ssize_t n = pread(fd, path, segment.p_filesz, (off_t)segment.p_offset);
		return n == (ssize_t)segment.p_filesz && !path[n - 1];
	}
	return false;
}

void need_program(const char *path)
{
	char loader[PATH_MAX];
	if (access(path, X_OK) < 0)
		SKIP("%s is not installed", path);
	if (find_loader(path, loader) && access(loader, X_OK) < 0)
		SKIP("%s needs %s, which is not installed", path, loader);
}

void need_reachable(void)
{
	char path[PATH_MAX];
	struct stat st;
	CHECK(realpath(ckpt_path(), path));
	for (char *slash; (slash = strrchr(path, '/')) && slash > path;) {
		*slash = 0;
		CHECK_OK(stat(path, &st));
		if (!(st.st_mode & S_IXOTH))
			SKIP("other users may not come to ckpt: %s is closed to them", path);
	}
}

static void make_place(struct target *t)
{
	struct stat here, above;
	CHECK_OK(stat(WORK, &here));
	CHECK_OK(stat("/", &above));
	if (here.st_dev == above.st_dev)
		FAIL("a test with a target must say .root = true");
	for (int number = 1;; number++) {
		snprintf(t->dir, sizeof t->dir, WORK "/target%d", number);
		snprintf(t->image, sizeof t->image, WORK "/image%d", number);
		if (mkdir(t->dir, 0700) == 0)
			return;
		CHECK_EQ(errno, EEXIST);
	}
}

#define TUNABLES "GLIBC_TUNABLES="

/* parent: who makes it and ends. It is somebody else's child by the time when its program begins. */
static void be_target(const struct target *t, const char *const *argv, int tell, pid_t parent)
{
	char output[96];
	while (getppid() == parent)
		nap_ms(1);
	snprintf(output, sizeof output, "%s/output", t->dir);
	setsid();
	int null = open("/dev/null", O_RDONLY), out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	pid_t pid = getpid();
	tell = dup3(tell, 1000, O_CLOEXEC);
	close_range(3, 999, 0);
	if (chdir("/") || write(tell, &pid, sizeof pid) != sizeof pid)
		_exit(126);
	char tunables[128];
	snprintf(tunables, sizeof tunables, TUNABLES "%s", getenv("GLIBC_TUNABLES") ?: "");
	execve(argv[0], (char **)argv,
	       (char *[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C",
			   getenv("GLIBC_TUNABLES") ? tunables : NULL, NULL });
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

void target_lose_bpf(void)
{
	if (caps_ask(NULL, CAN_VDSO_ROOM).answer == CAP_NO)
		SKIP("nothing tells facts without eBPF: this kernel leaves no %s", caps_row(CAN_VDSO_ROOM)->interface);
	if (caps_ask(NULL, CAN_RSEQ_CONFIG).answer == CAP_NO)
		CHECK_OK(setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1));
}

void target_spawnv(struct target *t, const char *const *argv)
{
	int tell[2];
	char byte;
	need_program(argv[0]);
	*t = (struct target){ 0 };
	make_place(t);
	CHECK_OK(pipe2(tell, O_CLOEXEC));
	pid_t middle = fork();
	if (middle == 0) {
		pid_t self = getpid();
		if (fork() == 0)
			be_target(t, argv, tell[1], self);
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	close(tell[1]);
	CHECK_EQ(read(tell[0], &t->pid, sizeof t->pid), sizeof t->pid);
	CHECK_EQ(read(tell[0], &byte, 1), 0); /* the exec closed it */
	close(tell[0]);
}

static void print_output(const struct target *t)
{
	char path[96];
	snprintf(path, sizeof path, "%s/output", t->dir);
	_cleanup_free_ char *output = read_text(path);
	if (output && *output)
		printf("output of the target:\n%s\n", output);
	fflush(stdout);
}

/* What the file holds once it exists; the target may end meanwhile. */
static char *wait_file(const struct target *t, const char *name)
{
	char path[96];
	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	for (long long start = clock_ms(); clock_ms() - start < WAIT_MS * test_patience(); nap_ms(2)) {
		bool alive = target_alive(t->pid);
		char *text = read_text(path);
		if (text && (*text || strcmp(name, "verdict")))
			return text;
		free(text);
		if (!alive)
			break;
	}
	return NULL;
}

void target_startv(struct target *t, const char *const *argv)
{
	char program[PATH_MAX], dir[64] = WORK "/target1";
	const char *full[16] = { program };
	bool interpreter = argv[0][0] == '/'; /* its script comes before the DIR */
	int n = 1;
	snprintf(program, sizeof program, "%s/selftests/programs/%s", test_build_dir(), argv[0]);
	if (interpreter) {
		full[0] = *argv++;
		snprintf(program, sizeof program, "%s/selftests/programs/%s", test_build_dir(), argv[0]);
		full[n++] = program;
	}
	full[n++] = dir;
	for (int i = 1; argv[i] && n < 15; i++)
		full[n++] = argv[i];
	for (int number = 1; access(dir, F_OK) == 0; number++)
		snprintf(dir, sizeof dir, WORK "/target%d", number);
	target_spawnv(t, full);
	CHECK_STR(t->dir, dir);
	_cleanup_free_ char *ready = wait_file(t, "ready");
	if (!ready) {
		char path[96];
		print_output(t);
		snprintf(path, sizeof path, "%s/verdict", t->dir);
		_cleanup_free_ char *verdict = read_text(path);
		if (verdict && !strncmp(verdict, "skip: ", 6))
			SKIP("%s", verdict + 6);
		FAIL("%s did not get ready: %s", argv[0], verdict ?: "no verdict");
	}
}

void target_judge(struct target *t) { target_verdict(t, "ok"); }

void target_verdict(struct target *t, const char *wanted)
{
	char path[96];
	snprintf(path, sizeof path, "%s/stop", t->dir);
	write_text(path, "");
	_cleanup_free_ char *verdict = wait_file(t, "verdict");
	if (!verdict || strcmp(verdict, wanted) != 0) {
		char state = target_state(t->pid);
		print_output(t);
		if (!verdict)
			FAIL("the program gave no verdict (state %c)", state);
		FAIL("the program noticed: %s", verdict);
	}
}

const char *ckpt_path(void)
{
	static char path[PATH_MAX];
	if (getenv("CKPT"))
		return getenv("CKPT");
	snprintf(path, sizeof path, "%s/ckpt", test_build_dir());
	return path;
}

int run_program(struct text *output, const char *path, const char *const *argv)
{
	int out[2], status = 0;
	char bytes[4096];
	need_program(path);
	CHECK_OK(pipe2(out, O_CLOEXEC));
	for (size_t i = 0; argv[i]; i++)
		printf("%s%s", i ? " " : "$ ", argv[i]);
	printf("\n");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		execv(path, (char **)argv);
		fprintf(stderr, "cannot run %s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(out[1]);
	for (ssize_t n; (n = read(out[0], bytes, sizeof bytes)) > 0;) {
		CHECK_EQ(write(STDOUT_FILENO, bytes, (size_t)n), n);
		if (output)
			text_add(output, bytes, (size_t)n);
	}
	close(out[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	int result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (result)
		printf("(status %d)\n", result);
	fflush(stdout);
	return result;
}

int ckptv(struct text *output, const char *const *argv)
{
	CHECK_OK(access(ckpt_path(), X_OK));
	return run_program(output, ckpt_path(), argv);
}

int criuv(struct text *output, const char *const *argv) { return run_program(output, ckpt_path(), argv); }

static void check_last_line(const char *dir, const char *log, const char *line)
{
	char path[96];
	snprintf(path, sizeof path, "%s/%s", dir, log);
	_cleanup_free_ char *text = read_text(path);
	CHECK(text && strlen(text) > strlen(line));
	CHECK_STR(text + strlen(text) - strlen(line), line);
}

void target_dump_by_criu(struct target *t)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	CHECK(mkdir(t->image, 0755) == 0 || errno == EEXIST);
	CHECK_EQ(criu(NULL, "dump", "-o", "dump.log", "-D", t->image, "-v4", "--pidfile", "dump.pid", "--tcp-established", "-t",
		      pid),
		 0);
	target_gone(t->pid);
	t->away = clock_ms();
	check_last_line(t->image, "dump.log", ") Dumping finished successfully\n");
}

static void write_gap(const struct target *t, int gap)
{
	char path[96], text[24];
	nap_ms(gap);
	snprintf(path, sizeof path, "%s/gap", t->dir);
	snprintf(text, sizeof text, "%lld", t->away ? clock_ms() - t->away : gap);
	write_text(path, text);
}

void target_restore_by_criu(struct target *t, int gap)
{
	char pidfile[96];
	write_gap(t, gap);
	snprintf(pidfile, sizeof pidfile, "%s/restore.pid", t->image);
	CHECK_EQ(criu(NULL, "restore", "-o", "restore.log", "-D", t->image, "-v4", "--pidfile", "restore.pid",
		      "--tcp-established", "--restore-detached"),
		 0);
	check_last_line(t->image, "restore.log", ") Restore finished successfully. Tasks resumed.\n");
	_cleanup_free_ char *pid = read_text(pidfile);
	char want[16];
	snprintf(want, sizeof want, "%d", t->pid);
	CHECK_STR(pid ?: "no pidfile", want);
}

static void dump_saying(struct target *t, struct text *output, bool leave_running)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", t->pid);
	CHECK_EQ(ckpt(output, "dump", pid, t->image, leave_running ? "--leave-running" : NULL), 0);
	if (leave_running)
		CHECK(target_alive(t->pid));
	else
		target_gone(t->pid);
	t->away = clock_ms();
}

void target_dump(struct target *t, bool leave_running) { dump_saying(t, NULL, leave_running); }

void target_dump_warns(struct target *t, const char *words, bool leave_running)
{
	_cleanup_text_ struct text output = { 0 };
	dump_saying(t, &output, leave_running);
	CHECK_CONTAINS(output.data, words);
}

void target_restore(struct target *t, int gap)
{
	char pidfile[96];
	write_gap(t, gap);
	snprintf(pidfile, sizeof pidfile, "%s.pid", t->image);
	unlink(pidfile);
	CHECK_EQ(ckpt(NULL, "restore", t->image, "-d", "--pidfile", pidfile), 0);
	_cleanup_free_ char *pid = read_text(pidfile);
	CHECK(pid != NULL);
	CHECK_EQ(atoi(pid), t->pid);
	CHECK(target_alive(t->pid) || access(t->dir, F_OK) == 0);
}

/* A program that waits does so in many short sleeps: it may be met between two of them, where its registers are others. */
#define COMPARE_TRIES 5

void target_compare(struct target *t)
{
	char pid[16], again[112];
	snprintf(pid, sizeof pid, "%d", t->pid);
	for (int i = 1;; i++) {
		snprintf(again, sizeof again, "%s.again%d", t->image, i);
		CHECK_EQ(ckpt(NULL, "dump", pid, again, "--leave-running"), 0);
		if (!ckpt(NULL, "diff", t->image, again))
			return;
		if (i == COMPARE_TRIES) /* it was the first image that met it there; registers are proven at the restore */
			break;
	}
	CHECK_EQ(ckpt(NULL, "diff", "--ignore", "thread.registers,thread.extended,thread.call", t->image, again), 0);
}
