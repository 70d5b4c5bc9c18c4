// SPDX-License-Identifier: LGPL-2.1-or-later
/* Fuzzes the parsers of /proc: each gets the input as its text. A block of its own size shows every read past the end. */
#include "collect/proc_text.h"

static void parse_mappings(const char *text)
{
	struct record_vma vma;
	const char *path;
	size_t len;
	for (const char *at = text, *before = text; parse_mapping(&at, &vma, &path, &len) > 0; before = at)
		if (at <= before || vma.start >= vma.end || (len && (path < text || path + len > at)))
			abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct record_task task = { 0 };
	struct record_file file = { 0 };
	s64 monotonic, boottime;
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	parse_status(text, &task);
	parse_stat(text, &task);
	parse_fdinfo(text, &file);
	parse_mappings(text);
	parse_clock_offsets(text, &monotonic, &boottime);
	free(text);
	return 0;
}
