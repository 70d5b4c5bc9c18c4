// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns the question which mappings of a process have no page at all, as /proc/PID/smaps tells it: without PAGEMAP_SCAN each page of
 * what is only reserved is an entry to be read. */
#include "base/file.h"
#include "diag/diag.h"
#include "memory/memory.h"
#include "model/vma.h"
#include "record.h"
#include <errno.h>
#include <stdlib.h>

/* So many entries of pagemap cost as much as a mapping in smaps, and as a page that is there. */
#define ENTRIES_PER_VMA 4096u
#define ENTRIES_PER_PAGE 32u

/* Is most of it sure to be empty? */
static bool is_sparse(int proc, const struct object *vmas)
{
	const struct vma *v = vmas->data;
	u64 entries = 0, dear = (u64)vmas->count * ENTRIES_PER_VMA;
	for (u32 i = 0; i < vmas->count; i++)
		entries += vma_stored(&v[i]) ? (v[i].end - v[i].start) / PAGE_BYTES : 0;
	_cleanup_text_ struct text statm = { 0 };
	if (entries < dear || file_read_once(proc, "statm", &statm) < 0)
		return false;
	const char *resident = strchr(statm.data, ' ');
	return resident && entries - dear > strtoull(resident, NULL, 10) * ENTRIES_PER_PAGE;
}

/* Pages of hugetlbfs stand in other lines. */
static bool tells_all(const struct vma *v) { return vma_stored(v) && !(v->flags & VMA_HUGETLB); }

/* The number in a line of smaps, -1: it is another one. */
static s64 number_in(const char *line, const char *name, size_t len)
{
	return strncmp(line, name, len) != 0 ? -1 : (s64)strtoull(line + len, NULL, 10);
}
#define NUMBER_IN(line, name) number_in(line, name, sizeof(name) - 1)

/* The lines behind that of a mapping begin with capital letters. */
static bool has_no_pages(const char **at)
{
	bool no_page = false, no_swap = false;
	for (const char *line = *at; *line >= 'A' && *line <= 'Z'; line = *at) {
		no_page |= NUMBER_IN(line, "Rss:") == 0;
		no_swap |= NUMBER_IN(line, "Swap:") == 0;
		*at = strchrnul(line, '\n');
		*at += **at == '\n';
	}
	return no_page && no_swap;
}

static void note_untouched(bool *untouched, const struct object *vmas, const char *at)
{
	const struct vma *v = vmas->data;
	while (*at) {
		char *dash, *behind;
		u64 start = strtoull(at, &dash, 16), end = *dash == '-' ? strtoull(dash + 1, &behind, 16) : 0;
		const struct vma *own = end ? vma_at(v, vmas->count, start) : NULL;
		at = strchrnul(at, '\n');
		at += *at == '\n';
		bool nothing = has_no_pages(&at);
		if (own && own->start == start && own->end == end && tells_all(own))
			untouched[own - v] = nothing;
	}
}

int memory_untouched(const struct caps *caps, int proc, const struct object *vmas, bool **ret)
{
	_cleanup_text_ struct text smaps = { 0 };
	*ret = NULL;
	/* guards are no pages for smaps, and are older than no kernel without PAGEMAP_SCAN */
	if (caps_has(caps, CAN_PAGEMAP_SCAN) || caps_has(caps, CAN_MADV_GUARD) || !is_sparse(proc, vmas) ||
	    file_read(proc, "smaps", &smaps) < 0)
		return 0;
	*ret = calloc(vmas->count, sizeof **ret);
	if (!*ret)
		return fail_memory();
	note_untouched(*ret, vmas, smaps.data);
	return 0;
}
