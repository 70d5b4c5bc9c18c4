/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory contents: which pages there are, and how they go to an image. */
#pragma once
#include "host/caps.h"
#include "image/image.h"
#include "model/kinds.h"

/* Appends the runs of [start, end) that hold private contents (anonymous or swapped; not pages of a file, not the zero
 * page) to pages, guards as PAGES_GUARD, offsets not set; neighbours are one run, but runs of earlier calls are not extended. By
 * PAGEMAP_SCAN, else by reading pagemap. pagemap: fd of /proc/PID/pagemap.
 * inherit: 0, or the fd of the parent's pagemap: a page with the same frame there gets PAGES_INHERITED (only with
 * CAP_SYS_ADMIN: without it frames are hidden and nothing is inherited). */
int memory_scan(const struct caps *, int pagemap, int inherit, u64 start, u64 end, struct object *pages);
/* Where PAGEMAP_SCAN is missing, of a process with mappings that are mostly reserved: which of them have no contents for sure, an array
 * that the caller frees; NULL: nobody knows. proc: its directory in /proc. 0 or -ENOMEM (reported). */
int memory_untouched(const struct caps *, int proc, const struct object *vmas, bool **ret);
/* Of a mapping whose pages belong to a file or to others: appends its guards alone. */
int memory_scan_guards(const struct caps *, int pagemap, u64 start, u64 end, struct object *pages);
/* What userfaultfd(2) may have done to a page, which its contents do not tell. */
enum userfault_pages {
	PAGES_ZERO = 1,      /* private, and the zero page: it is there */
	PAGES_PROTECTED = 2, /* against writing; one that is not there can be marked so, too */
	PAGES_MAPPED = 4,    /* of a file or shared, and in the page table */
};
/* Calls add() for each run of such pages in [start, end); wanted: which. Needs the right to see frames (CAN_PAGEMAP_PFN). Ends with the
 * first error of add(). */
int memory_scan_userfault(const struct caps *, int pagemap, u64 start, u64 end, u32 wanted,
			  int (*add)(void *arg, enum userfault_pages, u64 start, u64 end), void *arg);
/* Appends the runs of whole pages of a file (shared memory) that are not holes, below size. Moves the position of fd, so
 * it must be a description of the caller's own. */
int memory_scan_file(int fd, u64 size, struct object *pages);

/* One process or memory object to copy: its runs get their offsets in the pages file. */
struct memory_job {
	pid_t pid;    /* process_vm_readv from here, or */
	int fd;       /* (pid 0) pread from this file at run.start, or, negative: */
	pid_t holder; /* from what this process has at `place`, as file_open_unnoticed() takes it */
	const char *place;
	struct object *pages; /* kind_pages */
};
struct memory_stats {
	u64 bytes, inherited;
};
/* Lays out the jobs' runs one after the other, copies them to the image file "pages" on several threads and hashes each
 * chunk on the way. A page that cannot be read fails (with the mapping named). */
int memory_store(struct image_writer *, struct memory_job *, size_t count, struct memory_stats *);
