// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of memory: the pages of a child are found by both ways alike, and arrive in the image as they were. */
#include "harness/test.h"
#include "base/file.h"
#include "base/parallel.h"
#include "collect/proc_text.h"
#include "diag/diag.h"
#include "memory/memory.h"
#include "memory/pagemap.h"
#include "model/vma.h"
#include "record.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define P PAGE_BYTES
#define HUGE (2ul << 20)

static const struct caps by_entries; /* no capability at all */
static const struct caps by_scan = { .state[CAN_PAGEMAP_SCAN].answer = CAP_YES };

/* Stops the child where it is until the test ends. */
static void stay(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	raise(SIGSTOP);
	_exit(0);
}

static pid_t wait_stopped(pid_t pid)
{
	int status;
	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	return pid;
}

static void end(pid_t pid)
{
	CHECK(pid > 1);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static int open_pagemap(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
	return (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
}

static bool scan_is_there(void)
{
	struct scan_arg arg = { .size = sizeof arg };
	_cleanup_close_ int pagemap = open_pagemap(getpid());
	return ioctl(pagemap, IOCTL_PAGEMAP_SCAN, &arg) == 0;
}

/* Runs of [start, start+len) of a process as text: first-end in pages, ~ marks inherited ones. */
static void runs_text(const struct caps *caps, pid_t pid, pid_t parent, const void *start, size_t len, struct text *t)
{
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_close_ int own = open_pagemap(pid), above = parent ? open_pagemap(parent) : -1;
	struct object *pages = graph_add(&g, &kind_pages, 1);
	u64 at = (u64)(uintptr_t)start;
	CHECK_OK(memory_scan(caps, own, parent ? above : 0, at, at + len, pages));
	struct page_run *run = pages->data;
	for (u32 i = 0; i < pages->count; i++)
		text_addf(t, "%s%llu-%llu%s", i ? " " : "", (unsigned long long)(run[i].start - at) / P,
			  (unsigned long long)(run[i].start + run[i].len - at) / P,
			  run[i].flags & PAGES_INHERITED ? "~"
			  : run[i].flags & PAGES_GUARD   ? "!"
							 : "");
	text_adds(t, "");
}

/* Both ways must give the expected runs; which = 0: only that they agree. */
static void check_runs(pid_t pid, pid_t parent, const void *start, size_t len, const char *expected)
{
	_cleanup_text_ struct text entries = { 0 }, scan = { 0 };
	runs_text(&by_entries, pid, parent, start, len, &entries);
	if (expected)
		CHECK_STR(entries.data, expected);
	if (!scan_is_there())
		return;
	runs_text(&by_scan, pid, parent, start, len, &scan);
	CHECK_STR(scan.data, entries.data);
}

static char *map(size_t len, int prot, int flags, int fd)
{
	char *p = mmap(NULL, len, prot, flags, fd, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static char *map_anon(size_t len) { return map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1); }

static int make_file(size_t len)
{
	int fd = (int)CHECK_OK(memfd_create("pages", MFD_CLOEXEC));
	CHECK_OK(ftruncate(fd, (off_t)len));
	for (size_t at = 0; at < len; at += P)
		CHECK_OK(file_pwrite_full(fd, &at, sizeof at, (off_t)at));
	return fd;
}

/* May this process see frames? */
static bool sees_frames(void)
{
	u64 entry;
	_cleanup_close_ int pagemap = open_pagemap(getpid());
	CHECK_OK(file_pread_full(pagemap, &entry, sizeof entry, (off_t)((uintptr_t)&entry / P * 8)));
	return PM_PFN(entry) != 0;
}

TEST(anonymous_pages)
{
	char *p = map_anon(16 * P), *volatile zero = p + 8 * P;
	p[1 * P] = p[2 * P] = p[5 * P] = 1;
	CHECK_EQ(*zero, 0);
	check_runs(getpid(), 0, p, 16 * P, sees_frames() ? "1-3 5-6" : NULL);
	check_runs(getpid(), 0, p + 2 * P, 3 * P, "0-1");
}

TEST(nothing_there)
{
	char *p = map_anon(1ul << 30);
	check_runs(getpid(), 0, p, 1ul << 30, "");
	check_runs(getpid(), 0, p, 0, "");
}

TEST(private_file_pages_that_were_written)
{
	int fd = make_file(8 * P);
	char *p = map(8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	volatile char seen = p[0];
	(void)seen;
	p[3 * P] = p[7 * P] = 1;
	check_runs(getpid(), 0, p, 8 * P, "3-4 7-8");
}

TEST(shared_memory_is_not_private)
{
	char *p = map(8 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	memset(p, 1, 8 * P);
	check_runs(getpid(), 0, p, 8 * P, "");
}

TEST(guards_are_marks_without_contents)
{
	char *p = map_anon(8 * P);
	memset(p, 1, 8 * P);
	if (madvise(p + 2 * P, P, 102 /* MADV_GUARD_INSTALL */) < 0)
		SKIP("no guard pages here");
	_cleanup_text_ struct text t = { 0 };
	runs_text(&by_entries, getpid(), 0, p, 8 * P, &t);
	if (!strcmp(t.data, "0-8"))
		SKIP("this kernel does not tell guards from swapped pages");
	check_runs(getpid(), 0, p, 8 * P, "0-2 2-3! 3-8");
}

TEST(many_runs)
{
	char *p = map_anon(5000 * P);
	for (size_t i = 0; i < 5000; i += 2)
		p[i * P] = 1;
	madvise(p, 5000 * P, MADV_NOHUGEPAGE);
	check_runs(getpid(), 0, p, 5000 * P, NULL);
}

TEST(huge_pages)
{
	char *p = map_anon(6 * HUGE), *a = (char *)ALIGN_UP((uintptr_t)p, HUGE), *volatile read = a + 2 * HUGE;
	madvise(a, 5 * HUGE, MADV_HUGEPAGE);
	memset(a, 1, HUGE);
	CHECK_EQ(*read, 0);
	a[4 * HUGE] = 1;
	check_runs(getpid(), 0, a, 5 * HUGE, NULL);
}

/* A mapping that is not one with its neighbours. */
static char *map_apart(struct object *vmas, size_t len, int flags, int fd)
{
	char *p = map(len + 2 * P, PROT_READ | PROT_WRITE, flags, fd);
	CHECK_OK(munmap(p, P));
	CHECK_OK(munmap(p + P + len, P));
	struct vma *v = object_append(vmas);
	CHECK(v);
	*v = (struct vma){ .start = (u64)(uintptr_t)p + P,
			   .end = (u64)(uintptr_t)p + P + len,
			   .flags = flags & MAP_SHARED ? VMA_SHARED : 0 };
	return p + P;
}

TEST(untouched_mappings)
{
	const size_t len = 32ul << 30;
	const int reserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	_cleanup_graph_ struct graph g = { 0 };
	_cleanup_free_ bool *untouched = NULL, *unasked = NULL;
	_cleanup_close_ int proc = (int)CHECK_OK(open("/proc/self", O_DIRECTORY | O_CLOEXEC)), fd = make_file(4 * P);
	struct object *vmas = graph_add(&g, &kind_vmas, 1);
	map_apart(vmas, len, reserved, -1);
	map_apart(vmas, len, reserved, -1)[len - P] = 1;
	volatile char *file = map_apart(vmas, 4 * P, MAP_PRIVATE, fd);
	CHECK_EQ(file[P], 0);
	map_apart(vmas, 2 * P, MAP_SHARED | MAP_ANONYMOUS, -1);
	map_apart(vmas, len, reserved, -1);
	vma_sort(vmas);
	CHECK_OK(memory_untouched(&by_entries, proc, vmas, &untouched));
	CHECK(untouched);
	u32 empty = 0;
	for (u32 i = 0; i < vmas->count; i++) {
		const struct vma *v = (const struct vma *)vmas->data + i;
		_cleanup_text_ struct text runs = { 0 };
		empty += untouched[i];
		if (untouched[i] && v->end - v->start == len)
			runs_text(&by_entries, getpid(), 0, (const void *)(uintptr_t)v->start, len, &runs);
		CHECK(!runs.data || !*runs.data);
	}
	CHECK_EQ(empty, 2);
	CHECK_OK(memory_untouched(&by_scan, proc, vmas, &unasked));
	CHECK(!unasked);
	vmas->count = 0; /* nothing to scan */
	CHECK_OK(memory_untouched(&by_entries, proc, vmas, &unasked));
	CHECK(!unasked);
}

TEST(inherited_pages)
{
	if (!sees_frames())
		SKIP("frames are hidden");
	char *p = map_anon(16 * P);
	madvise(p, 16 * P, MADV_NOHUGEPAGE);
	memset(p, 1, 12 * P);
	pid_t child = fork();
	if (child == 0) {
		p[4 * P] = p[13 * P] = 2;
		stay();
	}
	wait_stopped(child);
	p[9 * P] = p[14 * P] = 3;
	check_runs(child, getpid(), p, 16 * P, "0-4~ 4-5 5-9~ 9-10 10-12~ 13-14");
	check_runs(child, 0, p, 16 * P, "0-12 13-14");
	end(child);
}

/* --- storing --- */

struct place {
	char dir[64], image[80];
};

static struct place make_place(void)
{
	struct place p = { "/tmp/ckpt-memory-XXXXXX" };
	CHECK(mkdtemp(p.dir));
	snprintf(p.image, sizeof p.image, "%s/img", p.dir);
	CHECK_OK(diag_begin("test", "memory"));
	return p;
}

static void remove_place(struct place *p)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", p->dir);
	CHECK_EQ(system(command), 0);
}
#define PLACE(p) _cleanup_(remove_place) struct place p = make_place()

static void expect_diag(const char *part)
{
	_cleanup_text_ struct text t = { 0 };
	diag_print_json(&t);
	CHECK_CONTAINS(t.data, part);
}

static int store(const char *dir, struct memory_job *jobs, size_t count, struct memory_stats *stats)
{
	_cleanup_image_writer_ struct image_writer *w = NULL;
	CHECK_OK(image_create(&w, dir));
	int r = memory_store(w, jobs, count, stats);
	return r < 0 ? r : image_commit(w, false);
}

static void scan(struct object *pages, pid_t pid, const void *start, size_t len)
{
	_cleanup_close_ int own = open_pagemap(pid);
	u64 at = (u64)(uintptr_t)start;
	CHECK_OK(memory_scan(scan_is_there() ? &by_scan : &by_entries, own, 0, at, at + len, pages));
}

/* Every run of the object is in the image as it is in this process at shift. */
static void check_stored(const char *dir, const struct object *pages, const char *address, u64 start)
{
	_cleanup_image_ struct image *image = NULL;
	CHECK_OK(image_open(&image, dir, false));
	CHECK_OK(image_verify(image));
	int fd = (int)CHECK_OK(image_file_fd(image, "pages", NULL));
	const struct page_run *run = pages->data;
	for (u32 i = 0; i < pages->count; i++) {
		_cleanup_free_ char *got = malloc(run[i].len);
		if (run[i].flags & PAGES_INHERITED)
			continue;
		CHECK_EQ(run[i].offset % P, 0);
		CHECK_OK(file_pread_full(fd, got, run[i].len, (off_t)run[i].offset));
		CHECK_MEM(got, address + (run[i].start - start), run[i].len);
	}
}

static void fill(char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i + 4 <= len; i += 4)
		*(u32 *)(p + i) = seed = seed * 1664525 + 1013904223;
}

TEST(stores_what_was_there)
{
	PLACE(place);
	size_t len = 3000 * P;
	char *p = map_anon(len), *q = map_anon(len);
	for (size_t at = 0, step = 1; at + step * P < len; at += (step + 1) * P, step = step * 7 % 61 + 1)
		fill(p + at, step * P, (unsigned)at);
	memcpy(q, p, len);
	pid_t child = fork();
	if (child == 0)
		stay();
	wait_stopped(child);
	_cleanup_graph_ struct graph g = { 0 };
	struct object *a = graph_add(&g, &kind_pages, 1), *b = graph_add(&g, &kind_pages, 2),
		      *c = graph_add(&g, &kind_pages, 3);
	_cleanup_close_ int fd = make_file(700 * P);
	CHECK_OK(ftruncate(fd, 699 * P + 100));
	CHECK_OK(memory_scan_file(fd, 699 * P + 100, c));
	scan(a, child, p, len);
	scan(b, getpid(), q, len);
	memset(p, 0, len);
	struct page_run *skipped = object_append(a);
	*skipped = (struct page_run){ .start = 123 * P, .len = 9 * P, .flags = PAGES_INHERITED };
	struct memory_job jobs[] = { { .pid = child, .pages = a }, { .fd = fd, .pages = c }, { .pid = getpid(), .pages = b } };
	struct memory_stats stats;
	CHECK_OK(store(place.image, jobs, 3, &stats));
	CHECK_EQ(stats.inherited, 9 * P);
	CHECK(stats.bytes > 12 * HUGE);
	check_stored(place.image, a, q, (u64)(uintptr_t)p);
	check_stored(place.image, b, q, (u64)(uintptr_t)q);
	char *file = map(700 * P, PROT_READ, MAP_SHARED, fd);
	check_stored(place.image, c, file, 0);
	end(child);
}

TEST(stores_nothing)
{
	PLACE(place);
	_cleanup_graph_ struct graph g = { 0 };
	struct object *pages = graph_add(&g, &kind_pages, 1);
	struct memory_job job = { .pid = getpid(), .pages = pages };
	CHECK_OK(store(place.image, &job, 1, NULL));
	check_stored(place.image, pages, NULL, 0);
}

TEST(reads_what_the_process_may_not)
{
	PLACE(place);
	char *p = map_anon(64 * P), *copy = map_anon(64 * P);
	fill(p, 64 * P, 1);
	memcpy(copy, p, 64 * P);
	CHECK_OK(mprotect(p + 3 * P, 5 * P, PROT_NONE));
	CHECK_OK(mprotect(p + 60 * P, 4 * P, PROT_NONE));
	_cleanup_graph_ struct graph g = { 0 };
	struct object *pages = graph_add(&g, &kind_pages, 1);
	scan(pages, getpid(), p, 64 * P);
	struct memory_job job = { .pid = getpid(), .pages = pages };
	CHECK_OK(store(place.image, &job, 1, NULL));
	check_stored(place.image, pages, copy, (u64)(uintptr_t)p);
}

TEST(an_unreadable_page_is_named)
{
	PLACE(place);
	char *p = map_anon(8 * P), text[64];
	fill(p, 8 * P, 1);
	_cleanup_graph_ struct graph g = { 0 };
	struct object *pages = graph_add(&g, &kind_pages, 1);
	scan(pages, getpid(), p, 8 * P);
	CHECK_OK(munmap(p + 5 * P, P));
	struct memory_job job = { .pid = getpid(), .pages = pages };
	CHECK(store(place.image, &job, 1, NULL) < 0);
	snprintf(text, sizeof text, "the page at %lx", (unsigned long)(uintptr_t)(p + 5 * P));
	expect_diag("MEMORY_READ");
	expect_diag(text);
	CHECK_EQ(access(place.image, F_OK), -1);
}

TEST(a_process_that_is_gone_is_named)
{
	PLACE(place);
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	_cleanup_graph_ struct graph g = { 0 };
	struct object *pages = graph_add(&g, &kind_pages, 1);
	struct page_run *run = object_append(pages);
	run->start = 1ul << 30;
	run->len = 4 * P;
	struct memory_job job = { .pid = child, .pages = pages };
	CHECK_EQ(store(place.image, &job, 1, NULL), -ESRCH);
	expect_diag("TASK_RACED");
}

TEST(a_full_disk_ends_the_store, .root = true)
{
	PLACE(place);
	CHECK_OK(mkdir(place.image, 0700));
	CHECK_OK(mount("none", place.image, "tmpfs", 0, "size=1m,mode=0700"));
	char *p = map_anon(2 * HUGE);
	fill(p, 2 * HUGE, 1);
	_cleanup_graph_ struct graph g = { 0 };
	struct object *pages = graph_add(&g, &kind_pages, 1);
	scan(pages, getpid(), p, 2 * HUGE);
	struct memory_job job = { .pid = getpid(), .pages = pages };
	CHECK_EQ(store(place.image, &job, 1, NULL), -ENOSPC);
	expect_diag("ENOSPC");
	CHECK_OK(umount(place.image));
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* What the store is measured against: the same bytes of this process written by as many threads, not hashed. */
struct plain {
	const char *from;
	int fd;
	size_t len, next;
};

static int write_plainly(void *arg)
{
	struct plain *w = arg;
	for (size_t at; (at = __atomic_fetch_add(&w->next, HUGE, __ATOMIC_RELAXED)) < w->len;)
		CHECK_OK(file_pwrite_full(w->fd, w->from + at, HUGE, (off_t)at));
	return 0;
}

static double plain_ms(const char *dir, const char *from, size_t len)
{
	char path[128];
	snprintf(path, sizeof path, "%s/plain", dir);
	double t0 = now_ms();
	_cleanup_close_ int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	struct plain w = { .from = from, .fd = fd, .len = len };
	CHECK_OK(ftruncate(fd, (off_t)len));
	CHECK_OK(parallel_run(parallel_cpus(8), write_plainly, &w));
	double t = now_ms() - t0;
	CHECK_OK(unlink(path));
	return t;
}

/* The host may have taken free memory back: have it again before time is measured. */
static void warm(size_t len)
{
	char *p = map_anon(len);
	for (size_t at = 0; at < len; at += P)
		p[at] = 1;
	CHECK_OK(munmap(p, len));
}

/* 1 GiB of a stopped child to the file system of /tmp, against plain writes: run by name. */
TEST(cost, .manual = true, .seconds = 120)
{
	PLACE(place);
	size_t len = 1ul << 30;
	char *p = map_anon(len);
	madvise(p, len, MADV_NOHUGEPAGE);
	fill(p, len, 1);
	pid_t child = fork();
	if (child == 0)
		stay();
	wait_stopped(child);
	for (int i = 0; i < 5; i++) {
		_cleanup_graph_ struct graph g = { 0 };
		struct object *pages = graph_add(&g, &kind_pages, 1);
		warm(len + len / 4);
		double plain = plain_ms(place.dir, p, len);
		warm(len + len / 4);
		double t0 = now_ms();
		scan(pages, child, p, len);
		double t1 = now_ms();
		struct memory_job job = { .pid = child, .pages = pages };
		CHECK_OK(store(place.image, &job, 1, NULL));
		double t2 = now_ms();
		char command[128];
		snprintf(command, sizeof command, "rm -rf %s", place.image);
		CHECK_EQ(system(command), 0);
		fprintf(stderr, "scan %.1f ms, store %.0f ms, plain %.0f ms\n", t1 - t0, t2 - t1, plain);
	}
	end(child);
	FAIL("see above");
}

/* --- names of mappings, as maps has them --- */

TEST(names_of_mappings_are_read)
{
	static const char maps[] =
		"7f0000000000-7f0000001000 rw-s 00000000 00:01 1027                       [anon_shmem:queue of jobs]\n"
		"7f0000001000-7f0000002000 rw-s 00000000 00:01 1028                       /dev/zero (deleted)\n"
		"7f0000002000-7f0000003000 rw-p 00000000 00:00 0                          [anon:heap]\n";
	static const char *const names[] = { "[anon_shmem:queue of jobs]", "", "[anon:heap]" };
	const char *at = maps, *path;
	size_t len;
	struct record_vma v;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK_EQ(parse_mapping(&at, &v, &path, &len), 1);
		CHECK_STR(v.name, names[i]);
		CHECK_EQ(!(v.flags & VMA_ANONYMOUS), i < 2);
	}
	CHECK_EQ(parse_mapping(&at, &v, &path, &len), 0);
}
