// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes of memory: each works on pages that it mapped itself and unmaps again. */
#include "host/probe.h"
#include "base/file.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ADVICE_GUARD_INSTALL 102
#define PAGEMAP_SOFT_DIRTY (1ull << 55)
#define PAGEMAP_GUARD (1ull << 58)
#define PAGEMAP_PFN ((1ull << 55) - 1)

/* struct pm_scan_arg and struct procmap_query of linux/fs.h, newer than the headers that ckpt is built with */
struct pagemap_scan {
	u64 size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof_mask, return_mask;
};
struct procmap_ask {
	u64 size, flags, address, vma_start, vma_end, vma_flags, vma_page, offset, inode;
	u32 major, minor, name_size, build_id_size;
	u64 name, build_id;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)
#define PROCMAP_QUERY_IOCTL _IOWR('f', 17, struct procmap_ask)
#define PAGE_CATEGORY_PRESENT (1 << 3)

struct pages {
	char *at;
	size_t bytes;
};

static struct pages pages_map(size_t bytes, int flags, int fd)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	return (struct pages){ at == MAP_FAILED ? NULL : at, bytes };
}

static void pages_unmap(struct pages *p)
{
	int saved = errno;
	if (p->at)
		munmap(p->at, p->bytes);
	errno = saved;
}
#define _cleanup_pages_ _cleanup_(pages_unmap)

static struct pages page_new(void) { return pages_map(PAGE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1); }

/* A length of nothing: only whether the advice is known is checked (mm/madvise.c). */
int probe_madvise(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	return madvise(page.at, 0, (int)p->arg[0]) == 0 ? PROBE_YES : neg_errno();
}

int probe_guard_file(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_close_ int fd = memfd_create("ckpt-probe", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, PAGE_BYTES) < 0)
		return PROBE_UNKNOWN;
	_cleanup_pages_ struct pages page = pages_map(PAGE_BYTES, MAP_SHARED, fd);
	if (!page.at)
		return PROBE_UNKNOWN;
	return madvise(page.at, PAGE_BYTES, ADVICE_GUARD_INSTALL) == 0 ? PROBE_YES : neg_errno();
}

int probe_fixed_noreplace(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	/* A kernel that does not know the flag takes the address for a wish and maps elsewhere. */
	void *other = mmap(page.at, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (other == MAP_FAILED)
		return errno == EEXIST ? PROBE_YES : neg_errno();
	munmap(other, PAGE_BYTES);
	return -EOPNOTSUPP;
}

int probe_dontunmap(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	void *moved = mremap(page.at, PAGE_BYTES, PAGE_BYTES, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, NULL);
	if (moved == MAP_FAILED)
		return neg_errno();
	munmap(moved, PAGE_BYTES);
	return PROBE_YES;
}

int probe_mmap(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_pages_ struct pages page = pages_map(PAGE_BYTES, (int)p->arg[0], -1);
	return page.at ? PROBE_YES : neg_errno();
}

int probe_memfd(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_close_ int fd = (int)syscall(SYS_memfd_create, "ckpt-probe", MFD_CLOEXEC | p->arg[0]);
	return fd < 0 ? neg_errno() : PROBE_YES;
}

int probe_anon_name(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	return prctl(0x53564d41 /* PR_SET_VMA */, 0, page.at, PAGE_BYTES, "ckpt") < 0 ? neg_errno() : PROBE_YES;
}

static int pagemap_scan(void *at, u64 bytes, u64 category)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	u64 regions[3 * 4];
	struct pagemap_scan scan = {
		.size = sizeof scan,
		.start = (u64)(uintptr_t)at,
		.end = (u64)(uintptr_t)at + bytes,
		.vec = (u64)(uintptr_t)regions,
		.vec_len = 4,
		.anyof_mask = category,
		.return_mask = category,
	};
	return ioctl(fd, PAGEMAP_SCAN_IOCTL, &scan) < 0 ? neg_errno() : scan.walk_end ? 1 : 0;
}

int probe_pagemap_scan(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	*page.at = 1;
	int r = pagemap_scan(page.at, PAGE_BYTES, p->arg[0] ? (u64)p->arg[0] : PAGE_CATEGORY_PRESENT);
	return r < 0 ? r : PROBE_YES;
}

/* The pagemap entry of one of our own pages. */
static int pagemap_entry(const void *at, u64 *ret)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	return file_pread_full(fd, ret, sizeof *ret, (off_t)((uintptr_t)at / PAGE_BYTES * sizeof *ret));
}

int probe_pagemap_guard(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	u64 entry = 0;
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	if (madvise(page.at, PAGE_BYTES, ADVICE_GUARD_INSTALL) < 0)
		return neg_errno();
	int r = pagemap_entry(page.at, &entry);
	return r < 0 ? r : entry & PAGEMAP_GUARD ? PROBE_YES : -EOPNOTSUPP;
}

int probe_pagemap_pfn(struct host *host _unused_, const struct probe *p _unused_, char *note)
{
	u64 entry = 0;
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	*page.at = 1;
	int r = pagemap_entry(page.at, &entry);
	if (r < 0)
		return r;
	if (entry & PAGEMAP_PFN)
		return PROBE_YES;
	snprintf(note, NOTE_BYTES, "frame numbers read as zero");
	return -EPERM;
}

/* A page of a new mapping is soft-dirty where the kernel keeps the bit. */
int probe_soft_dirty(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	u64 entry = 0;
	_cleanup_pages_ struct pages page = page_new();
	if (!page.at)
		return PROBE_UNKNOWN;
	*page.at = 1;
	int r = pagemap_entry(page.at, &entry);
	return r < 0 ? r : entry & PAGEMAP_SOFT_DIRTY ? PROBE_YES : -EOPNOTSUPP;
}

int probe_procmap_query(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	_cleanup_close_ int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	struct procmap_ask ask = { .size = sizeof ask, .address = (u64)(uintptr_t)&ask };
	return ioctl(fd, PROCMAP_QUERY_IOCTL, &ask) < 0 ? neg_errno() : PROBE_YES;
}

int probe_map_files(struct host *host _unused_, const struct probe *p _unused_, char *note _unused_)
{
	char path[80];
	_cleanup_text_ struct text maps = { 0 };
	unsigned long start, end, inode;
	int r = file_read(AT_FDCWD, "/proc/self/maps", &maps);
	if (r < 0)
		return r;
	for (char *line = maps.data, *next; line; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : NULL;
		if (sscanf(line, "%lx-%lx %*s %*x %*x:%*x %lu", &start, &end, &inode) != 3 || !inode)
			continue;
		snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", start, end);
		_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
		return fd < 0 ? neg_errno() : PROBE_YES;
	}
	return PROBE_UNKNOWN;
}

int probe_userfaultfd(struct host *host _unused_, const struct probe *p, char *note _unused_)
{
	int user_only = p->arg[1] ? 0 : 1 /* UFFD_USER_MODE_ONLY */;
	_cleanup_close_ int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | user_only);
	if (fd < 0 && errno == EINVAL && user_only) /* before 5.11 */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		return neg_errno();
	struct uffdio_api api = { .api = UFFD_API };
	if (p->arg[0] < 0)
		return PROBE_YES;
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return neg_errno();
	return api.features >> p->arg[0] & 1 ? PROBE_YES : -EOPNOTSUPP;
}
