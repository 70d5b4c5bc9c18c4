// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question which pages of a mapping hold contents of their own. */
#include "base/file.h"
#include "diag/diag.h"
#include "memory/memory.h"
#include "memory/pagemap.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define BATCH 4096

struct scan {
	bool frames;         /* their numbers are told */
	int pagemap, parent; /* parent 0: none */
	int kpageflags;      /* -1: not opened yet, -2: not allowed */
	size_t first;        /* the first run of this scan: older ones are not extended */
	struct object *pages;
};

static int add_run(struct scan *s, u64 start, u64 end, u32 flags)
{
	struct page_run *last = s->pages->count > s->first ? (struct page_run *)s->pages->data + s->pages->count - 1 : NULL;
	if (last && last->start + last->len == start && last->flags == flags) {
		last->len += end - start;
		return 0;
	}
	struct page_run *run = object_append(s->pages);
	if (!run)
		return fail_memory();
	run->start = start;
	run->len = end - start;
	run->flags = flags;
	return 0;
}

/* Entries that lie outside of the address space read as empty. */
static int read_entries(int pagemap, u64 start, u64 *entry, size_t count)
{
	ssize_t n = pread(pagemap, entry, count * sizeof *entry, (off_t)(start / PAGE_BYTES * sizeof *entry));
	if (n < 0)
		return fail(MEMORY_PAGEMAP, neg_errno(), "entries from %llx on", (unsigned long long)start);
	memset((u8 *)entry + n, 0, count * sizeof *entry - (size_t)n);
	return 0;
}

/* Zero pages have no flag of their own in pagemap; they are never exclusive. Without the right to see frames they pass as
 * contents, which costs room but not truth. */
static bool is_zero_page(struct scan *s, u64 entry)
{
	u64 flags = 0;
	if (!s->frames || (entry & PM_EXCLUSIVE) || !(entry & PM_PRESENT) || !PM_PFN(entry) || s->kpageflags == -2)
		return false;
	if (s->kpageflags == -1)
		s->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (s->kpageflags < 0) {
		s->kpageflags = -2;
		return false;
	}
	return pread(s->kpageflags, &flags, sizeof flags, (off_t)(PM_PFN(entry) * sizeof flags)) == sizeof flags &&
	       (flags & KPF_ZERO_PAGE);
}

/* A page that is not there but marked as write-protected (PTE_MARKER_UFFD_WP of include/linux/swapops.h, 5.19) looks as if it were
 * swapped, to a device that there never is: the last of 32. */
static bool is_marker(u64 entry)
{
	return (entry & (PM_PRESENT | PM_SWAPPED)) == PM_SWAPPED && (PM_PFN(entry) & 31) == 31 && PM_PFN(entry) >> 5 == 1;
}

static bool has_contents(struct scan *s, u64 entry)
{
	return (entry & (PM_PRESENT | PM_SWAPPED | PM_GUARD)) && !(entry & PM_FILE) && !is_marker(entry) &&
	       !is_zero_page(s, entry);
}

/* One frame in both: neither has written since the fork. */
static u32 run_flags(const struct scan *s, u64 entry, u64 parent)
{
	if (entry & PM_GUARD)
		return PAGES_GUARD;
	bool same = s->frames && (entry & parent & PM_PRESENT) && PM_PFN(entry) && PM_PFN(entry) == PM_PFN(parent) &&
		    !(parent & PM_FILE);
	return same ? PAGES_INHERITED : 0;
}

/* Most of what is reserved is nothing. */
static bool are_empty(const u64 *entry, size_t count)
{
	return !entry[0] && !memcmp(entry, entry + 1, (count - 1) * sizeof *entry);
}

/* Adds the pages of one batch; known: all are known to hold contents. */
static int add_entries(struct scan *s, u64 start, size_t count, bool known)
{
	u64 own[BATCH];
	int r = read_entries(s->pagemap, start, own, count);
	if (r < 0 || (!known && are_empty(own, count)))
		return r;
	u64 parent[BATCH] = { 0 };
	if (s->parent)
		r = read_entries(s->parent, start, parent, count);
	for (size_t i = 0; i < count && r == 0; i++) {
		u64 at = start + i * PAGE_BYTES;
		if (known || has_contents(s, own[i]))
			r = add_run(s, at, at + PAGE_BYTES, run_flags(s, own[i], parent[i]));
	}
	return r;
}

static int add_by_entries(struct scan *s, u64 start, u64 end, bool known)
{
	int r = 0;
	for (u64 at = start; at < end && r == 0; at += BATCH * PAGE_BYTES)
		r = add_entries(s, at, (size_t)MIN((end - at) / PAGE_BYTES, (u64)BATCH), known);
	return r;
}

/* Present or swapped, and neither of a file nor the zero page; guard markers (Linux 6.13) count as swapped, and are told
 * apart from 6.15 on. */
static struct scan_arg contents(u64 start, u64 end, struct scan_region *region, u64 count)
{
	return (struct scan_arg){
		.size = sizeof(struct scan_arg),
		.start = start,
		.end = end,
		.vec = (u64)(uintptr_t)region,
		.vec_len = count,
		.category_inverted = SCAN_FILE | SCAN_ZERO,
		.category_mask = SCAN_FILE | SCAN_ZERO,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_SWAPPED | SCAN_GUARD,
	};
}

static int scan_once(int pagemap, struct scan_arg *arg)
{
	int n = ioctl(pagemap, IOCTL_PAGEMAP_SCAN, arg);
	if (n < 0 && errno == EINVAL && (arg->return_mask & SCAN_GUARD)) {
		arg->return_mask &= ~(u64)SCAN_GUARD;
		n = ioctl(pagemap, IOCTL_PAGEMAP_SCAN, arg);
	}
	return n < 0 ? neg_errno() : n;
}

/* What is swapped may be but marked. */
static int add_region(struct scan *s, const struct scan_region *region)
{
	if (region->categories & SCAN_GUARD)
		return add_run(s, region->start, region->end, PAGES_GUARD);
	if (s->parent || region->categories & SCAN_SWAPPED)
		return add_by_entries(s, region->start, region->end, !(region->categories & SCAN_SWAPPED));
	return add_run(s, region->start, region->end, 0);
}

static int add_by_scan(struct scan *s, u64 start, u64 end)
{
	struct scan_region region[256];
	struct scan_arg arg = contents(start, end, region, ARRAY_SIZE(region));
	while (arg.start < end) {
		int n = scan_once(s->pagemap, &arg);
		if (n < 0)
			return fail(MEMORY_PAGEMAP, n, "PAGEMAP_SCAN of %llx-%llx", (unsigned long long)arg.start,
				    (unsigned long long)end);
		int r = 0;
		for (int i = 0; i < n && r == 0; i++)
			r = add_region(s, &region[i]);
		if (r < 0)
			return r;
		arg.start = arg.walk_end;
	}
	return 0;
}

int memory_scan(const struct caps *caps, int pagemap, int inherit, u64 start, u64 end, struct object *pages)
{
	struct scan s = { .frames = !caps_lacks(caps, CAN_PAGEMAP_PFN),
			  .pagemap = pagemap,
			  .parent = inherit,
			  .kpageflags = -1,
			  .first = pages->count,
			  .pages = pages };
	int r = caps_has(caps, CAN_PAGEMAP_SCAN) ? add_by_scan(&s, start, end) : add_by_entries(&s, start, end, false);
	closep(&s.kpageflags);
	return r;
}

int memory_scan_guards(const struct caps *caps, int pagemap, u64 start, u64 end, struct object *pages)
{
	struct scan s = { .pagemap = pagemap, .first = pages->count, .pages = pages };
	struct scan_region region[64];
	struct scan_arg arg = { .size = sizeof arg,
				.start = start,
				.end = end,
				.vec = (u64)(uintptr_t)region,
				.vec_len = ARRAY_SIZE(region),
				.category_mask = SCAN_GUARD,
				.return_mask = SCAN_GUARD };
	while (caps_has(caps, CAN_PAGEMAP_GUARD_SCAN) && arg.start < end) {
		int n = ioctl(pagemap, IOCTL_PAGEMAP_SCAN, &arg);
		if (n < 0)
			return fail(MEMORY_PAGEMAP, neg_errno(), "PAGEMAP_SCAN of %llx-%llx", (unsigned long long)arg.start,
				    (unsigned long long)end);
		for (int i = 0; i < n; i++)
			if (add_run(&s, region[i].start, region[i].end, PAGES_GUARD) < 0)
				return -ENOMEM;
		arg.start = arg.walk_end;
	}
	return 0;
}

static u32 userfault_state(struct scan *s, u64 entry)
{
	u32 there = !(entry & PM_PRESENT) ? 0 : entry & PM_FILE ? PAGES_MAPPED : is_zero_page(s, entry) ? PAGES_ZERO : 0;
	return there | (entry & PM_UFFD_WP ? PAGES_PROTECTED : 0);
}

/* Runs of one sort among [start, start + count pages). */
static int tell_runs(const u32 *state, size_t count, u64 start, enum userfault_pages what,
		     int (*add)(void *, enum userfault_pages, u64, u64), void *arg)
{
	int r = 0;
	for (size_t i = 0, first; i < count && r == 0; i++) {
		for (first = i; i < count && state[i] & what; i++)
			;
		if (first < i)
			r = add(arg, what, start + first * PAGE_BYTES, start + i * PAGE_BYTES);
	}
	return r;
}

int memory_scan_userfault(const struct caps *caps, int pagemap, u64 start, u64 end, u32 wanted,
			  int (*add)(void *, enum userfault_pages, u64, u64), void *arg)
{
	struct scan s = { .frames = !caps_lacks(caps, CAN_PAGEMAP_PFN), .pagemap = pagemap, .kpageflags = -1 };
	u64 entries[BATCH];
	u32 state[BATCH];
	int r = 0;
	for (u64 at = start; at < end && r == 0; at += BATCH * PAGE_BYTES) {
		size_t count = (size_t)MIN((end - at) / PAGE_BYTES, (u64)BATCH);
		r = read_entries(pagemap, at, entries, count);
		for (size_t i = 0; i < count && r == 0; i++)
			state[i] = userfault_state(&s, entries[i]) & wanted;
		for (u32 what = PAGES_ZERO; what <= PAGES_MAPPED && r == 0; what <<= 1)
			r = tell_runs(state, count, at, what, add, arg);
	}
	closep(&s.kpageflags);
	return r;
}

static bool is_zero(const u8 *bytes, size_t len) { return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1); }

/* Is all of [start, start + len) of the file zero? 1 yes, 0 no. */
static int reads_as_zero(int fd, u8 *buffer, size_t room, u64 start, u64 len)
{
	for (u64 done = 0; done < len; done += room) {
		int r = file_pread_full(fd, buffer, MIN(room, len - done), (off_t)(start + done));
		if (r < 0)
			return fail(MEMORY_READ, r, "pread from %llx of shared memory", (unsigned long long)(start + done));
		if (!is_zero(buffer, MIN(room, len - done)))
			return 0;
	}
	return 1;
}

/* hugetlbfs does not tell holes (its SEEK_DATA finds none, fs/hugetlbfs/inode.c), but how many pages there are: where some are
 * missing, those that hold zeros alone count as missing. */
static int scan_huge_file(struct scan *s, int fd, const struct stat *st, u64 size, u64 page)
{
	u64 there = (u64)st->st_blocks * 512;
	if (!there || there >= size)
		return there ? add_run(s, 0, size, 0) : 0;
	const size_t room = 2u << 20;
	_cleanup_free_ u8 *buffer = malloc(room);
	if (!buffer)
		return fail_memory();
	for (u64 at = 0; at < size; at += page) {
		int r = reads_as_zero(fd, buffer, room, at, MIN(page, size - at));
		if (r == 0)
			r = add_run(s, at, at + page, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int memory_scan_file(int fd, u64 size, struct object *pages)
{
	struct scan s = { .first = pages->count, .pages = pages };
	struct statfs fs;
	struct stat st;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fstat(fd, &st) == 0)
		return scan_huge_file(&s, fd, &st, size, (u64)fs.f_bsize);
	for (u64 at = 0; at < size;) {
		off_t start = lseek(fd, (off_t)at, SEEK_DATA);
		if (start < 0 && errno == ENXIO)
			return 0;
		off_t end = start < 0 ? -1 : lseek(fd, start, SEEK_HOLE);
		if (end < 0)
			return fail(MEMORY_READ, neg_errno(), "lseek from %llx of shared memory", (unsigned long long)at);
		at = ALIGN_UP(MIN((u64)end, size), PAGE_BYTES);
		int r = (u64)start < size ? add_run(&s, ALIGN_DOWN((u64)start, PAGE_BYTES), at, 0) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
