// SPDX-License-Identifier: LGPL-2.1-or-later
/* bench threads N | processes N | descriptors N | mappings N | heap MEGABYTES: what `make bench` dumps; closes descriptor 9 when
 * it is ready and then does nothing. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void *wait_forever(void *arg)
{
	while (pause())
		;
	return arg;
}

/* Contents that no page shares with another, as a real heap has. */
static void fill(uint64_t *words, size_t n)
{
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		words[i] = x;
	}
}

static int processes(int n)
{
	for (int i = 1; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0) {
			close(9);
			return wait_forever(NULL) != NULL;
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
		static const char *const paths[] = { "/dev/null", "/dev/zero", "/etc/passwd", "/etc/group", "/" };
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

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1;
	pthread_t thread;
	if (argc > 1 && !strcmp(argv[1], "threads")) {
		for (int i = 1; i < n; i++)
			if (pthread_create(&thread, NULL, wait_forever, NULL))
				return 1;
	} else if (argc > 1 && !strcmp(argv[1], "processes")) {
		if (processes(n))
			return 1;
	} else if (argc > 1 && !strcmp(argv[1], "descriptors")) {
		if (descriptors(n))
			return 1;
	} else if (argc > 1 && !strcmp(argv[1], "mappings")) {
		if (mappings(n))
			return 1;
	} else {
		size_t size = (size_t)n << 20;
		uint64_t *heap = malloc(size);
		if (!heap)
			return 1;
		fill(heap, size / sizeof *heap);
	}
	close(9);
	return wait_forever(NULL) != NULL;
}
