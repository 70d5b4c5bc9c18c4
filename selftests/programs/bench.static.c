// SPDX-License-Identifier: LGPL-2.1-or-later
/* bench threads N | bench heap MEGABYTES: what `make bench` dumps; closes descriptor 9 when it is ready and then does nothing. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1;
	pthread_t thread;
	if (argc > 1 && !strcmp(argv[1], "threads")) {
		for (int i = 1; i < n; i++)
			if (pthread_create(&thread, NULL, wait_forever, NULL))
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
