/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/PID/pagemap as the kernel's Documentation/admin-guide/mm/pagemap.rst has it; PAGEMAP_SCAN is younger than the
 * headers of most distributions. */
#pragma once
#include "base/base.h"
#include <sys/ioctl.h>

/* An entry, one u64 per page. */
#define PM_PFN(entry) ((entry) & ((1ull << 55) - 1))
#define PM_EXCLUSIVE (1ull << 56)
#define PM_UFFD_WP (1ull << 57) /* since 5.13 */
#define PM_GUARD (1ull << 58)
#define PM_FILE (1ull << 61) /* of a file or shared anonymous */
#define PM_SWAPPED (1ull << 62)
#define PM_PRESENT (1ull << 63)

/* An entry of /proc/kpageflags */
#define KPF_ZERO_PAGE (1ull << 24)

/* ioctl PAGEMAP_SCAN, under names that a newer linux/fs.h does not have. */
enum scan_category {
	SCAN_FILE = 1 << 2,
	SCAN_PRESENT = 1 << 3,
	SCAN_SWAPPED = 1 << 4,
	SCAN_ZERO = 1 << 5,
	SCAN_GUARD = 1 << 8,
};
struct scan_region {
	u64 start, end, categories;
};
struct scan_arg {
	u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define IOCTL_PAGEMAP_SCAN _IOWR('f', 16, struct scan_arg)
