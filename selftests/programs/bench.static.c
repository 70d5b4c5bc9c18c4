// SPDX-License-Identifier: LGPL-2.1-or-later
/* bench threads N | processes N | descriptors N | mappings N | heap MEGABYTES: what `make bench` dumps. It tells on descriptor 9
 * how many milliseconds it took to make all that, closes it when it is ready, and then does nothing. The references, which are
 * told there too: with `fork` behind it, how long its fork() takes; heap MEGABYTES write PATH, how long its bytes take into one
 * file per processor; read MEGABYTES PATH, how long those take back into huge pages. `bench empty` ends at once. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TELL 9
#define HUGE (2u << 20)
#define PARTS_MAX 64

static char *heap;
static size_t heap_size;

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *wait_forever(void *arg)
{
	while (pause())
		;
	return arg;
}

static int threads(int n)
{
	pthread_t thread;
	for (int i = 1; i < n; i++)
		if (pthread_create(&thread, NULL, wait_forever, NULL))
			return 1;
	return 0;
}

static int processes(int n)
{
	for (int i = 1; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0) {
			close(TELL);
			wait_forever(NULL);
		}
	}
	return 0;
}

/* Open files of their own, of few paths: the file system is not what is measured. */
static int descriptors(int n)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < n; i++) {
		static const char *const paths[] = { "/dev/null", "/dev/zero", "/usr/bin/sleep", "/usr/bin", "/" };
		if (open(paths[i % 5], O_RDONLY) < 0)
			return 1;
	}
	return 0;
}

/* Neighbours of different protection do not merge; every second one has a page of its own. */
static int mappings(int n)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, (size_t)n * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return 1;
	for (int i = 0; i < n; i += 2) {
		at[i * page] = 1;
		if (mprotect(at + i * page, (size_t)page, PROT_READ))
			return 1;
	}
	return 0;
}

/* Contents that no page shares with another, as a real heap has. */
static int fill_heap(int megabytes)
{
	heap_size = (size_t)megabytes << 20;
	heap = malloc(heap_size);
	if (!heap)
		return 1;
	uint64_t *words = (uint64_t *)heap, x = 88172645463325252u;
	for (size_t i = 0; i < heap_size / sizeof *words; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
	return 0;
}

static int fork_once(void)
{
	double start = now_ms();
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	dprintf(TELL, "fork %.3f\n", now_ms() - start);
	return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

/* A processor's share of the heap, and the file that has it. */
struct part {
	char path[256];
	char *at;
	size_t size;
	ssize_t (*transfer)(int fd, void *at, size_t n, off_t offset);
	int failed;
};

static ssize_t put(int fd, void *at, size_t n, off_t offset) { return pwrite(fd, at, n, offset); }

static void *transfer_part(void *arg)
{
	struct part *p = arg;
	int fd = open(p->path, p->transfer == put ? O_WRONLY | O_CREAT : O_RDONLY, 0600);
	p->failed = fd < 0;
	for (size_t done = 0; done < p->size && !p->failed; done += HUGE) {
		size_t n = p->size - done < HUGE ? p->size - done : HUGE;
		p->failed = p->transfer(fd, p->at + done, n, (off_t)done) != (ssize_t)n;
	}
	close(fd);
	return NULL;
}

static int transfer(const char *path, ssize_t (*how)(int, void *, size_t, off_t))
{
	struct part parts[PARTS_MAX] = { 0 };
	pthread_t workers[PARTS_MAX];
	size_t online = (size_t)sysconf(_SC_NPROCESSORS_ONLN), n = online < PARTS_MAX ? online : PARTS_MAX;
	size_t share = (heap_size / n + HUGE - 1) & -(size_t)HUGE;
	int failed = 0;
	for (size_t i = 0; i < n; i++) {
		size_t from = i * share < heap_size ? i * share : heap_size;
		parts[i].at = heap + from;
		parts[i].size = heap_size - from < share ? heap_size - from : share;
		parts[i].transfer = how;
		snprintf(parts[i].path, sizeof parts[i].path, "%s.%zu", path, i);
		if (pthread_create(&workers[i], NULL, transfer_part, &parts[i]))
			return 1;
	}
	for (size_t i = 0; i < n; i++) {
		pthread_join(workers[i], NULL);
		failed |= parts[i].failed;
	}
	return failed;
}

static int write_heap(const char *path)
{
	double start = now_ms();
	int failed = transfer(path, put);
	dprintf(TELL, "pwrite %.3f\n", now_ms() - start);
	return failed;
}

static int read_heap(int megabytes, const char *path)
{
	double start = now_ms();
	heap_size = (size_t)megabytes << 20;
	char *memory = mmap(NULL, heap_size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	heap = (char *)(((uintptr_t)memory + HUGE - 1) & -(uintptr_t)HUGE);
	madvise(heap, heap_size, MADV_HUGEPAGE);
	int failed = transfer(path, pread);
	dprintf(TELL, "pread %.3f\n", now_ms() - start);
	return failed;
}

static int make(const char *mode, int n)
{
	static const struct {
		const char *mode;
		int (*make)(int n);
	} modes[] = { { "threads", threads },
		      { "processes", processes },
		      { "descriptors", descriptors },
		      { "mappings", mappings },
		      { "heap", fill_heap } };
	double start = now_ms();
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(mode, modes[i].mode))
			continue;
		int failed = modes[i].make(n);
		dprintf(TELL, "made %.3f\n", now_ms() - start);
		return failed;
	}
	return 1;
}

static int refer(char **argv)
{
	if (argv[3] && !strcmp(argv[3], "fork"))
		return fork_once();
	if (argv[3] && !strcmp(argv[3], "write") && argv[4])
		return write_heap(argv[4]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return argc != 2 || strcmp(argv[1], "empty");
	int n = atoi(argv[2]), failed;
	if (!strcmp(argv[1], "read"))
		failed = argc < 4 || read_heap(n, argv[3]);
	else
		failed = make(argv[1], n) || refer(argv);
	if (failed)
		return 1;
	close(TELL);
	return wait_forever(NULL) != NULL;
}
