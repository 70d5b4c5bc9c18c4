// SPDX-License-Identifier: LGPL-2.1-or-later
/* usage: leg FIRST LAST PROGRAM...   one leg of a journey from kernel to kernel, inside of a test machine. Programs that the leg
 * before has left in the memory that all machines share (unless FIRST is 1) are restored; one asks for their verdicts. Then each
 * is started anew and dumped into that memory for the leg to come (unless LAST is 1). A PROGRAM with "+" behind its name travels:
 * it is dumped again as it came, and judges itself at the end. Prints "@@PROGRAM ok", "goes on" or what went wrong for each that came. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE "/carried"
#define PYTHON "/usr/bin/python3"
#define FIRST_PID 20000 /* that no process of a machine has; each program gets some of its own */
#define PIDS_EACH 100
#define PATIENCE 6000 /* times 20 ms */
#define DEVICES "/sys/bus/pci/devices"

struct program {
	char name[64], dir[128], image[160], next[160];
	int travels, lost, index;
};

static int exists(const char *path) { return access(path, F_OK) == 0; }

static void complain(const struct program *p, const char *what) { printf("@@%s %s\n", p->name, what); }

static int run(const char *const *argv)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("leg: %s: %m\n", path);
	close(fd);
}

static ssize_t read_file(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);
	text[n < 0 ? 0 : n] = 0;
	close(fd);
	return n;
}

static pid_t first_pid(const struct program *p) { return FIRST_PID + PIDS_EACH * p->index + 1; }

static int wait_for(const char *path)
{
	for (int i = 0; i < PATIENCE && !exists(path); i++)
		usleep(20000);
	return exists(path);
}

/* --- the memory that all machines share: a PCI device whose BAR 2 it is --- */

struct shared {
	char *at;
	size_t size;
};

static int is_device(const char *name)
{
	char path[PATH_MAX], vendor[16], device[16];
	snprintf(path, sizeof(path), DEVICES "/%s/vendor", name);
	read_file(path, vendor, sizeof(vendor));
	snprintf(path, sizeof(path), DEVICES "/%s/device", name);
	read_file(path, device, sizeof(device));
	return !strcmp(vendor, "0x1af4\n") && !strcmp(device, "0x1110\n");
}

/* Unaligned accesses are allowed where writes may be combined. */
static struct shared map_device(const char *name)
{
	struct shared s = { NULL, 0 };
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), DEVICES "/%s/enable", name);
	write_file(path, "1");
	snprintf(path, sizeof(path), DEVICES "/%s/resource2_wc", name);
	if (!exists(path))
		path[strlen(path) - strlen("_wc")] = 0;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return s;
	s.size = (size_t)st.st_size;
	s.at = mmap(NULL, s.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return s.at == MAP_FAILED ? (struct shared){ NULL, 0 } : s;
}

static struct shared find_shared(void)
{
	struct shared s = { NULL, 0 };
	DIR *d = opendir(DEVICES);
	for (struct dirent *e; d && !s.at && (e = readdir(d));)
		if (e->d_name[0] != '.' && is_device(e->d_name))
			s = map_device(e->d_name);
	if (d)
		closedir(d);
	return s;
}

/* Files one behind the other, each with this before it; a path of no length ends them. */
struct entry {
	uint64_t path_len, size;
	struct timespec changed;
};

#define PADDED(n) (((n) + 7) & ~(uint64_t)7)

static int pack_file(struct shared *s, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	struct entry e = { strlen(path) + 1, (uint64_t)st.st_size, st.st_mtim };
	uint64_t need = sizeof(e) + PADDED(e.path_len) + PADDED(e.size);
	if (need + sizeof(e) > s->size)
		return -1;
	memcpy(s->at, &e, sizeof(e));
	memcpy(s->at + sizeof(e), path, e.path_len);
	char *to = s->at + sizeof(e) + PADDED(e.path_len), *end = to + e.size;
	for (char buffer[65536]; to < end;) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		if (n <= 0)
			return -1;
		memcpy(to, buffer, (size_t)n);
		to += n;
	}
	close(fd);
	s->at += need;
	s->size -= need;
	memset(s->at, 0, sizeof(e));
	return 0;
}

/* A directory and those below it. */
static int pack(struct shared *s, const char *dir)
{
	int r = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && r == 0 && (e = readdir(d));) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			r = pack(s, path);
		else if (e->d_type == DT_REG)
			r = pack_file(s, path);
	}
	if (d)
		closedir(d);
	return r;
}

static void make_directories(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = 0;
		mkdir(path, 0700);
	}
}

static void unpack(struct shared s)
{
	for (struct entry e; memcpy(&e, s.at, sizeof(e)), e.path_len;) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s", s.at + sizeof(e));
		make_directories(path);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		const char *from = s.at + sizeof(e) + PADDED(e.path_len);
		for (uint64_t done = 0; done < e.size;) { /* the kernel does not write from a device's memory */
			char buffer[65536];
			size_t len = e.size - done < sizeof(buffer) ? e.size - done : sizeof(buffer);
			memcpy(buffer, from + done, len);
			if (write(fd, buffer, len) != (ssize_t)len)
				break;
			done += len;
		}
		futimens(fd, (struct timespec[2]){ e.changed, e.changed });
		close(fd);
		s.at += sizeof(e) + PADDED(e.path_len) + PADDED(e.size);
	}
}

/* --- programs --- */

static struct program describe(const char *name, int index)
{
	struct program p = { .index = index };
	snprintf(p.name, sizeof(p.name), "%s", name);
	p.travels = p.name[strlen(p.name) - 1] == '+';
	if (p.travels)
		p.name[strlen(p.name) - 1] = 0;
	snprintf(p.dir, sizeof(p.dir), PLACE "/%s", p.name);
	snprintf(p.image, sizeof(p.image), "%s/image", p.dir);
	snprintf(p.next, sizeof(p.next), "%s/next", p.dir);
	return p;
}

static void path_of(const struct program *p, const char *file, char *path, size_t room)
{
	snprintf(path, room, "%s/%s", p->dir, file);
}

static void start_over(const struct program *p)
{
	const char *const argv[] = { "/usr/bin/rm", "-rf", p->dir, NULL };
	if (exists(p->dir) && run(argv))
		complain(p, "the traces of the one before stay");
	mkdir(PLACE, 0700);
	mkdir(p->dir, 0700);
}

static void start(struct program *p)
{
	char path[256], ready[160], pid[16];
	start_over(p);
	snprintf(pid, sizeof(pid), "%d", first_pid(p) - 1);
	write_file("/proc/sys/kernel/ns_last_pid", pid);
	snprintf(path, sizeof(path), "/build/selftests/programs/%s", p->name);
	path_of(p, "ready", ready, sizeof(ready));
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
		setsid();
		if (strstr(path, ".py"))
			execl(PYTHON, PYTHON, path, p->dir, NULL);
		execl(path, path, p->dir, NULL);
		_exit(127);
	}
	p->lost = !wait_for(ready);
	if (p->lost)
		complain(p, "did not become ready");
}

/* Who failed before it was asked has left word. */
static void complain_of_end(const struct program *p, const char *what)
{
	char text[1024], path[160];
	path_of(p, "verdict", path, sizeof(path));
	complain(p, read_file(path, text, sizeof(text)) > 0 ? text : what);
}

static void dump(struct program *p)
{
	char pid[16];
	const char *const argv[] = { "/build/ckpt", "dump", pid, p->next, NULL };
	const char *const away[] = { "/usr/bin/rm", "-rf", p->image, NULL };
	snprintf(pid, sizeof(pid), "%d", first_pid(p));
	p->lost = run(argv) != 0;
	if (p->lost)
		complain_of_end(p, "was not dumped");
	if (exists(p->image))
		run(away);
	rename(p->next, p->image);
}

static void restore(struct program *p)
{
	const char *const argv[] = { "/build/ckpt", "restore", p->image, "-d", NULL };
	p->lost = !exists(p->image) || run(argv) != 0;
	if (p->lost)
		complain(p, "was not restored");
}

static void judge(struct program *p)
{
	char text[1024] = "no verdict", path[160];
	usleep(300000);
	path_of(p, "stop", path, sizeof(path));
	write_file(path, "");
	path_of(p, "verdict", path, sizeof(path));
	if (wait_for(path)) {
		usleep(100000);
		read_file(path, text, sizeof(text));
	}
	for (int i = 0; i < PATIENCE && kill(first_pid(p), 0) == 0; i++) /* whoever is started anew gets its id */
		usleep(20000);
	p->lost = strcmp(text, "ok") != 0;
	complain(p, text);
}

static void arrive(struct program *p, int last)
{
	restore(p);
	if (!p->lost && (last || !p->travels))
		judge(p);
}

/* Who does not travel, or got lost, is started anew. */
static void depart(struct program *p, int first, struct shared *shared)
{
	int goes_on = !first && p->travels && !p->lost;
	p->lost = 0;
	if (!goes_on)
		start(p);
	if (!p->lost)
		dump(p);
	if (!p->lost && pack(shared, p->dir) < 0)
		complain(p, "does not fit into the memory that is shared");
	else if (!p->lost && goes_on)
		complain(p, "goes on");
}

static int leg(int first, int last, char **names, int count)
{
	struct shared shared = find_shared();
	int lost = 0;
	if (!shared.at) {
		printf("leg: no memory is shared here\n");
		return 1;
	}
	if (!first)
		unpack(shared);
	memset(shared.at, 0, sizeof(struct entry));
	for (int i = 0; i < count; i++) {
		struct program p = describe(names[i], i);
		if (!first)
			arrive(&p, last);
		lost += p.lost;
		if (!last)
			depart(&p, first, &shared);
		lost += !last && p.lost;
	}
	return lost != 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	return argc < 4 ? 2 : leg(atoi(argv[1]), atoi(argv[2]), argv + 3, argc - 3);
}
