// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the way of memory into an image: processes are read from outside, chunk by chunk, on several threads; each chunk is
 * hashed while it is in the cache. */
#include "base/file.h"
#include "base/parallel.h"
#include "diag/diag.h"
#include "memory/memory.h"
#include "memory/pagemap.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

#define PAGES_FILE "pages"
#define BATCH_CHUNKS 1 /* more at once become larger folios, which the page cache finds less easily */
#define BATCH ((u64)BATCH_CHUNKS * IMAGE_CHUNK)
#define INLINE_MAX (1u << 20) /* less than this is not worth a thread */
#define THREADS_MAX 8

/* A range of the pages file and where its bytes come from. */
struct piece {
	u64 offset, len, address;
	const struct memory_job *job;
};

struct store {
	struct image_writer *writer;
	int fd;
	u64 size;
	VECTOR(struct piece) pieces; /* ascending; gaps are zeros */
	u64 next;                    /* batch that no thread has taken yet */
	bool failed;
};

/* What one thread keeps: its buffer, its place among the pieces, the open /proc/PID/mem and pagemap of one process, and the open file of
 * one job. */
struct reader {
	struct store *store;
	u8 *buffer;
	size_t piece;
	pid_t pid;
	int mem, pagemap;
	const struct memory_job *job;
	int file;
};

static int lay_out_run(struct store *s, const struct memory_job *job, struct page_run *run, struct memory_stats *stats)
{
	if (run->flags & PAGES_ELSEWHERE) {
		run->offset = 0;
		stats->inherited += run->flags & PAGES_INHERITED ? run->len : 0;
		return 0;
	}
	run->offset = ALIGN_UP(s->size, PAGE_BYTES);
	if (run->len == 0)
		return 0;
	struct piece *piece = vector_add(&s->pieces);
	if (!piece)
		return fail_memory();
	*piece = (struct piece){ run->offset, run->len, run->start, job };
	s->size = run->offset + run->len;
	stats->bytes += run->len;
	return 0;
}

static int lay_out(struct store *s, struct memory_job *jobs, size_t count, struct memory_stats *stats)
{
	int r = 0;
	for (size_t j = 0; j < count; j++)
		for (u32 i = 0; i < jobs[j].pages->count && r == 0; i++)
			r = lay_out_run(s, &jobs[j], (struct page_run *)jobs[j].pages->data + i, stats);
	return r;
}

static int read_failed(const struct piece *piece, u64 address, int err)
{
	if (!piece->job->pid) {
		WORKING_ON("shared memory at offset %llx", (unsigned long long)address);
		return fail(MEMORY_READ, err, "%s", err == -ENODATA ? "it ends there" : "pread");
	}
	WORKING_ON_TASK(piece->job->pid);
	if (err == -EPERM || err == -EACCES)
		return fail(MEMORY_DENIED, err, "process_vm_readv");
	if (err == -ESRCH)
		return fail(TASK_RACED, err, "it ended while its memory was read");
	WORKING_ON_VMA(piece->address, piece->address + piece->len);
	return fail(MEMORY_READ, err, "the page at %llx", (unsigned long long)ALIGN_DOWN(address, PAGE_BYTES));
}

static int open_of(pid_t pid, const char *name)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void open_process(struct reader *r, pid_t pid)
{
	if (r->pid == pid)
		return;
	closep(&r->mem);
	closep(&r->pagemap);
	r->pid = pid;
	r->mem = open_of(pid, "mem");
	r->pagemap = open_of(pid, "pagemap");
}

/* process_vm_readv pins what it reads, and a pin makes the kernel copy a page that is shared by copy-on-write
 * (gup_must_unshare(), since 5.19): the target would grow by all that it shares. /proc/PID/mem pins nothing. */
static bool must_not_pin(const struct reader *r, u64 address, size_t len)
{
	u64 entries[IMAGE_CHUNK / PAGE_BYTES + 1];
	size_t n = MIN((len + PAGE_BYTES - 1) / PAGE_BYTES, ARRAY_SIZE(entries));
	off_t at = (off_t)(address / PAGE_BYTES * sizeof *entries);
	if (r->pagemap < 0 || pread(r->pagemap, entries, n * sizeof *entries, at) != (ssize_t)(n * sizeof *entries))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(entries[i] & PM_EXCLUSIVE))
			return true;
	return false;
}

/* /proc/PID/mem also reads what the process itself may not (PROT_NONE). */
static int read_mem(struct reader *r, const struct piece *piece, u64 address, void *to, size_t len)
{
	if (r->mem < 0)
		return read_failed(piece, address, -EFAULT);
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(r->mem, (u8 *)to + done, len - done, (off_t)(address + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return read_failed(piece, address + done, n < 0 ? neg_errno() : -EIO);
		done += (size_t)n;
	}
	return 0;
}

/* Drops the first bytes of a vector; the number of items that are used up. */
static size_t advance(struct iovec *v, size_t n, size_t bytes)
{
	size_t i = 0;
	for (; i < n && bytes >= v[i].iov_len; i++)
		bytes -= v[i].iov_len;
	if (i < n) {
		v[i].iov_base = (u8 *)v[i].iov_base + bytes;
		v[i].iov_len -= bytes;
	}
	return i;
}

/* How many of the ranges, from the first on, process_vm_readv may read without changing the target. */
static size_t pinnable(const struct reader *r, const struct iovec *remote, size_t n)
{
	size_t i = 0;
	while (i < n && !must_not_pin(r, (u64)(uintptr_t)remote[i].iov_base, remote[i].iov_len))
		i++;
	return i;
}

/* Reads pieces [first, first + n) of one process; what process_vm_readv may not read goes by /proc/PID/mem. */
static int read_vm(struct reader *r, size_t first, struct iovec *remote, size_t n, u8 *to)
{
	size_t left = 0;
	open_process(r, r->store->pieces.v[first].job->pid);
	for (size_t i = 0; i < n; i++)
		left += remote[i].iov_len;
	for (size_t i = 0, pin = 0; i < n;) {
		if (pin <= i)
			pin = i + pinnable(r, remote + i, n - i);
		const struct piece *piece = &r->store->pieces.v[first + i];
		u64 address = (u64)(uintptr_t)remote[i].iov_base;
		struct iovec local = { to, left };
		ssize_t got = pin > i ? process_vm_readv(piece->job->pid, &local, 1, remote + i, pin - i, 0) : 0;
		if (got < 0 && errno != EFAULT && errno != EIO && errno != ENOSYS)
			return read_failed(piece, address, neg_errno());
		if (got <= 0) {
			got = (ssize_t)remote[i].iov_len;
			int err = read_mem(r, piece, address, to, (size_t)got);
			if (err < 0)
				return err;
		}
		to += got;
		left -= (size_t)got;
		i += advance(remote + i, n - i, (size_t)got);
	}
	return 0;
}

static int file_of(struct reader *r, const struct memory_job *job)
{
	if (job->fd >= 0 || r->job == job)
		return job->fd >= 0 ? job->fd : r->file;
	closep(&r->file);
	r->file = file_open_unnoticed(job->holder, job->place);
	r->job = job;
	return r->file;
}

static int read_file(struct reader *r, const struct piece *piece, u64 address, u8 *to, size_t len)
{
	size_t done = 0;
	int fd = file_of(r, piece->job);
	if (fd < 0)
		return read_failed(piece, address, fd);
	while (done < len) {
		ssize_t n = pread(fd, to + done, len - done, (off_t)(address + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return read_failed(piece, address + done, neg_errno());
		if (n == 0)
			break;
		done += (size_t)n;
	}
	if (len - done >= PAGE_BYTES)
		return read_failed(piece, address + done, -ENODATA);
	memset(to + done, 0, len - done);
	return 0;
}

/* Reads pieces [first, first + n), the parts of them in remote, one after the other into the buffer. */
static int read_pieces(struct reader *r, size_t first, struct iovec *remote, size_t n, u8 *to)
{
	const struct piece *pieces = r->store->pieces.v;
	if (pieces[first].job->pid)
		return read_vm(r, first, remote, n, to);
	for (size_t i = 0; i < n; to += remote[i++].iov_len) {
		int err = read_file(r, &pieces[first + i], (u64)(uintptr_t)remote[i].iov_base, to, remote[i].iov_len);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Fills [from, to) of the file, at most one chunk: a piece begins at a page, so the vector is never full. */
static int gather(struct reader *r, u64 from, u64 to, u8 *to_buffer)
{
	const struct store *s = r->store;
	const struct piece *pieces = s->pieces.v;
	while (pieces[r->piece].offset + pieces[r->piece].len <= from)
		r->piece++;
	size_t i = r->piece;
	for (u64 at = from; at < to;) {
		if (pieces[i].offset > at) {
			u64 gap = MIN(pieces[i].offset, to) - at;
			memset(to_buffer + (at - from), 0, gap);
			at += gap;
			continue;
		}
		struct iovec remote[IMAGE_CHUNK / PAGE_BYTES + 2];
		size_t first = i, n = 0;
		u64 begin = at;
		for (; at < to && i < s->pieces.n && pieces[i].job == pieces[first].job && pieces[i].offset <= at; i++) {
			u64 len = MIN(pieces[i].offset + pieces[i].len, to) - at;
			remote[n++] = (struct iovec){ (void *)(uintptr_t)(pieces[i].address + (at - pieces[i].offset)), len };
			at += len;
		}
		int err = read_pieces(r, first, remote, n, to_buffer + (begin - from));
		if (err < 0)
			return err;
	}
	return 0;
}

static int copy_batch(struct reader *r, u64 from, u64 to)
{
	struct store *s = r->store;
	for (u64 at = from; at < to; at += IMAGE_CHUNK) {
		u64 end = MIN(at + IMAGE_CHUNK, to);
		u8 *chunk = r->buffer + (at - from);
		int err = gather(r, at, end, chunk);
		if (err < 0)
			return err;
		image_set_chunk(s->writer, PAGES_FILE, at / IMAGE_CHUNK, image_hash(chunk, end - at));
	}
	int err = file_pwrite_full(s->fd, r->buffer, to - from, (off_t)from);
	if (err < 0) {
		WORKING_ON("file " PAGES_FILE " of the image");
		return fail(IMAGE_WRITE, err, "bytes %llu-%llu of %llu", (unsigned long long)from, (unsigned long long)to,
			    (unsigned long long)s->size);
	}
	return 0;
}

static int copy(void *arg)
{
	struct store *s = arg;
	_cleanup_free_ u8 *buffer = malloc(MIN(BATCH, s->size));
	struct reader r = { .store = s, .buffer = buffer, .mem = -1, .pagemap = -1, .file = -1 };
	int err = 0;
	if (!buffer)
		return fail_memory();
	while (err == 0 && !__atomic_load_n(&s->failed, __ATOMIC_RELAXED)) {
		u64 from = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED) * BATCH;
		if (from >= s->size)
			break;
		err = copy_batch(&r, from, MIN(from + BATCH, s->size));
		diag_progress(from >> 20, s->size >> 20, "MiB");
	}
	if (err < 0)
		__atomic_store_n(&s->failed, true, __ATOMIC_RELAXED);
	closep(&r.mem);
	closep(&r.pagemap);
	closep(&r.file);
	return err;
}

static int store(struct store *s, struct memory_job *jobs, size_t count, struct memory_stats *stats)
{
	int r = lay_out(s, jobs, count, stats);
	if (r < 0)
		return r;
	r = image_file(s->writer, PAGES_FILE, s->size, &s->fd);
	if (r < 0 || s->size == 0)
		return r;
	u64 batches = (s->size + BATCH - 1) / BATCH;
	return parallel_run(s->size < INLINE_MAX ? 1 : parallel_cpus((unsigned)MIN(batches, (u64)THREADS_MAX)), copy, s);
}

int memory_store(struct image_writer *writer, struct memory_job *jobs, size_t count, struct memory_stats *ret)
{
	struct store s = { .writer = writer, .fd = -1 };
	struct memory_stats stats = { 0 };
	int r = store(&s, jobs, count, &stats);
	vector_free(&s.pieces);
	if (r == 0 && ret)
		*ret = stats;
	return r;
}
