// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the checking of whole files, on several threads: all at once, or behind the caller's back. */
#include "base/parallel.h"
#include "diag/diag.h"
#include "image/reader.h"

#define UNIT_CHUNKS 64 /* one window of the reader */
#define THREADS_MAX 8

/* Chunks of files [first, end) in units; threads take the next unit until none is left. */
struct image_verification {
	struct image *image;
	size_t first, end;
	u64 next;   /* unit, counted over all files */
	int result; /* the first failure */
	unsigned n;
	pthread_t thread[THREADS_MAX];
};

static u64 file_units(const struct image *image, size_t i)
{
	u64 chunks = image_chunks(image->manifest->file[i]->size);
	return chunks / UNIT_CHUNKS + (chunks % UNIT_CHUNKS != 0);
}

static u64 all_units(const struct image_verification *v)
{
	u64 n = 0;
	for (size_t i = v->first; i < v->end; i++)
		n += file_units(v->image, i);
	return n;
}

static void keep_result(struct image_verification *v, int r)
{
	int none = 0;
	if (r < 0)
		__atomic_compare_exchange_n(&v->result, &none, r, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* The units of one thread only grow, so its place among the files only moves on. */
static int verify_units(void *arg)
{
	struct image_verification *v = arg;
	size_t file = v->first;
	u64 before = 0; /* units of the files before this one */
	_cleanup_free_ void *buffer = malloc(IMAGE_STEP);
	if (!buffer) {
		keep_result(v, fail_memory());
		return -ENOMEM;
	}
	for (;;) {
		u64 unit = __atomic_fetch_add(&v->next, 1, __ATOMIC_RELAXED);
		while (file < v->end && unit - before >= file_units(v->image, file))
			before += file_units(v->image, file++);
		if (file == v->end)
			return 0;
		keep_result(v, image_check_chunks(v->image, file, (unit - before) * UNIT_CHUNKS, UNIT_CHUNKS, buffer));
	}
}

static unsigned useful_threads(const struct image_verification *v)
{
	return (unsigned)MIN((u64)parallel_cpus(THREADS_MAX), MAX(all_units(v), (u64)1));
}

int image_verify(struct image *image)
{
	struct image_verification v = { .image = image, .end = image->manifest->n_file };
	keep_result(&v, image_check_files(image));
	int r = parallel_run(useful_threads(&v), verify_units, &v);
	return v.result ? v.result : r;
}

int image_verify_chunks(struct image *image, const char *name, u64 first, u64 count)
{
	_cleanup_free_ void *buffer = malloc(IMAGE_STEP);
	if (!buffer)
		return fail_memory();
	int fd = image_file_fd(image, name, NULL);
	return fd < 0 ? fd : image_check_chunks(image, (size_t)image_index(image, name), first, count, buffer);
}

static void *verify_thread(void *arg)
{
	verify_units(arg);
	return NULL;
}

int image_verify_start(struct image_verification **ret, struct image *image, const char *name)
{
	int fd = image_file_fd(image, name, NULL);
	if (fd < 0)
		return fd;
	struct image_verification *v = calloc(1, sizeof *v);
	if (!v)
		return fail_memory();
	v->image = image;
	v->first = (size_t)image_index(image, name);
	v->end = v->first + 1;
	unsigned want = all_units(v) > 1 ? useful_threads(v) : 0; /* a little is checked by join itself */
	while (v->n < want && parallel_thread(&v->thread[v->n], verify_thread, v) == 0)
		v->n++;
	*ret = v;
	return 0;
}

/* The caller helps with what is left, so it is complete even when no thread could be made. */
int image_verify_join(struct image_verification *v)
{
	if (!v)
		return 0;
	int r = verify_units(v);
	for (unsigned i = 0; i < v->n; i++)
		pthread_join(v->thread[i], NULL);
	r = v->result ? v->result : r;
	free(v);
	return r;
}
